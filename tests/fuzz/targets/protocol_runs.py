"""Runs of every protocol to fuzz from: each registered protocol, against each server that it stands against."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from protocols import Adversary
from protocols.crypto.secret import Secret
from protocols.errors import ParameterError
from protocols.registry import available, load
from protocols.secure_sum import Finish
from protocols.seeds import PadKind, SeedSum
from protocols.testing import CLIENTS, SNAPSHOT_KEY, Scenario
from protocols.testing.repeatable import repeatable_entropy
from protocols.testing.run import ProtocolRun
from tests.conformance.cohorts import OPENINGS, setting

LENGTH: Final = 12
"""The number of coordinates: short vectors, so that most bytes of a message are structure."""


class NoRecord:
    """A record of sessions and of openings that notes nothing, so that a party answers the same request again."""

    def record(self, *arguments: object, **named: object) -> None:
        """See `SessionRecord.record` and `OpeningRecord.record`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A step of an honest run: all messages of it, and the machines as they were before and after it was answered.

    Attributes:
        requests: The server's request to each party.
        replies: Each party's reply.
        clients: Each party's sealed snapshot before it answers, if it is open.
        server: The server's sealed snapshot before the first reply.
    """

    requests: dict[int, bytes]
    replies: dict[int, bytes]
    clients: dict[int, bytes]
    server: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An honest run of one scenario."""

    scenario: Scenario
    moments: tuple[Moment, ...]


@cache
def scenarios() -> dict[str, Scenario]:
    """Return a scenario for each registered protocol and each adversary that it accepts, by a name for targets."""
    found: dict[str, Scenario] = {}
    for name in available():
        for adversary in Adversary:
            try:
                protocol, threshold = load(name).suggest(
                    clients=len(CLIENTS), adversarial=0.1, dropout=0.125, adversary=adversary
                )
            except ParameterError:
                continue  # The protocol does not stand against such a server.
            label = name if adversary is Adversary.CURIOUS else f"{name}-{adversary}"
            found[label] = setting(protocol, CLIENTS, threshold, length=LENGTH)
    masking = found["secagg"]
    found["secagg-attached"] = setting(
        masking.protocol, CLIENTS, masking.session.threshold, length=LENGTH, attached=OPENINGS
    )
    lattice = SeedSum(adversary=Adversary.MALICIOUS, pads=PadKind.LATTICE)
    found["seeds-lattice"] = setting(lattice, CLIENTS, found["seeds-malicious"].session.threshold, length=LENGTH)
    return found


@cache
def recorded(label: str) -> Recorded:
    """Return an honest run of a scenario, recorded once."""
    scenario = scenarios()[label]
    run, moments = ProtocolRun(scenario, seed=b"fuzz"), []
    while not isinstance(run.progress, Finish):
        clients = {
            party: machine.snapshot(SNAPSHOT_KEY) for party, machine in run.clients.items() if not machine.closed
        }
        server = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"fuzz server"))
        requests = dict(run.requests)
        replies = run.replies()
        moments.append(Moment(requests=requests, replies=replies, clients=clients, server=server))
        run.deliver(replies)
    return Recorded(scenario=scenario, moments=tuple(moments))


@cache
def others(label: str) -> tuple[bytes, ...]:
    """Return messages to take parts from: some of each step of the session, and some of another session."""
    return tuple(
        message
        for name in dict.fromkeys((label, "secagg", "plain"))
        for moment in recorded(name).moments
        for messages in (moment.requests, moment.replies)
        for message in list(messages.values())[:2]
    )


def canaries(label: str) -> tuple[str, ...]:
    """Return texts of the secrets that the parties hold, as they would look in an error: inputs, seeds and keys."""
    scenario = scenarios()[label]
    secrets = [SNAPSHOT_KEY, *(secret for each in scenario.attached().values() for secret in each)]
    texts = [text for secret in secrets for text in _texts(secret)]
    for vector in scenario.inputs().values():
        texts += [str(entry) for entry in vector.tolist() if entry > 2**24][:2]
        texts.append(", ".join(map(str, vector.tolist()[:4])))
    for share in scenario.key_shares.values():
        texts.append(str(getattr(share, "reveal", lambda: "no key share")()))
    return tuple(texts)


def _texts(secret: Secret) -> tuple[str, ...]:
    return secret.reveal().hex(), repr(secret.reveal()), str(int.from_bytes(secret.reveal(), "big"))
