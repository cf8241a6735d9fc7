import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from dp.accounting.guarantee import guarantee
from dp.clipping.clip import clip_l2, l2_norm
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise
from protocols import PlainSum, SecAgg, SecAggPlus, SecureSum, TooFewSurvivors, Transmission
from protocols.errors import ParameterError
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import centred, reduced
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import simulate_mean
from secagg.errors import ConfigurationError, EncodingError, ModulusTooSmall, UnusableMean
from secagg.training.plain import plain_mean

SHAPES = [(4, 3), (), (5,)]
WEIGHED: dict[str, Any] = {"weighting": Weighting.WEIGHTED, "max_weight": 20.0}
TARGET = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=0)


@dataclasses.dataclass(frozen=True)
class OddSum(PlainSum):
    """Sums over odd moduli only, as a protocol over a prime field does."""

    @classmethod
    def modulus(cls, bits: int) -> int:
        return (1 << bits) - 1


@dataclasses.dataclass(frozen=True)
class NarrowSum(PlainSum):
    """Sums over no modulus of more than 12 bits."""

    @classmethod
    def modulus(cls, bits: int) -> int:
        return (1 << min(bits, 12)) - 1


def planned(count: int = 8, **changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": range(count),
        "minimum_contributors": count // 2 + 1,
        "shapes": SHAPES,
        "clip_l2": 1.0,
    }
    return SecureMean.plan(**settings | changes)


def updates(mean: SecureMean, seed: int = 0, scale: float = 0.5) -> dict[int, list[NDArray[np.float64]]]:
    generator = np.random.default_rng(seed)
    return {
        client: [np.asarray(scale * generator.normal(size=shape)) for shape in mean.encoding.shapes]
        for client in mean.clients
    }


class MessageRecorder:
    """A tap that keeps every message that is transmitted."""

    def __init__(self) -> None:
        self.seen: list[Transmission] = []

    def __call__(self, transmission: Transmission) -> None:
        self.seen.append(transmission)


def largest_difference(found: list[NDArray[Any]], right: list[NDArray[Any]]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, right, strict=True))


@settings(deadline=None, max_examples=30)
@given(data=st.data(), weighted=st.booleans(), plus=st.booleans(), seed=st.integers(0, 2**32))
def test_mean_without_noise_is_the_plain_one_entry_by_entry(
    data: st.DataObject, weighted: bool, plus: bool, seed: int
) -> None:
    protocol = SecAggPlus(neighbours=6, share_threshold=4) if plus else SecAgg()
    mean = planned(10, protocol=protocol, minimum_contributors=6, **(WEIGHED if weighted else {}))
    given = updates(mean, seed)
    weights = dict(enumerate(np.random.default_rng(seed).uniform(0.5, 20, 10).tolist())) if weighted else None
    names = [row.name for row in protocol.steps]
    vanishing = data.draw(st.dictionaries(st.integers(0, 9), st.sampled_from(names), max_size=3))
    drops = {name: [client for client, place in vanishing.items() if place == name] for name in names}
    release = simulate_mean(mean, given, weights=weights, drops=drops, entropy=repeatable_entropy(b"%d" % seed))
    counted: Mapping[int, float] = weights or dict.fromkeys(range(10), 1.0)
    right = plain_mean({c: given[c] for c in release.contributors}, clip_l2=1.0, weight=counted.__getitem__)
    assert [array.shape for array in release.mean] == SHAPES
    assert release.rounding_bound is not None
    assert largest_difference(release.mean, right) <= release.rounding_bound < 1e-4
    assert {client for gone in release.dropped.values() for client in gone} == set(vanishing)
    # Only those who vanish before their vector is in are missing from the sum.
    before = names[: names.index("mask_input") + 1]
    assert {c for c, place in vanishing.items() if place not in before} <= set(release.contributors)


