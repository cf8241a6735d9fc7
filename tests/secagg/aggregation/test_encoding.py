import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dp.clipping.clip import clip_l2
from dp.errors import InvalidParameter
from protocols.testing import repeatable_entropy
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.residues import power_of_two
from secagg.aggregation.rotation import Rotation
from secagg.aggregation.weighting import Weighting
from secagg.errors import EncodingError, ModulusTooSmall, UnusableMean

FIT: dict[str, Any] = {"shapes": [(3, 4), (5,)], "clip_l2": 1.5, "clients": 4, "modulus_bits": 24}
WEIGHED: dict[str, Any] = FIT | {"weighting": Weighting.WEIGHTED, "max_weight": 10.0}
SIDES = st.lists(st.integers(1, 6), max_size=3).map(tuple)
DTYPES = st.sampled_from(["f2", "f4", "f8", "i1", "i4", "u2"])


def below(bits: int) -> int:
    """An odd modulus, where the protocol sums over no power of two."""
    return (1 << bits) - 1


MODULI = (power_of_two, below)


def rotation(encoding: Encoding) -> Rotation:
    return Rotation(encoding.dimension, b"a public seed")


def updates(encoding: Encoding, dtype: str, seed: int) -> list[NDArray[Any]]:
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.normal(size=shape) * 3 + 3).astype(dtype) for shape in encoding.shapes]


def summed(vectors: list[NDArray[np.int64]], encoding: Encoding) -> NDArray[np.uint64]:
    """The sum modulo the modulus, in Python's own integers."""
    columns = zip(*(vector.tolist() for vector in vectors), strict=True)
    return np.array([sum(column) % encoding.modulus for column in columns], dtype=np.uint64)


def exact_mean(
    inputs: list[list[NDArray[Any]]], weights: list[float] | None, encoding: Encoding
) -> list[NDArray[np.longdouble]]:
    counted = weights or [1.0] * len(inputs)
    clipped = [clip_l2(arrays, bound=encoding.clip_l2).arrays for arrays in inputs]
    return [
        sum(
            (w * arrays[index].astype(np.longdouble) for w, arrays in zip(counted, clipped, strict=True)),
            start=np.zeros(shape, dtype=np.longdouble),
        )
        / math.fsum(counted)
        for index, shape in enumerate(encoding.shapes)
    ]


@settings(deadline=None)
@given(
    shapes=st.lists(SIDES, min_size=1, max_size=4),
    dtype=DTYPES,
    clients=st.integers(2, 7),
    contributors=st.integers(1, 7),
    weighted=st.booleans(),
    bits=st.integers(14, 62),
    modulus=st.sampled_from(MODULI),
    clip=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32),
)
def test_encoding_decodes_to_the_exact_mean_within_its_bound(
    shapes: list[tuple[int, ...]],
    dtype: str,
    clients: int,
    contributors: int,
    weighted: bool,
    bits: int,
    modulus: Callable[[int], int],
    clip: float,
    seed: int,
) -> None:
    encoding = Encoding.fit(
        shapes=shapes,
        clip_l2=clip,
        clients=clients,
        modulus_bits=bits,
        weighting=Weighting.WEIGHTED if weighted else Weighting.UNIFORM,
        max_weight=7.5,
        modulus=modulus,
    )
    count = min(contributors, clients)
    inputs = [updates(encoding, dtype, seed + client) for client in range(count)]
    drawn = [float(weight) for weight in np.random.default_rng(seed).uniform(0.5, 7.5, count)]
    weights = drawn if weighted else None
    turn, entropy = rotation(encoding), repeatable_entropy(b"%d" % seed)
    encoded = [
        encoding.encode(arrays, weight=drawn[index] if weighted else None, rotation=turn, entropy=entropy)
        for index, arrays in enumerate(inputs)
    ]
    try:
        mean = encoding.decode(summed(encoded, encoding), contributors=count, rotation=turn).mean
    except EncodingError:
        assert weighted
        assert encoding.rounding_bound(contributors=count, total_weight=math.fsum(drawn)) == math.inf
        return
    bound = encoding.rounding_bound(contributors=count, total_weight=math.fsum(drawn) if weighted else None)
    for found, right, shape in zip(mean, exact_mean(inputs, weights, encoding), encoding.shapes, strict=True):
        assert found.shape == shape
        assert found.dtype == np.float64
        assert np.abs(found - right).max() <= bound


