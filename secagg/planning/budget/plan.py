"""The cost of rounds of training, or the noise that they need, before anything is run: `secagg budget plan`.

Noise shares are sized for the contributors that `secagg train` relies on (`secagg.privacy.contributors`). If each round
asks a cohort, a client is charged for the releases that it is asked for, at most the cap (`docs/participation.md`,
Theorem A).
"""

import math

import msgspec

from dp.accounting.guarantee import guarantee
from dp.calibration.least_noise import gaussian_multiplier
from dp.calibration.modular import ModularPlan
from dp.errors import InfeasibleTarget
from dp.events import NeighbouringRelation, Observer, PrivacyEvent
from dp.reporting.wording import without_amplification
from secagg.errors import ConfigurationError
from secagg.planning.budget.answer import (
    Alternative,
    CapPlan,
    CohortPlan,
    CompressionPlan,
    LatticePlan,
    Plan,
    Statement,
    as_epsilon,
)
from secagg.planning.budget.bits import ChosenBits, chosen_bits
from secagg.planning.budget.noise import Solution, epsilon_of, fewer_shares, solve
from secagg.planning.budget.request import BudgetRequest
from secagg.planning.budget.table import tabulated
from secagg.privacy.least_cap import clients_to_ask, least_cap, most_rounds


def plan(request: BudgetRequest, *, table: bool = False) -> Plan:
    """Return the plan for a request: the epsilon of given noise, or the least noise for a given epsilon.

    Args:
        request: What is asked.
        table: Whether to compute the table of epsilon by rounds and noise too.

    Raises:
        ConfigurationError: The request does not fit its mechanism.
        secagg.errors.EncodingError: No bits are given, and no modulus is large enough.
        dp.errors.InfeasibleTarget: No noise, or no integer grid of the given bits, reaches the epsilon.
        dp.errors.InvalidParameter: A number is out of range.
    """
    chosen, asked = chosen_bits(request), request
    if chosen is not None:
        request = msgspec.structs.replace(asked, bits=chosen.bits)
    found = solve(request)
    event = found.event
    account = guarantee({event: request.releases}, delta=request.chosen_delta, relation=event.relation, unit=event.unit)
    unamplified = None
    if request.rate != 1:
        unamplified = epsilon_of(without_amplification(event), request.rounds, delta=request.chosen_delta)
    return Plan(
        request=asked,
        epsilon=as_epsilon(account.epsilon),
        delta=account.delta,
        noise_multiplier=event.noise_multiplier,
        unamplified_epsilon=None if unamplified is None else as_epsilon(unamplified),
        relation=account.relation,
        unit=account.unit,
        accountant=account.accountant,
        subsampling=account.renyi.subsampling,
        statements=_statements(request, event, account.epsilon, unamplified),
        cap=_cap(request, event),
        later=_later(request, event),
        cohort=_cohort(request, found),
        lattice=None if found.lattice is None else _lattice(request, found.lattice, chosen),
        table=tabulated(request, event) if table else None,
    )


def _statements(
    request: BudgetRequest, event: PrivacyEvent, epsilon: float, unamplified: float | None
) -> tuple[Statement, ...]:
    """Return what holds towards the server and towards readers, who get more only from a secret sample."""
    server = Statement(
        observer=Observer.SERVER,
        releases=request.releases,
        sampling=None,
        epsilon=as_epsilon(epsilon if unamplified is None else unamplified),
        relation=NeighbouringRelation.ZERO_OUT,
        unit=event.unit,
    )
    readers = Statement(
        observer=Observer.READERS,
        releases=request.releases,
        sampling=None if unamplified is None else request.rate,
        epsilon=as_epsilon(epsilon),
        relation=event.relation,
        unit=event.unit,
    )
    return server, readers


def _cap(request: BudgetRequest, event: PrivacyEvent) -> CapPlan | None:
    if request.cohort is None and request.cap is None:
        return None
    every = request.rounds
    return CapPlan(
        cap=request.releases,
        least=request.least_cap,
        spare_rounds=most_rounds(request.releases, cohort=request.asked, clients=request.clients) - every,
        without=None if request.releases >= every else _alternative(request, event, cap=every),
        with_dropouts=_with_dropouts(request, event),
    )