@settings(deadline=None, max_examples=30)
@given(weighted=st.booleans(), dropping=st.integers(0, 4), bits=st.integers(14, 40), seed=st.integers(0, 2**32))
def test_mean_modulo_an_odd_number_is_the_plain_one_entry_by_entry(
    weighted: bool, dropping: int, bits: int, seed: int
) -> None:
    mean = planned(10, protocol=OddSum(), minimum_contributors=6, modulus_bits=bits, **(WEIGHED if weighted else {}))
    assert mean.session(bytes(16)).modulus == mean.encoding.modulus == 2**bits - 1
    given = updates(mean, seed)
    weights = dict(enumerate(np.random.default_rng(seed).uniform(0.5, 20, 10).tolist())) if weighted else None
    release = simulate_mean(
        mean, given, weights=weights, drops={"contribute": range(dropping)}, entropy=repeatable_entropy(b"%d" % seed)
    )
    counted: Mapping[int, float] = weights or dict.fromkeys(range(10), 1.0)
    right = plain_mean({c: given[c] for c in release.contributors}, clip_l2=1.0, weight=counted.__getitem__)
    assert len(release.contributors) == 10 - dropping
    assert release.rounding_bound is not None
    assert largest_difference(release.mean, right) <= release.rounding_bound


@pytest.mark.parametrize("protocol", [PlainSum(), OddSum()])
@pytest.mark.parametrize("bits", [16, 24, 40])
def test_mean_contribution_is_the_residue_of_update_and_noise(protocol: PlainSum, bits: int) -> None:
    mean = planned(protocol=protocol, modulus_bits=bits, target=TARGET)
    assert isinstance(mean.noise, DistributedDiscreteGaussian)
    rotation, update = mean.rotation(mean.session(bytes(16))), updates(mean)[3]
    found = mean.contribution(update, rotation=rotation, entropy=repeatable_entropy(b"equal")).vector
    entropy = repeatable_entropy(b"equal")
    integers = mean.encoding.encode(update, weight=None, rotation=rotation, entropy=entropy).tolist()
    noise = mean.noise.share(entropy).tolist()
    assert min(a + b for a, b in zip(integers, noise, strict=True)) < 0
    assert found.dtype == np.uint64
    assert found.tolist() == [(a + b) % protocol.modulus(bits) for a, b in zip(integers, noise, strict=True)]


def test_mean_that_a_protocols_moduli_do_not_hold_is_refused() -> None:
    with pytest.raises(ModulusTooSmall, match=r"expected at least \d+ .*, found 4\. Use \d+ bits\.") as caught:
        planned(protocol=OddSum(), modulus_bits=4, target=TARGET)
    planned(protocol=OddSum(), modulus_bits=caught.value.enough_bits, target=TARGET)
    assert planned(protocol=NarrowSum(), modulus_bits=24).encoding.modulus == 2**12 - 1
    with pytest.raises(ModulusTooSmall, match=r"expected more than 62, .*, found 24\. Use fewer clients\. Less noise"):
        planned(protocol=NarrowSum(), modulus_bits=24, target=dataclasses.replace(TARGET, epsilon=0.1))


def test_mean_weighs_by_ratio_and_clips_each_client() -> None:
    mean = planned(3, minimum_contributors=2, shapes=[(2,)], **WEIGHED)
    given = {0: [np.array([0.5, 0.0])], 1: [np.array([0.0, 30.0])], 2: [np.array([0.0, 0.0])]}
    release = simulate_mean(mean, given, weights={0: 5.0, 1: 10.0, 2: 20.0})
    assert release.rounding_bound is not None
    assert largest_difference(release.mean, [np.array([2.5 / 35, 10 / 35])]) <= release.rounding_bound < 1e-4


def test_mean_takes_numbers_as_arrays_of_no_dimension() -> None:
    mean = planned(3, shapes=[(), (2,)], clip_l2=10.0, protocol=PlainSum())
    numbers: list[Any] = [np.float64(1), np.float32(2), 3.0]
    release = simulate_mean(mean, {client: [number, np.full(2, number)] for client, number in enumerate(numbers)})
    assert [array.shape for array in release.mean] == [(), (2,)]
    assert release.rounding_bound is not None
    np.testing.assert_allclose(release.mean[0], 2.0, atol=release.rounding_bound)


def test_mean_costs_every_party_its_work() -> None:
    ticks = iter(range(10**9))
    mean = planned()
    release = simulate_mean(
        mean, updates(mean), drops={mean.protocol.steps[-1].name: [3]}, clock=lambda: float(next(ticks))
    )
    assert set(release.cost.client_s) == set(mean.clients)
    assert min(release.cost.client_s.values()) > 0
    assert release.cost.server_s > 0
    assert min(release.cost.sent_bytes[client] for client in mean.clients) > mean.encoding.length * 3


