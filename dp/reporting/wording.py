"""Events and their terms in words, and events without their sampling."""

from collections.abc import Iterable
from typing import Final, assert_never

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
    Trust,
    decompose,
    single_releases,
)
from dp.figures import in_full, rounded_up_within, used_in_percent
from dp.ledger.records import TRUST_DETAIL, Budget, LedgerEntry
from dp.ledger.remaining import MAXIMUM_REMAINING

RELATIONS: Final = {
    NeighbouringRelation.ZERO_OUT: "the guarantee compares one unit's real contributions with zeros in their place; "
    "who contributes is public",
    NeighbouringRelation.ADD_OR_REMOVE_ONE: "the guarantee compares the data with and without one unit; whether that "
    "unit is in the data is protected",
}
UNITS: Final = {
    PrivacyUnit.CLIENT: "everything that one client ever contributes",
    PrivacyUnit.EXAMPLE: "one example of one client's training data",
}
UNAMPLIFIED: Final = {
    PrivacyUnit.CLIENT: "this figure holds against anyone who learns which clients took part, such as the server of a "
    "secure sum, unless that server adds the noise itself. The epsilon spent holds only against those who see nothing "
    "but the releases",
    PrivacyUnit.EXAMPLE: "this figure would hold if it were known which examples are in each minibatch. The client "
    "never reveals that, so the epsilon spent holds against the server too",
}


def single(event: PrivacyEvent) -> NoisyEvent:
    """Return the noisy event of a release, without its sampling and its repetition."""
    _, _, noisy = decompose(event)
    return noisy


def sampling_rate(event: PrivacyEvent) -> float | None:
    """Return the rate at which units are sampled, or None without sampling."""
    _, release = single_releases(event)
    return release.sampling_rate if isinstance(release, PoissonSampledEvent) else None


def without_amplification(event: PrivacyEvent) -> PrivacyEvent:
    """Return the event without its sampling: the guarantee against anyone who sees which units took part."""
    match event:
        case RepeatedEvent():
            return RepeatedEvent(times=event.times, event=single(event))
        case PoissonSampledEvent():
            return event.event
        case _:
            return event


def in_words(event: PrivacyEvent) -> str:
    """Return the mechanism of one release in words."""
    match event:
        case GaussianEvent():
            return f"Gaussian noise of multiplier {event.noise_multiplier:.4g}"
        case DistributedDiscreteGaussianEvent():
            return (
                f"{'distributed ' if event.contributors > 1 else ''}discrete Gaussian noise, sigma "
                f"{event.local_sigma:.5g} lattice steps {_adders(event.contributors, each=True)}, L2 sensitivity "
                f"{event.l2_sensitivity:.5g} lattice steps, dimension {event.dimension}"
            )
        case SkellamEvent():
            return (
                f"Skellam noise, variance {event.variance:.5g} squared lattice steps "
                f"{_adders(event.contributors, each=False)}, L2 sensitivity "
                f"{event.l2_sensitivity:.5g} lattice steps, dimension {event.dimension}"
            )
        case PoissonSampledEvent():
            return f"Poisson-sampled at rate {event.sampling_rate:.4g}, with {in_words(event.event)}"
        case RepeatedEvent():
            return f"{event.times} steps a release, each {in_words(event.event)}"
        case _:
            assert_never(event)


def more_releases(count: int, *, everybody: bool = False) -> str:
    """Return in words how many more releases like the last one fit into the budget.

    Args:
        count: Their number.
        everybody: Whether these releases each ask all clients of a population of which a release may ask some.
    """
    everyone = ", if each asks every client" if everybody else ""
    if count == 0:
        return f"no more releases like the last one fit{everyone}"
    if count == 1:
        return f"1 more release like the last one fits{everyone.replace('each', 'it')}"
    least = "at least " if count >= MAXIMUM_REMAINING else ""
    return f"{least}{count:,} more releases like the last one fit{everyone}"


