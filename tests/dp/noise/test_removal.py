"""Statistical tests raise a false alarm with probability 1e-6 a check and get one retry on a fresh seed."""

import hashlib
import itertools
import math
import tracemalloc
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dp.errors import DpError, EntropyFailure, InvalidParameter, TooManyDropped
from dp.noise.removal import RemovableSkellam
from dp.noise.skellam import skellam
from tests.support.chi_square import skellam_chi_square

FALSE_ALARM = 1e-6


def mechanism(**changes: Any) -> RemovableSkellam:
    parameters: dict[str, Any] = {
        "target_variance": 30.0,
        "clients": 6,
        "tolerance": 3,
        "colluding": 0,
        "l2_sensitivity": 5.0,
        "dimension": 500,
    }
    return RemovableSkellam(**parameters | changes)


def stream(label: object) -> Callable[[int], bytes]:
    """Return a source of entropy that never gives the same bytes twice."""
    count = itertools.count()
    return lambda length: hashlib.shake_256(f"{label}, {next(count)}".encode()).digest(length)


def recorded(label: object, calls: list[bytes]) -> Callable[[int], bytes]:
    """Return `stream(label)`, which notes what it gave."""
    source = stream(label)

    def entropy(length: int) -> bytes:
        calls.append(source(length))
        return calls[-1]

    return entropy


def fixed(key: bytes) -> Callable[[int], bytes]:
    return lambda length: key


def opened(noise: RemovableSkellam, dropped: int, seeds: Sequence[tuple[bytes, ...]]) -> list[list[bytes]]:
    return [[each[component - 1] for component in noise.removed(dropped)] for each in seeds]


@pytest.mark.parametrize("clients", range(1, 13))
def test_exactly_the_target_is_left_for_every_dropout(clients: int) -> None:
    target = Fraction(0.7)
    for tolerance in range(clients):
        for colluding in range(clients - tolerance):
            noise = mechanism(target_variance=0.7, clients=clients, tolerance=tolerance, colluding=colluding)
            left = clients * noise.variances[0]
            assert left == target * (clients - tolerance) / (clients - tolerance - colluding)
            for dropped in range(tolerance + 1):
                kept = set(range(tolerance + 1)) - set(noise.removed(dropped))
                share = sum(noise.variances[component] for component in kept)
                assert (clients - dropped) * share == left
                unknown = (clients - dropped - colluding) * share
                assert unknown == target if dropped == tolerance or colluding == 0 else unknown > target
                event = noise.realised(dropped)
                assert event.contributors == clients - dropped - colluding
                assert Fraction(event.variance) <= unknown < Fraction(math.nextafter(event.variance, math.inf))


def test_components_are_those_of_the_paper() -> None:
    assert mechanism(target_variance=60.0, clients=6, tolerance=3).variances == tuple(map(Fraction, (10, 2, 3, 5)))
    assert mechanism(tolerance=0).variances == (Fraction(5),)


def test_event_is_the_worst_case() -> None:
    noise = mechanism(clients=10, tolerance=4, colluding=2)
    assert noise.event == noise.realised(4)
    assert (noise.event.variance, noise.event.contributors) == (30.0, 4)
    assert (noise.event.l2_sensitivity, noise.event.dimension) == (5.0, 500)
    assert min(noise.realised(dropped).variance for dropped in range(5)) == noise.event.variance
    assert noise.noise_multiplier == noise.event.noise_multiplier == math.sqrt(30) / 5
    assert noise.central_sigma == math.sqrt(30)
    assert noise.minimum_contributors == 6


@pytest.mark.parametrize("colluding", [0, 2])
@pytest.mark.parametrize("dropped", range(4))
def test_removal_leaves_the_components_that_were_not_opened(dropped: int, colluding: int) -> None:
    noise = mechanism(colluding=colluding)
    total, kept, seeds = np.zeros(500, dtype=np.int64), np.zeros(500, dtype=np.int64), []
    for contributor in range(6 - dropped):
        calls: list[bytes] = []
        drawn, attached = noise.draw(recorded(contributor, calls))
        total += drawn
        seeds.append(attached)
        (own,) = set(calls) - set(attached)
        for component, key in enumerate((own, *attached)):
            if component <= dropped:
                kept += skellam(noise.variances[component], 500, fixed(key))
    excess = noise.excess(dropped, opened(noise, dropped, seeds))
    assert excess.dtype == np.int64
    np.testing.assert_array_equal(total - excess, kept)
    assert excess.any() == (dropped < 3)


def released(noise: RemovableSkellam, dropped: int) -> NDArray[np.int64]:
    """Return what is left in a sum of real draws."""
    draws = [noise.draw() for _ in range(noise.clients - dropped)]
    total = np.sum([drawn for drawn, _ in draws], axis=0)
    return np.asarray(total - noise.excess(dropped, opened(noise, dropped, [seeds for _, seeds in draws])))


# 200,000 coordinates each.
@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_what_is_left_follows_the_exact_law_of_the_target(dropped: int) -> None:
    noise = mechanism(clients=4, tolerance=2, target_variance=1.5, dimension=200_000)

    def p_value() -> float:
        left = released(noise, dropped)
        variance = (float((left**2).mean()) / 1.5 - 1) * math.sqrt(left.size / (2 + 1 / 1.5))
        return 2 * min(skellam_chi_square(left, 1.5), 2 * float(stats.norm.sf(abs(variance))))

    assert any(p_value() > FALSE_ALARM for _ in range(2))