@pytest.mark.parametrize("protocol", [PlainSum(), OddSum()])
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_with_noise_has_the_variance_that_was_promised(weighted: bool, protocol: PlainSum) -> None:
    """Zero updates leave noise alone; chi-square of 2^14 coordinates, false alarm rate 1e-6, one retry.

    The dimension is a whole number of blocks, so that the rotation back keeps the sum of squares.
    """
    shape = (2**14 - weighted,)
    weighing = WEIGHED if weighted else {}
    mean = planned(6, protocol=protocol, shapes=[shape], target=TARGET, **weighing)
    noise, encoding = mean.noise, mean.encoding
    assert isinstance(noise, DistributedDiscreteGaussian)
    assert encoding.length == 2**14

    def tail() -> float:
        session = mean.session(bytes(16))
        rotation, zero = mean.rotation(session), [np.zeros(shape)]
        # A weight far below one step, so that the weight's coordinate holds noise alone too.
        weight = 1e-300 if weighted else None
        total = sum(mean.contribution(zero, rotation=rotation, weight=weight).vector.astype(np.int64) for _ in range(5))
        signed = centred(reduced(np.asarray(total), encoding.modulus), encoding.modulus)
        flat = rotation.restore(signed * encoding.granularity) / encoding.granularity
        return float(stats.chi2.cdf((flat**2).sum() / (5 * noise.local_sigma**2), encoding.length))

    assert 5e-7 < tail() < 1 - 5e-7 or 5e-7 < tail() < 1 - 5e-7


def test_mean_as_released_has_noise_of_the_promised_variance() -> None:
    """The same through the whole protocol, divided by the contributors."""
    mean = planned(6, shapes=[(2**12,)], target=TARGET)
    noise = mean.noise
    assert isinstance(noise, DistributedDiscreteGaussian)

    def tail() -> float:
        zero = {client: [np.zeros(2**12)] for client in mean.clients}
        release = simulate_mean(mean, zero, drops={mean.protocol.steps[1].name: [0]})
        sigma = noise.local_sigma * math.sqrt(len(release.contributors)) * mean.encoding.granularity
        scaled = release.mean[0] * len(release.contributors) / sigma
        return float(stats.chi2.cdf((scaled**2).sum(), 2**12))

    assert 5e-7 < tail() < 1 - 5e-7 or 5e-7 < tail() < 1 - 5e-7


@pytest.mark.parametrize("protocol", [SecAgg(), OddSum()])
@pytest.mark.parametrize("bits", [16, 24, 40])
@pytest.mark.parametrize("weighting", Weighting)
def test_mean_plans_noise_that_keeps_the_target_and_no_more(
    protocol: SecureSum, bits: int, weighting: Weighting
) -> None:
    mean = planned(20, protocol=protocol, modulus_bits=bits, weighting=weighting, target=TARGET)
    assert mean.noise is not None
    spent = guarantee({mean.noise.event: TARGET.releases}, delta=TARGET.delta).epsilon
    assert 0.99 * TARGET.epsilon < spent <= TARGET.epsilon
    assert mean.noise.l2_sensitivity == mean.encoding.l2_sensitivity
    assert mean.noise.minimum_contributors == mean.minimum_contributors == 11
    assert mean.noise.dimension == mean.encoding.length
    mean.encoding.check_reach(mean.noise.tail_bound(20, 2.0**-40))


