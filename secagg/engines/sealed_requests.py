"""The requests of one step as signed parcels, each made when it is read.

The first parcel to each party has the offer, and the first to each client also has the work. The work is read from
the model's own arrays, so besides these there is one parcel in memory for each that is being sent.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from protocols import Identity
from protocols.errors import OrderError
from secagg.engines.base import RoundPlan
from secagg.engines.parcel import Sealer


class StepSealer:
    """The signer of the requests of one step. Several threads may use it.

    Args:
        plan: The plan of the round.
        number: The number of the step.
        identity: The coordinator's identity.
        offer: The offer of the round as bytes.
    """

    def __init__(self, plan: RoundPlan, number: int, *, identity: Identity, offer: bytes) -> None:
        protocol, session = plan.mean.protocol, plan.session
        roles = [row.role for row in protocol.steps]
        known = {party for role in roles[:number] for party in protocol.parties(session, role)}
        new = set(protocol.parties(session, roles[number])) - known
        self._clients = new & set(session.clients)
        self._members = new - self._clients
        work = plan.work.pieces() if self._clients else ()
        self._work_bytes = sum(map(len, work))
        self._to_client = Sealer(identity, plan.serial, number, offer, work)
        self._to_member = Sealer(identity, plan.serial, number, offer, b"")
        self._later = Sealer(identity, plan.serial, number, b"", b"")

    def seal(self, party: int, body: bytes) -> bytes:
        """Return the parcel of a machine's request."""
        if party in self._clients:
            return self._to_client.seal(party, body)
        return (self._to_member if party in self._members else self._later).seal(party, body)

    def work_bytes(self, party: int) -> int:
        """Return how many bytes of a party's parcel are the work's."""
        return self._work_bytes if party in self._clients else 0


class SealedRequests(Mapping[int, bytes]):
    """The parcels of one exchange, by party. Several threads may read them, until `close`.

    Args:
        parties: The parties that are asked.
        make: Returns the parcel of a party.
    """

    def __init__(self, parties: Collection[int], make: Callable[[int], bytes]) -> None:
        self._parties = dict.fromkeys(parties)
        self._make: Callable[[int], bytes] | None = make

    def __getitem__(self, party: int) -> bytes:
        if party not in self._parties:
            raise KeyError(party)
        make = self._make
        if make is None:
            raise OrderError("the exchange of these parcels has ended. Read a parcel when it is sent.")
        return make(party)

    def __iter__(self) -> Iterator[int]:
        return iter(self._parties)

    def __len__(self) -> int:
        return len(self._parties)

    def close(self) -> None:
        """End the exchange: nothing can be read any more."""
        self._make = None
