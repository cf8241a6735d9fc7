"""What every conformance test runs over: settings of all registered protocols, and a driver that stops at any round."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocols import Client, Continue, Finish, ParameterError, SecAgg, SecAggPlus, SecureSum, Server, Session, load
from protocols.registry import available
from protocols.session import Entropy, Vector

IDS: Final = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)
MODULI: Final = (2**16, 2**31 - 1, 2**61 - 1, 65_521)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One protocol with parameters and a session that fit together."""

    label: str
    protocol: SecureSum
    session: Session

    def inputs(self, seed: int = 0) -> dict[int, Vector]:
        """Random vectors that include 0 and modulus - 1."""
        generator = np.random.default_rng(seed)
        drawn = {
            client: generator.integers(0, self.session.modulus, self.session.length, dtype=np.uint64, endpoint=False)
            for client in self.session.clients
        }
        for vector in drawn.values():
            vector[0], vector[-1] = 0, self.session.modulus - 1
        return drawn


def setting(
    protocol: SecureSum, clients: tuple[int, ...], threshold: int, *, length: int = 40, context: bytes = b""
) -> Setting:
    """A session of the first modulus that the protocol takes."""
    for modulus in MODULI:
        session = Session(
            session_id=b"conformance of one sum",
            clients=clients,
            threshold=threshold,
            length=length,
            modulus=modulus,
            context=context,
        )
        try:
            protocol.validate(session)
        except ParameterError:
            continue
        label = f"{protocol.name}-{len(clients)}-{threshold}"
        return Setting(label=label, protocol=protocol, session=session)
    raise LookupError(f"{protocol.name} takes none of the moduli {MODULI}")


def suggested(name: str) -> Setting:
    """The parameters that a protocol suggests for eight clients, one of whom may vanish."""
    protocol, threshold = load(name).suggest(clients=len(IDS), adversarial=0.1, dropout=0.125)
    return setting(protocol, IDS, threshold)


def settings() -> list[Setting]:
    """Every registered protocol as it suggests itself, and small parameters by hand."""
    return [
        *(suggested(name) for name in available()),
        setting(SecAgg(), IDS[:2], 2),
        setting(SecAgg(), IDS[:3], 2),
        setting(SecAggPlus(neighbours=2, share_threshold=2), IDS[:4], 3),
        setting(SecAggPlus(neighbours=4, share_threshold=3), IDS[:7], 4),
    ]


def stream(label: bytes) -> Entropy:
    """Repeatable entropy: SHAKE-256 of a label and a counter of calls."""
    calls = 0

    def draw(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(label + calls.to_bytes(4, "big")).digest(size)

    return draw


def expected(inputs: Mapping[int, Vector], contributors: tuple[int, ...], modulus: int) -> list[int]:
    """The sum, in Python's own integers."""
    columns = zip(*(inputs[client].tolist() for client in contributors), strict=True)
    return [sum(column) % modulus for column in columns]


class Run:
    """All parties of one sum, driven round by round with repeatable entropy."""

    def __init__(self, setting: Setting, *, seed: bytes = b"run") -> None:
        self.setting = setting
        self.inputs = setting.inputs()
        self.clients = {
            client: Client(
                setting.protocol, setting.session, client, self.inputs[client], entropy=stream(seed + b"%d" % client)
            )
            for client in setting.session.clients
        }
        self.server = Server(setting.protocol, setting.session)
        self.step: Continue | Finish = self.server.start()

    @property
    def requests(self) -> dict[int, bytes]:
        """What the server asks in the round that is open."""
        if not isinstance(self.step, Continue):
            raise LookupError("the sum is finished")
        return self.step.requests

    def replies(self) -> dict[int, bytes]:
        """Every asked client's reply in the round that is open."""
        return {client: self.clients[client].handle(request) for client, request in self.requests.items()}

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        """Give the server these replies, in this order, and end the round."""
        for client, reply in replies.items():
            self.server.receive(client, reply)
        self.step = self.server.advance()

    def to_round(self, number: int) -> "Run":
        """Play that many rounds honestly."""
        for _ in range(number):
            self.deliver(self.replies())
        return self

    def finish(self) -> Finish:
        """Play what is left honestly."""
        while isinstance(self.step, Continue):
            self.deliver(self.replies())
        return self.step

    def is_exact(self, outcome: Finish) -> bool:
        """Whether the outcome is the sum of its contributors' inputs, at least as many as the threshold."""
        session = self.setting.session
        return (
            outcome.total.dtype == np.uint64
            and len(outcome.contributors) >= session.threshold
            and outcome.total.tolist() == expected(self.inputs, outcome.contributors, session.modulus)
        )
