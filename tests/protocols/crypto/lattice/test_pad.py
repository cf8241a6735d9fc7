"""Lattice pads: sums are exact at the extremes, what could collide is refused, what does not fit is noticed."""

import hashlib
import math
import os
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocols.crypto.keystream import Words
from protocols.crypto.lattice.gaussian import REACH, WIDTH
from protocols.crypto.lattice.pad import LatticePad, draw_key, expand_key, key_coefficients
from protocols.crypto.lattice.ring import DEGREE, Multiplier, Ring
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, InputError, ParameterError

pytestmark = pytest.mark.slow

SEED = hashlib.sha256(b"a session").digest()


def stream(label: str) -> Callable[[int], bytes]:
    """Entropy that a test can repeat."""
    counter = iter(range(10**9))
    return lambda count: hashlib.shake_256(f"{label} {next(counter)}".encode()).digest(count)


def sealed_sum(pad: LatticePad, vectors: Sequence[Words], label: str = "clients") -> tuple[Ring, NDArray[np.int64]]:
    """The sum of ciphertexts and the sum of keys."""
    entropy = stream(label)
    total, keys = np.zeros(pad.words, dtype=np.uint64), np.zeros(DEGREE, dtype=np.int64)
    for vector in vectors:
        key = draw_key(entropy)
        total += pad.seal(vector, keys=[key], seed=SEED, entropy=entropy)
        keys += key_coefficients(key)
    return total, keys


def test_pad_of_the_target_takes_four_bytes_a_value() -> None:
    pad = LatticePad(length=1_000_000, bound=2**16, clients=1000)
    assert (pad.slots, pad.slot_bits, pad.noise_bits) == (2, 26, 12)
    assert pad.words * 8 == 4 * pad.length


@pytest.mark.parametrize("extreme", ["lowest", "highest", "mixed"])
def test_largest_cohort_sums_exactly_at_the_extremes(extreme: str) -> None:
    """1,000 clients with all-minimal, all-maximal and alternating values, in a word with no bit to spare."""
    pad = LatticePad(length=2 * DEGREE + 101, bound=2**16, clients=1000)
    assert pad.slots * pad.slot_bits + pad.noise_bits == 64
    assert pad.reach(1000) < 2 ** (pad.noise_bits - 1) < pad.reach(1400)
    places = np.arange(pad.length) % 2
    vector = {"lowest": places * 0, "highest": places * 0 + 65_535, "mixed": places * 65_535}[extreme].astype(np.uint16)
    total, keys = sealed_sum(pad, [vector] * 1000, extreme)
    assert int(np.abs(keys).max()) <= pad.key_reach(1000) < REACH * 1000
    opened = pad.open(total, key_sum=keys, seed=SEED, weights=(1,) * 1000)
    assert opened.dtype == np.uint64
    assert np.array_equal(opened, 1000 * vector.astype(np.uint64))


