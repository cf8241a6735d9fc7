"""The cost of one sum of a cohort with a protocol's own parameters: seconds, bytes, CPU time and memory."""

from dataclasses import dataclass
from functools import cache, partial

from dp.errors import InfeasibleTarget
from protocols import SecureSum, SeedSum
from protocols.cohort import whole_clients
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.errors import ParameterError
from protocols.secure_sum import Role
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.lattice import fit_with_noise
from secagg.aggregation.modulus_bits import AUTO
from secagg.errors import EncodingError
from secagg.planning.cost import seeds
from secagg.planning.cost.constants import Constants, Factors
from secagg.planning.cost.models import cost_of
from secagg.planning.cost.operations import cpu_seconds
from secagg.planning.cost.request import CostRequest
from secagg.planning.cost.sum_size import PartyCost, SeedMembers, SumSize, key_of_size
from secagg.privacy.contributors import colluding_clients, required_contributors
from secagg.privacy.default_budget import EPSILON, ROUNDS
from secagg.privacy.delta import default_delta
from secagg.privacy.noise import Target

SERVER_MBPS = 1000.0
"""The link of a server and of a committee member, in Mbit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What one party spends in one sum.

    Attributes:
        sent_bytes: The bytes that it sends.
        received_bytes: The bytes that it receives, without the model.
        cpu_s: Its CPU seconds.
        starting_s: The CPU seconds of each new process before its first sum.
    """

    sent_bytes: float
    received_bytes: float
    cpu_s: float
    starting_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSum:
    """One sum, as it would run on one server.

    Attributes:
        protocol: The protocol, with its parameters.
        size: The size of the sum.
        steps: The number of steps of the protocol.
        client_steps: The number of those that clients answer; the others are the committee's.
        client: A client that stays to the end.
        member: A committee member; None without a committee.
        server_cpu_s: The server's CPU seconds.
        server_bytes: The memory of the server's part, in bytes.
        engine_bytes: The memory of the engine's own server, which holds replies; 0 if it holds none.
        largest_field: The longest byte string of a message, in bytes.
        link_s: The seconds in which everything passes the server's link.
    """

    protocol: SecureSum
    size: SumSize
    steps: int
    client_steps: int
    client: Party
    member: Party | None
    server_cpu_s: float
    server_bytes: float
    engine_bytes: float
    largest_field: float
    link_s: float


def one_sum(
    kind: type[SecureSum], request: CostRequest, constants: Constants, *, clients: int, slices: int = 1
) -> OneSum:
    """Return the cost of one sum of a cohort.

    Args:
        kind: The protocol's class.
        request: The request; its number of clients does not count here.
        constants: The constants.
        clients: The size of the cohort.
        slices: The number of equal slices of the vector, of which this sum is one.

    Raises:
        ParameterError: The protocol has no parameters for the cohort, or needs a committee; or no modulus is large
            enough.
    """
    protocol, size = _sized(kind, request, clients, slices)
    cost, factors = cost_of(protocol, size), constants.factors.get(kind.name)
    member = None if cost.member is None else _party(cost.member, constants, _of(factors, "member"))
    client = _party(cost.client, constants, _of(factors, "client"))
    server_cpu_s = cpu_seconds(cost.server, constants.durations) * _of(factors, "server")
    engine = constants.engines[request.engine]
    members = 0 if size.key is None else size.key.members
    model = request.model_bytes / slices
    carried = size.clients * (cost.client.sent_bytes + cost.client.received_bytes + model)
    carried += 0 if cost.member is None else members * (cost.member.sent_bytes + cost.member.received_bytes)
    return OneSum(
        protocol=protocol,
        size=size,
        steps=len(protocol.steps),
        client_steps=sum(step.role is Role.CLIENT for step in protocol.steps),
        client=client,
        member=member,
        server_cpu_s=server_cpu_s,
        server_bytes=cost.server_bytes + 2 * model,
        engine_bytes=engine.copies * size.contributors * cost.largest_reply,
        largest_field=cost.largest_field,
        link_s=_seconds(carried, SERVER_MBPS),
    )