# 200,000 coordinates: the honest contributors' noise alone, after the worst dropout.
def test_what_colluders_do_not_know_follows_the_exact_law_of_the_target() -> None:
    noise = mechanism(clients=6, tolerance=2, colluding=2, target_variance=1.5, dimension=200_000)

    def p_value() -> float:
        draws = [noise.draw()[0] for _ in range(noise.minimum_contributors - noise.colluding)]
        return skellam_chi_square(np.sum(draws, axis=0), 1.5)

    assert any(p_value() > FALSE_ALARM for _ in range(2))


def test_seeds_are_fresh_and_do_not_tell_the_component_that_stays() -> None:
    noise = mechanism()
    calls: list[bytes] = []
    first, seeds = noise.draw(recorded("a", calls))
    assert [len(seed) for seed in seeds] == [32, 32, 32]
    assert len(set(calls)) == 4
    assert set(seeds) < set(calls)
    again = iter([*seeds, bytes(32)])
    second, same = noise.draw(lambda _: next(again))
    assert same == seeds
    assert (first != second).mean() > 0.5


@pytest.mark.parametrize("entropy", [lambda n: b"short", lambda n: bytes(n + 1), lambda n: None])
def test_draw_refuses_other_entropy(entropy: Any) -> None:
    with pytest.raises(EntropyFailure, match="32 bytes"):
        mechanism().draw(entropy)


def test_more_dropouts_than_tolerated_block_the_release() -> None:
    noise = mechanism()
    assert issubclass(TooManyDropped, DpError)
    for refused in (noise.removed, noise.realised, lambda dropped: noise.excess(dropped, [()] * 2)):
        with pytest.raises(TooManyDropped, match=r"at most 3 of 6 clients.* found 4 missing.* The sum is not released"):
            refused(4)


@pytest.mark.parametrize("dropped", [-1, True, 1.0, None])
def test_removal_refuses_a_count_that_is_none(dropped: Any) -> None:
    noise = mechanism()
    for refused in (noise.removed, noise.realised, lambda count: noise.excess(count, [()] * 6)):
        with pytest.raises(InvalidParameter, match="dropped"):
            refused(dropped)


@pytest.mark.parametrize(
    ("seeds", "found"),
    [
        ([[bytes(32)] * 2] * 4, "those of 5 contributors, found those of 4"),
        ([[bytes(32)] * 2] * 6, "those of 5 contributors, found those of 6"),
        ([[bytes(32)] * 2] * 4 + [[bytes(32)]], "2 of each contributor, for components 2 to 3, found 1"),
        ([[bytes(32)] * 3] * 5, "2 of each contributor, for components 2 to 3, found 3"),
        ([[bytes(32), bytes(31)]] * 5, "32 bytes each"),
        ([[bytes(32), "x" * 32]] * 5, "32 bytes each"),
        ([[bytes(32), None]] * 5, "32 bytes each"),
    ],
)
def test_removal_refuses_other_seeds(seeds: Any, found: str) -> None:
    with pytest.raises(InvalidParameter, match=f"seeds: expected {found}"):
        mechanism().excess(1, seeds)


def test_removal_takes_two_vectors_of_memory() -> None:
    noise = mechanism(dimension=1_000_000)
    seeds = [[stream(contributor)(32) for _ in range(3)] for contributor in range(6)]
    mechanism().excess(0, seeds)  # the sampler's tables stay
    tracemalloc.start()
    try:
        noise.excess(0, seeds)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * 8 * 1_000_000


# 100,000 coordinates; the bound fails with probability below 1e-9.
def test_tail_bound_is_that_of_the_sum_before_removal() -> None:
    noise = mechanism(dimension=100_000)
    total = np.sum([noise.draw()[0] for _ in range(6)], axis=0)
    bound = noise.tail_bound(6, 1e-9)
    assert int(np.abs(total).max()) <= bound
    # Six clients add 60 in all, of which 30 are left; the Gaussian bound is a little lower than Chernoff's.
    gaussian = math.sqrt(2 * 60 * math.log(2e5 / 1e-9))
    assert gaussian < bound < 1.2 * gaussian
    assert noise.tail_bound(3, 1e-9) < bound


@pytest.mark.parametrize(
    "changes",
    [
        {"target_variance": 0.0},
        {"target_variance": -1.0},
        {"target_variance": math.nan},
        {"target_variance": math.inf},
        {"target_variance": True},
        {"target_variance": 2.0**-28},
        {"target_variance": 2.0**36},
        {"clients": 0},
        {"clients": 6.0},
        {"clients": 10**400},
        {"tolerance": 6},
        {"tolerance": -1},
        {"tolerance": True},
        {"colluding": 3},
        {"colluding": -1},
        {"colluding": False},
        {"l2_sensitivity": 0.0},
        {"l2_sensitivity": math.inf},
        {"dimension": 0},
        {"dimension": 2**33},
    ],
)
def test_mechanism_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        mechanism(**changes)


def test_tolerance_is_bounded_by_what_a_session_carries() -> None:
    assert len(mechanism(clients=200, tolerance=64).variances) == 65
    with pytest.raises(InvalidParameter, match=r"tolerance: expected at most 64, found 65.* secret"):
        mechanism(clients=200, tolerance=65)


@pytest.mark.parametrize(("contributors", "failure"), [(0, 0.1), (7, 0.1), (True, 0.1), (1, 0.0), (1, 1.0)])
def test_tail_bound_refuses_parameters(contributors: int, failure: float) -> None:
    with pytest.raises(InvalidParameter, match=r"contributors|failure"):
        mechanism().tail_bound(contributors, failure)
