"""Accounting of releases: the (epsilon, delta) that all of them satisfy together.

Every accountant of `dp.accounting.accountants` that supports the releases gives an upper bound. The least bound is the
guarantee; the others are its cross-check.
"""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dp.accounting import accountants
from dp.accounting.accountant import Accountant, Bound
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.accounting.renyi_accountant import RenyiBound
from dp.checks import integer_at_least, member, positive_real, probability
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import (
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    single_release_counts,
)


class Claim(enum.StrEnum):
    """What the epsilon of a guarantee is."""

    SPENT = "spent"
    """What the releases cost, which were fixed beforehand: their events, who took part, and when they stopped."""

    BUDGET = "budget"
    """What the releases may cost. Earlier releases may have decided on later ones, or on when to stop, so what was
    spent up to then is no guarantee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """The (epsilon, delta)-differential privacy that a set of releases satisfies together.

    Attributes:
        delta: The delta for which epsilon was computed.
        relation: The neighbouring relation.
        unit: The privacy unit.
        accountant: How the least of `bounds` was computed, and why tighter accountants did not give it.
        bounds: The bound of every accountant that supports the releases, in the accountants' order. If `claim` is
            `Claim.BUDGET`, they are what the releases would cost if they had been fixed beforehand, and no guarantee.
        budget: The epsilon of the budget if that is what the guarantee claims, infinite if the budget was exceeded;
            None if the guarantee claims what was spent.
        used: The part of the budget of a filter that is charged, rounded up; above 1 if the budget was exceeded. None
            without a filter.
    """

    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    bounds: tuple[Bound, ...]
    budget: float | None = None
    used: float | None = None

    @property
    def claim(self) -> Claim:
        """Whether `epsilon` is what was spent, or the budget."""
        return Claim.SPENT if self.budget is None else Claim.BUDGET

    @property
    def epsilon(self) -> float:
        """The guaranteed epsilon: the least of the upper bounds, or the budget; at least 0, possibly infinite."""
        return self.least_bound if self.budget is None else self.budget

    @property
    def least_bound(self) -> float:
        """The least of the upper bounds on what the releases cost if they were fixed beforehand."""
        return min(bound.epsilon for bound in self.bounds)

    def used_of(self, epsilon: float) -> float:
        """Return the part of a budget that is used: of a filter's limit or, without a filter, of its epsilon.

        Args:
            epsilon: The epsilon of the budget, above 0.

        Returns:
            At least 0; above 1, possibly infinite, if the budget was exceeded.
        """
        return self.least_bound / epsilon if self.used is None else self.used

    @property
    def renyi(self) -> RenyiBound:
        """The bound by Renyi DP, which exists for every set of releases."""
        return next(bound for bound in self.bounds if isinstance(bound, RenyiBound))

    @property
    def rdp_epsilon(self) -> float:
        """Epsilon by Renyi DP, at least 0, possibly infinite."""
        return self.renyi.epsilon

    @property
    def pld_epsilon(self) -> float | None:
        """Epsilon by privacy loss distributions, at least 0, possibly infinite; None if they were not used."""
        found = (bound.epsilon for bound in self.bounds if bound.accountant == PrivacyLossAccountant.name)
        return next(found, None)


def guarantee(
    events: Mapping[PrivacyEvent, int],
    *,
    delta: float,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
) -> Guarantee:
    """Return the (epsilon, delta) guarantee of all events together.

    Sampled Gaussian noise takes up to several seconds for each noise, mostly tenths of a second. Everything else takes
    milliseconds.

    Args:
        events: How often each event took place, 0 to 2**53 times.
        delta: Strictly between 0 and 1.
        relation: The neighbouring relation of the guarantee.
        unit: The privacy unit of the guarantee.

    Formal guarantees:
        If every release is what its event says (noise, sensitivity under `relation` for one `unit`), all of them
        together are (epsilon, delta)-differentially private under `relation` for one `unit`. What is asked of the data
        may depend on earlier releases; the events may not.

    Raises:
        IncompatibleEvent: An event has another relation or unit.
        InvalidParameter: `delta` or a count is out of range, an event is not a privacy event, or `relation` or `unit`
            is not a member of its type.
    """
    delta = probability("delta", delta)
    releases = _single_releases(events, relation, unit)
    bounds: list[Bound] = []
    reasons: dict[Accountant, str] = {}
    for each in accountants.ACCOUNTANTS:
        reason = each.unsupported_reason(releases, delta)
        if reason is None:
            bounds.append(each.epsilon(releases, delta))
        else:
            reasons[each] = reason
    return Guarantee(
        delta=delta, relation=relation, unit=unit, accountant=_in_words(bounds, reasons), bounds=tuple(bounds)
    )


def is_within(
    events: Mapping[PrivacyEvent, int],
    *,
    epsilon: float,
    delta: float,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
) -> bool:
    """Return whether `guarantee(events, ...).epsilon <= epsilon`, with as little computation as that needs.

    The quickest accountant, Renyi DP, takes milliseconds. A slower one is used only if no quicker bound is enough.

    Args:
        events: How often each event took place, 0 to 2**53 times.
        epsilon: Above 0.
        delta: Strictly between 0 and 1.
        relation: The neighbouring relation of the guarantee.
        unit: The privacy unit of the guarantee.

    Formal guarantees:
        If the result is True, all events together are (`epsilon`, `delta`)-differentially private under the conditions
        that `guarantee` states.

    Raises:
        IncompatibleEvent: An event has another relation or unit.
        InvalidParameter: A number is out of range, an event is not a privacy event, or `relation` or `unit` is not a
            member of its type.
    """
    epsilon, delta = positive_real("epsilon", epsilon), probability("delta", delta)
    releases = _single_releases(events, relation, unit)
    return any(
        each.epsilon(releases, delta).epsilon <= epsilon
        for each in accountants.ACCOUNTANTS
        if each.unsupported_reason(releases, delta) is None
    )


def subsampled_gaussian_epsilon(*, sampling: float, noise_multiplier: float, rounds: int, delta: float) -> float:
    """Return the epsilon of Poisson-sampled rounds with Gaussian noise, under add-or-remove-one.

    Args:
        sampling: The probability that a unit takes part in a round, above 0 and at most 1.
        noise_multiplier: Standard deviation of the noise in a round's sum, over the most that adding or removing one
            unit changes that sum in L2 norm; 1e-30 to 1e30.
        rounds: The number of rounds, 1 to 2**53.
        delta: Strictly between 0 and 1.

    Formal guarantees:
        If units are sampled independently of each other, of all other rounds and in secret, all rounds together are
        (epsilon, `delta`)-differentially private under add-or-remove-one for one unit: the unit that is sampled and
        for which the sensitivity is measured. What is asked may depend on earlier rounds. The noise is assumed to be
        real-valued: what floating-point noise leaks is not covered.

    Raises:
        InvalidParameter: An argument is out of range.
    """
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    noisy = GaussianEvent(noise_multiplier=noise_multiplier, relation=relation)
    event = PoissonSampledEvent(sampling_rate=sampling, event=noisy)
    return guarantee({event: integer_at_least("rounds", rounds, 1)}, delta=delta, relation=relation).epsilon


def _single_releases(
    events: Mapping[PrivacyEvent, int], relation: NeighbouringRelation, unit: PrivacyUnit
) -> Counter[PrivacyEvent]:
    """Return how often each release took place, with repeated events taken apart and counts of 0 left out."""
    if not isinstance(events, Mapping):
        raise InvalidParameter(f"events: expected a mapping from events to counts, found {type(events).__name__}")
    member("relation", relation, NeighbouringRelation)
    member("unit", unit, PrivacyUnit)
    counts: dict[PrivacyEvent, int] = {}
    for event, count in events.items():
        if not isinstance(event, PrivacyEvent):
            raise InvalidParameter(f"events: expected privacy events, found {type(event).__name__}")
        if event.relation is not relation or event.unit is not unit:
            raise IncompatibleEvent(
                f"events: expected relation {relation.value} and unit {unit.value}, found {event.relation.value} and "
                f"{event.unit.value}. Account them separately."
            )
        counts[event] = integer_at_least("count", count, 0)
    return single_release_counts(counts)


def _in_words(bounds: Sequence[Bound], reasons: Mapping[Accountant, str]) -> str:
    """Return how the least bound was computed and, for each accountant after it, why that one did not give it."""
    least = min(reversed(bounds), key=lambda bound: bound.epsilon)
    words, found = [], {bound.accountant: bound for bound in bounds}
    for each in reversed(accountants.ACCOUNTANTS):
        if each.name == least.accountant:
            break
        words.append(
            f"{each.title} not used: {reasons[each]}" if each in reasons else f"{found[each.name].method} gave more"
        )
    return "; ".join((least.method, *reversed(words)))