@pytest.mark.parametrize("epsilon", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("dimension", [3, 650, 20_000])
def test_mean_refuses_a_small_modulus_and_names_the_least_that_works(epsilon: float, dimension: int) -> None:
    target = Target(epsilon=epsilon, delta=1e-3, releases=30, colluding=0)

    def plan(bits: int) -> SecureMean:
        return planned(300, protocol=PlainSum(), shapes=[(dimension,)], modulus_bits=bits, target=target)

    with pytest.raises(
        ModulusTooSmall, match=r"expected at least \d+ for the sum .*, found 4\. Use \d+ bits\."
    ) as caught:
        plan(4)
    enough = caught.value.enough_bits
    assert plan(enough).noise is not None
    with pytest.raises(ModulusTooSmall, match=rf"\. Use {enough} bits\.$"):
        plan(enough - 1)


def test_mean_never_inflates_noise_that_is_too_little_for_its_lattice() -> None:
    """In steps as long as these, the least share that a client can draw is more than the guarantee needs."""

    def plan(bits: int) -> SecureMean:
        target = Target(epsilon=50.0, delta=1e-3, releases=30, colluding=0)
        return planned(300, protocol=PlainSum(), shapes=[(3,)], modulus_bits=bits, target=target)

    with pytest.raises(ModulusTooSmall, match=r"expected at least 15, found \d+: with these steps .* Use 15 bits\."):
        plan(14)
    noise = plan(15).noise
    assert isinstance(noise, DistributedDiscreteGaussian)
    assert noise.local_sigma > 2
    assert guarantee({noise.event: 30}, delta=1e-3).epsilon > 49.9


def test_mean_refuses_what_no_noise_can_reach() -> None:
    with pytest.raises(InfeasibleTarget, match="fewer releases, or use a larger epsilon"):
        planned(target=Target(epsilon=1e-9, delta=1e-9, releases=10**9, colluding=0))


def test_mean_below_its_least_number_of_contributors_is_not_released() -> None:
    mean = planned(8, minimum_contributors=6)
    first = mean.protocol.steps[0].name
    assert len(simulate_mean(mean, updates(mean), drops={first: [1, 2]}).contributors) == 6
    with pytest.raises(TooFewSurvivors):
        simulate_mean(mean, updates(mean), drops={first: [1, 2, 3]})


def test_mean_session_is_that_of_everything_agreed() -> None:
    identity = bytes(16)
    base = planned(target=TARGET)
    others = [
        base.session(bytes(15) + b"\1"),
        base.session(identity, context=b"round 1"),
        planned().session(identity),
        planned(target=dataclasses.replace(TARGET, epsilon=7.0)).session(identity),
        planned(target=TARGET, clip_l2=2.0).session(identity),
        planned(target=TARGET, shapes=[(3, 4), (), (5,)]).session(identity),
        planned(target=TARGET, modulus_bits=25).session(identity),
        planned(target=TARGET, max_weight=2.0).session(identity),
        planned(target=TARGET, minimum_contributors=6).session(identity),
        planned(9, target=TARGET, minimum_contributors=5).session(identity),
    ]
    digests = {base.protocol.digest(session) for session in (base.session(identity), *others)}
    assert len(digests) == 1 + len(others)
    assert base.session(identity) == planned(target=TARGET).session(identity)


def test_mean_of_every_session_rotates_differently() -> None:
    mean = planned()
    vector = np.arange(1.0, mean.encoding.dimension + 1)
    one, other = (mean.rotation(mean.session(bytes([n]) * 16)).rotate(vector) for n in (1, 2))
    assert not np.allclose(one, other)


BAD_COHORTS: dict[str, dict[str, Any]] = {
    "a client too few": {"updates": {c: [np.zeros(2)] for c in range(3)}},
    "a client too many": {"updates": {c: [np.zeros(2)] for c in range(5)}},
    "another client": {"updates": {c: [np.zeros(2)] for c in range(1, 5)}},
    "weights where there are none": {"weights": dict.fromkeys(range(4), 1.0)},
}


@pytest.mark.parametrize("case", BAD_COHORTS)
def test_mean_refuses_another_cohort_before_anything_is_sent(case: str) -> None:
    mean, tap = planned(4, shapes=[(2,)]), MessageRecorder()
    arguments = {"updates": {c: [np.zeros(2)] for c in range(4)}} | BAD_COHORTS[case]
    with pytest.raises(ConfigurationError):
        simulate_mean(mean, **arguments, tap=tap)
    assert not tap.seen


@pytest.mark.parametrize("weights", [None, {0: 1.0}, dict.fromkeys(range(5), 1.0)])
def test_mean_refuses_a_part_of_the_weights_before_anything_is_sent(weights: dict[int, float] | None) -> None:
    mean, tap = planned(4, **WEIGHED), MessageRecorder()
    with pytest.raises(ConfigurationError, match="weights"):
        simulate_mean(mean, updates(mean), weights=weights, tap=tap)
    assert not tap.seen


@pytest.mark.parametrize(
    ("last", "weight", "error"),
    [
        ([np.array([math.nan, 0])], 1.0, InvalidParameter),
        ([np.array([math.inf, 0])], 1.0, InvalidParameter),
        ([np.zeros(3)], 1.0, EncodingError),
        ([np.zeros(2), np.zeros(2)], 1.0, EncodingError),
        ([np.zeros(2)], 0.0, EncodingError),
        ([np.zeros(2)], 21.0, EncodingError),
        ([np.zeros(2)], math.nan, EncodingError),
    ],
)
def test_mean_refuses_one_bad_contribution_before_anything_is_sent(
    last: list[NDArray[Any]], weight: float, error: type[Exception]
) -> None:
    mean, tap = planned(4, shapes=[(2,)], **WEIGHED), MessageRecorder()
    given = {**updates(mean), 3: last}
    with pytest.raises(error):
        simulate_mean(mean, given, weights={0: 1.0, 1: 1.0, 2: 1.0, 3: weight}, tap=tap)
    assert not tap.seen


@pytest.mark.parametrize(
    ("update", "error", "match"),
    [
        ([np.array([math.nan, 0])], InvalidParameter, r"client 6: arrays\[0\]: expected finite entries"),
        ([np.array([1e308, 1e308]) * 1.7], InvalidParameter, "client 6: arrays: expected a global L2 norm"),
        ([np.array(["a", "b"])], InvalidParameter, r"client 6: arrays\[0\]: expected floats"),
        ([np.zeros(3)], EncodingError, r"client 6: the update: expected shapes .*, found \(\(3,\),\)"),
        ([], EncodingError, r"client 6: the update: expected shapes .*, found \(\)"),
        ([[1.0], [1.0, 2.0]], EncodingError, "client 6: the update: expected shapes"),
        ([[[1.0], [1.0, 2.0]]], EncodingError, "client 6: the update: expected a list of arrays"),
        (None, EncodingError, "client 6: the update: expected a list of arrays, found NoneType"),
        (1.0, EncodingError, "client 6: the update: expected a list of arrays, found float"),
        ("update", EncodingError, "client 6: the update: expected a list of arrays, found str"),
        ({"w": np.zeros(2)}, EncodingError, r"client 6: .*found dict\. Pass list\(update.values\(\)\)"),
    ],
)
def test_mean_names_the_client_whose_update_it_refuses_and_nothing_is_drawn_or_sent(
    update: Any, error: type[Exception], match: str
) -> None:
    mean, tap, drawn = planned(8, shapes=[(2,)], target=TARGET), MessageRecorder(), list[int]()

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    with pytest.raises(error, match=f"^{match}"):
        simulate_mean(mean, updates(mean) | {6: update}, tap=tap, entropy=entropy)
    assert not tap.seen
    assert drawn == [16]  # the session's id alone: no rounding, no noise, no keys
    with pytest.raises(error, match=f"^{match}"):
        mean.contribution(update, rotation=mean.rotation(mean.session(bytes(16))), client=6)


@pytest.mark.parametrize("weight", [0.0, 20.5, math.nan, None, "1", True])
def test_mean_names_the_client_whose_weight_it_refuses(weight: Any) -> None:
    mean, tap = planned(4, **WEIGHED), MessageRecorder()
    with pytest.raises(EncodingError, match=r"^client 2: weight: expected a number in \(0, 20\]$"):
        simulate_mean(mean, updates(mean), weights=dict.fromkeys(mean.clients, 1.0) | {2: weight}, tap=tap)
    assert not tap.seen


def test_mean_names_the_clients_that_are_missing_and_those_that_are_not_its_own() -> None:
    mean = planned(9, shapes=[(2,)])
    given: dict[Any, Any] = updates(mean)
    for changed, match in (
        (
            {client: given[client] for client in range(2)},
            "updates: .*9 clients, found none of client 2, 3, 4, 5, 6 and 2",
        ),
        (given | {12: [np.zeros(2)]}, "updates: .*9 clients, found one of 12$"),
        ({str(client): update for client, update in given.items()}, "found none of client 0, .* and one of '0', "),
        (list(given.values()), "updates: expected a mapping from client ids, found list"),
        (None, "updates: expected a mapping from client ids, found NoneType"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            simulate_mean(mean, changed)  # type: ignore[arg-type]
    weighted = planned(3, minimum_contributors=2, **WEIGHED)
    for weights, match in (([1.0] * 3, "weights: expected a mapping"), ({0: 1.0, 1: 1.0}, "weights: .*client 2$")):
        with pytest.raises(ConfigurationError, match=match):
            simulate_mean(weighted, updates(weighted), weights=weights)  # type: ignore[arg-type]


def test_mean_takes_updates_that_can_be_read_once() -> None:
    mean = planned(4, shapes=[(2,)], minimum_contributors=2)
    release = simulate_mean(mean, {client: (np.full(2, 0.25) for _ in range(1)) for client in mean.clients})  # type: ignore[misc]
    np.testing.assert_allclose(release.mean[0], 0.25, atol=1e-4)


def test_mean_takes_ids_of_numpy_and_names_of_choices() -> None:
    mean = planned(
        clients=np.arange(50),
        minimum_contributors=np.int64(26),
        modulus_bits=np.int8(24),
        shapes=[np.array([2])],
        weighting="weighted",
        max_weight=20.0,
        target=Target(
            epsilon=50.0,
            delta=1e-3,
            releases=np.int64(2),  # type: ignore[arg-type]
            colluding=np.int64(1),  # type: ignore[arg-type]
            mechanism="skellam",  # type: ignore[arg-type]
            trust="distributed",  # type: ignore[arg-type]
            noise_removal=False,
        ),
    )
    same = planned(
        50,
        minimum_contributors=26,
        modulus_bits=24,
        shapes=[(2,)],
        weighting=Weighting.WEIGHTED,
        max_weight=20.0,
        target=Target(epsilon=50.0, delta=1e-3, releases=2, colluding=1, mechanism=LatticeNoise.SKELLAM),
    )
    assert mean == same
    assert {type(client) for client in mean.clients} == {int}
    assert mean.session(bytes(16)) == same.session(bytes(16))
    given = {np.int64(client): update for client, update in updates(mean).items()}
    release = simulate_mean(mean, given, weights={np.uint8(client): 10.0 for client in mean.clients})  # type: ignore[arg-type, misc]
    assert release.contributors == mean.clients
    assert {type(client) for client in release.contributors} == {int}
    assert planned(clients=list(np.arange(8))).clients == tuple(range(8))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"weighting": "wieghted"}, EncodingError, "weighting: expected one of uniform, weighted, found 'wieghted'"),
        ({"weighting": 1}, EncodingError, "weighting: expected one of uniform, weighted, found 1"),
        ({"clients": 50}, ParameterError, "clients: expected the ids of a cohort, found int"),
        ({"clients": [0, 1, 2, 3.0]}, ParameterError, "clients: expected integers, found 3.0"),
        ({"clients": np.arange(4).reshape(2, 2)}, ParameterError, "clients: expected integers, found array"),
        ({"clients": [0, 1, 2, True]}, ParameterError, "clients: expected integers, found True"),
    ],
)
def test_mean_refuses_choices_and_ids_by_name(change: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        planned(minimum_contributors=2, **change)


@pytest.mark.parametrize(("name", "found"), [("mechanism", "gaussian"), ("trust", "server"), ("trust", None)])
def test_target_refuses_choices_by_name(name: str, found: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected one of .*, found {found!r}"):
        dataclasses.replace(TARGET, **{name: found})


def test_mean_refuses_drops_that_cannot_be_before_anything_is_sent() -> None:
    mean, tap = planned(), MessageRecorder()
    for drops in ({"no such round": [1]}, {mean.protocol.steps[0].name: [99]}):
        with pytest.raises(ParameterError):
            simulate_mean(mean, updates(mean), drops=drops, tap=tap)
    assert not tap.seen


@pytest.mark.parametrize(
    "change",
    [
        {"minimum_contributors": 1},
        {"minimum_contributors": 9},
        {"minimum_contributors": 5.5},
        {"minimum_contributors": "2"},
        {"clients": [1, 1, 2, 3, 4, 5, 6, 7]},
        {"clients": [-1, *range(7)]},
        {"protocol": SecAggPlus(neighbours=8, share_threshold=5)},
    ],
)
def test_mean_refuses_cohorts_that_cannot_work(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        planned(**change)


def test_mean_contribution_stays_below_the_modulus_and_is_fresh_each_time() -> None:
    mean = planned(target=TARGET)
    rotation = mean.rotation(mean.session(bytes(16)))
    zero = [np.zeros(shape) for shape in SHAPES]
    one, other = (mean.contribution(zero, rotation=rotation).vector for _ in range(2))
    assert one.dtype == np.uint64
    assert int(max(one.max(), other.max())) < mean.encoding.modulus
    assert not np.array_equal(one, other)


def test_mean_server_sees_nothing_of_an_update_but_masked_integers() -> None:
    """Two runs with equal entropy, one client's update changed: only that client's masked vector differs."""
    mean = planned()
    taps = MessageRecorder(), MessageRecorder()
    given = updates(mean)
    other = {**given, 5: [array + 0.125 for array in given[5]]}
    for tap, each in zip(taps, (given, other), strict=True):
        simulate_mean(mean, each, tap=tap, entropy=repeatable_entropy(b"same"))
    pairs = list(zip(taps[0].seen, taps[1].seen, strict=True))
    changed = {(one.step, one.sender) for one, two in pairs if one.data != two.data}
    assert len(changed) == 1
    assert next(iter(changed))[1] == 5
    assert all(len(one.data) == len(two.data) for one, two in pairs)


def test_mean_rounding_bound_is_of_the_clipped_updates() -> None:
    mean = planned(4, shapes=[(3,)])
    given = {client: [np.array([10.0 * client, 1.0, -5.0])] for client in mean.clients}
    release = simulate_mean(mean, given)
    right = sum(clip_l2(given[client], bound=1.0).arrays[0] for client in mean.clients) / 4
    assert release.rounding_bound is not None
    assert np.abs(release.mean[0] - right).max() <= release.rounding_bound


def test_mean_weighted_and_noisy_does_not_tell_the_total_weight() -> None:
    mean = planned(10, target=TARGET, minimum_contributors=6, **WEIGHED)
    updates = {client: [np.zeros(shape) for shape in mean.encoding.shapes] for client in range(10)}
    release = simulate_mean(mean, updates, weights=dict.fromkeys(range(10), mean.encoding.max_weight))
    assert release.rounding_bound is None


def test_mean_weighted_and_noisy_stays_within_the_clip_however_light_the_weights() -> None:
    """Of 100 clients with weights of 1 in 1000, what is left is noise over noise, scaled to the clip."""
    mean = planned(100, target=TARGET, minimum_contributors=60, weighting=Weighting.WEIGHTED, max_weight=1000.0)
    rotation, norms = mean.rotation(mean.session(bytes(16))), list[float]()
    given = updates(mean)
    for seed in range(10):
        entropy = repeatable_entropy(b"light %d" % seed)
        total = np.zeros(mean.encoding.length, dtype=np.uint64)
        for client in mean.clients:
            total += mean.contribution(given[client], rotation=rotation, weight=1.0, entropy=entropy).vector
        total &= np.uint64(mean.encoding.modulus - 1)
        try:
            plain = mean.encoding.decode(total, contributors=100, rotation=rotation).mean
        except UnusableMean:
            continue
        found = mean.decode(total, contributors=100, rotation=rotation).mean
        norms.append(l2_norm(plain))
        assert l2_norm(found) <= mean.encoding.clip_l2
        factor = min(1.0, mean.encoding.clip_l2 / norms[-1])
        assert all(np.allclose(one, factor * other) for one, other in zip(found, plain, strict=True))
    assert max(norms) > 2 * mean.encoding.clip_l2


def test_mean_takes_numbers_of_numpy() -> None:
    mean = planned(4, clip_l2=np.float32(0.5), weighting=Weighting.WEIGHTED, max_weight=np.int64(20))
    given = updates(mean)
    release = simulate_mean(mean, given, weights=dict.fromkeys(mean.clients, 20.0))
    assert release.contributors == mean.clients


def test_mean_counts_no_noise_of_clients_that_collude() -> None:
    against_all = planned(10, target=TARGET, minimum_contributors=6).noise
    against_some = planned(10, target=dataclasses.replace(TARGET, colluding=2), minimum_contributors=6).noise
    assert isinstance(against_all, DistributedDiscreteGaussian)
    assert isinstance(against_some, DistributedDiscreteGaussian)
    assert (against_all.minimum_contributors, against_some.minimum_contributors) == (6, 4)
    ratio = (against_some.local_sigma / against_some.l2_sensitivity) / (
        against_all.local_sigma / against_all.l2_sensitivity
    )
    assert ratio == pytest.approx(math.sqrt(6 / 4), rel=1e-3)
    for colluding in (6, -1, True):
        with pytest.raises(ParameterError, match=r"colluding: expected an int in \[0, 5\]"):
            planned(10, target=dataclasses.replace(TARGET, colluding=colluding), minimum_contributors=6)
