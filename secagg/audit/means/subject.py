"""Any secure mean as a subject: rounds of it, with what each client sent and what was released."""

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from protocols import ClientTerms, Keyholder, Outcome, Role, Secret, Transmission, simulate
from protocols.crypto.entropy import Entropy
from secagg.aggregation.contribution import Contribution
from secagg.aggregation.encoding import Decoded
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.residues import centred
from secagg.aggregation.weighting import Weighting
from secagg.arrays import Arrays, Shapes
from secagg.audit.claims import Claim, claimed
from secagg.audit.seeds import Tape
from secagg.audit.subject import Subject
from secagg.engines.base import RoundPlan
from secagg.engines.wire.work import Work
from secagg.errors import UnusableMean
from secagg.privacy.clipping import Clip, GlobalClip

_UNIFORM_CLAIMS: Final = ("C-18", "C-20", "C-22")
_NOISE_CLAIMS: Final = ("C-14", "C-15", "C-16", "C-17", "C-21")
ZERO_OUT: Final = "zero-out"
ADD_OR_REMOVE: Final = "add-or-remove-one"
REPLACE: Final = "replace-one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a check would like a mean to be planned for; a subject of fixed sizes may answer with its own.

    Attributes:
        clients: The number of clients.
        minimum_contributors: The least number of contributors.
        dimension: The number of coordinates before padding.
    """

    clients: int
    minimum_contributors: int
    dimension: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A planned mean, and what its parties bring.

    Attributes:
        mean: The mean.
        clip: How updates are clipped before they are encoded.
        terms: Returns each client's identity and terms with fresh records, if the mean has a roster.
        keyholders: Returns each committee member's key share and rules with fresh records, if the mean has a committee.
    """

    mean: SecureMean
    clip: Clip = field(default_factory=GlobalClip)
    terms: Callable[[], Mapping[int, ClientTerms]] | None = field(default=None, repr=False)
    keyholders: Callable[[], Mapping[int, Keyholder]] | None = field(default=None, repr=False)

    @property
    def shapes(self) -> Shapes:
        """The shapes of an update."""
        shapes = self.mean.encoding.shapes
        return shapes[:-1] if isinstance(self.clip, AdaptiveClip) else shapes

    @property
    def entries(self) -> int:
        """The number of entries of an update."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def is_weighted(self) -> bool:
        """Whether the mean is weighted."""
        return self.mean.encoding.weighting is Weighting.WEIGHTED

    @property
    def is_released_on_the_grid(self) -> bool:
        """Whether a released mean, times the contributors, is known in every coordinate of the sum."""
        encoding = self.mean.encoding
        return not self.is_weighted and encoding.kept is None and encoding.dimension == encoding.length

    @property
    def colluding(self) -> int:
        """The number of clients that the claim lets collude."""
        return 0 if self.mean.target is None else self.mean.target.colluding

    def split(self, flat: NDArray[np.float64]) -> Arrays:
        """Return the arrays of an update with these entries."""
        edges = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(flat, edges), self.shapes, strict=True)]

    def weights(self) -> dict[int, float] | None:
        """Return the largest weight for every client; None if the mean is uniform."""
        return dict.fromkeys(self.mean.clients, self.mean.encoding.max_weight) if self.is_weighted else None


Planner = Callable[[Wish], Setting]
"""Plans a mean for a wish."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of a secure mean, with what only the auditor knows.

    Attributes:
        setting: The mean.
        plan: What all parties were told.
        sent: The integers that each client sent, noise included, as the nearest to 0 of their residues.
        bare: The same without noise: the same update, encoded with the same coins.
        attached: The secrets that each client attached.
        outcome: The secure sum.
        released: The decoded mean; None if noise left no positive total weight.
    """

    setting: Setting
    plan: RoundPlan
    sent: Mapping[int, NDArray[np.int64]] = field(repr=False)
    bare: Mapping[int, NDArray[np.int64]] = field(repr=False)
    attached: Mapping[int, tuple[Secret, ...]] = field(repr=False)
    outcome: Outcome = field(repr=False)
    released: Decoded | None = field(repr=False)

    @property
    def contributors(self) -> tuple[int, ...]:
        """The clients in the sum."""
        return self.outcome.contributors

    @property
    def noise(self) -> dict[int, NDArray[np.int64]]:
        """The noise that each client added."""
        return {client: self.sent[client] - self.bare[client] for client in self.sent}

    @property
    def released_steps(self) -> NDArray[np.float64]:
        """The released mean, times the contributors, in integer steps of each rotated coordinate."""
        if self.released is None:
            raise TypeError("round: expected a released mean, found none")
        flat = np.concatenate([array.reshape(-1) for array in self.released.mean]) * len(self.contributors)
        return self.plan.rotation.rotate(flat) / self.setting.mean.encoding.granularity


class MeanSubject(Subject):
    """A secure mean that is audited.

    Args:
        planner: Plans the mean.
        name: The name in reports.
        claims: What the mean claims; the parameter "relation" of C-17 names its neighbours.
    """

    kind: ClassVar[str] = "mean"

    def __init__(self, planner: Planner, *, name: str, claims: Sequence[Claim]) -> None:
        self.name = name
        self.claims = tuple(claims)
        self.setting = planner

    @classmethod
    def of(cls, setting: Setting, *, name: str = "mean") -> Self:
        """Return a subject for one planned mean; its cohort and its sizes are used for all checks."""
        return cls(lambda _: setting, name=name, claims=claims_of(setting.mean))

    @property
    def relation(self) -> str:
        """The neighbouring relation that is claimed; zero-out if the claim names none."""
        named = [claim.parameters["relation"] for claim in self.claims if "relation" in claim.parameters]
        return str(named[0]) if named else ZERO_OUT

    def contribution(
        self, plan: RoundPlan, client: int, update: Sequence[NDArray[Any]], weight: float | None, entropy: Entropy
    ) -> Contribution:
        """Return what a client contributes: its update, prepared by the clip, and the mean's contribution of it."""
        prepared = plan.parts.prepare(plan.clip, update, weights=plan.weights)
        return plan.mean.contribution(prepared, rotation=plan.rotation, weight=weight, client=client, entropy=entropy)

    def round_plan(self, setting: Setting, seed: bytes, context: bytes = b"") -> RoundPlan:
        """Return a round's plan; its session has an id from the seed."""
        session = setting.mean.session(hashlib.sha256(b"session" + seed).digest()[:16], context=context)
        return RoundPlan(mean=setting.mean, session=session, work=Work("audit", 1, (), clip=setting.clip))

    def integers(
        self, plan: RoundPlan, client: int, update: Sequence[NDArray[Any]], weight: float | None, entropy: Entropy
    ) -> NDArray[np.int64]:
        """Return the integers of a client without noise, along the path of a contribution.

        Raises:
            EncodingError: The mean refuses the update or the weight.
        """
        bare = replace(plan, mean=replace(plan.mean, noise=None, target=None))
        part = self.contribution(bare, client, update, weight, entropy)
        return centred(part.vector, plan.mean.encoding.modulus)

    def observe(
        self,
        setting: Setting,
        updates: Mapping[int, Sequence[NDArray[Any]]],
        seed: bytes,
        *,
        weights: Mapping[int, float] | None = None,
        dropping: Collection[int] = (),
        context: bytes = b"",
        tap: Callable[[Transmission], None] | None = None,
    ) -> Round:
        """Run one round in memory, and return what was sent and released.

        Args:
            setting: The mean.
            updates: Each client's update.
            seed: All randomness of the round.
            weights: Each client's weight if the mean is weighted, else None.
            dropping: The clients that drop out before they send anything.
            context: What else the parties agree on.
            tap: Called with every message.

        Raises:
            protocols.errors.TooFewSurvivors: Too many clients drop out.
        """
        mean, weights = setting.mean, weights or {}
        plan = self.round_plan(setting, seed, context)
        parts = {
            client: self.contribution(
                plan, client, updates[client], weights.get(client), Tape(seed, f"client {client}")
            )
            for client in mean.clients
        }
        outcome = simulate(
            mean.protocol,
            plan.session,
            {client: part.vector for client, part in parts.items()},
            attached={client: part.attached for client, part in parts.items()},
            terms=setting.terms and setting.terms(),
            keyholders=setting.keyholders and setting.keyholders(),
            drops={self._first_step(mean): tuple(dropping)},
            tap=tap,
            entropy=Tape(seed, "sum"),
        )
        return Round(
            setting=setting,
            plan=plan,
            sent={client: centred(part.vector, mean.encoding.modulus) for client, part in parts.items()},
            bare={
                client: self.integers(
                    plan, client, updates[client], weights.get(client), Tape(seed, f"client {client}")
                )
                for client in mean.clients
            },
            attached={client: part.attached for client, part in parts.items()},
            outcome=outcome,
            released=decoded(plan, outcome, Tape(seed, "server")),
        )

    @staticmethod
    def _first_step(mean: SecureMean) -> str:
        return next(row.name for row in mean.protocol.steps if row.role is Role.CLIENT)


def decoded(plan: RoundPlan, outcome: Outcome, entropy: Entropy) -> Decoded | None:
    """Return what the server decodes; None if noise has left no positive total weight."""
    try:
        return plan.mean.decode(
            outcome.total,
            contributors=len(outcome.contributors),
            rotation=plan.rotation,
            attached=outcome.attached,
            entropy=entropy,
        )
    except UnusableMean:
        return None


def claims_of(mean: SecureMean) -> tuple[Claim, ...]:
    """Return the claims that a planned mean makes by its parameters."""
    ids = [*_UNIFORM_CLAIMS]
    if mean.noise is not None:
        ids += _NOISE_CLAIMS
    if mean.encoding.weighting is Weighting.WEIGHTED:
        ids.append("C-19")
    return claimed(*sorted(ids), relation=ZERO_OUT)


def zeros(setting: Setting) -> dict[int, Arrays]:
    """Return an update of zeros for every client."""
    return {client: [np.zeros(shape) for shape in setting.shapes] for client in setting.mean.clients}
