"""What a ledger can be asked: its entries, what is spent, and what is left."""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import Guarantee
from dp.errors import IncompatibleLedger, LedgerStale
from dp.events import GaussianEvent, PrivacyEvent
from dp.ledger.account import Account
from dp.ledger.charges import FilteredCharges
from dp.ledger.log import RecordLog, head_after, kept_head, position_of
from dp.ledger.records import LedgerEntry


class LedgerView:
    """A ledger as its readers see it.

    Args:
        log: Where its records are kept.
        bodies: The records.

    Attributes:
        budget: The first record.

    Raises:
        LedgerCorrupt: The records are not those of a ledger.
    """

    def __init__(self, log: RecordLog, bodies: list[bytes]) -> None:
        self._log = log
        self._bodies = bodies
        self._head = head_after(bodies)
        self._account = Account(bodies, name=log.name)
        self.budget: Final = self._account.budget

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all reserved releases in the order of their reservations."""
        return self._account.entries()

    def spent(self, client: int | None = None) -> Guarantee:
        """Return the guarantee that all reserved releases satisfy together at the budget's delta.

        Args:
            client: With participation, the number of a client whose guarantee is asked for; None: that of the worst
                client, which holds for everybody.

        Formal guarantees:
            If the statement is towards the server, the unit's contributions to all releases that asked its client are
            hidden from everyone who sees all cohorts and all releases, the server included. If it is towards readers,
            it holds only against those of `Observer.READERS`. Relation, unit and delta are those of the budget.

            `claim` says what `epsilon` is. Where results of earlier releases may have decided on events, on cohorts or
            on when to stop, it is the epsilon of the budget, whatever part of it is used. That a run was stopped early
            because of its results does not make the guarantee better. Neither does a client's count that stayed below
            its cap. The same holds for a ledger that claims what was spent, if a run is stopped, or continued as by
            `--resume` with more rounds, after a look at its results: then the epsilon of the budget is guaranteed, and
            the epsilon at the stop is not.

        Raises:
            IncompatibleLedger: `client` is given, and the ledger has no participation.
            InvalidParameter: `client` is not a client of the population.
        """
        return self._account.guarantee(client)

    def rounds_of(self, client: int) -> int:
        """Return how many reservations asked a client, whatever became of their releases.

        Raises:
            IncompatibleLedger: The ledger has no participation.
            InvalidParameter: It is not a client of the population.
        """
        return self._account.counted_rounds().of(client)

    def rounds_by_client(self) -> NDArray[np.uint32]:
        """Return how many reservations asked each client; shape `(clients,)`, uint32, read-only.

        Who took part is not for publication: reports show the least, the median and the most of the counts.

        Raises:
            IncompatibleLedger: The ledger has no participation.
        """
        counts = self._account.counted_rounds().counts.copy()
        counts.flags.writeable = False
        return counts

    def eligible(self) -> tuple[int, ...]:
        """Return the clients that were asked less often than the cap allows, ascending; all clients without a cap.

        Raises:
            IncompatibleLedger: The ledger has no participation.
        """
        return self._account.counted_rounds().eligible()

    @property
    def limit(self) -> float | None:
        """The most that a filter may charge one client, rounded down: the largest mu^2, or B(a); None without one."""
        charges = self._account.charges
        return charges.rule.limit if isinstance(charges, FilteredCharges) else None

    def charged(self, client: int | None = None) -> float | None:
        """Return what a filter has charged the worst client, or one client, in the unit of `limit`, rounded up.

        Returns:
            The sum of 1/z^2, or of divergences of the ledger's order; None without a filter.

        Raises:
            IncompatibleLedger: `client` is given, and the ledger has no participation.
            InvalidParameter: `client` is not a client of the population.
        """
        number, charges = self._account.charged_client(client), self._account.charges
        return charges.charged(number) if isinstance(charges, FilteredCharges) else None

    def left(self, client: int | None = None) -> float | None:
        """Return what a filter may still charge the worst client, or one client, in the unit of `limit`, rounded down.

        Raises:
            IncompatibleLedger: `client` is given, and the ledger has no participation.
            InvalidParameter: `client` is not a client of the population.
        """
        number, charges = self._account.charged_client(client), self._account.charges
        return charges.left(number) if isinstance(charges, FilteredCharges) else None

    def unsupported_realised(self) -> tuple[int, ...]:
        """Return the numbers of the reservations whose realised event may cost more than the reserved one, in order.

        `commit` never records such an event, but a file may hold one: reading compares parameters only, because the
        cost of an event depends on the version of the accountant. What is spent rests on the reserved events alone.
        """
        return self._account.unsupported_realised()

    def remaining(self, event: PrivacyEvent, *, participants: Iterable[int] | None = None) -> int:
        """Return how many more of `event` fit into the budget, at most 2**40.

        Args:
            event: The event of each further release.
            participants: With participation, the clients that each of them asks, whose caps count too; None: everybody.

        Raises:
            IncompatibleEvent: The relation or unit of `event` is not that of the budget, or the ledger's accounting
                cannot take it.
            IncompatibleLedger: Participants are given, and the ledger has no participation.
            InvalidParameter: `event` is not a privacy event, or the participants are not distinct clients of the
                population.
        """
        clients = None if participants is None else self._account.clients(participants)
        return self._account.remaining(event, clients)

    def least_multiplier(
        self,
        releases: int,
        *,
        participants: Iterable[int] | None = None,
        event_of: Callable[[float], PrivacyEvent] | None = None,
    ) -> float:
        """Return the least noise multiplier with which a number of further releases stays within what is left.

        With `Accounting.GAUSSIAN_FILTER` it is sqrt(releases / left()), rounded up; otherwise it is searched for.

        Args:
            releases: How many more releases ask the same clients, at least 1: for a population with cohorts, the most
                that one client is asked for.
            participants: With participation, these clients; None: everybody, so that the worst client counts.
            event_of: Returns the event of one release, given its noise multiplier; by default Gaussian noise without
                sampling.

        Raises:
            IncompatibleEvent: The accounting cannot take the event: for example, it takes one kind of event only, and
                the noise of that is fixed.
            InfeasibleTarget: Nothing is left, or the noise multiplier needed is above 1e12.
            IncompatibleLedger: Participants are given, and the ledger has no participation.
            InvalidParameter: An argument is out of range.
        """
        clients = None if participants is None else self._account.clients(participants)
        budget = self.budget

        def gaussian(multiplier: float) -> GaussianEvent:
            return GaussianEvent(noise_multiplier=multiplier, relation=budget.relation, unit=budget.unit)

        return self._account.least_multiplier(releases, clients, gaussian if event_of is None else event_of)

    def check_clients(self, digest: str) -> None:
        """Raise an error if client i of this ledger is not client i of a population.

        Args:
            digest: The digest of the population's identities (`clients_digest`).

        Raises:
            IncompatibleLedger: The ledger has no participation, or that of another population.
        """
        self._account.counted_rounds()
        known = self.budget.participation
        if known is not None and known.clients != digest:
            raise IncompatibleLedger(
                f"{self._log.name}: expected the population of the digest {known.clients}, found another one. Use the "
                "same clients in the same order, or make a new ledger. The costs of both ledgers add up."
            )

    def records_after(self, head: str) -> int:
        """Return how many records were written after the one with this `head`; 0 if it is the last.

        Raises:
            LedgerStale: No record has that digest.
            InvalidParameter: `head` is not 64 hexadecimal digits.
        """
        position = position_of(kept_head(head), self._bodies)
        if position is None:
            raise stale(self._log, "that head")
        return len(self._bodies) - 1 - position

    @property
    def head(self) -> str:
        """Digest of the last record, in hexadecimal.

        Keep it elsewhere after each `reserve` and `commit` and give it to `open`: this shows whether the file still
        holds everything that it held then. If the process ends between a `reserve` and the saving of the head, the file
        has one record more than that head. That is harmless.
        """
        return self._head.hex()


def stale(log: RecordLog, head: str) -> LedgerStale:
    """Return the error that a log lacks the record of a head, which is named in words."""
    return LedgerStale(
        f"{log.name}: expected the record with {head}, found {len(log.bodies)} records without it. The file was cut or "
        "rebuilt, or is an older copy or another ledger. Restore the latest copy."
    )