def amount(spent: Guarantee, budget: Budget) -> str:
    """Return what is spent of a budget, or guaranteed, as a phrase.

    Args:
        spent: The guarantee of all releases of the budget's ledger.
        budget: The budget.
    """
    epsilon, whole = rounded_up_within(spent.epsilon, budget.epsilon), in_full(budget.epsilon)
    at = f"at delta {in_full(budget.delta)}{' towards readers' if budget.towards is Observer.READERS else ''}"
    if spent.claim is Claim.SPENT:
        return f"epsilon {epsilon} of {whole} spent {at}"
    if spent.epsilon > budget.epsilon:
        used = "more than all" if spent.used is None else used_in_percent(spent.used)
        return f"{used} of the budget of epsilon {whole} {at} is used"
    if spent.used is None:
        return f"epsilon {epsilon} guaranteed {at}, the budget"
    return f"epsilon {epsilon} guaranteed {at}, the budget, of which {used_in_percent(spent.used)} is used"


def trusts(entries: Iterable[LedgerEntry]) -> tuple[Trust | None, ...]:
    """Return who added the noise of each release, or None if that is not recorded."""
    return tuple(_trust(entry) for entry in entries)


def setting(events: Iterable[PrivacyEvent], trusted: Iterable[Trust | None], *, hidden: Iterable[bool]) -> str:
    """Return in words where the noise comes from and who is trusted.

    Args:
        events: The event of each release.
        trusted: Who added the noise of each release, None if that is not known.
        hidden: For each release, whether it does not say that the server saw single vectors.
    """
    parts = dict.fromkeys(
        _setting(single(event), trust, hidden=unseen)
        for event, trust, unseen in zip(events, trusted, hidden, strict=True)
    )
    return "; ".join(parts) or "nothing released yet"


def _adders(contributors: int, *, each: bool) -> str:
    """Return who adds the noise in words; a figure belongs either to each party or to all of them together."""
    if contributors == 1:
        return "from one party"
    return f"from each of at least {contributors} clients" if each else f"from at least {contributors} clients together"


def _trust(entry: LedgerEntry) -> Trust | None:
    recorded = None if entry.commitment is None else entry.commitment.details.get(TRUST_DETAIL)
    event = single(entry.reservation.event)
    if recorded in tuple(Trust):
        return Trust(recorded)
    # Noise of several parties is distributed, whatever else is known of them. Continuous noise comes from one party.
    if isinstance(event, GaussianEvent):
        return Trust.LOCAL if event.unit is PrivacyUnit.EXAMPLE else Trust.CENTRAL
    return Trust.DISTRIBUTED if event.contributors > 1 else None


def _setting(event: NoisyEvent, trust: Trust | None, *, hidden: bool) -> str:
    match trust:
        case Trust.LOCAL if event.unit is PrivacyUnit.EXAMPLE:
            return (
                "local to each client: the client holds its examples and adds the noise in its own training. The "
                "server and everyone else see only results that contain this noise"
            )
        case Trust.LOCAL:
            return "local: every client adds noise that is enough by itself, and no other party is trusted"
        case Trust.CENTRAL if not hidden:
            return (
                "central: the summing party sees every client's vector, adds the noise to their sum and is trusted "
                "with all of them. The guarantee does not hold against that party; everyone else sees only the noisy "
                "sum"
            )
        case Trust.CENTRAL:
            return (
                "central: the party that adds the noise sees the exact sum and is trusted with it. The guarantee does "
                "not hold against that party; everyone else sees only the noisy sum"
            )
        case Trust.DISTRIBUTED if not hidden:
            return (
                "distributed: every client adds a noise share. The summing protocol shows the server every "
                "client's vector, with one noise share in it; everyone else sees only the noisy sum"
            )
        case Trust.DISTRIBUTED:
            return (
                "distributed: every client adds a noise share. If the assumptions of the summing protocol hold, the "
                "server and everyone else see only the noisy sum"
            )
        case None:
            return (
                "not recorded: the noise of one party is enough. It may be each client's own noise, or that of the "
                "summing party, which is then trusted with the exact sum"
            )
        case _:
            assert_never(trust)
