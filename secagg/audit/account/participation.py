"""Who was asked by the reservations of a ledger, read and counted again by code of the audit's own.

The counts of `dp.ledger` are what is audited, so nothing here calls them: the records are read as JSON, and the text of
a set of clients is decoded byte by byte. A ledger that asked a client too often, and was opened by software that counts
as wrongly, is noticed all the same.
"""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_DIGITS: Final = 7
_LOW: Final = (1 << _DIGITS) - 1
_MOST_DIGITS: Final = 3 * _DIGITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One reservation, with what its commitment says of the clients.

    Attributes:
        number: The number of the reservation.
        label: Its label.
        clients: The clients that it asks, ascending; None if it names nobody, so that it asks everybody.
        missing: Those who were asked and are not in the sum; None without a commitment.
        contributors: How many are in the sum; None without a commitment.
    """

    number: int
    label: str
    clients: tuple[int, ...] | None
    missing: tuple[int, ...] | None = None
    contributors: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """The participation that a ledger records.

    Attributes:
        by_client: Whether reservations are charged to the clients that they ask. Otherwise everybody is charged.
        adaptive: Whether cohorts, or the time to stop, may depend on results.
        cap: The most reservations that may ask one client; None without a cap.
        accounting: How releases are charged: "fixed", "gaussian-filter" or "renyi-filter".
        order: The order of a Renyi filter; None without one.
        epsilon: Epsilon of the budget.
        delta: Delta of the budget.
        askings: All reservations, in order.
    """

    by_client: bool
    adaptive: bool
    cap: int | None
    accounting: str
    order: float | None
    epsilon: float
    delta: float
    askings: tuple[Asking, ...]

    @classmethod
    def of(cls, bodies: Sequence[bytes]) -> "Recount":
        """Read the records of a ledger, the budget first.

        Raises:
            ValueError: They are not such records, or a text names no set of clients.
        """
        try:
            budget, *records = [json.loads(body) for body in bodies]
            return cls._of(budget, records)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"records: expected those of a ledger, found others ({type(error).__name__})") from None

    @classmethod
    def _of(cls, budget: dict[str, Any], records: Sequence[dict[str, Any]]) -> "Recount":
        participation = budget.get("participation") or {}
        commitments = {record["number"]: record for record in records if record["type"] == "commitment"}
        return cls(
            by_client=bool(participation) and budget["towards"] == "server",
            adaptive=bool(participation) and participation.get("adaptive", True),
            cap=participation.get("cap"),
            accounting=budget.get("accounting", "fixed"),
            order=budget.get("order"),
            epsilon=float(budget["epsilon"]),
            delta=float(budget["delta"]),
            askings=tuple(
                _asking(record, commitments.get(record["number"]))
                for record in records
                if record["type"] == "reservation"
            ),
        )

    @property
    def claims_budget(self) -> bool:
        """Whether the guarantee is the budget, since results may decide on later releases or on when to stop."""
        return self.adaptive or self.filtered

    @property
    def filtered(self) -> bool:
        """Whether the ledger has a filter."""
        return self.accounting != "fixed"

    def counts(self) -> Counter[int]:
        """Return how many reservations asked each client."""
        found: Counter[int] = Counter()
        for asking in self.askings:
            found.update(asking.clients or ())
        return found

    def above_cap(self, cap: int) -> str:
        """Return who was asked more often than a cap allows, in a sentence; empty if nobody was."""
        counts: Counter[int] = Counter()
        for asking in self.askings:
            counts.update(asking.clients or ())
            client = next((each for each in asking.clients or () if counts[each] > cap), None)
            if client is not None:
                return (
                    f"Reservation {asking.number} asks client {client}, whom {counts[client] - 1} earlier reservations "
                    f"have asked, and the cap is {cap}."
                )
        return ""

    def stranger(self) -> str:
        """Return whose contribution or absence contradicts who was asked, in a sentence; empty if nobody's does."""
        for asking in self.askings:
            if asking.clients is None or asking.missing is None:
                continue
            strangers = set(asking.missing) - set(asking.clients)
            if strangers:
                return (
                    f"The commitment of reservation {asking.number} names client {min(strangers)} as missing, who was "
                    "not asked."
                )
            if asking.contributors != len(asking.clients) - len(asking.missing):
                return (
                    f"The commitment of reservation {asking.number} has {asking.contributors} contributors. "
                    f"{len(asking.clients)} clients were asked, and {len(asking.missing)} are missing."
                )
        return ""


def clients_of(text: str) -> tuple[int, ...]:
    """Return the set of clients that a text names, ascending.

    After a letter, the text is base64: after `d`, of the differences of the sorted numbers, the first one from -1, each
    with seven bits to a byte, the lowest first, and the highest bit set in all bytes but its last; after `b`, of a
    bitmap, in which client i is bit i % 8 of byte i // 8.

    Raises:
        ValueError: The text is none of these.
    """
    form, content = text[:1], base64.b64decode(text[1:], validate=True)
    if form == "b":
        return tuple(8 * place + bit for place, octet in enumerate(content) for bit in range(8) if octet >> bit & 1)
    if form != "d":
        raise ValueError("clients: expected d or b at the beginning of their text, found another letter")
    found, client, difference, shift = list[int](), -1, 0, 0
    for octet in content:
        difference |= (octet & _LOW) << shift
        shift += _DIGITS
        if octet > _LOW:
            if shift > _MOST_DIGITS:
                raise ValueError("clients: expected numbers of at most 4 bytes, found a longer one")
            continue
        if not difference:
            raise ValueError("clients: expected ascending numbers, found a client twice")
        client += difference
        found.append(client)
        difference = shift = 0
    if shift:
        raise ValueError("clients: expected whole numbers, found one that is cut short")
    return tuple(found)


def _asking(reservation: dict[str, Any], commitment: dict[str, Any] | None) -> Asking:
    text = reservation.get("participants")
    missing = None if commitment is None else commitment.get("missing")
    return Asking(
        number=reservation["number"],
        label=reservation["label"],
        clients=None if text is None else clients_of(text),
        missing=None if commitment is None else () if missing is None else clients_of(missing),
        contributors=None if commitment is None else commitment["contributors"],
    )
