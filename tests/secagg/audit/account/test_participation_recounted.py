"""The audit's own reading of who was asked."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp.ledger.participants import encode_clients
from secagg.audit.account.participation import Asking, Recount, clients_of


@given(st.sets(st.integers(0, 5000), max_size=60) | st.sets(st.integers(0, 40)))
def test_text_of_any_set_is_read_as_the_ledger_wrote_it(clients: set[int]) -> None:
    text = encode_clients(np.array(sorted(clients), dtype=np.int64))
    assert clients_of(text) == tuple(sorted(clients))


def _text(letter: str, *octets: int) -> str:
    return letter + base64.b64encode(bytes(octets)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        _text("c", 1),
        _text("d", 1, 0),
        _text("d", 0x80),
        _text("d", 0x80, 0x80, 0x80, 0x80, 1),
        "d?",
        "d\u00e9",
    ],
)
def test_text_of_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|base64|ascii|ASCII|padding|characters"):
        clients_of(text)


def _recount(*askings: Asking) -> Recount:
    return Recount(
        by_client=True,
        adaptive=False,
        cap=2,
        accounting="fixed",
        order=None,
        epsilon=1.0,
        delta=1e-3,
        askings=askings,
    )


def test_client_above_the_cap_is_named_with_the_reservation() -> None:
    askings = [Asking(number=number, label="", clients=(number, 7)) for number in (1, 2, 3)]
    assert _recount(*askings[:2]).above_cap(2) == ""
    assert _recount(*askings).above_cap(2) == (
        "Reservation 3 asks client 7, whom 2 earlier reservations have asked, and the cap is 2."
    )
    assert _recount(*askings).counts() == {7: 3, 1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("missing", "contributors", "said"),
    [((2,), 2, ""), ((), 3, ""), ((5,), 2, "client 5 as missing"), ((2,), 3, "3 contributors"), ((), 2, "2 contrib")],
)
def test_commitment_that_contradicts_who_was_asked_is_named(
    missing: tuple[int, ...], contributors: int, said: str
) -> None:
    asking = Asking(number=1, label="", clients=(1, 2, 3), missing=missing, contributors=contributors)
    found = _recount(asking).stranger()
    assert said in found
    assert bool(said) == bool(found)
