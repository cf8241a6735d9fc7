"""The interface of an engine, which reaches the clients of a round in this process or over a network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from numpy.typing import NDArray

from dp.events import PrivacyEvent
from protocols import Cost, Identity, Secret, Session
from protocols.session import Vector
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.rotation import Rotation
from secagg.arrays import Arrays
from secagg.engines.findings import Findings
from secagg.engines.statistics import UpdateParts
from secagg.engines.wire.work import WITHOUT_MODEL, Work
from secagg.privacy.clipping import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateTraining:
    """Training that is private by itself, because clients add the noise while they train.

    Attributes:
        event: The privacy cost of one round of it.
        population: The number of privacy units that the budget counts; all clients together have at most that number.
    """

    event: PrivacyEvent
    population: int


@dataclass(frozen=True, slots=True)
class Update:
    """What a node's training returns.

    Attributes:
        arrays: One array for each array of the model that travels: the trained array less the one trained from.
        examples: The number of examples that it trained on, which is its weight in a weighted mean; else not used.
    """

    arrays: Sequence[NDArray[Any]] = field(repr=False)
    examples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSide:
    """What an engine between processes needs for the server's part, and no client is told.

    Before the requests of a step leave with which a sum may be opened, the engine calls `keep` with bytes from which it
    can go on after a crash. It sends none of these requests before `keep` returns. In most protocols that is the last
    step. In others several steps follow each other, and each has its own bytes, in the place of the earlier ones. With
    such bytes as `opening` the engine sends the same requests again, and goes on from that step.

    Attributes:
        identity: Signs requests; every node has its public key.
        sealing: The key of what `keep` is given, 32 bytes.
        keep: Keeps bytes, durably before it returns.
        opening: What an earlier run with this plan has kept; None in a new session.
        ignored: Parties that have been found to break the protocol: they are not asked, and no reply of them is taken.
    """

    identity: Identity
    sealing: Secret
    keep: Callable[[bytes], None]
    opening: bytes | None = field(default=None, repr=False)
    ignored: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RoundPlan:
    """What every party of one round is told.

    Attributes:
        mean: How the clients' contributions are summed, and with which noise.
        session: The session of the secure sum; its context names the work.
        work: What the clients train on.
        serial: The number of this attempt, among all attempts of a coordinator.
        training: What the clients' own training guarantees; None if that training adds no noise.
        server: What an engine between processes needs; None if the coordinator has no folder.
    """

    mean: SecureMean
    session: Session
    work: Work = WITHOUT_MODEL
    serial: int = 0
    training: PrivateTraining | None = None
    server: ServerSide | None = field(default=None, repr=False)

    @property
    def number(self) -> int:
        """The number of the round, from 1."""
        return self.work.round

    @property
    def weights(self) -> tuple[NDArray[Any], ...]:
        """All arrays of the global model; none if there is no model."""
        return self.work.arrays

    @property
    def clip(self) -> Clip:
        """The clip of an update before it is encoded."""
        return self.work.clip

    @property
    def parts(self) -> UpdateParts:
        """How trained arrays and running statistics share a contribution."""
        return self.work.parts

    @cached_property
    def rotation(self) -> Rotation:
        """The session's public rotation."""
        return self.mean.rotation(self.session)

    @property
    def private(self) -> bool:
        """Whether there is noise, or clients are drawn in secret: the set of contributors must not depend on data."""
        return self.mean.noise is not None or self.training is not None or self.mean.sample is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What one step of a round took, as the server knows it.

    Attributes:
        step: The name of the step.
        asked: The number of parties that were asked.
        answered: The number of parties whose reply was accepted.
        seconds: From the first request to the end of the step.
        sent_bytes: Bytes of all requests.
        received_bytes: Bytes of everything that arrived.
        refused: How often each reason was given for a reply that is missing.
    """

    step: str
    asked: int
    answered: int
    seconds: float
    sent_bytes: int
    received_bytes: int
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What came back from the clients.

    Attributes:
        total: The sum of the contributors' vectors modulo the session's modulus; None if nothing was released. The
            coordinator writes the mean into its memory, unless it is read-only.
        withheld: Why nothing was released; None if there is a total.
        contributors: The clients whose vectors are in the sum, ascending.
        attached: For each contributor, those of its attached secrets that the protocol has opened.
        dropped: For each step of the protocol, the clients that did not answer it.
        failed: For each client that failed, the reason, for its owner only; empty if clients do not tell the engine.
        steps: The figures of each step that was run; none in memory.
        seen: For each node that refuses this attempt as an old one, the last serial that it says it has seen.
        findings: What the protocol says of the parties of the sum.
        cost: Bytes and seconds of all parties up to the sum, as far as the engine knows them; those of a client
            include its call of `contribute`.
    """

    total: Vector | None = field(default=None, repr=False)
    withheld: str | None = None
    contributors: tuple[int, ...] = ()
    attached: Mapping[int, Sequence[Secret | None]] = field(default_factory=dict)
    dropped: Mapping[str, Sequence[int]] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    steps: tuple[StepFigures, ...] = ()
    seen: Mapping[int, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    cost: Cost = field(default_factory=Cost)

    @property
    def refused(self) -> dict[str, Mapping[str, int]]:
        """For each step, how often each reason was given for a reply that is missing; empty in memory."""
        return {each.step: each.refused for each in self.steps if each.refused}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One released mean.

    Attributes:
        mean: Arrays of the encoding's shapes, float64; a weighted mean with noise is scaled back to the clip, see
            `SecureMean.decode`.
        contributors: The clients whose updates are in the mean, ascending.
        dropped: For each step of the protocol, the parties that did not answer it.
        realised: The release for the ledger, with the noise that the sum really has; None without noise.
        rounding_bound: A bound on the difference, apart from noise, between an entry and the exact mean of the clipped
            updates; None for a weighted mean with noise, since the bound would reveal the exact total weight.
        failed: As in `RoundResult`.
        findings: As in `RoundResult`.
        cost: Bytes and seconds of the protocol, encoding and decoding included, as far as they are known.
    """

    mean: Arrays
    contributors: tuple[int, ...]
    dropped: Mapping[str, Sequence[int]]
    realised: PrivacyEvent | None
    rounding_bound: float | None
    failed: Mapping[int, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    cost: Cost = field(default_factory=Cost)


class Engine(Protocol):
    """A way to reach clients: each computes `secagg.engines.client.contribute`, and a secure sum adds the results up.

    The budget is reserved before `run` and is spent even if the round fails. So `check` is called once before all
    rounds and finds every error that can be known in advance. An engine that records what the server sees takes a
    `secagg.transcripts.recorder.Recorder` and calls it with each session, message and result.
    """

    def check(self, plan: RoundPlan) -> None:
        """Raise an error if it can be known in advance that such a round would fail; nothing is trained or sent.

        Raises:
            ConfigurationError: The engine reaches other clients, or the parties' terms, key shares or examples do not
                fit the plan.
            UnsafeSession: A party refuses to take part on these terms.
            DataError: Examples of a client do not fit the model, and training is private by itself.
        """
        ...

    def run(self, plan: RoundPlan) -> RoundResult:
        """Run one round up to the sum; if too few clients remain, the result says why there is no sum.

        The result is checked before it is used (`secagg.engines.server.result`). A result that no such round can have
        ends the round with an `EngineError`.

        Raises:
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour.
        """
        ...
