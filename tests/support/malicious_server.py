"""Sums by pairwise masking whose server may send what it likes, with a search for secrets in what clients send."""

from collections.abc import Mapping

import pytest

from protocols import OrderError, RemoteError, packing
from protocols.codec import Codec, M, Message
from protocols.pairwise import schedule
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import AdvertisedKeys, KeyDirectory, encode_clients
from protocols.pairwise.protocol import PairwiseMasking
from protocols.testing import state_of
from tests.conformance.cohorts import Run, Setting, stream


def codec(where: Setting) -> Codec:
    """What encodes the messages of a session, whoever sends them."""
    return Codec(where.protocol.digest(where.session), where.protocol.message_limit(where.session))


def setup_of(where: Setting) -> Derived:
    """What every party derives from the session."""
    assert isinstance(where.protocol, PairwiseMasking)
    return where.protocol._derived(where.session)


class Play(Run):
    """A run that keeps what clients send, and what they must not send before the last round."""

    def __init__(self, where: Setting, *, seed: bytes = b"run") -> None:
        super().__init__(where, seed=seed)
        self.setup = setup_of(where)
        self.codec = codec(where)
        self.names = [row.name for row in where.protocol.steps]
        self.sent: dict[int, list[bytes]] = {client: [] for client in where.session.clients}
        self.drawn: dict[int, list[bytes]] = {}
        for client, vector in self.inputs.items():
            draw = stream(seed + b"%d" % client)
            self.drawn[client] = [draw(32), draw(32), draw(32)]  # sealing key, masking key, self-mask seed
            self.drawn[client].append(packing.pack(vector, where.session.modulus))
        self.held: dict[int, dict[int, tuple[bytes, ...]]] = {}

    @property
    def number(self) -> int:
        """Of the round that is open."""
        return self.names.index(getattr(self.step, "step", ""))

    @property
    def keys(self) -> dict[int, AdvertisedKeys]:
        """By client, what it advertised to the server."""
        return dict(state_of(self.server).keys)

    def request(self, client: int, kind: type[M]) -> M:
        """The honest server's request in the round that is open."""
        return self.codec.decode(self.number, kind, self.requests[client])

    def neighbours(self, client: int) -> frozenset[int]:
        """A client's neighbours in the honest server's graph."""
        return self.setup.neighbours(state_of(self.server).root, client)

    def bitmap(self, *members: int) -> bytes:
        """A set of clients on the wire."""
        return encode_clients(members, self.setting.session)

    def answer(self, client: int, request: bytes) -> bytes:
        """A client's reply, kept for `leaks`."""
        machine = self.clients[client]
        reply = machine.handle(request)
        self.sent[client].append(reply)
        if not machine.closed:
            shares = state_of(machine).shares.items()
            self.held[client] = {owner: tuple(each.reveal() for each in held) for owner, held in shares}
        return reply

    def ask(self, client: int, message: Message) -> bytes:
        """A client's reply to whatever the server sends it in the round that is open."""
        return self.answer(client, self.codec.encode(self.number, message))

    def replies(self) -> dict[int, bytes]:
        """Every asked client's reply in the round that is open."""
        return {client: self.answer(client, request) for client, request in self.requests.items()}

    def leaks(self) -> set[int]:
        """Which clients have sent a private key, a seed, a share or an input in the clear."""
        secrets = {secret for drawn in self.drawn.values() for secret in drawn}
        secrets |= {share for held in self.held.values() for shares in held.values() for share in shares}
        return {
            client
            for client, replies in self.sent.items()
            if any(secret in reply for reply in replies for secret in secrets)
        }

    def refuses(self, client: int, message: Message, match: str) -> frozenset[int]:
        """That a client closes on this request, for good, and no secret has left any client; whom it blames."""
        with pytest.raises(RemoteError, match=match) as caught:
            self.ask(client, message)
        self.closed_without_a_word(client)
        return caught.value.culprits

    def closed_without_a_word(self, client: int) -> None:
        """That a client has closed, answers the honest request no more, and no secret has left any client."""
        machine = self.clients[client]
        assert machine.closed
        with pytest.raises(OrderError):
            machine.handle(self.requests[client])
        assert self.leaks() == set()

    def server_refuses(self, sender: int, message: Message, match: str) -> None:
        """That the server refuses this reply in the round that is open, and blames the sender."""
        with pytest.raises(RemoteError, match=match) as caught:
            self.server.receive(sender, self.codec.encode(self.number, message))
        assert caught.value.culprits == {sender}

    def directory(self, client: int, keys: Mapping[int, AdvertisedKeys]) -> KeyDirectory:
        """What a server sends to this client that wants it to believe in these keys."""
        leaves = b"".join(
            self.setup.leaf(each, keys[each]) if each in keys else schedule.ABSENT
            for each in self.setting.session.clients
        )
        near = self.setup.neighbours(self.setup.root(leaves), client) & keys.keys()
        return KeyDirectory(leaves, tuple(keys[each] for each in sorted(near)))
