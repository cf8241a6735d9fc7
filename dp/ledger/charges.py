"""What each client has been charged: the account of a ledger's reservations, by client.

There are three kinds, one for each way in which events can be compared:

- `WholeCharges`: everybody is charged for every release, and the events are composed by all accountants.
- `CountedCharges`: each client is charged for the releases that ask it, and its events are composed by all accountants.
  No one number compares two sets of events. So the worst client is found among the different rows of counts, and of
  these only among those that no other row exceeds in every count.
- `FilteredCharges`: each client is charged by a filter (`dp.ledger.filters`). The worst client is the one with most.

Charges depend on who is asked and on the events, never on what a client sends.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import Guarantee, guarantee
from dp.errors import IncompatibleEvent
from dp.events import Observer, PrivacyEvent
from dp.ledger.filters import UNITS, Filter, filter_of, rounded_up
from dp.ledger.participants import Clients
from dp.ledger.records import Budget
from dp.ledger.remaining import MAXIMUM_REMAINING, remaining, within

MAXIMUM_KINDS: Final = 16
"""The most different events in a ledger without a filter that counts clients; each has one count for each client."""

EVERYBODY: Final[Clients] = np.zeros(1, dtype=np.int64)
"""The clients that a release asks, where everybody is charged together as client 0."""
EVERYBODY.flags.writeable = False

Events = Mapping[PrivacyEvent, int]


class EventCounts:
    """How often each client was charged each event, for at most 16 different events.

    Args:
        clients: The number of clients.
    """

    def __init__(self, clients: int) -> None:
        self.by_event: dict[PrivacyEvent, NDArray[np.uint32]] = {}
        self._clients = clients

    def has_room(self, event: PrivacyEvent) -> bool:
        """Return whether an event is known, or may still be added."""
        return event in self.by_event or len(self.by_event) < MAXIMUM_KINDS

    def add(self, event: PrivacyEvent, clients: Clients) -> None:
        """Count an event for these clients."""
        if event not in self.by_event:
            self.by_event[event] = np.zeros(self._clients, dtype=np.uint32)
        self.by_event[event][clients] += 1

    def of(self, client: int) -> Counter[PrivacyEvent]:
        """Return the events of a client."""
        return Counter({event: int(counts[client]) for event, counts in self.by_event.items() if counts[client]})


class Charges(ABC):
    """The charges of the clients of a ledger, which are numbered from 0."""

    @abstractmethod
    def check(self, event: PrivacyEvent) -> None:
        """Refuse an event that this way of accounting cannot take.

        Raises:
            IncompatibleEvent: It cannot; the message says why.
        """

    @abstractmethod
    def admits(self, event: PrivacyEvent, clients: Clients, count: int = 1) -> bool:
        """Return whether `count` more of `event` stay within the budget for each of these clients."""

    @abstractmethod
    def remaining(self, event: PrivacyEvent, clients: Clients) -> int:
        """Return how many more of `event` stay within the budget for each of these clients, at most 2**40."""

    @abstractmethod
    def add(self, event: PrivacyEvent, clients: Clients) -> None:
        """Charge an event to these clients."""

    @abstractmethod
    def worst(self, clients: Clients | None = None) -> int:
        """Return the number of the client who was charged most, of all or of some."""

    @abstractmethod
    def events(self, client: int) -> Events | None:
        """Return how often each event was charged to a client; None if only the reservations tell."""


class WholeCharges(Charges):
    """Charges of everybody together.

    Args:
        budget: The budget.
        adaptive: Whether cohorts, or the time to stop, may depend on results, so that there is one kind of event only.
    """

    def __init__(self, budget: Budget, *, adaptive: bool) -> None:
        self._events: Counter[PrivacyEvent] = Counter()
        self._budget = budget
        self._adaptive = adaptive

    def check(self, event: PrivacyEvent) -> None:
        """See `Charges.check`."""
        if self._adaptive:
            check_kind(event, self._events)

    def admits(self, event: PrivacyEvent, clients: Clients, count: int = 1) -> bool:  # noqa: ARG002
        """See `Charges.admits`."""
        return within(self._events, event, count, self._budget)

    def remaining(self, event: PrivacyEvent, clients: Clients) -> int:  # noqa: ARG002
        """See `Charges.remaining`."""
        return remaining(self._events, event, budget=self._budget)

    def add(self, event: PrivacyEvent, clients: Clients) -> None:  # noqa: ARG002
        """See `Charges.add`."""
        self._events[event] += 1

    def worst(self, clients: Clients | None = None) -> int:  # noqa: ARG002
        """See `Charges.worst`."""
        return 0

    def events(self, client: int) -> Events:  # noqa: ARG002
        """See `Charges.events`."""
        return self._events


class CountedCharges(Charges):
    """Counts of each event by client.

    Formal guarantees:
        For each client, all releases that asked it are together (epsilon, delta)-differentially private under relation
        and unit of the budget, towards everyone who sees all cohorts and releases. The events that were charged to the
        client say which epsilon, by all accountants. Cohorts and the time to stop may depend on earlier releases if
        there is one kind of event; then epsilon is that of the most releases that the budget admits (Theorem A).

    Args:
        budget: The budget, whose participation says how many clients there are.
        adaptive: Whether cohorts, or the time to stop, may depend on results, so that there is one kind of event only.
    """

    def __init__(self, budget: Budget, *, adaptive: bool) -> None:
        self._budget = budget
        self._adaptive = adaptive
        self._counts = EventCounts(budget.clients)

    def check(self, event: PrivacyEvent) -> None:
        """See `Charges.check`."""
        if self._adaptive:
            check_kind(event, self._counts.by_event)
        if not self._counts.has_room(event):
            raise IncompatibleEvent(
                f"event: expected at most {MAXIMUM_KINDS} different events in a ledger that counts clients without a "
                "filter, found one more. Make a ledger with a filter."
            )

    def admits(self, event: PrivacyEvent, clients: Clients, count: int = 1) -> bool:
        """See `Charges.admits`."""
        rows = self._rows(clients)
        # A row that no other exceeds anywhere costs no less than any of them, and mostly answers for all.
        if len(rows) > 1 and within(self._events_of(rows.max(axis=0)), event, count, self._budget):
            return True
        return all(within(self._events_of(row), event, count, self._budget) for row in rows)

    def remaining(self, event: PrivacyEvent, clients: Clients) -> int:
        """See `Charges.remaining`."""
        rows = self._rows(clients)
        return min(
            (remaining(self._events_of(row), event, budget=self._budget) for row in rows), default=MAXIMUM_REMAINING
        )

    def add(self, event: PrivacyEvent, clients: Clients) -> None:
        """See `Charges.add`."""
        self._counts.add(event, clients)

    def worst(self, clients: Clients | None = None) -> int:
        """See `Charges.worst`."""
        rows = self._rows(clients)
        if len(rows) > 1:
            costs = [guarantee_of(self._events_of(row), self._budget).epsilon for row in rows]
            row = rows[int(np.argmax(costs))]
        elif len(rows):
            row = rows[0]
        else:
            return 0
        if clients is None:
            clients = np.arange(self._budget.clients)
        matches = np.logical_and.reduce(
            [counts[clients] == count for counts, count in zip(self._counts.by_event.values(), row, strict=True)]
        )
        return int(clients[np.flatnonzero(matches)[0]])

    def events(self, client: int) -> Events:
        """See `Charges.events`."""
        return self._counts.of(client)

    def _rows(self, clients: Clients | None) -> NDArray[np.uint32]:
        """Return the different rows of counts of these clients, without those that another row exceeds everywhere."""
        if not self._counts.by_event or (clients is not None and not len(clients)):
            return np.zeros((0 if clients is not None and not len(clients) else 1, 0), dtype=np.uint32)
        columns = [counts if clients is None else counts[clients] for counts in self._counts.by_event.values()]
        if len(columns) == 1:
            return np.array([[columns[0].max()]], dtype=np.uint32)
        rows = np.unique(np.stack(columns, axis=1), axis=0)[::-1]
        kept: list[NDArray[np.uint32]] = []
        for row in rows:  # In descending order, so that no later row exceeds an earlier one.
            if not any((row <= other).all() for other in kept):
                kept.append(row)
        return np.array(kept)

    def _events_of(self, row: NDArray[np.uint32]) -> Counter[PrivacyEvent]:
        return Counter({event: int(count) for event, count in zip(self._counts.by_event, row, strict=True) if count})


class FilteredCharges(Charges):
    """Charges of each client by a filter, in units.

    Formal guarantees:
        If a release is made only where `admits` is true for the clients that it asks, all releases are together
        (epsilon, delta)-differentially private for each client, with the epsilon and delta of the filter's budget,
        under its relation and unit, towards everyone who sees all cohorts and releases. Noise, cohorts and the number
        of releases may depend on earlier releases (Theorems B and C). The part that is used is no guarantee.

    Args:
        rule: The filter.
        clients: The number of clients.
    """

    def __init__(self, rule: Filter, clients: int) -> None:
        self.rule: Final = rule
        self._units = np.zeros(clients, dtype=object)
        self._worst = 0
        self._counts: EventCounts | None = EventCounts(clients)

    def check(self, event: PrivacyEvent) -> None:
        """See `Charges.check`."""
        self.rule.check(event)

    def admits(self, event: PrivacyEvent, clients: Clients, count: int = 1) -> bool:
        """See `Charges.admits`."""
        return self._most(clients) + count * self.rule.units(event) <= UNITS

    def remaining(self, event: PrivacyEvent, clients: Clients) -> int:
        """See `Charges.remaining`."""
        return max(0, min(MAXIMUM_REMAINING, (UNITS - self._most(clients)) // self.rule.units(event)))

    def add(self, event: PrivacyEvent, clients: Clients) -> None:
        """See `Charges.add`."""
        self._units[clients] += self.rule.units(event)
        if self._counts is not None and self._counts.has_room(event):
            self._counts.add(event, clients)
        else:
            self._counts = None
        if len(clients):
            most = int(clients[np.argmax(self._units[clients])])
            if self._units[most] > self._units[self._worst]:
                self._worst = most

    def worst(self, clients: Clients | None = None) -> int:
        """See `Charges.worst`."""
        if clients is None:
            return self._worst
        return int(clients[np.argmax(self._units[clients])]) if len(clients) else 0

    def events(self, client: int) -> Events | None:
        """See `Charges.events`."""
        return None if self._counts is None else self._counts.of(client)

    def used(self, client: int) -> float:
        """Return the part of the filter's limit that is charged to a client, rounded up."""
        return rounded_up(Fraction(self._units[client], UNITS))

    def charge(self, event: PrivacyEvent) -> float:
        """Return what an event is charged, in the unit of the filter's limit, rounded up; possibly infinite.

        Raises:
            IncompatibleEvent: The filter cannot take the event; the message says why.
        """
        self.rule.check(event)
        return self.rule.charge(event)

    def charged(self, client: int) -> float:
        """Return what is charged to a client, in the unit of the filter's limit, rounded up."""
        return rounded_up(Fraction(self._units[client], UNITS) * Fraction(self.rule.limit))

    def left(self, client: int) -> float:
        """Return what may still be charged to a client, in the unit of the filter's limit, rounded down."""
        rest = Fraction(UNITS - self._units[client], UNITS) * Fraction(self.rule.limit)
        nearest = float(rest)
        return max(0.0, nearest if nearest <= rest else math.nextafter(nearest, -math.inf))

    def _most(self, clients: Clients) -> int:
        return int(self._units[clients].max()) if len(clients) else 0


