"""A session with everything that is written during it, and the secret values that must not be in it."""

import contextlib
import pickle
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from protocols import Client, ProtocolError, RemoteError, Secret, Server, Transmission
from protocols.errors import InputError
from protocols.session import Vector
from secagg.audit.everywhere import replaced_everywhere
from secagg.audit.overheard import Text, overheard, told_by
from secagg.audit.reachable import reachable
from secagg.audit.seeds import Tape
from secagg.audit.sums.canaries import LEAST
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.polynomials import Sharing, noted_sharing
from secagg.audit.sums.recorded import Recorded, record, replayed, tapes_of

_SPOILT: Final = (5, -1)
"""Positions at which requests and replies are altered: in the digest, and at the end."""


class Heard(CipherSpy):
    """A session with everything that is written during it, and the secrets that must not be in it.

    Args:
        cohort: The protocol, the session and the parties' secrets.
        inputs: Each client's vector, by id.
        seed: The seed of the tapes.

    Attributes:
        cohort: As given.
        inputs: As given.
        view: Every request and reply that was sent, in order.
        texts: What was written, with what it is.
        pickles: What was pickled, with the name of its class.
        secrets: The bytes of every `Secret` that depends on a tape.
        failure: The error with which the session ended, if it ended without a sum.
    """

    def __init__(self, cohort: Cohort, inputs: dict[int, Vector], seed: bytes) -> None:
        super().__init__()
        self.cohort, self.inputs, self._seed = cohort, inputs, seed
        self._shared: dict[int, list[Sharing]] = defaultdict(list)
        self._calls: list[Sharing] = []
        self.secrets: set[bytes] = set()
        self._tapes: dict[int, Tape] = {}
        self.pickles: dict[bytes, str] = {}
        self.view: list[Transmission] = []
        self.texts: list[Text] = []
        self.failure: ProtocolError | None = None

    def asked(self, client: Client, request: Transmission) -> None:
        """Note the party's repr and pickle, and the request."""
        super().asked(client, request)
        self.view.append(request)
        self._describe(client)

    def received(self, server: Server, reply: Transmission) -> bytes:
        """Note the reply, and let the server refuse altered ones."""
        super().received(server, reply)
        sender = -1 if reply.sender is None else reply.sender
        self._shared[sender] += self._calls
        self._calls.clear()
        self.view.append(reply)
        for altered in (_flipped(reply.data, _SPOILT[0]), reply.data[:-1]):
            try:
                server.receive(sender, altered)
            except RemoteError as error:
                self.texts.append(told_by(error))
        return reply.data

    def closing(self, server: Server) -> None:
        """Note the server's repr and pickle."""
        super().closing(server)
        self._describe(server)

    def listen(self, drops: dict[str, list[int]], *, members: int | None) -> None:
        """Run a session, and then single parties with altered requests, whose errors are kept."""
        cohort = self.cohort
        with overheard() as texts, self.watching(), replaced_everywhere([noted_sharing(self._calls)]):
            try:
                with noted_secrets(self.secrets):
                    recorded = record(cohort, self.inputs, self._tape, drops=drops, watcher=self, members=members)
                self.secrets -= self._public(recorded)
                self.texts += _errors(recorded, self._seed, self.inputs)
            except ProtocolError as error:
                self.failure = error
                self.texts.append(told_by(error))
        self.texts += texts

    def refused(self, error: ProtocolError) -> None:
        """Note what an error tells."""
        self.texts.append(told_by(error))

    def _public(self, recorded: Recorded) -> set[bytes]:
        """Return the values of class `Secret` that a client makes again from another tape: they are no secrets."""
        client, found = self.cohort.session.clients[0], set[bytes]()
        with noted_secrets(found):
            list(replayed(recorded, client, Tape(self._seed, "another tape")))
        return found

    def _tape(self, party: int) -> Tape:
        self._tapes[party] = tapes_of(self._seed)(party)
        return self._tapes[party]

    def drawn(self) -> Iterator[tuple[int, bytes]]:
        """Yield what each party read from its tape, in pieces of at least 16 bytes."""
        for party, tape in self._tapes.items():
            again = tapes_of(self._seed)(party)
            for size in tape.sizes:
                piece = again(size)
                if size >= LEAST:
                    yield party, piece

    def shares(self) -> dict[bytes, tuple[int, bytes]]:
        """Return each share of Shamir's secret sharing, with the client that dealt it and its secret."""
        return {
            share: (owner, call.secret)
            for owner, calls in self._shared.items()
            for call in calls
            for share in call.shares.values()
        }

    def _describe(self, machine: Client | Server) -> None:
        for part in reachable(machine):
            kind = type(part).__name__
            self.texts.append((f"the repr of a {kind}", f"{part!r} {part!s}"))
            try:
                self.pickles[pickle.dumps(part)] = kind
            except Exception as error:  # noqa: BLE001 - Whatever refuses, nothing was pickled.
                self.texts.append((f"the refusal to pickle a {kind}", f"{error!r} {error!s}"))


@contextlib.contextmanager
def noted_secrets(found: set[bytes]) -> Iterator[None]:
    """Add the bytes of every `Secret` that is made meanwhile to a set."""
    original = Secret.__init__

    def begin(secret: Secret, value: bytes) -> None:
        original(secret, value)
        found.add(bytes(value))

    Secret.__init__ = begin  # type: ignore[assignment, method-assign]  # For a limited time.
    try:
        yield
    finally:
        Secret.__init__ = original  # type: ignore[method-assign]  # As it was.


def _errors(recorded: Recorded, seed: bytes, inputs: dict[int, Vector]) -> Iterator[Text]:
    """Yield what errors tell: of parties that receive altered requests, and of one whose vector is out of range."""
    cohort = recorded.cohort
    for party in recorded.active[:1] + recorded.active[-1:]:
        requests = [each.data for each in recorded.requests(party)[: len(recorded.replies(party))]]
        for at, request in enumerate(requests):
            for position in _SPOILT:
                machine = cohort.client(party, inputs.get(party), tapes_of(seed)(party))
                try:
                    for each in (*requests[:at], _flipped(request, position)):
                        machine.handle(each)
                except ProtocolError as error:
                    yield told_by(error)
    client = cohort.session.clients[0]
    outside = inputs[client].copy()
    outside[-1] = cohort.session.modulus
    try:
        cohort.client(client, outside, tapes_of(seed)(client))
    except InputError as error:
        yield "the refusal of a vector", f"{error!r} {error}"


def _flipped(data: bytes, position: int) -> bytes:
    altered = bytearray(data)
    altered[position] ^= 0x21
    return bytes(altered)
