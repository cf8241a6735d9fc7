"""The state of an opening: the server before a step that opens, in bytes from which another process goes on.

In most protocols only the last step opens a sum. A server that starts a new session in its place could open a second
sum, of nearly the same clients. So a server that has crashed goes on with the opening: it sends the same requests
again, byte for byte, and nodes that have answered give the replies that they have kept.

In a protocol whose parties first agree on the contributors, and then open, an opening begins with the step in which
they agree. The state is kept before each step from that one on, in the place of the one before: nodes that have
answered a later step do not answer an earlier one again.

The server's state is sealed under the server's key. The requests are not: every one of them leaves the server. Equal
requests, which a committee gets, are kept once.
"""

from collections.abc import Mapping

import msgspec

from protocols.codec import Message, bytes_header, canonical_end
from protocols.crypto.entropy import Entropy
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSnapshot
from protocols.machine import Continue, Server
from protocols.secure_sum import SecureSum
from secagg.engines.base import RoundPlan


class OpeningState(Message, frozen=True):
    """The server before a step that opens, and its requests.

    Attributes:
        step: The name of the step.
        bodies: The different requests.
        requests: For each party that is asked, in order, its id and the index of its request in `bodies`.
        snapshot: The server's sealed state.
    """

    step: str
    bodies: tuple[bytes, ...]
    requests: tuple[tuple[int, int], ...]
    snapshot: memoryview

    @classmethod
    def of(cls, server: Server, asking: Continue, *, key: Secret, entropy: Entropy) -> "OpeningState":
        """Return the opening of a server that has asked for such a step, of which nothing has been sent."""
        indices: dict[bytes, int] = {}
        requests = tuple((party, indices.setdefault(body, len(indices))) for party, body in asking.requests.items())
        return cls(asking.step, tuple(indices), requests, memoryview(server.snapshot(key, entropy=entropy)))

    def to_bytes(self) -> bytes:
        """Return the opening in canonical MessagePack, in one copy of the snapshot."""
        head = msgspec.msgpack.encode((self.step, self.bodies, self.requests, None))[:-1]
        return b"".join((head, bytes_header(len(self.snapshot)), self.snapshot))

    @classmethod
    def from_bytes(cls, data: bytes) -> "OpeningState":
        """Return the opening that these bytes are; its snapshot is a view of them.

        Raises:
            DamagedSnapshot: They are none.
        """
        try:
            kept = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _damaged() from None
        whole = canonical_end(kept, data, 0) == len(data)
        if not whole or not all(0 <= index < len(kept.bodies) for _, index in kept.requests):
            raise _damaged()
        return kept

    def restored(self, plan: RoundPlan, key: Secret) -> tuple[Server, Continue]:
        """Return the server, and the step that it has asked for.

        Raises:
            DamagedSnapshot: The opening is that of another plan, was sealed under another key, or is not whole.
        """
        server = Server.restore(plan.mean.protocol, plan.session, bytes(self.snapshot), key=key)
        requests: Mapping[int, bytes] = {party: self.bodies[index] for party, index in self.requests}
        opens = self.step in opening_steps(plan.mean.protocol)
        if not opens or self.step != server.step or server.missing != requests.keys():
            raise _damaged()
        return server, Continue(self.step, requests)


def opening_steps(protocol: SecureSum) -> frozenset[str]:
    """Return the names of the steps that open: from the first one that reveals; the last one if none does."""
    names = [row.name for row in protocol.steps]
    revealing = [number for number, row in enumerate(protocol.steps) if row.reveals is not None]
    return frozenset(names[min(revealing, default=len(names) - 1) :])


def _damaged() -> DamagedSnapshot:
    return DamagedSnapshot(
        "opening: expected the bytes that were kept before a step of this session that opens, found others. Nothing "
        "was sent. Restore the file from where it was kept."
    )
