"""The one text of a set of clients: short, read back, and refused in every other form."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp.errors import InvalidParameter
from dp.ledger.participants import checked_clients, decode_clients, encode_clients

POPULATIONS = [1, 2, 9, 64, 65, 100_000]


def plain_text(clients: list[int]) -> str:
    """Return the text of a set of clients by its definition, a number at a time."""
    differences = bytearray()
    before = -1
    for one in sorted(clients):
        left = one - before
        while left > 127:
            differences.append(left % 128 + 128)
            left //= 128
        differences.append(left)
        before = one
    bitmap = bytearray(max(clients) // 8 + 1 if clients else 0)
    for one in clients:
        bitmap[one // 8] |= 1 << one % 8
    if clients and len(bitmap) < len(differences):
        return "b" + base64.b64encode(bytes(bitmap)).decode()
    return "d" + base64.b64encode(bytes(differences)).decode()


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.sampled_from([*POPULATIONS, 1 << 22]))
    listed = st.lists(st.integers(0, size - 1), max_size=60, unique=True)
    ranges = st.tuples(st.integers(0, size - 1), st.integers(0, 300)).map(
        lambda pair: list(range(pair[0], min(size, sum(pair))))
    )
    return size, draw(st.one_of(listed, ranges))


@given(cohorts(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_text_is_the_plain_one_and_is_read_back(cohort: tuple[int, list[int]], random: Any) -> None:
    size, clients = cohort
    random.shuffle(clients)
    found = checked_clients("participants", clients, size=size)
    assert found.tolist() == sorted(clients)
    text = encode_clients(found)
    assert text == plain_text(clients)
    assert decode_clients(text, size=size).tolist() == sorted(clients)


@pytest.mark.parametrize("size", POPULATIONS)
def test_everybody_and_the_last_client_are_short(size: int) -> None:
    everybody = checked_clients("participants", range(size), size=size)
    assert len(encode_clients(everybody)) <= 1 + (size + 7) // 8 * 4 / 3 + 4
    assert decode_clients(encode_clients(everybody), size=size).tolist() == list(range(size))
    last = checked_clients("participants", [size - 1], size=size)
    assert len(encode_clients(last)) <= 5
    assert decode_clients(encode_clients(last), size=size).tolist() == [size - 1]
    with pytest.raises(InvalidParameter):
        decode_clients(encode_clients(checked_clients("participants", [size], size=size + 1)), size=size)


def test_cohort_of_300_of_100_000_takes_few_bytes() -> None:
    clients = checked_clients("participants", range(77, 100_000, 333), size=100_000)
    assert len(clients) == 301
    assert len(encode_clients(clients)) <= 1 + 301 * 2 * 4 / 3 + 4


@given(st.binary(max_size=12), st.sampled_from("db"), st.sampled_from([9, 65, 100_000]))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_every_text_that_is_read_is_the_text_of_what_it_is_read_as(content: bytes, form: str, size: int) -> None:
    text = form + base64.b64encode(content).decode()
    try:
        clients = decode_clients(text, size=size)
    except InvalidParameter:
        return
    assert plain_text(clients.tolist()) == text


def in_base64(form: str, *octets: int) -> str:
    return form + base64.b64encode(bytes(octets)).decode()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected d or b at its beginning"),
        ("AQ==", "expected base64"),
        ("cAQ==", "expected d or b at its beginning"),
        ("dAQ", "expected base64"),
        ("dA Q==", "expected base64"),
        ("dAQ==\n", "expected base64"),
        ("d\u0661Q==", "expected base64"),
        ("dAR==", "expected the text that this set of clients has"),  # It differs from dAQ== in bits that mean nothing.
        (in_base64("d", 1, 0), "ascending numbers"),
        (in_base64("d", 0), "ascending numbers"),
        (in_base64("d", 0x81, 0x00), "expected the text that this set of clients has"),
        (in_base64("d", 0x81), "whole differences"),
        (in_base64("d", 5, 0x80), "whole differences"),
        (in_base64("d", 0x80, 0x80, 0x80, 0x80, 1), "at most 4 bytes"),
        (in_base64("d", 0xFF, 0xFF, 0xFF, 0x7F), r"numbers of 0 to 64, found 268435454"),
        (in_base64("d", 66), "numbers of 0 to 64, found 65"),
        (in_base64("d", 1, 1, 1, 1), "expected the text that this set of clients has"),  # The bitmap is shorter.
        (in_base64("b", 1), "expected the text that this set of clients has"),  # The difference is as short.
        (in_base64("b", 15, 0), "expected the text that this set of clients has"),
        (in_base64("b", 0), "expected the text that this set of clients has"),
        (in_base64("b", 0, 0, 0, 0, 0, 0, 0, 0, 255), "numbers of 0 to 64, found 71"),
        (in_base64("b", *[255] * 10), "at most 9 bytes"),
        (in_base64("d", *[1] * 10), "at most 9 bytes"),
    ],
)
def test_other_texts_are_refused(text: str, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match) as caught:
        decode_clients(text, size=65)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("clients", "match"),
    [
        ([1, 2, 1], "client 1 more than once"),
        ([-1], "numbered 0 to 64"),
        ([65], "numbered 0 to 64"),
        ([10**400], "numbered 0 to 64"),
        ([-(10**400)], "numbered 0 to 64"),
        ([1.0], "expected integers, found float"),
        ([True], "expected integers, found bool"),
        (["1"], "expected integers, found str"),
        ("12", "expected the numbers of clients, found str"),
        (7, "expected the numbers of clients, found int"),
        (range(66), "numbered 0 to 64"),
        ([0] * 66, "more than once"),
        (np.array([[1]]), "in one dimension"),
        (np.array([1.5]), "array of float64"),
        (np.array([True]), "array of bool"),
        (np.array([2**64 - 1], dtype=np.uint64), "numbered 0 to 64"),
    ],
)
def test_what_is_no_set_of_clients_is_refused(clients: Any, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        checked_clients("participants", clients, size=65)


@pytest.mark.parametrize(
    "clients",
    [[3, 0, 64], {0, 3, 64}, np.array([64, 3, 0], dtype=np.uint8), iter([3, 64, 0]), map(np.int64, [3, 0, 64])],
)
def test_clients_may_come_in_any_order_and_kind(clients: Any) -> None:
    assert checked_clients("participants", clients, size=65).tolist() == [0, 3, 64]
