"""What `secagg budget plan` answers, as plain data that JSON can hold."""

import math
from typing import Literal

import msgspec

from dp.events import NeighbouringRelation, Observer, PrivacyUnit
from secagg.planning.budget.request import BudgetRequest

Epsilon = float | Literal["infinite"]
"""An epsilon; one without a finite bound is the text "infinite", since JSON has no such number."""


def as_epsilon(epsilon: float) -> Epsilon:
    """Return an epsilon as JSON can hold it."""
    return "infinite" if math.isinf(epsilon) else epsilon


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What the noise of a plan guarantees towards one observer.

    Attributes:
        observer: From whom it protects.
        releases: The most releases that one client is asked for, or may be drawn for.
        sampling: The probability with which each client is drawn, if amplification by that is claimed; else None.
        epsilon: The epsilon of these releases, at the plan's delta.
        relation: The neighbouring relation.
        unit: The privacy unit.
    """

    observer: Observer
    releases: int
    sampling: float | None
    epsilon: Epsilon
    relation: NeighbouringRelation
    unit: PrivacyUnit


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """The same plan with another number of rounds, of clients asked, or without a cap.

    Attributes:
        asked: The number of clients that each round asks.
        rounds: The number of rounds.
        least_cap: The least cap with which these rounds can be held.
        releases: The most releases that one client is asked for: the least cap, unless a larger one was given.
        epsilon: The epsilon with the noise of the plan.
        noise_multiplier: The least noise for the epsilon that was given; None if none was, or if no noise on the
            lattice reaches it.
    """

    asked: int
    rounds: int
    least_cap: int
    releases: int
    epsilon: Epsilon
    noise_multiplier: float | None


class CapPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How often a client is asked, in a plan with cohorts.

    Attributes:
        cap: The most rounds that one client is asked for.
        least: The least cap with which all rounds can be held.
        spare_rounds: How many further rounds the cap has places for, for example for rounds that fail.
        without: The plan without a cap: one client may be asked in every round. None if the cap allows that.
        with_dropouts: The plan in which a round asks more clients, so that after dropouts as many contribute as this
            plan asks. None if no dropouts are expected, or if there are not as many clients.
    """

    cap: int
    least: int
    spare_rounds: int
    without: Alternative | None
    with_dropouts: Alternative | None


class LatticePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a secure sum carries the noise.

    Attributes:
        bits: Bits of the modulus.
        rounding_factor: How many times larger rounding makes the noise of `secagg train`, which chooses the same bits;
            None if the bits were given.
        dimension: Coordinates that a client sends: those of an update, or a fraction of them.
        granularity: One step of the integer grid, with the clipping bound as one.
        local_deviation: Standard deviation of a client's noise share, in steps of the integer grid.
        noise_to_clip: Standard deviation of the noise shares relied on, in a sum, with the clipping bound as one.
        noise_to_gaussian: The noise multiplier over that of continuous Gaussian noise for the same guarantee.
        sensitivity_to_clip: The sensitivity after rounding, with the clipping bound as one.
        wrap_probability: At most the probability that some coordinate of a sum wraps around.
        compression: What a client's sending only a part of the coordinates costs; None if it sends all.
    """

    bits: int
    rounding_factor: float | None
    dimension: int
    granularity: float
    local_deviation: float
    noise_to_clip: float
    noise_to_gaussian: float
    sensitivity_to_clip: float
    wrap_probability: float
    compression: "CompressionPlan | None"


class CompressionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What it costs a mean that clients send only a part of the rotated coordinates of their updates.

    Attributes:
        whole: Coordinates of an update.
        bytes_saved: The bytes by which a client's vector is smaller.
        subsampling_error: The expected squared l2 error of a mean by what is not sent, over the mean's squared norm.
        noise_error: The expected squared l2 error of a mean by the noise shares relied on, over the squared clipping
            bound. It is the same without compression.
    """

    whole: int
    bytes_saved: int
    subsampling_error: float
    noise_error: float


class CohortPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of a round on which the noise relies, if they add it in noise shares.

    Attributes:
        clients: The number of clients of a round; if they are sampled, the expected number, at least 2.
        required_contributors: The least number of contributors of a release.
        colluding: How many of them may collude with the server; their noise shares are not counted.
        relied_on: The number of present, honest contributors that each noise share is sized for: the difference of the
            two.
        share: Standard deviation of a noise share over the sensitivity.
        share_for_collusion: The factor by which a noise share is larger than if nobody colluded.
        fewer: Four fifths of `relied_on`, rounded down, at least 1.
        fewer_epsilon: Epsilon if every sum had only the noise shares of `fewer` contributors.
    """

    clients: int
    required_contributors: int
    colluding: int
    relied_on: int
    share: float
    share_for_collusion: float
    fewer: int
    fewer_epsilon: Epsilon


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Epsilon by rounds and noise, towards the server; towards readers if clients are sampled in secret.

    Attributes:
        rounds: The number of rounds of each row.
        releases: The most releases that one client is asked for in them.
        noise_multipliers: The noise of each column.
        epsilon: The epsilon of each row and column, at the plan's delta.
    """

    rounds: tuple[int, ...]
    releases: tuple[int, ...]
    noise_multipliers: tuple[float, ...]
    epsilon: tuple[tuple[Epsilon, ...], ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the answer to it.

    Attributes:
        request: The request.
        epsilon: The epsilon of all rounds together, towards the server; towards readers if clients are sampled in
            secret.
        delta: The delta at which that epsilon holds.
        noise_multiplier: Standard deviation of a round's noise over its sensitivity.
        unamplified_epsilon: Epsilon without amplification by sampling; None if clients are not sampled.
        relation: The neighbouring relation.
        unit: The privacy unit.
        accountant: How epsilon was computed.
        subsampling: The bounds on sampled rounds that were used.
        statements: What holds towards the server, and what towards readers.
        cap: How often a client is asked; None if each round asks all clients, or a sample.
        later: The plan with more rounds, if those were asked for.
        cohort: The clients on which the noise relies, if they add it in noise shares; None if a round has more clients
            than a secure sum allows.
        lattice: How a secure sum carries the noise; None for continuous noise.
        table: Epsilon by rounds and noise, if that was asked for.
    """

    request: BudgetRequest = msgspec.field(name="question")
    epsilon: Epsilon
    delta: float
    noise_multiplier: float
    unamplified_epsilon: Epsilon | None
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    subsampling: tuple[str, ...]
    statements: tuple[Statement, ...]
    cap: CapPlan | None
    later: Alternative | None
    cohort: CohortPlan | None
    lattice: LatticePlan | None
    table: Table | None

    @property
    def bound(self) -> float:
        """Epsilon as a number, possibly infinite."""
        return math.inf if isinstance(self.epsilon, str) else self.epsilon

    def as_json(self) -> str:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()
