"""What a ledger discloses, as data: `dp.reporting.collect` makes a report, and functions render it in three forms.

The forms are text for a terminal (`dp.reporting.text`), JSON for machines (`dp.reporting.document`) and HTML for people
(`dp.reporting.page`). The items follow the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654,
section 5.3 (`dp.reporting.checklist`, `dp.reporting.assumptions`). A report has two figures: the cost of the promised
noise, which the ledger enforces, and the cost of the noise that was really in the sums. The second figure is only for
information. The number of dropouts may depend on earlier releases, and the accounting does not cover noise that is not
fixed beforehand.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import NeighbouringRelation
from dp.figures import in_full, left_in_percent, rounded_down, rounded_up, rounded_up_within
from dp.ledger.records import Budget, Detail
from dp.reporting.about import About
from dp.reporting.assumptions import Assumption, State, refuted
from dp.reporting.observers import HEADINGS, Statement
from dp.reporting.participation import ReportedParticipation
from dp.reporting.spacing import evenly_spaced

Facts = tuple[tuple[str, str], ...]
"""Pairs of a heading and a text."""

_COMPARED: Final = {
    NeighbouringRelation.ZERO_OUT: "with its contribution, or with zero in its place",
    NeighbouringRelation.ADD_OR_REMOVE_ONE: "with it, or without it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRelease:
    """One release.

    Attributes:
        number: Its reservation.
        label: The caller's name for it.
        mechanism: The noise promised, in words.
        noise_multiplier: Standard deviation of the promised noise over the L2 sensitivity.
        realised_noise_multiplier: The noise multiplier of the noise that was really in the release; None if that was
            not recorded.
        sampling_rate: The probability that a unit takes part; None if units are not sampled.
        epsilon_after: The epsilon that all releases up to and including this one cost, at the budget's delta, by the
            accountants of the total, if they were fixed beforehand; None if it was not computed, as with a filter. With
            participation, it bounds the cost for every client. Of more than 200 releases, 200 are accounted, evenly
            spread; with sampled Gaussian noise, of more than 40 at most 40.
        realised_epsilon_after: The same for the realised noise, if it was recorded; with participation, of the client
            whose releases have the least noise in all. Also None if the guarantee claims the budget.
        unamplified_epsilon_after: The same without amplification by sampling; also None if nothing was sampled, or if
            the guarantee claims the budget or is towards readers.
        used_after: The part of a filter's limit that is charged to the client with most after this release, rounded up;
            None without a filter, and for a release that is not accounted.
        asked: The number of clients that the reservation asked; None if it asked everybody.
        contributors: The number of clients in the sum; None while uncommitted.
        details: The details that the caller recorded with the commitment.
        time_s: The time of the reservation, in seconds since 1970.
    """

    number: int
    label: str
    mechanism: str
    noise_multiplier: float
    realised_noise_multiplier: float | None
    sampling_rate: float | None
    epsilon_after: float | None
    realised_epsilon_after: float | None
    unamplified_epsilon_after: float | None
    used_after: float | None
    asked: int | None
    contributors: int | None
    details: dict[str, Detail]
    time_s: float

    @property
    def excess(self) -> float | None:
        """The part by which the realised noise exceeds the promised noise; None if it was not recorded."""
        if self.realised_noise_multiplier is None:
            return None
        return self.realised_noise_multiplier / self.noise_multiplier - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AtDelta:
    """The same statement for another delta.

    Attributes:
        delta: Strictly between 0 and 1.
        epsilon: The epsilon of all releases together, for the promised noise, by the accountants of the total. With a
            filter, that of all releases that it admits.
        unamplified: The same without amplification by sampling; None as in `ReportedRelease`.
    """

    delta: float
    epsilon: float
    unamplified: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """The guarantee, what was spent, and the assumptions.

    Attributes:
        budget: The budget.
        spent: The guarantee of all reserved releases together, which the ledger enforces; with participation, that of
            the client that was charged most.
        realised: The same for the realised noise, if it was recorded; with participation, that of the client whose
            releases have the least noise in all. None if the guarantee claims the budget, which realised noise does not
            change.
        unamplified: The same without amplification by sampling. None if nothing was sampled, if the guarantee claims
            the budget, or if it is towards readers: `statements` then says what holds for those who see who takes part.
        statements: What holds towards each of both observers, the enforced statement first; none without participation.
        participation: How often clients were asked; None if each release asks everybody.
        accountant: How the guarantee was computed, in words.
        remaining_releases: The number of further releases like the last one that fit into the budget and, with
            participation, ask everybody; at most 2**40. None if there is no release yet.
        projection: The epsilon or, with a filter, the part of its limit that is used, after further releases like the
            last one, as pairs of their number and that figure. It ends where no more fit, or at a few times the
            releases made.
        releases: Every reserved release, in order.
        epsilon_by_delta: The same statement for other deltas; empty if the guarantee claims the budget, and there is no
            filter.
        setting: Where the noise comes from, and who is trusted.
        colluders: How many clients may collude with the server, if that was recorded.
        assumptions: The conditions of the guarantee: the failed, then the verified, then the declared ones.
        head: Digest of the ledger's last record.
        about: The names of what the ledger is about, and who gave them.
        further: Facts from outside the ledger, shown beside what was spent.
    """

    budget: Budget
    spent: Guarantee
    realised: Guarantee | None
    unamplified: Guarantee | None
    statements: tuple[Statement, ...]
    participation: ReportedParticipation | None
    accountant: str
    remaining_releases: int | None
    projection: tuple[tuple[int, float], ...]
    releases: tuple[ReportedRelease, ...]
    epsilon_by_delta: tuple[AtDelta, ...]
    setting: str
    colluders: str
    assumptions: tuple[Assumption, ...]
    head: str
    about: About
    further: Facts = ()

    def named(self, *, run: str | None = None, organisation: str | None = None) -> "BudgetReport":
        """Return the report with names that the ledger does not record, marked as given for the report.

        Raises:
            InvalidParameter: The ledger records such a name, or a name is not 1 to 200 printable characters.
        """
        return replace(self, about=replace(self.about, run=run, organisation=organisation))

    def refuted(self, reasons: Mapping[str, str], *, further: Facts = ()) -> "BudgetReport":
        """Return the report with assumptions that failed for reasons from outside the ledger.

        Args:
            reasons: What was found instead, in sentences, by the text of each such assumption.
            further: Facts that belong to these reasons.
        """
        return replace(self, assumptions=refuted(self.assumptions, reasons), further=(*self.further, *further))

    def shown(self, epsilon: float) -> str:
        """Return an epsilon rounded up, but not above the budget if the epsilon is within the budget."""
        return rounded_up_within(epsilon, self.budget.epsilon)

    @property
    def failed(self) -> tuple[Assumption, ...]:
        """The conditions of the guarantee that this software found false."""
        return tuple(each for each in self.assumptions if each.state is State.FAILED)

    @property
    def headline(self) -> str:
        """The number of conditions that failed, in words; an empty text if none did."""
        count = len(self.failed)
        if not count:
            return ""
        conditions = "1 condition" if count == 1 else f"{count} conditions"
        return f"{conditions} of this guarantee FAILED"

    @property
    def uncommitted(self) -> tuple[int, ...]:
        """Numbers of the reservations without a commitment; they count as spent."""
        return tuple(release.number for release in self.releases if release.contributors is None)

    @property
    def mechanisms(self) -> tuple[tuple[str, int], ...]:
        """Each mechanism in words, with how often it was used."""
        return tuple(Counter(release.mechanism for release in self.releases).items())

    @property
    def overspent(self) -> bool:
        """Whether the releases exceed the budget, which is possible only in a file that no ledger wrote."""
        return self.spent.epsilon > self.budget.epsilon

    @property
    def claims_budget(self) -> bool:
        """Whether the guarantee is the budget, and not what was spent."""
        return self.spent.claim is Claim.BUDGET

    @property
    def used(self) -> float:
        """The part of the budget that is charged, rounded up; without a filter, of its epsilon. Above 1 if exceeded."""
        return self.spent.used_of(self.budget.epsilon)

    @property
    def remaining_epsilon(self) -> float | None:
        """What may still be charged, at least 0; None with a filter, which charges no epsilon."""
        return None if self.spent.used is not None else max(0.0, self.budget.epsilon - self.spent.least_bound)

    @property
    def left(self) -> str:
        """What may still be charged, in words."""
        if self.remaining_epsilon is None:
            return f"{left_in_percent(self.used)} of the budget"
        return f"epsilon {rounded_down(self.remaining_epsilon, of=self.budget.epsilon)}"

    @property
    def realised_noise(self) -> bool:
        """Whether there is a figure at the realised noise: that of at least one release was recorded."""
        known = any(release.realised_noise_multiplier is not None for release in self.releases)
        return self.realised is not None and known

    @property
    def accounted(self) -> tuple[ReportedRelease, ...]:
        """The releases that have an epsilon: all of them, or, of more than 200, 200 that are evenly spread."""
        return tuple(self.releases[position] for position in evenly_spaced(len(self.releases)))

    @property
    def stated_epsilon(self) -> float | None:
        """The epsilon to state as the guarantee; None if a condition failed or the realised noise costs more."""
        exceeded = self.realised is not None and self.realised.epsilon > self.spent.epsilon
        return None if self.failed or exceeded else self.spent.epsilon

    @property
    def statement(self) -> str:
        """The guarantee as one sentence or, if conditions failed, these first, and that no guarantee is stated."""
        sentence = self._sentence
        if not self.failed:
            return sentence
        return " ".join(
            (
                f"{self.headline}:",
                *(each.text for each in self.failed),
                "So this report states no guarantee. Computed as if no condition had failed:",
                f"{sentence[0].lower()}{sentence[1:]}",
            )
        )

    @property
    def _sentence(self) -> str:
        """The guarantee as a sentence, as if no condition had failed; towards readers, two sentences."""
        count, enforced = len(self.releases), self.budget.towards
        known = "" if enforced is None else HEADINGS[enforced]
        heading = next((each.towards for each in self.statements if each.enforced), known)
        observer = f"{heading}, " if heading else ""
        if self.claims_budget:
            subject = f"all releases that this ledger admits, {count:,} so far, are together"
        else:
            subject = "the only release is" if count == 1 else f"all {count} releases together are"
        subject = f"{observer}{subject}"
        claim = "This is the budget, whatever part of it is used. " if self.claims_budget else ""
        others = "".join(
            f" {each.towards}: ({rounded_up(each.guarantee.epsilon)}, {in_full(each.guarantee.delta)}), "
            f"relation {each.guarantee.relation.value}, under the conditions below."
            for each in self.statements
            if each.guarantee != self.spent
        )
        return (
            f"{subject[0].upper()}{subject[1:]} ({self.shown(self.spent.epsilon)}, {in_full(self.spent.delta)})"
            f"-differentially private for one {self.budget.unit.value}, relation {self.budget.relation.value}: "
            f"{_COMPARED[self.budget.relation]}. {claim}"
        ).rstrip() + others