@given(
    length=st.integers(1, 3 * DEGREE),
    bound=st.integers(2, 2**34),
    clients=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_sums_are_exact_for_any_shape(length: int, bound: int, clients: int, seed: int) -> None:
    pad = LatticePad(length=length, bound=bound, clients=clients)
    generator = np.random.default_rng(seed)
    contributors = int(generator.integers(1, min(clients, 4) + 1))
    vectors = [generator.integers(0, bound, length, dtype=np.uint64) for _ in range(contributors)]
    total, keys = sealed_sum(pad, vectors, str(seed))
    opened = pad.open(total, key_sum=keys, seed=SEED, weights=(1,) * contributors)
    assert np.array_equal(opened, np.sum(vectors, axis=0, dtype=np.uint64))


LAYOUTS = [(bits, clients) for bits in (1, 8, 12, 16, 24, 32, 40) for clients in (1, 2, 10, 1000, 2**20)]


def overflow(slots: int, bits: int, clients: int) -> float:
    """How likely the errors of a million values, so packed, are to outgrow what is left of their words."""
    noise_bits = 64 - slots * (clients * (2**bits - 1)).bit_length()
    if noise_bits <= 0:
        return math.inf
    exponent = -((2 ** (noise_bits - 1)) ** 2) / (2 * clients * float(WIDTH) ** 2)
    return -(-1_000_000 // slots) * 2 * math.exp(exponent)


@pytest.mark.parametrize(("bits", "clients"), LAYOUTS)
def test_layout_is_the_densest_that_leaves_room_for_errors(bits: int, clients: int) -> None:
    fitting = [slots for slots in range(1, 65) if overflow(slots, bits, clients) <= 2**-40]
    if not fitting:
        with pytest.raises(ParameterError, match="Lower the bound, the weights or the number of clients"):
            LatticePad(length=1_000_000, bound=2**bits, clients=clients)
        return
    pad = LatticePad(length=1_000_000, bound=2**bits, clients=clients)
    assert pad.slots == max(fitting)
    assert clients * (2**bits - 1) < 2**pad.slot_bits
    assert pad.slots * pad.slot_bits + pad.noise_bits == 64
    assert pad.words * pad.slots >= pad.length > (pad.words - 1) * pad.slots


def test_error_bound_holds_for_the_real_distribution() -> None:
    """The sub-Gaussian bound against exact convolution, for sums of 64 errors."""
    weights = [math.exp(-(x**2) / float(2 * WIDTH**2)) for x in range(-REACH, REACH + 1)]
    single = np.array(weights) / sum(weights)
    law = single
    for _ in range(6):
        law = np.convolve(law, law)
    points = np.abs(np.arange(law.size) - law.size // 2)
    for radius in (100, 200, 300):
        assert law[points >= radius].sum() <= 2 * math.exp(-(radius**2) / (2 * 64 * float(WIDTH) ** 2))


def test_ciphertext_is_the_formula() -> None:
    """c - a s - D m is small and fresh, with a expanded by hand, and of the width that the security bound needs."""
    pad = LatticePad(length=3 * DEGREE, bound=2**50, clients=2)
    assert (pad.slots, pad.words) == (1, 3 * DEGREE)
    key, entropy = draw_key(stream("key")), stream("errors")
    values = np.random.default_rng(0).integers(0, 2**50, pad.length, dtype=np.uint64)
    keystream = Cipher(algorithms.AES256(SEED), modes.CTR(bytes(16))).encryptor().update(bytes(8 * pad.words))
    public = np.frombuffer(keystream, dtype="<u8").reshape(3, DEGREE)
    plain = Multiplier(key_coefficients(key)).times(public).reshape(-1) + (values << np.uint64(pad.noise_bits))
    errors = [(pad.seal(values, keys=[key], seed=SEED, entropy=entropy) - plain).view(np.int64) for _ in range(2)]
    assert not np.array_equal(errors[0], errors[1])
    for drawn in errors:
        assert int(np.abs(drawn).max()) <= REACH
        # 12,288 samples: the variance is off by 8% with a chance below 10^-9; the entropy is fixed.
        assert float(drawn.var()) == pytest.approx(float(WIDTH) ** 2, rel=0.08)


def test_pads_of_zero_look_uniform_and_unrelated() -> None:
    """Each bit of 8,192 words is set as often as a fair coin, within six standard deviations; entropy is fixed."""
    pad = LatticePad(length=2 * DEGREE, bound=2**40, clients=2)
    zeros = np.zeros(pad.length, dtype=np.uint64)
    entropy = stream("uniform")
    first, second = (pad.seal(zeros, keys=[draw_key(entropy)], seed=SEED, entropy=entropy) for _ in range(2))
    for words in (first, second, first - second):
        counts = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=0)
        assert np.abs(counts - pad.words / 2).max() < 6 * math.sqrt(pad.words) / 2


def test_keys_differ_and_show_nothing() -> None:
    first, second = draw_key(os.urandom), draw_key(os.urandom)
    assert first != second
    assert repr(first) == "Secret(<4096 bytes>)"
    assert key_coefficients(first).dtype == np.int64


@pytest.mark.parametrize("damage", ["key sum", "seed", "ciphertext", "missing client", "additional key"])
def test_what_does_not_belong_together_is_noticed(damage: str) -> None:
    pad = LatticePad(length=5000, bound=2**16, clients=1000)
    vectors = [np.random.default_rng(index).integers(0, 2**16, 5000, dtype=np.uint64) for index in range(3)]
    total, keys = sealed_sum(pad, vectors)
    seed = SEED
    if damage == "key sum":
        keys[17] += 1
    elif damage == "seed":
        seed = bytes(32)
    elif damage == "ciphertext":
        total[::2] += np.uint64(2 ** (pad.noise_bits - 1))
    elif damage == "missing client":
        total, _ = sealed_sum(pad, vectors[:2])
    else:
        keys += key_coefficients(draw_key(stream("another")))
    with pytest.raises(DamagedSum):
        pad.open(total, key_sum=keys, seed=seed, weights=(1,) * 3)


def test_key_sums_beyond_any_honest_one_are_refused_in_bounded_time() -> None:
    pad = LatticePad(length=10, bound=4, clients=2**20)
    total = np.zeros(pad.words, dtype=np.uint64)
    for key in (2**62, -(2**63), pad.key_reach(5) + 1):
        with pytest.raises(DamagedSum, match="5 keys"):
            pad.open(total, key_sum=np.full(DEGREE, key, dtype=np.int64), seed=SEED, weights=(1,) * 5)
    largest = np.full(DEGREE, pad.key_reach(2**20))
    with pytest.raises(DamagedSum, match="of 1048576 clients"):
        pad.open(total, key_sum=largest, seed=SEED, weights=(1,) * 2**20)


def test_errors_beyond_the_contributors_sum_are_noticed() -> None:
    pad = LatticePad(length=100, bound=10, clients=1000)
    total, keys = sealed_sum(pad, [np.full(100, 9, dtype=np.uint64)])
    assert pad.reach(1) + REACH < 2 ** (pad.noise_bits - 1)
    for excess in (pad.reach(1) + REACH, -pad.reach(1) - REACH):
        shifted = total.copy()
        shifted[:1] += np.uint64(excess % 2**64)
        with pytest.raises(DamagedSum, match="errors"):
            pad.open(shifted, key_sum=keys, seed=SEED, weights=(1,))


def test_values_beyond_the_contributors_sum_are_noticed() -> None:
    pad = LatticePad(length=100, bound=10, clients=1000)
    total, keys = sealed_sum(pad, [np.full(100, 9, dtype=np.uint64)])
    total += np.uint64(9 << pad.noise_bits)
    assert pad.open(total, key_sum=keys, seed=SEED, weights=(1,) * 2).max() == 18
    with pytest.raises(DamagedSum, match="values"):
        pad.open(total, key_sum=keys, seed=SEED, weights=(1,))


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"length": 0},
    {"length": 2**32 + 1},
    {"length": True},
    {"bound": 1},
    {"bound": 2.0},
    {"bound": 2**60},
    {"bound": 2**64},
    {"bound": 2**64 + 1},
    {"clients": 0},
    {"clients": 2**20 + 1},
    {"clients": np.int64(3)},
]


