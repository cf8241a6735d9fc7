"""What a ledger discloses: one data object, as text for a terminal, as JSON for machines, as HTML for people.

The items follow the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3: setting and
trust, unit, adjacency, what is released, mechanism, accountant, assumptions.
"""

import decimal
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from dp.accounting import Guarantee, guarantee
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, PrivacyEvent
from dp.ledger import Ledger
from dp.records import Budget, Detail

REPORT_VERSION: Final = 1
DELTA_EXPONENTS: Final = tuple(-1 - step / 4 for step in range(45))  # 1e-1 down to 1e-12

ASSUMPTIONS: Final = (
    "Vectors are summed by a protocol that hides each of them from the server, as far as that protocol trusts it.",
    "Clients that contribute are honest about their noise: each adds its whole share and reveals it to nobody.",
    "Each client's vector is within the stated L2 sensitivity; clients enforce this themselves by clipping.",
    "Nothing derived from the clients' data is released but what this ledger lists.",
    "The number and names of the contributors to each release are public and not protected.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRelease:
    """One release.

    Attributes:
        number: its reservation.
        label: the caller's name for it.
        mechanism: the noise, in words.
        noise_multiplier: standard deviation of the noise over the L2 sensitivity.
        epsilon_after: what all releases up to and with this one had spent, at the budget's delta.
        contributors: how many clients were in the sum; None while uncommitted.
        details: what the caller recorded with the commitment.
        time_s: when it was reserved, in seconds.
    """

    number: int
    label: str
    mechanism: str
    noise_multiplier: float
    epsilon_after: float
    contributors: int | None
    details: dict[str, Detail]
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """What was guaranteed, what was spent, and on what assumptions.

    Attributes:
        budget: what may be spent.
        spent: the guarantee of all reserved releases together.
        continuous: the guarantee if every release had had continuous Gaussian noise of the same multiplier.
        releases: every reserved release, in order.
        epsilon_by_delta: pairs (delta, epsilon): the same releases, stated for other deltas.
        head: digest of the ledger's last record.
        assumptions: what the guarantee rests on; declared, not verified by this package.
    """

    budget: Budget
    spent: Guarantee
    continuous: Guarantee
    releases: tuple[ReportedRelease, ...]
    epsilon_by_delta: tuple[tuple[float, float], ...]
    head: str
    assumptions: tuple[str, ...] = ASSUMPTIONS

    @classmethod
    def from_ledger(cls, ledger: Ledger) -> "BudgetReport":
        """Collect the report of an open ledger."""
        budget = ledger.budget
        events: Counter[PrivacyEvent] = Counter()
        releases = []

        def account(delta: float) -> Guarantee:
            return guarantee(events, delta=delta, relation=budget.relation, unit=budget.unit)

        for entry in ledger.entries():
            reservation, commitment = entry.reservation, entry.commitment
            events[reservation.event] += 1
            releases.append(
                ReportedRelease(
                    number=reservation.number,
                    label=reservation.label,
                    mechanism=_in_words(reservation.event),
                    noise_multiplier=reservation.event.noise_multiplier,
                    epsilon_after=account(budget.delta).epsilon,
                    contributors=commitment.contributors if commitment else None,
                    details=dict(commitment.details) if commitment else {},
                    time_s=reservation.time_s,
                )
            )
        deltas = [10.0**exponent for exponent in DELTA_EXPONENTS]
        return cls(
            budget=budget,
            spent=ledger.spent(),
            continuous=guarantee(
                _as_continuous(events), delta=budget.delta, relation=budget.relation, unit=budget.unit
            ),
            releases=tuple(releases),
            epsilon_by_delta=tuple((delta, account(delta).epsilon) for delta in deltas),
            head=ledger.head,
        )

    @property
    def uncommitted(self) -> tuple[int, ...]:
        """Numbers of the reservations without a commitment; they count as spent."""
        return tuple(release.number for release in self.releases if release.contributors is None)

    @property
    def mechanisms(self) -> tuple[tuple[str, int], ...]:
        """Each mechanism in words, with how often it was used."""
        return tuple(Counter(release.mechanism for release in self.releases).items())

    @property
    def statement(self) -> str:
        """The guarantee as one sentence."""
        return (
            f"All {len(self.releases)} releases together are ({rounded_up(self.spent.epsilon)}, {self.spent.delta:.3g})"
            f"-differentially private for one {self.budget.unit.value}, relation {self.budget.relation.value}."
        )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the guarantee says and how it was reached, as pairs of a heading and a text."""
        budget = self.budget
        relation = budget.relation
        uncommitted = ", ".join(str(number) for number in self.uncommitted)
        order = f"{self.spent.order:.4g}" + (" (an end of the grid)" if self.spent.order_at_edge else "")
        return (
            ("Epsilon spent", f"{rounded_up(self.spent.epsilon)} of {budget.epsilon:g}"),
            ("Delta", f"{budget.delta:.3g} (population {budget.population}: below {1 / budget.population:.3g})"),
            ("Privacy unit", f"{budget.unit.value}: everything one {budget.unit.value} ever contributes"),
            ("Relation", f"{relation.value}: {_RELATIONS[relation.value]}"),
            ("Mechanism", "; ".join(f"{count} x {words}" for words, count in self.mechanisms) or "none yet"),
            ("Accountant", self.spent.accountant),
            ("Best Renyi order", order if self.releases else "none yet"),
            ("Continuous Gaussian", f"epsilon {rounded_up(self.continuous.epsilon)} at the same noise multiplier"),
            ("Uncommitted", f"{uncommitted} (counted as spent)" if uncommitted else "none"),
            ("Ledger head", self.head),
        )

    def as_text(self) -> str:
        """Return the report as plain text of at most a few columns, for a terminal."""
        width = max(len(heading) for heading, _ in self.facts)
        lines = ["Privacy budget", "", self.statement, ""]
        lines += [f"{heading:<{width}}  {text}" for heading, text in self.facts]
        lines += ["", f"{'#':>5}  {'release':<24}  {'noise mult.':>11}  {'contributors':>12}  {'epsilon':>9}"]
        for release in self.releases:
            contributors = "uncommitted" if release.contributors is None else str(release.contributors)
            lines.append(
                f"{release.number:>5}  {release.label[:24]:<24}  {release.noise_multiplier:>11.4g}  "
                f"{contributors:>12}  {rounded_up(release.epsilon_after):>9}"
            )
        lines += ["", "Assumptions (declared, not verified)"]
        lines += [f"  - {assumption}" for assumption in self.assumptions]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """Return the report as JSON; `version` changes when a field changes its meaning or goes away."""
        document = {
            "schema": "secagg-budget-report",
            "version": REPORT_VERSION,
            "statement": self.statement,
            "uncommitted": self.uncommitted,
            "mechanisms": [{"mechanism": words, "releases": count} for words, count in self.mechanisms],
            **{field: getattr(self, field) for field in self.__slots__},
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()

    def as_html(self) -> str:
        """Return the report as one self-contained HTML page with plots, in the reader's light or dark scheme.

        Raises:
            MissingExtra: jinja2 or matplotlib is not installed.
        """
        from dp.page import render

        return render(self)


def rounded_up(epsilon: float) -> str:
    """Return epsilon to four decimals, never less than it is: a guarantee must not be overstated by its rounding."""
    if math.isinf(epsilon):
        return "infinite"
    return str(decimal.Decimal(epsilon).quantize(_STEP, rounding=decimal.ROUND_CEILING, context=_EVERY_FLOAT))


_STEP: Final = decimal.Decimal("0.0001")
_EVERY_FLOAT: Final = decimal.Context(prec=320)  # the largest float has 309 digits before the point

_RELATIONS: Final = {
    "zero-out": "one unit's contribution replaced by zero; who contributes is public",
    "add-or-remove-one": "one unit is there or not; who contributes is protected",
}


def _in_words(event: PrivacyEvent) -> str:
    match event:
        case GaussianEvent():
            return f"Gaussian, noise multiplier {event.noise_multiplier:.4g}"
        case DistributedDiscreteGaussianEvent():
            return (
                f"distributed discrete Gaussian, local sigma {event.local_sigma:.5g} from at least "
                f"{event.contributors} clients, L2 sensitivity {event.l2_sensitivity:.5g}, dimension {event.dimension}"
            )
        case _:
            assert_never(event)


def _as_continuous(events: Counter[PrivacyEvent]) -> Counter[PrivacyEvent]:
    continuous: Counter[PrivacyEvent] = Counter()
    for event, count in events.items():
        same = GaussianEvent(noise_multiplier=event.noise_multiplier, relation=event.relation, unit=event.unit)
        continuous[same] += count
    return continuous
