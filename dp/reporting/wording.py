"""Events and their terms in words, and events as they would be without sampling or with continuous noise."""

from collections.abc import Iterable
from typing import Final, assert_never

from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
    Trust,
    decompose,
    single_releases,
)
from dp.ledger.records import TRUST_DETAIL, LedgerEntry
from dp.ledger.remaining import MAXIMUM_REMAINING

RELATIONS: Final = {
    NeighbouringRelation.ZERO_OUT: "one unit's contribution replaced by zero; who contributes is public",
    NeighbouringRelation.ADD_OR_REMOVE_ONE: "one unit is there or not; who contributes is protected",
}
UNITS: Final = {
    PrivacyUnit.CLIENT: "everything one client ever contributes",
    PrivacyUnit.EXAMPLE: "one example of one client's training data",
}
UNAMPLIFIED: Final = {
    PrivacyUnit.CLIENT: "what holds against whoever learns which clients took part, as the server of a secure sum "
    "does; what is spent holds against those who see no more than the releases",
    PrivacyUnit.EXAMPLE: "what would hold if it were known which examples are in each minibatch; that never leaves the "
    "client, so that what is spent holds against the server, too",
}


def single(event: PrivacyEvent) -> NoisyEvent:
    """Return what one release adds noise to, without its sampling and its repetition."""
    _, _, noisy = decompose(event)
    return noisy


def sampling_rate(event: PrivacyEvent) -> float | None:
    """Return the rate at which units are sampled, None where none are."""
    _, release = single_releases(event)
    return release.sampling_rate if isinstance(release, PoissonSampledEvent) else None


def without_amplification(event: PrivacyEvent) -> PrivacyEvent:
    """Return what whoever sees who took part has: the event without its sampling."""
    match event:
        case RepeatedEvent():
            return RepeatedEvent(times=event.times, event=single(event))
        case PoissonSampledEvent():
            return event.event
        case _:
            return event


def with_continuous_noise(event: PrivacyEvent) -> PrivacyEvent:
    """Return the event with continuous Gaussian noise of the same multiplier."""
    if isinstance(event, RepeatedEvent):
        return RepeatedEvent(times=event.times, event=_continuous(event.event))
    return _continuous(event)


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


def more_releases(count: int) -> str:
    """Return in words how many more releases like the last one fit."""
    if count == 0:
        return "no more releases like the last one fit"
    if count == 1:
        return "1 more release like the last one fits"
    least = "at least " if count >= MAXIMUM_REMAINING else ""
    return f"{least}{count:,} more releases like the last one fit"


def trusts(entries: Iterable[LedgerEntry]) -> tuple[Trust | None, ...]:
    """Return who added the noise of each release, None where that is not recorded."""
    return tuple(_trust(entry) for entry in entries)


def setting(events: Iterable[PrivacyEvent], trusted: Iterable[Trust | None]) -> str:
    """Return where the noise comes from, and who is trusted with what, of releases and who added their noise."""
    parts = dict.fromkeys(_setting(single(event), trust) for event, trust in zip(events, trusted, strict=True))
    return "; ".join(parts) or "nothing released yet"


def _adders(contributors: int, *, each: bool) -> str:
    """Return who adds the noise: a figure is either of each party, or of all of them together."""
    if contributors == 1:
        return "from one party"
    return f"from each of at least {contributors} clients" if each else f"from at least {contributors} clients together"


def _trust(entry: LedgerEntry) -> Trust | None:
    recorded = None if entry.commitment is None else entry.commitment.details.get(TRUST_DETAIL)
    event = single(entry.reservation.event)
    if recorded in tuple(Trust):
        return Trust(recorded)
    # Noise of several parties is shared, however little is known of them; continuous noise is somebody's own.
    if isinstance(event, GaussianEvent):
        return Trust.LOCAL if event.unit is PrivacyUnit.EXAMPLE else Trust.CENTRAL
    return Trust.DISTRIBUTED if event.contributors > 1 else None


def _continuous(event: NoisyEvent | PoissonSampledEvent) -> GaussianEvent | PoissonSampledEvent:
    noisy = single(event)
    gaussian = GaussianEvent(noise_multiplier=noisy.noise_multiplier, relation=noisy.relation, unit=noisy.unit)
    if isinstance(event, PoissonSampledEvent):
        return PoissonSampledEvent(sampling_rate=event.sampling_rate, event=gaussian)
    return gaussian


def _setting(event: NoisyEvent, trust: Trust | None) -> str:
    match trust:
        case Trust.LOCAL if event.unit is PrivacyUnit.EXAMPLE:
            return (
                "local to each client: it holds its examples and adds the noise in its own training; the server and "
                "everyone else see only what has noise in it"
            )
        case Trust.LOCAL:
            return "local: every client adds noise that is enough alone, and nobody else is trusted"
        case Trust.CENTRAL:
            return (
                "central: whoever adds the noise is trusted with the sum without it; everyone else sees the noisy sum"
            )
        case Trust.DISTRIBUTED:
            return (
                "distributed: every client adds a share of the noise, and the server and everyone else see only the "
                "sum, as far as the summing protocol is trusted"
            )
        case None:
            return (
                "not recorded: one party's noise is enough, which may be each client's own, or that of whoever sums "
                "and is trusted with the exact sum"
            )
        case _:
            assert_never(trust)
