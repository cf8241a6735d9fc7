"""Sums by pairwise masking whose server may send what it likes, with a search for secrets in what clients send."""

from collections.abc import Mapping

import pytest

from protocols import OrderError, RemoteError, packing
from protocols.codec import M, Message
from protocols.pairwise import schedule
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import AdvertisedKeys, KeyDirectory, encode_clients
from protocols.pairwise.protocol import PairwiseMasking
from protocols.testing import ProtocolRun, repeatable_entropy, state_of
from tests.conformance.cohorts import Setting


def setup_of(where: Setting) -> Derived:
    """Return what every party derives from the session."""
    assert isinstance(where.protocol, PairwiseMasking)
    return where.protocol._derived(where.session)


class MaliciousServer(ProtocolRun):
    """A run whose server can send a client any message, and which searches the clients' replies for their secrets.

    Attributes:
        setup: What all parties derive from the session.
        codec: The codec for messages of the session.
        names: The names of the steps, in order.
        sent: By client, its replies so far.
        drawn: By client, its private sealing and masking keys, its self-mask seed and its packed input.
        held: By client and owner, the shares of the owner's secrets that the client holds.
    """

    def __init__(self, where: Setting, *, seed: bytes = b"run") -> None:
        super().__init__(where, seed=seed)
        self.setup = setup_of(where)
        self.codec = where.codec
        self.names = [row.name for row in where.protocol.steps]
        self.sent: dict[int, list[bytes]] = {client: [] for client in where.session.clients}
        self.drawn: dict[int, list[bytes]] = {}
        for client, vector in self.inputs.items():
            draw = repeatable_entropy(seed + b"%d" % client)
            self.drawn[client] = [draw(32), draw(32), draw(32)]  # sealing key, masking key, self-mask seed
            self.drawn[client].append(packing.pack(vector, where.session.modulus))
        self.held: dict[int, dict[int, tuple[bytes, ...]]] = {}

    @property
    def number(self) -> int:
        """The number of the step that is open."""
        return self.names.index(getattr(self.progress, "step", ""))

    @property
    def keys(self) -> dict[int, AdvertisedKeys]:
        """The keys that each client advertised to the server."""
        return dict(state_of(self.server).keys)

    def request(self, client: int, kind: type[M]) -> M:
        """Return the honest server's request to a client in the step that is open."""
        return self.codec.decode(self.number, kind, self.requests[client])

    def neighbours(self, client: int) -> frozenset[int]:
        """Return a client's neighbours in the honest server's graph."""
        return self.setup.neighbours(state_of(self.server).root, client)

    def bitmap(self, *members: int) -> bytes:
        """Return a set of clients in the form of the wire."""
        return encode_clients(members, self.scenario.session)

    def answer(self, client: int, request: bytes) -> bytes:
        """Return a client's reply, and keep it for `clients_that_leaked`."""
        machine = self.clients[client]
        reply = machine.handle(request)
        self.sent[client].append(reply)
        if not machine.closed:
            shares = state_of(machine).shares.items()
            self.held[client] = {owner: tuple(each.reveal() for each in held) for owner, held in shares}
        return reply

    def ask(self, client: int, message: Message) -> bytes:
        """Return a client's reply to any message that the server sends it in the step that is open."""
        return self.answer(client, self.codec.encode(self.number, message))

    def replies(self) -> dict[int, bytes]:
        """Return every asked client's reply to the honest server in the step that is open."""
        return {client: self.answer(client, request) for client, request in self.requests.items()}

    def clients_that_leaked(self) -> set[int]:
        """Return the clients that have sent a private key, a seed, a share or an input in the clear."""
        secrets = {secret for drawn in self.drawn.values() for secret in drawn}
        secrets |= {share for held in self.held.values() for shares in held.values() for share in shares}
        return {
            client
            for client, replies in self.sent.items()
            if any(secret in reply for reply in replies for secret in secrets)
        }

    def refuses(self, client: int, message: Message, match: str) -> frozenset[int]:
        """Check that a client closes on this request and that no client has sent a secret; return whom it blames."""
        with pytest.raises(RemoteError, match=match) as caught:
            self.ask(client, message)
        self.check_closed_without_a_leak(client)
        return caught.value.culprits

    def check_closed_without_a_leak(self, client: int) -> None:
        """Check that a client has closed, answers not even the honest request, and that no client has sent a secret."""
        machine = self.clients[client]
        assert machine.closed
        with pytest.raises(OrderError):
            machine.handle(self.requests[client])
        assert self.clients_that_leaked() == set()

    def server_refuses(self, sender: int, message: Message, match: str) -> None:
        """Check that the server refuses this reply in the step that is open, and blames its sender."""
        with pytest.raises(RemoteError, match=match) as caught:
            self.server.receive(sender, self.codec.encode(self.number, message))
        assert caught.value.culprits == {sender}

    def directory(self, client: int, keys: Mapping[int, AdvertisedKeys]) -> KeyDirectory:
        """Return the key directory by which a server makes this client believe in these keys."""
        leaves = b"".join(
            self.setup.leaf(each, keys[each]) if each in keys else schedule.ABSENT
            for each in self.scenario.session.clients
        )
        near = self.setup.neighbours(self.setup.root(leaves), client) & keys.keys()
        return KeyDirectory(leaves, tuple(keys[each] for each in sorted(near)))
