"""The number of clients that may collude, in words, by the details of a ledger's releases."""

from typing import Any

import pytest

from dp.events import GaussianEvent, PrivacyEvent, Trust
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Detail,
    LedgerEntry,
)
from dp.reporting.collusion import colluders, updates_hidden
from tests.support.ledgers import EVENT, MemoryLocation

CENTRAL = GaussianEvent(noise_multiplier=40.0)


def entries(*releases: dict[str, Detail], event: PrivacyEvent = EVENT) -> tuple[LedgerEntry, ...]:
    """Return the entries of a ledger with these releases, by their details."""
    with MemoryLocation().create() as ledger:
        for details in releases:
            ledger.commit(ledger.reserve(event, "release"), contributors=100, details=details)
        return ledger.entries()


def shares(noise: int | None, summing: int | None, **more: Detail) -> dict[str, Detail]:
    """Return the details of a release with noise in shares."""
    found: dict[str, Any] = {
        TRUST_DETAIL: Trust.DISTRIBUTED.value,
        NOISE_COLLUDING_DETAIL: noise,
        SUM_COLLUDING_DETAIL: summing,
        CLIENTS_DETAIL: 300,
    }
    return {name: value for name, value in (found | more).items() if value is not None}


@pytest.mark.parametrize(
    ("noise", "summing", "words"),
    [
        (15, 15, "at most 15 of 300 clients colluding with the server"),
        (
            15,
            9,
            "at most 9 of 300 clients colluding with the server; the protocol that sums withstands 9, the noise 15",
        ),
        (
            9,
            15,
            "at most 9 of 300 clients colluding with the server; the protocol that sums withstands 15, the noise 9",
        ),
        (0, 0, "0 of 300 clients may help the server, not even one"),
        (15, None, "at most 15 of 300 clients, by the noise; not recorded for the protocol that sums"),
        (None, 15, "not recorded"),
    ],
)
def test_least_of_noise_and_protocol_counts(noise: int | None, summing: int | None, words: str) -> None:
    assert colluders(entries(shares(noise, summing))) == words


def test_least_over_all_releases_counts_and_missing_ones_are_named() -> None:
    found = colluders(entries(shares(15, 15), shares(7, 7), shares(None, None)))
    assert found == "at most 7 of 300 clients colluding with the server; not recorded for 1 of 3 releases"


def test_protocol_that_shows_vectors_withstands_nobody() -> None:
    seen = entries(shares(15, 15), shares(15, 15, **{UPDATES_HIDDEN_DETAIL: "no"}))
    assert not updates_hidden(seen)
    assert (
        colluders(seen)
        == "none: the guarantee does not hold even against the server alone, which saw every client's vector"
    )
    assert updates_hidden(entries(shares(15, 15, **{UPDATES_HIDDEN_DETAIL: "yes"})))


def test_noise_that_one_party_adds_depends_on_no_other() -> None:
    assert colluders(()) == "nothing released yet"
    central = entries({TRUST_DETAIL: Trust.CENTRAL.value}, event=CENTRAL)
    local = entries({TRUST_DETAIL: Trust.LOCAL.value}, event=CENTRAL)
    assert "as long as the party that adds the noise helps none of them" in colluders(central)
    assert "also together with the server" in colluders(local)
    assert "as long as the party that adds the noise helps none of them" in colluders((*central, *local))
