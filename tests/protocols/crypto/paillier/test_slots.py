"""Packed slots: exact at every extreme, sums of packed messages, and what does not fit refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocols.crypto.paillier.slots import Slots
from protocols.errors import DamagedSum, InputError, ParameterError, ProtocolError
from tests.support.paillier_keys import encryptor, private_key

MODULUS = 2**6143 + 12345


def slots(value_bits: int = 16, clients: int = 1000, guard_bits: int = 6, modulus: int = MODULUS) -> Slots:
    return Slots(value_bits=value_bits, clients=clients, guard_bits=guard_bits, message_modulus=modulus)


def vector(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("value_bits", "clients", "guard_bits", "width"),
    [(16, 1, 0, 16), (16, 2, 0, 17), (16, 3, 0, 18), (16, 1000, 6, 32), (16, 1024, 6, 32), (16, 1025, 5, 32)],
)
def test_width_is_value_bits_headroom_and_guard(value_bits: int, clients: int, guard_bits: int, width: int) -> None:
    layout = slots(value_bits, clients, guard_bits)
    assert layout.width == width
    assert layout.count == 6143 // width


def test_message_is_the_offset_values_in_their_slots() -> None:
    layout = slots(4, 2, 0, modulus=2**15 + 1)
    assert layout.width == 5
    assert layout.count == 3
    assert layout.pack(vector(-8, 7, 0, 1)) == [0 | 15 << 5 | 8 << 10, 9]


@given(
    value_bits=st.integers(1, 40),
    clients=st.integers(1, 2**16),
    guard_bits=st.integers(0, 8),
    length=st.integers(1, 60),
    modulus_bits=st.integers(65, 700),
    data=st.data(),
)
def test_sums_come_back(
    value_bits: int, clients: int, guard_bits: int, length: int, modulus_bits: int, data: st.DataObject
) -> None:
    layout = slots(value_bits, clients, guard_bits, modulus=2**modulus_bits + 1)
    half = 2 ** (value_bits - 1)
    count = data.draw(st.integers(1, min(5, clients)))
    vectors = [
        np.array(data.draw(st.lists(st.integers(-half, half - 1), min_size=length, max_size=length)), dtype=np.int64)
        for _ in range(count)
    ]
    packed = [layout.pack(one) for one in vectors]
    assert all(len(one) == layout.messages(length) for one in packed)
    assert all(0 <= message < layout.message_modulus for one in packed for message in one)
    sums = [sum(parts) for parts in zip(*packed, strict=True)]
    assert np.array_equal(layout.unpack(sums, length, clients=count), np.sum(vectors, axis=0))


@pytest.mark.parametrize(
    ("value_bits", "clients", "guard_bits"),
    [(1, 1, 0), (16, 1000, 6), (16, 1024, 0), (32, 2**32, 0), (63, 2, 0), (63, 1, 1), (1, 2**63, 0), (8, 256, 48)],
)
def test_largest_cohort_is_exact_at_the_extremes(value_bits: int, clients: int, guard_bits: int) -> None:
    """All clients send the largest value, or all the smallest, or each half of the vector one of them."""
    layout = slots(value_bits, clients, guard_bits, modulus=2**3000 + 1)
    length, half = 2 * layout.count + 1, 2 ** (value_bits - 1)
    for low, high in ((-half, -half), (half - 1, half - 1), (-half, half - 1), (half - 1, -half)):
        sent = np.array([low, high] * length, dtype=np.int64)[:length]
        sums = [clients * message for message in layout.pack(sent)]
        assert max(sums) < layout.message_modulus
        found = layout.unpack(sums, length, clients=clients)
        assert [int(value) for value in found[:2]] == [clients * low, clients * high]
        assert np.array_equal(found[::2], np.repeat(found[:1], len(found[::2])))
        assert np.array_equal(found[1::2], np.repeat(found[1:2], len(found[1::2])))


@pytest.mark.parametrize("length", [1, 190, 191, 192, 100_003])
def test_vectors_of_any_length_come_back(length: int) -> None:
    layout = slots()
    sent = np.random.default_rng(length).integers(-(2**15), 2**15, length)
    packed = layout.pack(sent)
    assert len(packed) == layout.messages(length) == -(-length // 191)
    assert np.array_equal(layout.unpack(packed, length, clients=1), sent)


def test_views_are_packed_like_copies() -> None:
    layout, sent = slots(), np.arange(-300, 300)
    assert layout.pack(sent[::-2]) == layout.pack(sent[::-2].copy())


@pytest.mark.parametrize("s", [1, 2])
def test_encrypted_sums_come_back(s: int) -> None:
    key = private_key(s)
    layout = slots(20, 3, 1, modulus=int(key.public_key.message_modulus))
    vectors = [np.full(200, 2**19 - 1), np.full(200, -(2**19)), np.arange(-100, 100)]
    total = encryptor(s).encrypt(layout.pack(vectors[0]))
    for one in vectors[1:]:
        total = key.public_key.add(total, encryptor(s).encrypt(layout.pack(one)))
    opened = key.decrypt(encryptor(s).rerandomise(total))
    assert np.array_equal(layout.unpack(opened, 200, clients=3), np.sum(vectors, axis=0))


@pytest.mark.parametrize("clients", [0, 1001, pytest.param(2**20_000, id="huge"), -1, True, 2.0])
def test_cohort_beyond_the_headroom_is_refused(clients: Any) -> None:
    layout = slots()
    with pytest.raises(ParameterError, match="clients: expected 1 to 1000"):
        layout.unpack(layout.pack(vector(1)), 1, clients=clients)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value_bits", 0),
        ("value_bits", 64),
        ("value_bits", True),
        ("value_bits", 55),
        ("clients", 0),
        ("clients", -5),
        ("clients", 2**43),
        pytest.param("clients", 2**20_000, id="clients-huge"),
        pytest.param("guard_bits", 2**20_000, id="guard_bits-huge"),
        ("clients", 2.0),
        ("guard_bits", -1),
        ("guard_bits", 39),
        ("guard_bits", None),
        ("message_modulus", 2**31),
    ],
)
def test_slots_that_do_not_fit_are_refused(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"value_bits": 16, "clients": 1000, "guard_bits": 6, "message_modulus": MODULUS}
    with pytest.raises(ParameterError):
        Slots(**(fields | {field: value}))


@pytest.mark.parametrize("value", [2**15, -(2**15) - 1, 2**62, -(2**63), 2**63 - 1])
def test_values_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(InputError, match=r"integers in \[-32768, 32768\), found one outside"):
        slots().pack(vector(0, value))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(3),
        np.zeros(3, dtype=np.int32),
        np.zeros(3, dtype=np.uint64),
        np.zeros(3, dtype=bool),
        np.zeros((1, 3), dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        np.array(1),
        np.array([np.nan]),
    ],
)
def test_other_vectors_are_refused(values: Any) -> None:
    with pytest.raises(InputError, match="int64 array"):
        slots().pack(values)


def test_damaged_sums_are_refused() -> None:
    layout = slots()
    sums = layout.pack(np.zeros(200, dtype=np.int64))
    damaged: list[Any] = [
        sums[:1],
        [*sums, 0],
        [sums[0], -1],
        [sums[0], 2**6112],
        [sums[0], True],
        [sums[0], sums[1] + 2 ** (32 * 10)],  # a slot after the end of the vector
        [sums[0] + 2**20, sums[1]],  # a client that sent more than its bits
        [sums[0] + 2**31, sums[1]],  # the guard
    ]
    for one in damaged:
        with pytest.raises(DamagedSum) as caught:
            layout.unpack(one, 200, clients=5)
        assert isinstance(caught.value, ProtocolError)
    with pytest.raises(DamagedSum, match=r"number of messages: expected .* for length .*, found 2"):
        layout.unpack(sums, 2**20_000, clients=5)
    for length in (0, -1, True):
        with pytest.raises(ParameterError, match="length: expected at least 1"):
            layout.unpack(sums, length, clients=5)