@pytest.mark.parametrize("changes", OUT_OF_RANGE)
def test_parameters_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        LatticePad(**{"length": 10, "bound": 16, "clients": 3} | changes)


OTHER_VECTORS: list[NDArray[Any]] = [
    np.zeros(9, dtype=np.uint8),
    np.zeros((10, 1), dtype=np.uint8),
    np.zeros(10, dtype=np.int64),
    np.zeros(10),
    np.full(10, np.nan),
    np.zeros(10, dtype=bool),
    np.full(10, 16, dtype=np.uint8),
]


@pytest.mark.parametrize("values", OTHER_VECTORS)
def test_vectors_of_another_kind_are_refused(values: NDArray[Any]) -> None:
    pad = LatticePad(length=10, bound=16, clients=3)
    with pytest.raises(InputError):
        pad.seal(values, keys=[draw_key(os.urandom)], seed=SEED, entropy=os.urandom)


@pytest.mark.parametrize(
    "key",
    [b"", bytes(4095), bytes(4097), b"\x80" + bytes(4095)],
    ids=["empty", "short", "long", "entry out of range"],
)
def test_keys_of_another_kind_are_refused(key: bytes) -> None:
    with pytest.raises(InputError, match=r"^key: expected 4096 signed bytes"):
        key_coefficients(Secret(key))


def test_short_entropy_and_seeds_are_refused() -> None:
    pad = LatticePad(length=10, bound=16, clients=3)
    values, key = np.zeros(10, dtype=np.uint8), draw_key(os.urandom)
    with pytest.raises(ParameterError, match="entropy"):
        draw_key(lambda count: bytes(count - 1))
    with pytest.raises(ParameterError, match="entropy"):
        pad.seal(values, keys=[key], seed=SEED, entropy=lambda count: bytes(count + 1))
    with pytest.raises(InputError, match="public seed"):
        pad.seal(values, keys=[key], seed=SEED[:-1], entropy=os.urandom)


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        ((), "vectors: expected at least 1 and at most 3, found 0"),
        ((1,) * 4, "vectors: expected at least 1 and at most 3, found 4"),
        ((1, 6), r"weights: expected ints in \[1, 5\]"),
        ((0,), "weights"),
        ((-1,), "weights"),
        ((True,), "weights"),
        ((2.0,), "weights"),
    ],
)
def test_weights_out_of_range_are_refused(weights: tuple[int, ...], what: str) -> None:
    pad = LatticePad(length=10, bound=16, clients=3, largest_weight=5)
    with pytest.raises(InputError, match=what):
        pad.open(
            np.zeros(pad.words, dtype=np.uint64),
            key_sum=np.zeros(DEGREE, dtype=np.int64),
            seed=SEED,
            weights=weights,
        )