def charges_of(budget: Budget) -> Charges:
    """Return the charges of a new ledger with this budget."""
    by_client = budget.towards is Observer.SERVER
    rule = filter_of(budget.accounting, epsilon=budget.epsilon, delta=budget.delta, order=budget.order)
    if rule is not None:
        return FilteredCharges(rule, budget.clients if by_client else 1)
    adaptive = budget.participation is not None and budget.participation.adaptive
    return CountedCharges(budget, adaptive=adaptive) if by_client else WholeCharges(budget, adaptive=adaptive)


def guarantee_of(events: Events, budget: Budget) -> Guarantee:
    """Return what events cost together, by all accountants, under relation, unit and delta of a budget."""
    return guarantee(events, delta=budget.delta, relation=budget.relation, unit=budget.unit)


def check_kind(event: PrivacyEvent, known: Mapping[PrivacyEvent, object]) -> None:
    """Refuse a second kind of event where cohorts, or the time to stop, may depend on results.

    Raises:
        IncompatibleEvent: There is already an event of another kind.
    """
    if known and event not in known:
        raise IncompatibleEvent(
            "event: expected the event of the earlier reservations, because cohorts or the time to stop may depend on "
            "results, found another one. Make a ledger with a filter, or one whose participation is not adaptive."
        )
