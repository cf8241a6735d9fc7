"""The seam between what is computed and how clients are reached: in this process, or over a network."""

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
    """Training that is private by itself, since clients add the noise while they train.

    Attributes:
        event: What one round of it costs.
        population: How many privacy units the account counts; the clients have no more between them.
    """

    event: PrivacyEvent
    population: int


@dataclass(frozen=True, kw_only=True)
class RoundPlan:
    """What every party of one round is told.

    Attributes:
        mean: How the clients' contributions are summed, and with which noise.
        session: The secure sum's session; its context names the weights, the clip and the parts.
        number: Of the round, from 1.
        weights: The global model's, all arrays; none if there is no model.
        clip: What an update is clipped by before it is encoded.
        parts: How trained arrays and running statistics share a contribution.
        training: What the clients' own training guarantees; None if it adds no noise.
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
        """Whether there is noise, so that who takes part in the sum must not depend on data."""
        return self.mean.noise is not None or self.training is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What came back from the clients.

    Attributes:
        total: The sum of the contributors' vectors modulo the session's modulus; None if nothing was released.
        withheld: Why nothing was released; None if there is a total.
        contributors: Whose vectors are in the sum, ascending.
        attached: For each contributor, what the protocol has opened of its attached secrets.
        dropped: By step of the protocol, the clients that did not answer it.
        failed: By client, why its training failed, for its owner alone; empty for an engine whose clients do not tell.
        cost: Bytes and seconds of all parties up to the sum, as far as the engine knows them; those of a client
            include its `contribute`.
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
        mean: Arrays of the encoding's shapes, float64; if the mean is weighted and noisy, scaled back to the clip, see
            `SecureMean.decode`.
        contributors: Whose updates are in it, ascending.
        dropped: By party id, the step of the protocol that it did not answer.
        realised: The release as the ledger is to know it, with the noise that is really in it; None without noise.
        rounding_bound: The most that an entry differs, noise aside, from the exact mean of the clipped updates; None
            if the mean is weighted and noisy, since it would give the exact total weight away.
        cost: Bytes and seconds of the protocol, encoding included.
    """

    mean: Arrays
    contributors: tuple[int, ...]
    dropped: dict[int, str]
    realised: PrivacyEvent | None
    rounding_bound: float | None
    cost: Cost


class Engine(Protocol):
    """A way to reach clients: each computes what `secagg.engines.client.contribute` says, and a secure sum adds it up.

    The budget is reserved before `run`, and is spent whatever becomes of the round. So `check` is called once before
    all rounds: it finds out what can be known beforehand.
    """

    @property
    def clients(self) -> tuple[int, ...]:
        """Ids of the clients, in the order of the mean's cohort."""
        ...

    def check(self, plan: RoundPlan) -> None:
        """Raise what can be known beforehand to end a round like this one; nothing is trained or sent.

        Raises:
            ConfigurationError: What the parties bring does not fit the plan.
            UnsafeSession: A party would not take part on these terms.
            DataError: Examples of a client do not fit the model, and training is private by itself.
        """
        ...

    def run(self, plan: RoundPlan) -> RoundResult:
        """Run one round up to the sum; if too few clients are left, the result says why there is no sum.

        Raises:
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour.
        """
        ...