def test_sums_of_another_shape_are_refused() -> None:
    pad = LatticePad(length=10, bound=16, clients=3)
    total, keys = np.zeros(pad.words, dtype=np.uint64), np.zeros(DEGREE, dtype=np.int64)
    wrong_totals: list[NDArray[Any]] = [total[:-1], total.view(np.int64), total[None]]
    for wrong in wrong_totals:
        with pytest.raises(InputError, match="uint64"):
            pad.open(wrong, key_sum=keys, seed=SEED, weights=(1,))
    wrong_sums: list[NDArray[Any]] = [keys[:-1], keys.astype(np.int32)]
    for wrong_keys in wrong_sums:
        with pytest.raises(InputError, match="int64"):
            pad.open(total, key_sum=wrong_keys, seed=SEED, weights=(1,))


def test_memory_is_the_result_and_a_few_pieces() -> None:
    pad = LatticePad(length=4_000_000, bound=2**16, clients=1000)
    values, key = np.full(pad.length, 65_535, dtype=np.uint16), draw_key(os.urandom)
    tracemalloc.start()
    sealed = pad.seal(values, keys=[key], seed=SEED, entropy=os.urandom)
    _, sealing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    pad.open(sealed, key_sum=key_coefficients(key), seed=SEED, weights=(1,))
    _, opening = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sealed.nbytes == 4 * pad.length
    assert sealing < sealed.nbytes + 4_000_000
    assert opening - before < 8 * pad.length + 4_000_000


@pytest.mark.parametrize(("sum_bits", "clients", "slots"), [(24, 1000, 2), (24, 10_000, 2), (12, 100, 4), (63, 1, 0)])
def test_sums_that_are_vouched_for_take_no_more_bits(sum_bits: int, clients: int, slots: int) -> None:
    if not slots:
        with pytest.raises(ParameterError, match="too few"):
            LatticePad(length=100, bound=2**16, clients=clients, sum_bits=sum_bits)
        return
    pad = LatticePad(length=100, bound=2**sum_bits, clients=clients, sum_bits=sum_bits)
    assert (pad.slots, pad.slot_bits) == (slots, sum_bits)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_sums_that_are_vouched_for_open_exactly(data: st.DataObject) -> None:
    """Entries anywhere in range whose sums reach both ends of theirs."""
    sum_bits = data.draw(st.sampled_from([2, 7, 19, 24]))
    contributors = data.draw(st.integers(1, 6))
    half, shift = 2 ** (sum_bits - 1), 2 ** (sum_bits - 1)
    length = data.draw(st.integers(1, 5))
    goals = data.draw(st.lists(st.sampled_from([-half, -1, 0, 1, half - 1]), min_size=length, max_size=length))
    signed = np.zeros((contributors, length), dtype=np.int64)
    for row in range(contributors - 1):
        drawn = data.draw(st.lists(st.integers(-half, half - 1), min_size=length, max_size=length))
        # The last row makes the sum right, as far as its own range allows.
        rest = np.array(goals) - signed[:row].sum(axis=0) - np.array(drawn)
        signed[row] = np.where((rest >= -half) & (rest < half), drawn, 0)
    signed[-1] = np.array(goals) - signed[:-1].sum(axis=0)
    if signed[-1].min() < -half or signed[-1].max() >= half:
        signed[:-1], signed[-1] = 0, goals
    pad = LatticePad(length=length, bound=2**sum_bits, clients=1000, sum_bits=sum_bits)
    total, key_sum = np.zeros(pad.words, dtype=np.uint64), np.zeros(4096, dtype=np.int64)
    for row in signed:
        key = draw_key(os.urandom)
        total += pad.seal((row + shift).astype(np.uint64), keys=[key], seed=bytes(32), entropy=os.urandom)
        key_sum += key_coefficients(key)
    opened = pad.open(total, key_sum=key_sum, seed=bytes(32), weights=(1,) * contributors)
    assert (opened.view(np.int64) - contributors * shift).tolist() == goals


