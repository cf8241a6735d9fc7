"""What a ledger discloses, as data: `dp.reporting.collect` makes a report, and functions render it in three forms.

The forms are text for a terminal (`dp.reporting.text`), JSON for machines (`dp.reporting.document`) and HTML for people
(`dp.reporting.page`). The items follow the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654,
section 5.3 (`dp.reporting.checklist`, `dp.reporting.assumptions`). Two figures stand side by side: what the noise
promised costs, which the ledger enforces, and what the noise that was really in the sums costs. The latter is for
information: how many clients drop out may depend on earlier releases, which the accounting of noise that is not fixed
beforehand does not cover.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dp.accounting.guarantee import Guarantee
from dp.events import NeighbouringRelation
from dp.figures import in_full, rounded_up_within
from dp.ledger.records import Budget, Detail
from dp.reporting.about import About
from dp.reporting.assumptions import Assumption, State, refuted
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
        noise_multiplier: Standard deviation of the noise promised over the L2 sensitivity.
        realised_noise_multiplier: Of the noise that was really in it; None where that was not recorded.
        sampling_rate: Probability of a unit to take part; None where units are not sampled.
        epsilon_after: What all releases up to and with this one had spent, at the budget's delta, by the accountants of
            the total; None where that was not computed: of more than 200 releases, or, with sampled Gaussian noise, of
            more than 40, so many are accounted, evenly spread.
        realised_epsilon_after: The same at the noise realised, where recorded.
        unamplified_epsilon_after: The same without amplification by sampling; None, too, where nothing was sampled.
        contributors: How many clients were in the sum; None while uncommitted.
        details: What the caller recorded with the commitment.
        time_s: When it was reserved, in seconds.
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
    contributors: int | None
    details: dict[str, Detail]
    time_s: float

    @property
    def excess(self) -> float | None:
        """By how much the noise realised is above what was promised, as a fraction; None where it was not recorded."""
        if self.realised_noise_multiplier is None:
            return None
        return self.realised_noise_multiplier / self.noise_multiplier - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AtDelta:
    """The same releases, stated for another delta, by the accountants of the total.

    Attributes:
        delta: Strictly between 0 and 1.
        epsilon: Of all releases together, at the noise promised.
        unamplified: The same without amplification by sampling; None where nothing was sampled.
    """

    delta: float
    epsilon: float
    unamplified: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """What was guaranteed, what was spent, and on what assumptions.

    Attributes:
        budget: What may be spent.
        spent: The guarantee of all reserved releases together, which the ledger enforces.
        realised: The same at the noise realised, where recorded.
        unamplified: The same without amplification by sampling; None where nothing was sampled.
        continuous_epsilon: Epsilon, by the accountants of Gaussian noise, exact without sampling, if every release had
            had continuous Gaussian noise of the same multiplier; None where all of them had.
        remaining_releases: How many more releases like the last one fit into the budget, at most 2**40; None where
            there is none yet.
        projection: What would be spent after some more releases like the last one, as far as these fit and are no more
            than a few times those made: pairs of how many more, and epsilon.
        releases: Every reserved release, in order.
        epsilon_by_delta: The same releases, stated for other deltas.
        setting: Where the noise comes from, and who is trusted with what.
        colluders: How many clients may collude with the server, as far as that was recorded.
        assumptions: What the guarantee rests on: what failed, then what was verified, then what is declared.
        head: Digest of the ledger's last record.
        about: Names of what the ledger is about, and whose word they are.
        further: Facts from outside the ledger, to stand beside what was spent.
    """

    budget: Budget
    spent: Guarantee
    realised: Guarantee
    unamplified: Guarantee | None
    continuous_epsilon: float | None
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
        """Return the report with names that the ledger does not record, said to be given for the report.

        Raises:
            InvalidParameter: The ledger records such a name, or one is not 1 to 200 printable characters.
        """
        return replace(self, about=replace(self.about, run=run, organisation=organisation))

    def refuted(self, reasons: Mapping[str, str], *, further: Facts = ()) -> "BudgetReport":
        """Return the report with assumptions that failed for reasons from outside the ledger.

        Args:
            reasons: For the text of each such assumption, what was found instead, in sentences.
            further: Facts that belong to them.
        """
        return replace(self, assumptions=refuted(self.assumptions, reasons), further=(*self.further, *further))

    def shown(self, epsilon: float) -> str:
        """Return an epsilon rounded up, but never above the budget where it is within the budget."""
        return rounded_up_within(epsilon, self.budget.epsilon)

    @property
    def failed(self) -> tuple[Assumption, ...]:
        """What the guarantee rests on and this software found false."""
        return tuple(each for each in self.assumptions if each.state is State.FAILED)

    @property
    def headline(self) -> str:
        """Say how many conditions failed; an empty text where none did."""
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
        """Whether the releases are beyond the budget, as those of a file made by no ledger may be."""
        return self.spent.epsilon > self.budget.epsilon

    @property
    def realised_noise(self) -> bool:
        """Whether the noise realised was recorded of any release."""
        return any(release.realised_noise_multiplier is not None for release in self.releases)

    @property
    def accounted(self) -> tuple[ReportedRelease, ...]:
        """The releases that have an epsilon: all, or, of more than 200, as many that are evenly spread."""
        return tuple(self.releases[position] for position in evenly_spaced(len(self.releases)))

    @property
    def statement(self) -> str:
        """The guarantee as one sentence, and what failed of it."""
        sentence = (
            f"All {len(self.releases)} releases together are ({self.shown(self.spent.epsilon)}, "
            f"{in_full(self.spent.delta)})"
            f"-differentially private for one {self.budget.unit.value}, relation {self.budget.relation.value}: "
            f"{_COMPARED[self.budget.relation]}."
        )
        return " ".join((sentence, *(f"{self.headline}:" for _ in self.failed[:1]), *(f.text for f in self.failed)))