@cache
def fitted(
    kind: type[SecureSum],
    *,
    clients: int,
    parameters: int,
    compression: float,
    minimum_contributors: int,
    adversarial: float,
) -> Encoding:
    """Return an encoding of updates, with the bits that `secagg train` chooses with its default budget and noise.

    Raises:
        ParameterError: No modulus is large enough, or so few coordinates of so small an update are not enough.
    """
    target = Target(
        epsilon=EPSILON,
        delta=default_delta(clients),
        releases=ROUNDS,
        colluding=colluding_clients(clients, adversarial),
    )
    fit = partial(
        Encoding.fit,
        shapes=[(parameters,)],
        clip_l2=1.0,
        clients=clients,
        compression=compression,
        modulus=kind.modulus,
    )
    try:
        encoding, _ = fit_with_noise(fit, target, modulus_bits=AUTO, minimum_contributors=minimum_contributors)
    except (EncodingError, InfeasibleTarget) as error:
        raise ParameterError(str(error)) from None
    return encoding


def committee_threshold(members: int, adversarial: float) -> int:
    """Return how many members open a sum: the least number of which two groups share an honest member."""
    return (members + whole_clients(members, adversarial, "adversarial")) // 2 + 1


def _sized(kind: type[SecureSum], request: CostRequest, clients: int, slices: int) -> tuple[SecureSum, SumSize]:
    dropout, adversarial, adversary = request.dropout, request.adversarial, request.adversary
    required = required_contributors(
        clients=clients,
        dropout=dropout,
        adversarial=adversarial,
        adversary=adversary,
        minimum_contributors=None,
    )
    # As in `secagg.engines.server.plans`: parameters for all dropouts that may happen before nothing is released.
    chosen, least = kind.suggest(
        clients=clients, adversarial=adversarial, dropout=(clients - required) / clients, adversary=adversary
    )
    if required < least:
        raise ParameterError(f"contributors: expected at least {least} for {kind.name}, found {required}.")
    key: ThresholdKey | SeedMembers | None = None
    if kind.needs_committee:
        if request.committee is None:
            raise ParameterError("needs a committee. Give its number of members with --committee.")
        key = _key(kind, request.committee, adversarial)
    encoding = fitted(
        kind,
        clients=clients,
        parameters=request.parameters,
        compression=request.compression,
        minimum_contributors=required,
        adversarial=adversarial,
    )
    return chosen.with_headroom(), SumSize(
        clients=clients,
        length=-(-encoding.length // slices),
        modulus=encoding.modulus,
        threshold=required,
        dropped=whole_clients(clients, dropout, "dropout"),
        signed=str(adversary) == "malicious",
        key=key,
    )


def _key(kind: type[SecureSum], members: int, adversarial: float) -> ThresholdKey | SeedMembers:
    """Return the sizes of the committee that a protocol needs. By replicated seeds, at least one member is corrupt."""
    if issubclass(kind, SeedSum):
        colluding = max(1, whole_clients(members, adversarial, "adversarial"))
        return seeds.members_of_size(members, colluding)
    return key_of_size(members, committee_threshold(members, adversarial))


def _party(cost: PartyCost, constants: Constants, factor: float) -> Party:
    return Party(
        sent_bytes=cost.sent_bytes,
        received_bytes=cost.received_bytes,
        cpu_s=cpu_seconds(cost.counts, constants.durations) * factor,
        starting_s=cpu_seconds(cost.starting, constants.durations),
    )


def _of(factors: Factors | None, party: str) -> float:
    found = None if factors is None else getattr(factors, party)
    return 1.0 if found is None else float(found)


def _seconds(size: float, mbps: float) -> float:
    return 8 * size / (1e6 * mbps)