def _with_dropouts(request: BudgetRequest, event: PrivacyEvent) -> Alternative | None:
    """Return the plan in which as many clients contribute, after dropouts, as the request asks; None without one."""
    more = clients_to_ask(request.asked, dropout=request.dropout)
    if request.cohort is None or not request.asked < more <= request.clients:
        return None
    try:
        return _alternative(request, event, cohort=more)
    except ConfigurationError:  # There is no such cohort, for example since no secure sum takes it.
        return None


def _later(request: BudgetRequest, event: PrivacyEvent) -> Alternative | None:
    if request.more_rounds is None:
        return None
    return _alternative(request, event, rounds=request.rounds + request.more_rounds)


def _alternative(
    request: BudgetRequest,
    event: PrivacyEvent,
    *,
    rounds: int | None = None,
    cohort: int | None = None,
    cap: int | None = None,
) -> Alternative:
    """Return a plan with other rounds, cohort or cap; without a cap, that of the request if it is large enough."""
    rounds = request.rounds if rounds is None else rounds
    cohort = request.cohort if cohort is None else cohort
    if cap is None and request.rate == 1:
        cap = least_cap(rounds, cohort=cohort or request.clients, clients=request.clients)
        cap = max(cap, request.cap or 0)
    changed = msgspec.structs.replace(request, rounds=rounds, cohort=cohort, cap=cap, more_rounds=None)
    noise = None
    if request.epsilon is not None:
        try:
            noise = solve(changed).event.noise_multiplier
        except InfeasibleTarget:
            noise = None
    return Alternative(
        asked=changed.asked,
        rounds=rounds,
        least_cap=changed.least_cap,
        releases=changed.releases,
        epsilon=as_epsilon(epsilon_of(event, changed.releases, delta=request.chosen_delta)),
        noise_multiplier=noise,
    )


def _lattice(request: BudgetRequest, found: ModularPlan, chosen: ChosenBits | None) -> LatticePlan:
    mechanism = found.mechanism
    return LatticePlan(
        bits=found.bits,
        rounding_factor=None if chosen is None else chosen.rounding_factor,
        dimension=mechanism.dimension,
        granularity=found.granularity,
        local_deviation=found.local_sigma,
        noise_to_clip=found.noise_std,
        noise_to_gaussian=mechanism.noise_multiplier / gaussian_multiplier(found.target),
        sensitivity_to_clip=mechanism.l2_sensitivity * found.granularity / found.clip_l2,
        wrap_probability=found.wrap_probability,
        compression=_compression(request, found),
    )


def _compression(request: BudgetRequest, found: ModularPlan) -> CompressionPlan | None:
    """Return what sending a part of the coordinates costs.

    A client's sent part is clipped to the clipping bound times the square root of the fraction that is sent, and a mean
    is divided by the fraction. So the noise of all coordinates together has the same squared error as without.
    """
    whole, sent = request.dimension, found.mechanism.dimension
    if whole is None or sent == whole:
        return None
    return CompressionPlan(
        whole=whole,
        bytes_saved=(whole - sent) * found.bits // 8,
        subsampling_error=whole / sent - 1,
        noise_error=whole * (found.noise_std / request.required_contributors) ** 2,
    )


def _cohort(request: BudgetRequest, found: Solution) -> CohortPlan | None:
    if found.fewer is None:
        return None
    return CohortPlan(
        clients=request.asked,
        required_contributors=request.required_contributors,
        colluding=request.colluding,
        relied_on=request.relied_on,
        share=found.event.noise_multiplier / math.sqrt(request.relied_on),
        share_for_collusion=math.sqrt(request.required_contributors / request.relied_on),
        fewer=fewer_shares(request),
        fewer_epsilon=as_epsilon(epsilon_of(found.fewer, request.releases, delta=request.chosen_delta)),
    )
