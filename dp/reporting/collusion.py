"""The number of colluding clients against which the guarantee of a ledger's releases holds, if it was recorded."""

from collections.abc import Iterable
from typing import Final

from dp.events import Trust
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Detail,
    LedgerEntry,
)
from dp.reporting.wording import trusts

_WITHOUT_THE_SERVER: Final = (
    "any number of clients, as long as the party that adds the noise helps none of them: it sees the exact sum"
)
_NOT_HIDDEN: Final = (
    "any number of clients, as long as the party that adds the noise helps none of them: it sees every client's vector"
)
_WITH_THE_SERVER: Final = (
    "any number of clients, also together with the server: each client's vector has enough noise by itself"
)


def updates_hidden(entries: Iterable[LedgerEntry]) -> bool:
    """Return whether no release says that the protocol showed single vectors to the server."""
    return all(_details(entry).get(UPDATES_HIDDEN_DETAIL) != "no" for entry in entries)


def colluders(entries: Iterable[LedgerEntry]) -> str:
    """Return in words how many clients may collude with the server, the least number over all releases.

    The number matters only for noise shares: noise that one party adds does not depend on other parties.
    """
    found = tuple(entries)
    shared = [entry for entry, trust in zip(found, trusts(found), strict=True) if trust is Trust.DISTRIBUTED]
    if not found:
        return "nothing released yet"
    if not shared:
        trusting = [entry for entry, trust in zip(found, trusts(found), strict=True) if trust is not Trust.LOCAL]
        if not trusting:
            return _WITH_THE_SERVER
        return _WITHOUT_THE_SERVER if updates_hidden(trusting) else _NOT_HIDDEN
    if not updates_hidden(shared):
        return "none: the guarantee does not hold even against the server alone, which saw every client's vector"
    known = [each for entry in shared if (each := _withstood(_details(entry))) is not None]
    missing = len(shared) - len(known)
    if not known:
        return "not recorded"
    _, words = min(known)
    parts = [words]
    if missing:
        parts.append(f"not recorded for {missing:,} of {len(shared):,} releases")
    return "; ".join(parts)


def _details(entry: LedgerEntry) -> dict[str, Detail]:
    return {} if entry.commitment is None else dict(entry.commitment.details)


def _withstood(details: dict[str, Detail]) -> tuple[int, str] | None:
    """Return the number of colluding clients against which one release holds, also in words; None if not recorded."""
    noise, summing, clients = (
        details.get(name) for name in (NOISE_COLLUDING_DETAIL, SUM_COLLUDING_DETAIL, CLIENTS_DETAIL)
    )
    if not isinstance(noise, int):
        return None
    of = f" of {clients:,} clients" if isinstance(clients, int) else " clients"
    if isinstance(summing, int) and not min(noise, summing):
        words = f"0{of} may help the server, not even one"
        if noise != summing:
            words += (
                f". (The protocol that sums withstands {summing:,} colluding clients; the noise leaves out the "
                f"share of {noise:,}.)"
            )
        return 0, words
    if not isinstance(summing, int):
        return noise, f"at most {noise:,}{of}, by the noise; not recorded for the protocol that sums"
    least = min(noise, summing)
    words = f"at most {least:,}{of} colluding with the server"
    if noise != summing:
        words += f"; the protocol that sums withstands {summing:,}, the noise {noise:,}"
    return least, words