def test_sum_below_what_values_can_be_is_noticed() -> None:
    pad = LatticePad(length=1, bound=2, clients=3, sum_bits=8)
    key = draw_key(os.urandom)
    sealed = pad.seal(np.array([0], dtype=np.uint64), keys=[key], seed=bytes(32), entropy=os.urandom)
    sealed -= np.uint64(1 << pad.noise_bits)  # a client that lies
    with pytest.raises(DamagedSum, match="values: expected at most"):
        pad.open(sealed, key_sum=key_coefficients(key), seed=bytes(32), weights=(1,))


# Keys that are sums.


def test_vector_under_the_sum_of_keys_opens_with_the_sum_of_all_of_them() -> None:
    """35 keys for each of three clients: keys beyond a byte."""
    pad, entropy = LatticePad(length=500, bound=2**16, clients=3), stream("sums of keys")
    values = np.arange(500, dtype=np.uint64) * np.uint64(131)
    total, key_sum = np.zeros(pad.words, dtype=np.uint64), np.zeros(DEGREE, dtype=np.int64)
    for _ in range(3):
        keys = [draw_key(entropy) for _ in range(35)]
        coefficients = np.sum([key_coefficients(key) for key in keys], axis=0)
        assert int(np.abs(coefficients).max()) > REACH
        total += pad.seal(values, keys=keys, seed=SEED, entropy=entropy)
        key_sum += coefficients
    opened = pad.open(total, key_sum=key_sum, seed=SEED, weights=(1,) * 3, largest_key=REACH * 35 * 3)
    assert np.array_equal(opened, 3 * values)
    with pytest.raises(DamagedSum, match="expected entries within 5,"):
        pad.open(total, key_sum=key_sum, seed=SEED, weights=(1,) * 3, largest_key=5)


def test_vector_is_not_sealed_without_a_key() -> None:
    pad = LatticePad(length=10, bound=16, clients=3)
    with pytest.raises(InputError, match="keys: expected at least one, found none"):
        pad.seal(np.zeros(10, dtype=np.uint8), keys=[], seed=SEED, entropy=os.urandom)


def test_key_is_expanded_from_a_seed_as_it_is_drawn() -> None:
    seed = hashlib.sha256(b"a seed of a key").digest()
    assert expand_key(Secret(seed)) == draw_key(lambda count: seed[:count])
    assert expand_key(Secret(seed)) != expand_key(Secret(SEED))


@pytest.mark.parametrize("sum_bits", [None, 30])
def test_weighted_sums_are_exact_up_to_the_largest_weight(sum_bits: int | None) -> None:
    """Errors reach the root of the sum of the squares of the weights. A layout for weights of 1 has no such room."""
    weights, rng = (1, 200, 200, 1, 37), np.random.default_rng(5)
    pad = LatticePad(length=3000, bound=2**16, clients=5, largest_weight=200, sum_bits=sum_bits)
    vectors = [rng.integers(0, 2**16, 3000, dtype=np.uint64) for _ in weights]
    vectors[0][:] = 2**16 - 1
    total, key_sum = np.zeros(pad.words, dtype=np.uint64), np.zeros(DEGREE, dtype=np.int64)
    for client, (vector, weight) in enumerate(zip(vectors, weights, strict=True)):
        key = draw_key(stream(f"key {client}"))
        total += np.uint64(weight) * pad.seal(vector, keys=[key], seed=SEED, entropy=stream(f"errors {client}"))
        key_sum += weight * key_coefficients(key)
    opened = pad.open(total, key_sum=key_sum, seed=SEED, weights=weights)
    assert np.array_equal(
        opened, sum(np.uint64(weight) * vector for weight, vector in zip(weights, vectors, strict=True))
    )
    assert pad.reach(sum(weight**2 for weight in weights)) < 2 ** (pad.noise_bits - 1)


def test_layout_counts_the_largest_weight() -> None:
    plain = LatticePad(length=1000, bound=2**10, clients=100)
    weighted = LatticePad(length=1000, bound=2**10, clients=100, largest_weight=64)
    assert weighted.slot_bits == (100 * 64 * (2**10 - 1)).bit_length()
    assert weighted.slots < plain.slots
    assert 2 ** (weighted.noise_bits - 1) > weighted.reach(100 * 64**2)
    with pytest.raises(ParameterError, match="with weights of at most 65536 take 63 bits"):
        LatticePad(length=1000, bound=2**40, clients=100, largest_weight=2**16)
