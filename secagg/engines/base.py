"""The interface of an engine, which reaches the clients of a round in this process or over a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from dp.events import PrivacyEvent
from protocols import Cost, Secret, Session
from protocols.session import Vector
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.rotation import Rotation
from secagg.arrays import Arrays
from secagg.engines.statistics import WHOLE, UpdateParts
from secagg.privacy.clipping import Clip, GlobalClip


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateTraining:
    """Training that is private by itself, because clients add the noise while they train.

    Attributes:
        event: The privacy cost of one round of it.
        population: The number of privacy units that the budget counts; all clients together have at most that number.
    """

    event: PrivacyEvent
    population: int


@dataclass(frozen=True, kw_only=True)
class RoundPlan:
    """What every party of one round is told.

    Attributes:
        mean: How the clients' contributions are summed, and with which noise.
        session: The session of the secure sum; its context names the weights, the clip and the parts.
        number: The number of the round, from 1.
        weights: All arrays of the global model; none if there is no model.
        clip: How an update is clipped before it is encoded.
        parts: How trained arrays and running statistics share a contribution.
        training: What the clients' own training guarantees; None if that training adds no noise.
    """

    mean: SecureMean
    session: Session
    number: int = 1
    weights: Arrays = field(default_factory=list, repr=False)
    clip: Clip = field(default_factory=GlobalClip)
    parts: UpdateParts = WHOLE
    training: PrivateTraining | None = None

    @cached_property
    def rotation(self) -> Rotation:
        """The session's public rotation."""
        return self.mean.rotation(self.session)

    @property
    def private(self) -> bool:
        """Whether there is noise; if there is, the set of contributors must not depend on data."""
        return self.mean.noise is not None or self.training is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What came back from the clients.

    Attributes:
        total: The sum of the contributors' vectors modulo the session's modulus; None if nothing was released.
        withheld: Why nothing was released; None if there is a total.
        contributors: The clients whose vectors are in the sum, ascending.
        attached: For each contributor, those of its attached secrets that the protocol has opened.
        dropped: For each step of the protocol, the clients that did not answer it.
        failed: For each client that failed, the reason, for its owner only; empty if clients do not tell the engine.
        cost: Bytes and seconds of all parties up to the sum, as far as the engine knows them; those of a client
            include its call of `contribute`.
    """

    total: Vector | None = field(default=None, repr=False)
    withheld: str | None = None
    contributors: tuple[int, ...] = ()
    attached: Mapping[int, Sequence[Secret | None]] = field(default_factory=dict)
    dropped: Mapping[str, Sequence[int]] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One released mean.

    Attributes:
        mean: Arrays of the encoding's shapes, float64; a weighted mean with noise is scaled back to the clip, see
            `SecureMean.decode`.
        contributors: The clients whose updates are in the mean, ascending.
        dropped: For each party that dropped out, the step of the protocol that it did not answer.
        realised: The release for the ledger, with the noise that the sum really has; None without noise.
        rounding_bound: A bound on the difference, apart from noise, between an entry and the exact mean of the clipped
            updates; None for a weighted mean with noise, since the bound would reveal the exact total weight.
        cost: Bytes and seconds of the protocol, encoding included.
    """

    mean: Arrays
    contributors: tuple[int, ...]
    dropped: dict[int, str]
    realised: PrivacyEvent | None
    rounding_bound: float | None
    cost: Cost


class Engine(Protocol):
    """A way to reach clients: each computes `secagg.engines.client.contribute`, and a secure sum adds the results up.

    The budget is reserved before `run` and is spent even if the round fails. So `check` is called once before all
    rounds and finds every error that can be known in advance. An engine that records what the server sees takes a
    `secagg.transcripts.recorder.Recorder` and calls it with each session, message and result.
    """

    @property
    def clients(self) -> tuple[int, ...]:
        """Ids of the clients, in the order of the mean's cohort."""
        ...

    def check(self, plan: RoundPlan) -> None:
        """Raise an error if it can be known in advance that such a round would fail; nothing is trained or sent.

        Raises:
            ConfigurationError: The parties' terms, key shares or examples do not fit the plan.
            UnsafeSession: A party refuses to take part on these terms.
            DataError: Examples of a client do not fit the model, and training is private by itself.
        """
        ...

    def run(self, plan: RoundPlan) -> RoundResult:
        """Run one round up to the sum; if too few clients remain, the result says why there is no sum.

        The result is checked before it is used (`secagg.training.engine_result`). A result that no such round can have
        ends the round with an `EngineError`.

        Raises:
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour.
        """
        ...
