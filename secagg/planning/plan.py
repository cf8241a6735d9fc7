"""The cost of rounds of training, or the noise that they need, before anything is run: `secagg budget plan`.

Noise shares are sized for the contributors that `secagg train` relies on (`secagg.privacy.contributors`). The
accountant is the ledger's (`dp.accounting`), so what is planned here is what a ledger will admit.
"""

import math
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal

import msgspec

from dp.accounting.guarantee import Guarantee, guarantee
from dp.calibration.least_noise import calibrate_gaussian
from dp.calibration.modular import ModularPlan, plan_modulus
from dp.errors import InfeasibleTarget
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent, PrivacyUnit
from dp.figures import in_full, rounded_up, rounded_up_within
from dp.noise.distributed import LatticeNoise
from dp.reporting.wording import RELATIONS, UNITS, without_amplification
from secagg.errors import ConfigurationError
from secagg.planning.budget_request import BudgetRequest

CONDITION = (
    "each client takes part in a round with this probability, drawn afresh, independently and in secret. The server of "
    "a secure sum sees who takes part: against it, only the figure without sampling holds"
)
SHARES_CONDITION = (
    "and every sum contains at least {relied_on:,} honest noise shares, no matter which clients were drawn (for "
    "example because other parties add them)"
)


class LatticePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a secure sum carries the noise.

    Attributes:
        bits: Bits of the modulus.
        dimension: Coordinates of an update.
        granularity: One step of the integer grid, with the clipping bound as one.
        local_deviation: Standard deviation of a client's noise share, in steps of the integer grid.
        noise_to_clip: Standard deviation of the noise shares relied on, in a sum, with the clipping bound as one.
        noise_to_gaussian: That noise over what continuous Gaussian noise needs for the same guarantee by its own
            accountant, exact without sampling.
        wrap_probability: At most the probability that some coordinate of a sum wraps around.
    """

    bits: int
    dimension: int
    granularity: float
    local_deviation: float
    noise_to_clip: float
    noise_to_gaussian: float
    wrap_probability: float


class CohortPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of a round on which the noise relies, if they add it in noise shares.

    Attributes:
        clients: The number of clients of a round; if they are sampled, the expected number, at least 2.
        required_contributors: The least number of contributors of a release.
        colluding: How many of them may collude with the server; their noise shares are not counted.
        relied_on: The number of present, honest contributors that each noise share is sized for: the difference of the
            two.
        share: Standard deviation of a noise share over the sensitivity.
        fewer: Four fifths of `relied_on`, rounded down, at least 1.
        fewer_epsilon: Epsilon if every sum had only the noise shares of `fewer` contributors.
    """

    clients: int
    required_contributors: int
    colluding: int
    relied_on: int
    share: float
    fewer: int
    fewer_epsilon: float | Literal["infinite"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the answer to it; an epsilon without a finite bound is the text "infinite".

    Attributes:
        request: The request.
        epsilon: The epsilon of all rounds together.
        delta: The delta at which that epsilon holds.
        noise_multiplier: Standard deviation of a round's noise over its sensitivity.
        unamplified_epsilon: Epsilon without amplification by sampling; None if clients are not sampled.
        relation: The neighbouring relation.
        unit: The privacy unit.
        accountant: How epsilon was computed.
        subsampling: The bounds on sampled rounds that were used.
        cohort: The clients on which the noise relies, if they add it in noise shares; None if a round has more clients
            than a secure sum allows.
        lattice: How a secure sum carries the noise; None for continuous noise.
    """

    request: BudgetRequest = msgspec.field(name="question")
    epsilon: float | Literal["infinite"]
    delta: float
    noise_multiplier: float
    unamplified_epsilon: float | Literal["infinite"] | None
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    subsampling: tuple[str, ...]
    cohort: CohortPlan | None
    lattice: LatticePlan | None

    @property
    def bound(self) -> float:
        """Epsilon as a number, possibly infinite."""
        return math.inf if isinstance(self.epsilon, str) else self.epsilon

    def as_json(self) -> str:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    def as_text(self) -> str:
        """Return it as lines for a terminal."""
        asked = self.request
        rows = [
            (
                "Epsilon",
                f"{_shown(self.epsilon, asked.epsilon)} at delta {in_full(self.delta)}, below 1/{asked.clients}",
            ),
            ("Noise multiplier", f"{_enough(self.noise_multiplier)} times the sensitivity, in every round's sum"),
            *self._cohort_rows(),
            ("Rounds", f"{asked.rounds:,}, all intermediate models released"),
            ("Clients", f"{asked.clients:,}, {asked.rate * asked.clients:,.6g} a round"),
        ]
        if self.unamplified_epsilon is not None:
            rows += [
                ("Without sampling", f"epsilon {_shown(self.unamplified_epsilon, None)}, without amplification"),
                ("With it holds if", self._condition),
            ]
        if self.lattice is not None:
            rows += _lattice_rows(self.lattice)
        rows += [
            ("Mechanism", str(asked.mechanism)),
            ("Privacy unit", f"{self.unit.value}: {UNITS[self.unit]}"),
            ("Relation", f"{self.relation.value}: {RELATIONS[self.relation]}"),
            ("Accountant", "; ".join((self.accountant, *self.subsampling))),
        ]
        rows += [("Warning", warning) for warning in self.request.warnings]
        width = max(len(heading) for heading, _ in rows)
        return "\n".join(f"{heading:<{width}}  {text}" for heading, text in rows) + "\n"

    @property
    def _condition(self) -> str:
        """The condition of amplification by sampling; with noise shares, also the least number of honest ones."""
        if self.lattice is None or self.cohort is None:
            return CONDITION
        return f"{CONDITION}; {SHARES_CONDITION.format(relied_on=self.cohort.relied_on)}"

    def _cohort_rows(self) -> list[tuple[str, str]]:
        cohort, lattice = self.cohort, self.lattice
        if cohort is None:
            return []
        expected = "" if self.request.rate == 1 else " that a round has on average"
        if lattice is None:
            width = f"{_enough(cohort.share)} times the sensitivity"
            other = "; where one party adds the noise, missing clients change nothing"
        else:
            width, other = f"standard deviation {_enough(lattice.local_deviation)} steps", ""
        return [
            (
                "Each share",
                f"{width}, sized for {cohort.relied_on:,} honest contributors: at least "
                f"{cohort.required_contributors:,} of {cohort.clients:,} clients{expected} contribute, and up to "
                f"{cohort.colluding:,} of them collude",
            ),
            (
                "If 20% drop out",
                f"epsilon {_shown(cohort.fewer_epsilon, None)} if a sum has only {cohort.fewer:,} of the "
                f"{cohort.relied_on:,} honest shares that the noise is sized for; train never releases a sum of fewer "
                f"than {cohort.required_contributors:,} contributors, and cannot see how many of them collude or leave "
                f"out their noise{other}",
            ),
        ]


def plan(request: BudgetRequest) -> Plan:
    """Return the plan for a request: the epsilon of given noise, or the least noise for a given epsilon.

    Raises:
        ConfigurationError: The request does not fit its mechanism.
        dp.errors.InfeasibleTarget: No noise, or no integer grid of the given bits, reaches the epsilon.
        dp.errors.InvalidParameter: A number is out of range.
    """
    if isinstance(request.mechanism, LatticeNoise) and request.dimension is not None:
        found = _lattice(request, request.mechanism, request.dimension)
        left = found.target.event(found.mechanism.realised(_fewer(request)))
        return _answer(request, found.event, left, _lattice_plan(found))
    noise = request.noise_multiplier
    if noise is None:
        noise = calibrate_gaussian(
            epsilon=request.target,
            delta=request.chosen_delta,
            releases=request.rounds,
            relation=request.relation,
            sampling_rate=request.rate,
        )
    thinner: PrivacyEvent | None = None
    if request.has_cohort:
        thinner = _gaussian(request, noise * math.sqrt(_fewer(request) / request.relied_on))
    return _answer(request, _gaussian(request, noise), thinner, None)


def _gaussian(request: BudgetRequest, noise_multiplier: float) -> PrivacyEvent:
    event = GaussianEvent(noise_multiplier=noise_multiplier, relation=request.relation)
    return event if request.rate == 1 else PoissonSampledEvent(sampling_rate=request.rate, event=event)


def _epsilon_of_continuous(request: BudgetRequest, noise_multiplier: float) -> float:
    """Return the epsilon of continuous noise, a lower bound on the epsilon of noise on the integer grid."""
    return _account(request, _gaussian(request, noise_multiplier)).epsilon


def _account(request: BudgetRequest, event: PrivacyEvent) -> Guarantee:
    return guarantee({event: request.rounds}, delta=request.chosen_delta, relation=event.relation, unit=event.unit)


def _fewer(request: BudgetRequest) -> int:
    """Return the number of noise shares that remain if a fifth of those relied on are missing, at least 1."""
    return max(1, 4 * request.relied_on // 5)


def _lattice(request: BudgetRequest, mechanism: LatticeNoise, dimension: int) -> ModularPlan:
    """Return the integer grid for a budget; for given noise, that for the least budget whose noise is at most that."""

    def for_epsilon(epsilon: float) -> ModularPlan:
        return plan_modulus(
            bits=_BITS if request.bits is None else request.bits,
            clip_l2=1.0,
            clients=request.cohort,
            relied_on=request.relied_on,
            dimension=dimension,
            releases=request.rounds,
            sampling_rate=request.rate,
            epsilon=epsilon,
            delta=request.chosen_delta,
            noise=mechanism,
            relation=request.relation,
        )

    noise = request.noise_multiplier
    if noise is None:
        return for_epsilon(request.target)
    low = high = _epsilon_of_continuous(request, noise)
    try:
        while (found := for_epsilon(high)).noise_std > noise:
            if high > _FURTHER * low:
                raise _too_little(request, noise)
            high *= 1.25
    except InfeasibleTarget:
        raise _too_little(request, noise) from None
    while high > low * (1 + _TOLERANCE):
        middle = math.sqrt(low * high)
        tried = for_epsilon(middle)
        if tried.noise_std <= noise:
            high, found = middle, tried
        else:
            low = middle
    return found


def _too_little(request: BudgetRequest, noise: float) -> ConfigurationError:
    return ConfigurationError(
        f"--noise-multiplier: expected at least the noise that {request.mechanism} shares can have on this lattice, "
        f"found {noise:g} times the clipping bound. Use more bits or more noise."
    )


def _lattice_plan(found: ModularPlan) -> LatticePlan:
    return LatticePlan(
        bits=found.bits,
        dimension=found.mechanism.dimension,
        granularity=found.granularity,
        local_deviation=found.local_sigma,
        noise_to_clip=found.noise_std,
        noise_to_gaussian=found.noise_ratio,
        wrap_probability=found.wrap_probability,
    )


def _answer(
    request: BudgetRequest, event: PrivacyEvent, thinner: PrivacyEvent | None, lattice: LatticePlan | None
) -> Plan:
    found = _account(request, event)
    return Plan(
        request=request,
        epsilon=_figure(found.epsilon),
        delta=found.delta,
        noise_multiplier=event.noise_multiplier,
        unamplified_epsilon=None
        if request.rate == 1
        else _figure(_account(request, without_amplification(event)).epsilon),
        relation=found.relation,
        unit=found.unit,
        accountant=found.accountant,
        subsampling=found.renyi.subsampling,
        cohort=None if thinner is None else _cohort(request, event, _account(request, thinner).epsilon),
        lattice=lattice,
    )


def _cohort(request: BudgetRequest, event: PrivacyEvent, fewer_epsilon: float) -> CohortPlan:
    return CohortPlan(
        clients=request.cohort,
        required_contributors=request.required_contributors,
        colluding=request.colluding,
        relied_on=request.relied_on,
        share=event.noise_multiplier / math.sqrt(request.relied_on),
        fewer=_fewer(request),
        fewer_epsilon=_figure(fewer_epsilon),
    )


def _figure(epsilon: float) -> float | Literal["infinite"]:
    return "infinite" if math.isinf(epsilon) else epsilon


def _shown(epsilon: float | Literal["infinite"], target: float | None) -> str:
    """Return an epsilon rounded up, but not above a target that it keeps."""
    if isinstance(epsilon, str):
        return epsilon
    return rounded_up(epsilon) if target is None else rounded_up_within(epsilon, target)


def _enough(noise: float) -> str:
    """Return a noise in five digits, rounded up."""
    exact = Decimal(noise)
    step = Decimal(1).scaleb(exact.adjusted() - 4)
    return f"{float(exact.quantize(step, rounding=ROUND_CEILING)):.6g}"


def _lattice_rows(lattice: LatticePlan) -> list[tuple[str, str]]:
    return [
        (
            "Lattice",
            f"{lattice.bits} bits a coordinate, {lattice.dimension:,} coordinates, one step is "
            f"{lattice.granularity:.4g} of the clipping bound",
        ),
        (
            "Noise in the sum",
            f"{_enough(lattice.noise_to_clip)} times the clipping bound, {lattice.noise_to_gaussian:.4f} times what "
            "continuous Gaussian noise needs by its own, tighter accountant",
        ),
        (
            "Wrapping around",
            f"probability at most {lattice.wrap_probability:.2g} for a coordinate of one sum, updates rotated by one "
            "transform over all coordinates (secagg's own encoding takes more bits and leaves at most 2^-40)",
        ),
    ]


_BITS: Final = 24
_TOLERANCE: Final = 1e-3
_FURTHER: Final = 1e3
