"""Who took part, as far as a report says it: how often clients were asked, and how many at once, never which.

A ledger with participation holds the numbers of the clients that each reservation asked. A report holds only the least,
the median and the greatest of their counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.events import Observer, PrivacyEvent, decompose
from dp.figures import in_full
from dp.ledger.ledger import Ledger
from dp.ledger.participants import Clients, decode_clients
from dp.ledger.records import Budget, LedgerEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distribution of counts, as far as a report says it."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, counts: ArrayLike) -> "Spread":
        """Return the spread of at least one count."""
        found = np.asarray(counts)
        return cls(least=int(found.min()), median=float(np.median(found)), most=int(found.max()))

    def in_words(self, what: str) -> str:
        """Return the figures with the name of what they count, or one figure if all are the same."""
        if self.least == self.most:
            return f"{self.least:,} {what}"
        return f"{self.least:,} to {self.most:,} {what}, {in_full(self.median)} in the median"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedParticipation:
    """The participation of a population.

    Attributes:
        clients: The number of clients.
        cap: The most reservations that may ask one client; None: no cap.
        adaptive: Whether cohorts, or the time to stop, may depend on earlier releases.
        rounds: How many reservations asked a client.
        asked: How many clients a reservation asked; None if there is no reservation.
        eligible: The number of clients that the cap still allows to be asked.
    """

    clients: int
    cap: int | None
    adaptive: bool
    rounds: Spread
    asked: Spread | None
    eligible: int

    @classmethod
    def of(cls, ledger: Ledger, asked: Sequence[int]) -> "ReportedParticipation | None":
        """Return the participation of a ledger, None if each of its releases asks everybody.

        Args:
            ledger: The ledger.
            asked: How many clients each reservation asked.
        """
        known = ledger.budget.participation
        if known is None:
            return None
        return cls(
            clients=ledger.budget.clients,
            cap=known.cap,
            adaptive=known.adaptive,
            rounds=Spread.of(ledger.rounds_by_client()),
            asked=Spread.of(asked) if asked else None,
            eligible=len(ledger.eligible()),
        )

    @property
    def in_words(self) -> str:
        """The counts as a phrase."""
        cap = "no cap" if self.cap is None else f"cap {self.cap:,}"
        words = f"{self.clients:,} clients ({cap}); a client was asked for {self.rounds.in_words('releases')}"
        return words if self.asked is None else f"{words}; a release asked {self.asked.in_words('clients')}"


def cohort(entry: LedgerEntry, budget: Budget) -> Clients:
    """Return the numbers of the clients that a reservation asked, in a ledger with participation."""
    participants = entry.reservation.participants
    if participants is None:
        raise TypeError("entry: expected one of a ledger with participation, found one without participants")
    return decode_clients(participants, size=budget.clients)


def charged_events(entries: Sequence[LedgerEntry], budget: Budget) -> tuple[PrivacyEvent | None, ...]:
    """Return, for each release, the event by which it raises the account of the client that was charged most.

    It is None if the release raises no count: if none of the clients that it asks was charged its event as often as the
    client that was charged it most. So the events up to a release, composed, bound the account of every client after
    that release. If all events are of one kind, this is the account of the client that was charged most.
    """
    if budget.towards is not Observer.SERVER:
        return tuple(entry.reservation.event for entry in entries)
    most = Counter[PrivacyEvent]()
    counts: dict[PrivacyEvent, NDArray[np.uint32]] = {}
    found: list[PrivacyEvent | None] = []
    for entry in entries:
        event, asked = entry.reservation.event, cohort(entry, budget)
        row = counts.setdefault(event, np.zeros(budget.clients, dtype=np.uint32))
        row[asked] += 1
        raised = bool(len(asked)) and int(row[asked].max()) > most[event]
        most[event] += raised
        found.append(event if raised else None)
    return tuple(found)


def realised_events(entries: Sequence[LedgerEntry], budget: Budget) -> tuple[PrivacyEvent | None, ...]:
    """Return, for each release, the event with the noise that was in it, for the client with the least noise in all.

    That is the client with the largest sum of 1/z^2 over its releases. It is None if that client was not asked.
    """
    realised = tuple(realised_event(entry) for entry in entries)
    if budget.towards is not Observer.SERVER:
        return realised
    sums = np.zeros(budget.clients)
    for entry, event in zip(entries, realised, strict=True):
        sums[cohort(entry, budget)] += decompose(event)[0] / event.noise_multiplier**2
    least = int(np.argmax(sums))
    return tuple(
        event if least in cohort(entry, budget) else None for entry, event in zip(entries, realised, strict=True)
    )


def realised_event(entry: LedgerEntry) -> PrivacyEvent:
    """Return the event with the noise that was in a release, or the reserved one if that was not recorded."""
    commitment = entry.commitment
    return entry.reservation.event if commitment is None or commitment.realised is None else commitment.realised
