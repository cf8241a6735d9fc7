"""How often each client of a population was asked, and who may be asked again."""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least
from dp.errors import InvalidParameter, ParticipationExceeded
from dp.events import Observer
from dp.ledger.participants import Clients, checked_clients
from dp.ledger.records import Budget

_SHOWN: Final = 5


class Rounds:
    """The number of reservations that asked each client.

    A client counts from its reservation on, whatever becomes of the release.

    Args:
        clients: The number of clients.
        cap: The most reservations that ask one client; None: no cap.
        may_be_empty: Whether a release may ask nobody, as after an independent draw of each client.

    Attributes:
        counts: How many reservations asked each client; shape `(clients,)`, uint32.
    """

    def __init__(self, clients: int, *, cap: int | None, may_be_empty: bool) -> None:
        self.counts: NDArray[np.uint32] = np.zeros(clients, dtype=np.uint32)
        self._cap = cap
        self._may_be_empty = may_be_empty

    @classmethod
    def of_budget(cls, budget: Budget) -> Self | None:
        """Return the counts of a new ledger with this budget, None without a participation."""
        if budget.participation is None:
            return None
        may_be_empty = budget.towards is Observer.READERS
        return cls(budget.clients, cap=budget.participation.cap, may_be_empty=may_be_empty)

    def checked(self, participants: object) -> Clients:
        """Return the clients that a release asks, sorted.

        Raises:
            InvalidParameter: They are not distinct integers of the population, or there are none. A draw for readers
                may be empty.
        """
        found = checked_clients("participants", participants, size=len(self.counts))
        if not len(found) and not self._may_be_empty:
            raise InvalidParameter(
                "participants: expected at least 1 client, found none. Ask somebody, or reserve nothing."
            )
        return found

    def check_cap(self, name: str, clients: Clients) -> None:
        """Refuse a release that asks clients who were asked as often as the cap allows.

        Args:
            name: The beginning of the message.
            clients: The clients that it asks.

        Raises:
            ParticipationExceeded: At least one of them was; the message says how many, and the first five.
        """
        if self._cap is None:
            return
        full = clients[self.counts[clients] >= self._cap]
        if len(full):
            first = ", ".join(map(str, full[:_SHOWN].tolist()))
            raise ParticipationExceeded(
                f"{name}: expected clients that were asked in fewer than {self._cap} reservations, the cap, found "
                f"{len(full)} that were asked in {self._cap} (the first: {first}). Ask clients of `Ledger.eligible`."
            )

    def left(self, clients: Clients) -> int | None:
        """Return how many more releases may ask all of these clients, None if there is no cap."""
        if self._cap is None or not len(clients):
            return self._cap
        return self._cap - int(self.counts[clients].max())

    def of(self, client: int) -> int:
        """Return how many reservations asked a client.

        Raises:
            InvalidParameter: It is not a client of the population.
        """
        return int(self.counts[self.client(client)])

    def client(self, client: object) -> int:
        """Return the number of a client.

        Raises:
            InvalidParameter: It is not a client of the population.
        """
        return integer_at_least("client", client, 0, maximum=len(self.counts) - 1)

    def eligible(self) -> tuple[int, ...]:
        """Return the clients that were asked less often than the cap allows, ascending; everybody without a cap."""
        return tuple(range(len(self.counts)) if self._cap is None else np.flatnonzero(self.counts < self._cap).tolist())

    def add(self, clients: Clients) -> None:
        """Count a reservation that asks these clients."""
        self.counts[clients] += 1
