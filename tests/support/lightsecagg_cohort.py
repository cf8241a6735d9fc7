"""All parties of one sum by LightSecAgg, their inputs, and the sum that is right."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from protocols import Client, Continue, Finish, SecureSum, Server, Session
from protocols.codec import Codec, Message
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.session import Vector

NAMES = ("advertise_keys", "share_masks", "mask_input", "aggregate_shares")
PRIME = 2**31 - 1
IDS = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)


def session(clients: Sequence[int], threshold: int, *, length: int = 7, modulus: int = PRIME) -> Session:
    """Return a session of these clients."""
    return Session(
        session_id=b"one sum of sixteen", clients=tuple(clients), threshold=threshold, length=length, modulus=modulus
    )


def vectors(each: Session, *, seed: int = 0) -> dict[int, Vector]:
    """Return a random vector for each client of a session."""
    generator = np.random.default_rng(seed)
    return {client: generator.integers(0, each.modulus, each.length, dtype=np.uint64) for client in each.clients}


def exact_sum(inputs: Mapping[int, Vector], contributors: Sequence[int], modulus: int) -> list[int]:
    """Return the sum of the contributors' vectors, in Python's own integers."""
    return [sum(column) % modulus for column in zip(*(inputs[c].tolist() for c in contributors), strict=True)]


class Cohort:
    """All parties of one sum, and the codec to read and forge their messages with."""

    def __init__(self, protocol: SecureSum, each: Session) -> None:
        self.session = each
        self.inputs = vectors(each)
        self.codec = Codec(protocol.digest(each), protocol.message_limit(each))
        self.steps = protocol.steps
        self.clients = {
            client: Client(protocol, each, client, self.inputs[client], entropy=os.urandom) for client in each.clients
        }
        self.server = Server(protocol, each)
        self.step: Continue | Finish = self.server.start()
        self.number = 0

    @property
    def requests(self) -> Mapping[int, bytes]:
        """The requests of the step that is open, by client."""
        assert isinstance(self.step, Continue)
        return self.step.requests

    def replies(self) -> dict[int, bytes]:
        """Let every asked client answer."""
        return {client: self.clients[client].handle(request) for client, request in self.requests.items()}

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        """Give the server these replies and end the step."""
        for client, reply in replies.items():
            self.server.receive(client, reply)
        self.step = self.server.advance()
        self.number += 1

    def to_step(self, number: int) -> "Cohort":
        """Play honestly until the step of this number is open."""
        while self.number < number:
            self.deliver(self.replies())
        return self

    def read(self, data: bytes, kind: type[Message]) -> Message:
        """Decode a message of the step that is open."""
        return self.codec.decode(self.number, kind, data)

    def write(self, message: Message) -> bytes:
        """Encode a message of the step that is open."""
        return self.codec.encode(self.number, message)


def cohort(
    clients: int = 6, *, privacy: int = 1, responders: int = 4, threshold: int = 4, modulus: int = PRIME
) -> Cohort:
    """Return a cohort of the first ids of `IDS`."""
    return Cohort(
        LightSecAgg(privacy=privacy, responders=responders), session(IDS[:clients], threshold, modulus=modulus)
    )