def test_encoding_bound_is_not_far_above_what_happens() -> None:
    encoding = Encoding.fit(**FIT | {"shapes": [(500,)]})
    turn, entropy = rotation(encoding), repeatable_entropy(b"tight")
    inputs = [updates(encoding, "f8", client) for client in range(4)]
    total = summed([encoding.encode(u, weight=None, rotation=turn, entropy=entropy) for u in inputs], encoding)
    found = encoding.decode(total, contributors=4, rotation=turn).mean[0]
    error = np.abs(found - exact_mean(inputs, None, encoding)[0]).max()
    assert encoding.rounding_bound(contributors=4) / 100 < error <= encoding.rounding_bound(contributors=4)


ADVERSARIAL: dict[str, Callable[[int], NDArray[Any]]] = {
    "zero": lambda d: np.zeros(d),
    "negative zero": lambda d: -np.zeros(d),
    "first coordinate": lambda d: np.eye(1, d)[0],
    "last coordinate, huge": lambda d: 1e300 * np.eye(1, d, d - 1)[0],
    "all huge": lambda d: np.full(d, 1e150),
    "denormals": lambda d: np.full(d, 5e-324),
    "one huge among denormals": lambda d: np.where(np.arange(d) == d // 2, -1e300, 5e-324),
    "constant": lambda d: np.ones(d),
    "alternating": lambda d: np.where(np.arange(d) % 2, 1.0, -1.0),
    "largest float32": lambda d: np.full(d, np.finfo(np.float32).max, dtype=np.float32),
    "smallest int64": lambda d: np.full(d, np.iinfo(np.int64).min),
    "largest uint64": lambda d: np.full(d, np.iinfo(np.uint64).max, dtype=np.uint64),
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
@pytest.mark.parametrize("dimension", [1, 2, 17, 256, 1000])
@pytest.mark.parametrize("bits", [14, 24, 62])
def test_encoding_norm_is_bounded_for_adversarial_updates(kind: str, dimension: int, bits: int) -> None:
    encoding = Encoding.fit(shapes=[(dimension,)], clip_l2=0.3, clients=2, modulus_bits=bits)
    for seed in (b"one", b"two", b"three"):
        check_norm(encoding, ADVERSARIAL[kind](dimension), Rotation(encoding.dimension, seed), None)


def test_encoding_norm_is_bounded_for_whatever_the_rotation_makes_of_it() -> None:
    """Vectors that are adversarial after the rotation: every coordinate near a half, or all mass in one."""
    for dimension, bits in ((64, 14), (256, 14), (256, 24), (4096, 16)):
        encoding = Encoding.fit(shapes=[(dimension,)], clip_l2=1.0, clients=2, modulus_bits=bits)
        turn, step = rotation(encoding), encoding.granularity
        halves = [0.5, 0.5 - 1e-9, 0.5 + 1e-9, 1e-9, 1 - 1e-9, 1.5, 0.25]
        rotated = [np.full(dimension, half * step) for half in halves]
        rotated += [np.where(np.arange(dimension) % 2, vector, -vector) for vector in rotated]
        rotated += [np.eye(1, dimension, place)[0] for place in (0, dimension // 3, dimension - 1)]
        for vector in rotated:
            check_norm(encoding, turn.restore(vector), turn, None)


@settings(deadline=None, max_examples=300)
@given(
    dimension=st.integers(1, 400),
    exponents=st.tuples(st.integers(-320, 300), st.integers(-320, 300)),
    sparse=st.booleans(),
    bits=st.integers(14, 62),
    weight=st.none() | st.floats(1e-300, 1.0),
    seed=st.integers(0, 2**32),
)
def test_encoding_norm_is_bounded_for_random_updates(
    dimension: int, exponents: tuple[int, int], sparse: bool, bits: int, weight: float | None, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    vector = generator.normal(size=dimension) * 10.0 ** generator.uniform(min(exponents), max(exponents), dimension)
    if sparse:
        vector *= generator.random(dimension) < 0.05
    weighting = Weighting.UNIFORM if weight is None else Weighting.WEIGHTED
    encoding = Encoding.fit(shapes=[(dimension,)], clip_l2=0.7, clients=3, modulus_bits=bits, weighting=weighting)
    check_norm(encoding, vector, rotation(encoding), weight)


def check_norm(encoding: Encoding, vector: NDArray[Any], turn: Rotation, weight: float | None) -> None:
    entropy = repeatable_entropy(b"norm")
    for _ in range(4):
        integers = encoding.encode([vector], weight=weight, rotation=turn, entropy=entropy).tolist()
        assert sum(entry * entry for entry in integers) <= encoding.l2_sensitivity**2
        # What a whole cohort of such vectors comes to stays on its side of the modulus.
        assert encoding.clients * max(map(abs, integers)) < encoding.modulus // 2


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("bits", [12, 20, 40, 62])
@pytest.mark.parametrize("dimension", [1, 16, 33])
def test_encoding_full_cohort_at_the_extremes_does_not_wrap(
    modulus: Callable[[int], int], bits: int, dimension: int
) -> None:
    """Every client at +-clip in the same coordinate, before the rotation and after it."""
    encoding = Encoding.fit(shapes=[(dimension,)], clip_l2=2.0, clients=50, modulus_bits=bits, modulus=modulus)
    assert encoding.modulus == modulus(bits)
    assert encoding.modulus_bits == bits
    turn, entropy = rotation(encoding), repeatable_entropy(b"extremes")
    bound = encoding.rounding_bound(contributors=50)
    plain = 2.0 * np.eye(1, dimension, dimension - 1)[0]
    turned = turn.restore(2.0 * np.eye(1, encoding.length)[0])
    for direction in (plain, -plain, turned, -turned):
        vectors = [encoding.encode([direction], weight=None, rotation=turn, entropy=entropy) for _ in range(50)]
        mean = encoding.decode(summed(vectors, encoding), contributors=50, rotation=turn).mean[0]
        assert np.abs(mean - clip_l2([direction], bound=2.0).arrays[0]).max() <= bound


def test_encoding_full_cohort_of_least_and_most_weight_does_not_wrap() -> None:
    encoding = Encoding.fit(**WEIGHED | {"clients": 30})
    turn, entropy = rotation(encoding), repeatable_entropy(b"weights")
    update = [np.full((3, 4), 9.0), np.zeros(5)]
    for weights in ([10.0] * 30, [10.0, *[1e-3] * 29]):
        vectors = [encoding.encode(update, weight=w, rotation=turn, entropy=entropy) for w in weights]
        mean = encoding.decode(summed(vectors, encoding), contributors=30, rotation=turn).mean
        bound = encoding.rounding_bound(contributors=30, total_weight=math.fsum(weights))
        assert bound < 0.01
        assert np.abs(mean[0] - 1.5 / math.sqrt(12)).max() <= bound
        assert np.abs(mean[1]).max() <= bound


@given(
    clients=st.integers(2, 10_000),
    dimension=st.integers(1, 10_000),
    reach=st.floats(0, 1e4),
    bits=st.integers(2, 3),
    weighting=st.sampled_from(Weighting),
)
def test_encoding_refuses_a_small_modulus_and_names_the_least_that_works(
    clients: int, dimension: int, reach: float, bits: int, weighting: Weighting
) -> None:
    def fit(modulus_bits: int) -> Encoding:
        return Encoding.fit(
            shapes=[(dimension,)],
            clip_l2=0.5,
            clients=clients,
            modulus_bits=modulus_bits,
            weighting=weighting,
            noise_reach=reach,
        )

    with pytest.raises(ModulusTooSmall, match=rf"expected at least \d+ .*, found {bits}\. Use \d+ bits\.") as caught:
        fit(bits)
    fit(caught.value.enough_bits)
    with pytest.raises(ModulusTooSmall):
        fit(caught.value.enough_bits - 1)


def test_encoding_that_no_modulus_holds_is_said_so() -> None:
    with pytest.raises(ModulusTooSmall, match=r"expected more than 62, .*, found 24\. Use fewer clients\. Less noise"):
        Encoding.fit(**FIT, noise_reach=1e30)


def test_encoding_has_room_for_the_noise_it_was_fitted_for() -> None:
    encoding = Encoding.fit(**FIT, noise_reach=3.0)
    steps = math.floor(3.0 / encoding.granularity)
    encoding.check_reach(steps)
    with pytest.raises(EncodingError, match="less than 8388608 steps, the room of a modulus of 24 bits, found"):
        encoding.check_reach(steps + 20)
    with pytest.raises(EncodingError, match="sum: expected less than"):
        Encoding.fit(**FIT).check_reach(steps)


@pytest.mark.parametrize("bits", [14, 24, 53, 60, 62])
@pytest.mark.parametrize("modulus", MODULI)
def test_encoding_checks_the_reach_exactly(bits: int, modulus: Callable[[int], int]) -> None:
    """In rationals: the largest noise that fits is taken, and one step more is not, on both sides of 2^53."""
    encoding = Encoding.fit(**FIT | {"modulus_bits": bits, "noise_reach": 5.0, "modulus": modulus})
    quotient = Fraction(encoding.coordinate_bound / encoding.granularity)
    largest = math.ceil((encoding.modulus + 1) // 2 - 4 * (quotient + 1)) - 1
    encoding.check_reach(largest)
    # The sum of four coordinates, each rounded away from zero, and of the noise: it comes back from its residue.
    assert 2 * (4 * math.ceil(quotient) + largest) < encoding.modulus
    with pytest.raises(EncodingError, match=f"the room of a modulus of {bits} bits, found"):
        encoding.check_reach(largest + 1)


def test_encoding_that_was_altered_beyond_floats_is_refused_by_its_reach() -> None:
    with pytest.raises(EncodingError, match="sum: expected less than"):
        dataclasses.replace(Encoding.fit(**FIT), clip_l2=1e270, granularity=1e-300).check_reach(0)


@pytest.mark.parametrize("modulus", [1, 0, -5, 2**62 + 1, 5.0, True, None])
def test_encoding_refuses_what_is_no_modulus(modulus: Any) -> None:
    with pytest.raises(EncodingError, match=r"modulus: expected an int in \[2, 2\^62\]"):
        Encoding.fit(**FIT, modulus=lambda _: modulus)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"clip_l2": 0.0}, "clip_l2"),
        ({"clip_l2": math.nan}, "clip_l2"),
        ({"clip_l2": math.inf}, "clip_l2"),
        ({"clip_l2": True}, "clip_l2"),
        ({"clip_l2": "1"}, "clip_l2"),
        ({"clip_l2": 5e-324}, "clip_l2"),
        ({"clip_l2": 1e-271}, "clip_l2"),
        ({"clip_l2": 1e271}, "clip_l2"),
        ({"clip_l2": 10**400}, "clip_l2"),
        ({"clip_l2": np.longdouble("1e-4000")}, "clip_l2"),
        ({"max_weight": -1.0}, "max_weight"),
        ({"max_weight": 1e308}, "max_weight"),
        ({"noise_reach": -1.0}, "noise_reach"),
        ({"noise_reach": math.nan}, "noise_reach"),
        ({"noise_reach": math.inf}, "noise_reach"),
        ({"clients": 1}, "clients"),
        ({"clients": 3.0}, "clients"),
        ({"clients": 10**400}, "clients"),
        ({"modulus_bits": 1}, "modulus_bits"),
        ({"modulus_bits": 63}, "modulus_bits"),
        ({"modulus_bits": True}, "modulus_bits"),
        ({"weighting": "wieghted"}, "weighting: expected one of uniform, weighted, found 'wieghted'"),
        ({"shapes": []}, "shapes"),
        ({"shapes": [(0, 3), (2,)]}, "shapes"),
        ({"shapes": [(-1,)]}, "shapes"),
        ({"shapes": [(2.0,)]}, "shapes"),
        ({"shapes": [(True,)]}, "shapes"),
        ({"shapes": [4]}, "shapes"),
        ({"shapes": 4}, "shapes"),
        ({"shapes": [(10**400,)]}, "shapes"),
    ],
)
def test_encoding_refuses_bad_parameters(change: dict[str, Any], named: str) -> None:
    with pytest.raises(EncodingError, match=named):
        Encoding.fit(**FIT | change)


def test_encoding_makes_plain_numbers_of_numpys() -> None:
    encoding = Encoding.fit(**WEIGHED | {"clip_l2": np.float32(0.5), "max_weight": np.int64(5)})
    assert [type(value) for value in (encoding.clip_l2, encoding.max_weight, encoding.granularity)] == [float] * 3
    assert (encoding.clip_l2, encoding.max_weight) == (0.5, 5.0)


@pytest.mark.parametrize("bits", [8, 24, 40, 62])
@pytest.mark.parametrize("clip", [1e-270, 1e-200, 1e200, 1e270])
@pytest.mark.parametrize("dimension", [1, 3, 257])
def test_encoding_at_the_ends_of_its_range_carries_the_largest_sum(clip: float, bits: int, dimension: int) -> None:
    """All clients send the same vector at the clip, in a weighted mean, whose norm is the larger one."""
    parameters: dict[str, Any] = {"shapes": [(dimension,)], "clip_l2": clip, "clients": 3, "modulus_bits": bits}
    try:
        encoding = Encoding.fit(**parameters, weighting=Weighting.WEIGHTED, max_weight=1e270)
    except ModulusTooSmall:
        assert bits == 8
        return
    turn, update = rotation(encoding), np.full(dimension, clip / math.sqrt(dimension))
    vectors = [
        encoding.encode([update], weight=1e270, rotation=turn, entropy=repeatable_entropy(b"%d" % c)) for c in range(3)
    ]
    found = encoding.decode(summed(vectors, encoding), contributors=3, rotation=turn).mean[0]
    bound = encoding.rounding_bound(contributors=3, total_weight=3e270)
    assert np.abs(found - clip_l2([update], bound=clip).arrays[0]).max() <= bound


@pytest.mark.parametrize(
    ("update", "error"),
    [
        ([np.zeros((3, 4))], EncodingError),
        ([np.zeros((4, 3)), np.zeros(5)], EncodingError),
        ([np.zeros(5), np.zeros((3, 4))], EncodingError),
        ([np.zeros((3, 4)), [[1.0], [1.0, 2.0]]], EncodingError),
        ([], EncodingError),
        ([np.zeros((3, 4)), np.array([0, 0, math.nan, 0, 0])], InvalidParameter),
        ([np.zeros((3, 4)), np.array([0, 0, -math.inf, 0, 0])], InvalidParameter),
        ([np.zeros((3, 4)), np.zeros(5, dtype=complex)], InvalidParameter),
        ([np.zeros((3, 4)), np.zeros(5, dtype=object)], InvalidParameter),
        ([np.zeros((3, 4)), np.zeros(5, dtype=bool)], InvalidParameter),
        ([np.zeros((3, 4)), ["a", "b", "c", "d", "e"]], InvalidParameter),
        ([np.zeros((3, 4)), np.zeros(5, dtype=np.longdouble)], InvalidParameter),
    ],
)
def test_encoding_refuses_bad_updates(update: list[Any], error: type[Exception]) -> None:
    encoding = Encoding.fit(**FIT)
    with pytest.raises(error):
        encoding.encode(update, weight=None, rotation=rotation(encoding), entropy=no_entropy)


@pytest.mark.parametrize("weight", [None, 0.0, -1.0, 10.5, math.nan, math.inf, True, "1", 1j])
def test_encoding_refuses_bad_weights_and_does_not_repeat_them(weight: Any) -> None:
    encoding = Encoding.fit(**WEIGHED)
    with pytest.raises(EncodingError, match=r"a number in \(0, 10\]$"):
        encoding.encode([np.zeros((3, 4)), np.zeros(5)], weight=weight, rotation=rotation(encoding), entropy=no_entropy)


def test_encoding_refuses_weights_of_a_uniform_mean() -> None:
    encoding = Encoding.fit(**FIT)
    with pytest.raises(EncodingError, match="weight: expected none"):
        encoding.encode([np.zeros((3, 4)), np.zeros(5)], weight=1.0, rotation=rotation(encoding), entropy=no_entropy)


def test_encoding_refuses_another_dimensions_rotation() -> None:
    encoding = Encoding.fit(**FIT)
    with pytest.raises(EncodingError, match=r"expected shape \(18,\) for the rotation, found \(17,\)"):
        encoding.encode(
            [np.zeros((3, 4)), np.zeros(5)], weight=None, rotation=Rotation(18, b"seed"), entropy=no_entropy
        )


@pytest.mark.parametrize(
    ("total", "contributors"),
    [
        (np.zeros(16, dtype=np.uint64), 2),
        (np.zeros(18), 2),
        (np.zeros(18, dtype=np.int64), 2),
        (np.full(18, 2**24, dtype=np.uint64), 2),
        (np.zeros(18, dtype=np.uint64), 0),
        (np.zeros(18, dtype=np.uint64), 5),
        (np.zeros(18, dtype=np.uint64), True),
    ],
)
def test_encoding_refuses_what_is_no_sum(total: NDArray[Any], contributors: int) -> None:
    encoding = Encoding.fit(**FIT)
    assert encoding.length == 18
    with pytest.raises(EncodingError):
        encoding.decode(total, contributors=contributors, rotation=rotation(encoding))


def test_encoding_releases_no_mean_without_weight() -> None:
    encoding = Encoding.fit(**WEIGHED)
    with pytest.raises(UnusableMean, match="there is no mean: expected a total weight above 0"):
        encoding.decode(np.zeros(encoding.length, dtype=np.uint64), contributors=2, rotation=rotation(encoding))
    with pytest.raises(EncodingError, match="total_weight: expected a number"):
        encoding.rounding_bound(contributors=2)
    assert encoding.rounding_bound(contributors=2, total_weight=1e-9) == math.inf


def no_entropy(size: int) -> bytes:
    raise LookupError(f"{size} bytes were drawn for an update that must be refused")


def test_encoding_compares_a_short_number_of_numpys_as_what_it_is() -> None:
    """float32's 0.1 is above float64's; numpy from 2.0 on would round the limit and find them equal."""
    encoding = Encoding.fit(**WEIGHED | {"max_weight": 0.1})
    update = [np.zeros(shape) for shape in encoding.shapes]
    turn = rotation(encoding)
    float32: Any = np.float32(0.1)
    with pytest.raises(EncodingError, match="weight: expected a number"):
        encoding.encode(update, weight=float32, rotation=turn, entropy=repeatable_entropy(b"weight"))


def test_update_with_a_mask_is_refused() -> None:
    """A masked entry is no number; NumPy would add what lies behind the mask."""
    encoding = Encoding.fit(shapes=[(3,)], clip_l2=1.0, clients=4, modulus_bits=24)
    masked: Any = np.ma.masked_greater(np.array([0.1, 99.0, 0.1]), 1)  # type: ignore[no-untyped-call]
    with pytest.raises(EncodingError, match=r"found one with a mask.*array\.filled\(0\)"):
        encoding.checked([masked])


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("weighting", Weighting)
def test_decoding_in_the_memory_of_the_sum_changes_no_bit(weighting: Weighting, modulus: Callable[[int], int]) -> None:
    """Against all of the vector at once; it has more entries than are decoded at a time."""
    length = 2**16 + 2**14
    weighted = weighting is Weighting.WEIGHTED
    encoding = Encoding.fit(
        shapes=[(length - 7, 1), (6,) if weighted else (7,)],
        clip_l2=1.0,
        clients=3,
        modulus_bits=24,
        weighting=weighting,
        modulus=modulus,
    )
    assert encoding.length == length
    turn = rotation(encoding)
    encoded = encoding.encode(
        updates(encoding, "f8", 1), weight=1.0 if weighted else None, rotation=turn, entropy=repeatable_entropy(b"bits")
    )
    noise = np.random.default_rng(2).integers(-3, 4, length)
    total = np.mod(encoded, encoding.modulus).view(np.uint64)
    before = total.copy()
    right = encoding.decode(total, contributors=1, rotation=turn, noise=noise)
    assert np.array_equal(total, before)
    found = encoding.decode(total, contributors=1, rotation=turn, noise=noise, overwrite=True)
    assert all(np.shares_memory(array, total) for array in found.mean)
    signed = before.view(np.int64) - np.where(before >= (encoding.modulus + 1) // 2, encoding.modulus, 0) + noise
    flat = turn.restore(signed * encoding.granularity)
    flat = flat / (float(flat[-1]) / encoding.clip_l2 if weighted else 1.0)
    for decoded in (right, found):
        assert np.array_equal(np.concatenate([array.reshape(-1) for array in decoded.mean]), flat[: length - weighted])
