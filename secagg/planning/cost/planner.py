"""The plan of a round's costs: each protocol that fits, what it costs and tolerates, and which one to take."""

from dataclasses import dataclass
from typing import Final

from protocols import Adversary, SecureSum, load
from protocols.cohort import MAX_CLIENTS, whole_clients
from protocols.errors import ParameterError
from secagg.errors import ConfigurationError
from secagg.planning.cost.capacity import limits_of
from secagg.planning.cost.constants import Constants
from secagg.planning.cost.layout import Layout, layout_of
from secagg.planning.cost.models import MODELLED
from secagg.planning.cost.one_sum import OneSum, Party, one_sum
from secagg.planning.cost.request import CostRequest
from secagg.planning.cost.round_time import layout_seconds, round_seconds
from secagg.privacy.contributors import check_cohort, required_contributors

_ABOUT_THE_SAME: Final = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A protocol that fits.

    Attributes:
        kind: Its class.
        one: The cost of a sum: of all clients on one server, or of one cohort if one server is not enough.
        low_s: The least seconds of a round, training left out; of all levels together where there are several.
        high_s: The most.
        lost: How many clients of a sum may drop out.
        colluding: How many clients of a sum may collude with the server.
        limits: Why one server is not enough; empty if it is.
        layout: What does instead; None if one server does, or if nothing was found.
    """

    kind: type[SecureSum]
    one: OneSum
    low_s: float
    high_s: float
    lost: int
    colluding: int
    limits: tuple[str, ...]
    layout: Layout | None

    @property
    def slices(self) -> int:
        """The number of slices of the vector; a client takes part in a sum of each."""
        return 1 if self.layout is None else self.layout.slices

    @property
    def workers(self) -> int:
        """The number of workers that share a sum."""
        return 1 if self.layout is None else self.layout.workers

    @property
    def client(self) -> Party:
        """What a client spends in a round, in the sums of all slices."""
        one, slices = self.one.client, self.slices
        return Party(
            sent_bytes=slices * one.sent_bytes,
            received_bytes=slices * one.received_bytes,
            cpu_s=slices * one.cpu_s,
            starting_s=one.starting_s,
        )

    @property
    def partial_sums(self) -> int:
        """The number of sums of the first level."""
        return 1 if self.layout is None else self.layout.levels[0].sums

    @property
    def gives_up(self) -> bool:
        """Whether partial sums are released to servers."""
        return self.partial_sums > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPlan:
    """A plan.

    Attributes:
        request: The request.
        constants: The constants that were used.
        rows: The protocols that fit.
        refused: Why each other protocol does not fit, by name.
        recommended: The row to take; None if no protocol that protects anything fits.
        why: Why it is recommended, in sentences.
    """

    request: CostRequest
    constants: Constants
    rows: tuple[Row, ...]
    refused: dict[str, str]
    recommended: Row | None
    why: str


def plan_costs(request: CostRequest, constants: Constants) -> CostPlan:
    """Return the plan for a request.

    Raises:
        ConfigurationError: The cohort can release no round, or the protocol is not modelled.
        protocols.errors.ParameterError: The only protocol that was asked for does not fit.
    """
    kinds = MODELLED if request.protocol is None else (_modelled(request.protocol),)
    _check(request)
    rows, refused = list[Row](), dict[str, str]()
    for kind in kinds:
        try:
            rows.append(_row(kind, request, constants))
        except ParameterError as error:
            if request.protocol is not None:
                raise
            refused[kind.name] = str(error)
    best, why = _recommended(rows, request.adversary)
    return CostPlan(request=request, constants=constants, rows=tuple(rows), refused=refused, recommended=best, why=why)


def _modelled(name: str) -> type[SecureSum]:
    kind = load(name)
    if kind not in MODELLED:
        raise ConfigurationError(
            f"--protocol: expected one whose cost is modelled ({', '.join(each.name for each in MODELLED)}), found "
            f"{name}. Name one of them."
        )
    return kind


def _check(request: CostRequest) -> None:
    check_cohort(
        clients=request.cohort,
        dropout=request.dropout,
        adversarial=request.adversarial,
        required=_required(request, request.cohort),
        default=True,
        noise_in_shares=False,
    )


def _required(request: CostRequest, clients: int) -> int:
    return required_contributors(
        clients=clients,
        dropout=request.dropout,
        adversarial=request.adversarial,
        adversary=request.adversary,
        minimum_contributors=None,
    )


def _row(kind: type[SecureSum], request: CostRequest, constants: Constants) -> Row:
    if kind.adversaries and request.adversary not in kind.adversaries:
        raise ParameterError(f"does not protect from a {request.adversary} server.")
    if not kind.adversaries and request.adversary is not Adversary.CURIOUS:
        raise ParameterError("protects from no server.")
    limits = [] if request.clients <= MAX_CLIENTS else [f"A session has at most {MAX_CLIENTS:,} clients."]
    engine = constants.engines[request.engine]
    try:
        shown = one_sum(kind, request, constants, clients=request.cohort)
        limits += [limit.text for limit in limits_of(shown, engine)]
        layout = layout_of(kind, request, constants) if limits else None
    except ParameterError as error:  # All clients in one sum do not fit; smaller cohorts may.
        layout = layout_of(kind, request, constants)
        if layout is None:
            raise
        limits.append(f"One session of {request.cohort:,} clients is refused: {error}")
    if layout is not None:
        shown = layout.levels[0].one
    low_s, high_s = (
        round_seconds(shown, request, constants) if layout is None else layout_seconds(layout, request, constants)
    )
    clients = shown.size.clients
    return Row(
        kind=kind,
        one=shown,
        low_s=low_s,
        high_s=high_s,
        lost=clients - shown.size.threshold,
        colluding=whole_clients(clients, request.adversarial, "adversarial") if kind.protects else 0,
        limits=tuple(limits),
        layout=layout,
    )


def _recommended(rows: list[Row], adversary: Adversary) -> tuple[Row | None, str]:
    """Return the row to take, and why.

    Those that one server does come first, then those that servers share without releasing partial sums, then those that
    release the fewest. Of these, it is the quickest; of those about as quick, the one with the fewest bytes.
    """
    safe = [row for row in rows if row.kind.protects]
    if not safe:
        return None, "No protocol that protects from a server fits. Change the fractions, or give --committee."
    proven = [row for row in safe if not (row.kind.experimental and adversary is Adversary.MALICIOUS)] or safe
    candidates, because = _least_given_up(proven)
    quickest = min(row.high_s for row in candidates)
    near = [row for row in candidates if row.high_s <= _ABOUT_THE_SAME * quickest]
    best = min(near, key=lambda row: row.client.sent_bytes + row.client.received_bytes)
    names = ", ".join(row.kind.name for row in near if row is not best)
    if len(safe) == 1:
        return best, f"{because}It is the only protocol in this plan that protects from such a server."
    if len(candidates) == 1:
        return best, because.strip()
    if not names:
        return best, f"{because}A round takes the least time with it."
    return best, (
        f"{because}A round takes about as long with {names}. Of these, a client sends and receives the fewest bytes "
        f"with {best.kind.name}."
    )


def _least_given_up(rows: list[Row]) -> tuple[list[Row], str]:
    """Return the rows that give up least, and what sets them apart, as a sentence with a blank after it."""
    if single := [row for row in rows if not row.limits]:
        return single, "One server does with it. " if len(single) == 1 < len(rows) else ""
    possible = [row for row in rows if row.layout is not None]
    if not possible:
        return rows, "No layout was found for any protocol. "
    if whole := [row for row in possible if not row.gives_up]:
        return whole, "Servers share its sum without a release of partial sums. "
    fewest = min(row.partial_sums for row in possible)
    return [row for row in possible if row.partial_sums <= 2 * fewest], "The fewest partial sums are released. "
