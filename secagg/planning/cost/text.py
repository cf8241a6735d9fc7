"""A plan of costs for a terminal: a table of at most 80 columns, and sentences."""

import textwrap
from collections.abc import Iterator
from typing import Final

from secagg.aggregation.modulus_bits import WITHOUT_NOISE
from secagg.planning.cost.capacity import MOST_BYTES
from secagg.planning.cost.constants import WARM, EngineConstants
from secagg.planning.cost.figures import bytes_in_words, count, seconds_in_words, short
from secagg.planning.cost.layout import Layout
from secagg.planning.cost.one_sum import SERVER_MBPS, OneSum
from secagg.planning.cost.planner import CostPlan, Row
from secagg.planning.cost.request import EngineName
from secagg.planning.cost.round_time import groups
from secagg.planning.cost.sum_size import SeedMembers
from secagg.privacy.contributors import no_collusion_warning
from secagg.privacy.default_budget import EPSILON, ROUNDS

WIDTH: Final = 80
_HEADING: Final = (
    "protocol",
    "steps",
    "a round",
    "sent",
    "recvd",
    "client",
    "server",
    "member",
    "MB",
    "leave",
    "collude",
)
_ABOVE: Final = f"{'seconds':>25} {'client MB':>11} {'CPU seconds':>20} {'server':>6} {'may':>5} {'may':>7}"
_WIDTHS: Final = (11, 5, 7, 5, 5, 6, 6, 6, 6, 5, 7)


def as_text(plan: CostPlan) -> str:
    """Return a plan as lines of at most 80 columns."""
    lines = [_ABOVE, _line(_HEADING), *(_line(_cells(row)) for row in plan.rows)]
    for sentence in _sentences(plan):
        lines += ["", *textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    name, *others = cells
    parts = [f"{name:<{_WIDTHS[0]}}"]
    parts += [f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS[1:], strict=True)]
    return " ".join(parts).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    one, client = row.one, row.client
    return (
        row.kind.name,
        f"{one.steps}",
        short(row.high_s),
        short(client.sent_bytes / 1e6),
        short(client.received_bytes / 1e6),
        short(client.cpu_s),
        short(one.server_cpu_s / row.workers),
        "-" if one.member is None else short(one.member.cpu_s),
        short(one.server_bytes / row.workers / 1e6),
        count(row.lost),
        count(row.colluding),
    )


def _sentences(plan: CostPlan) -> Iterator[str]:
    request, engine = plan.request, plan.constants.engines[plan.request.engine]
    yield (
        f"One round of {request.clients:,} clients and {request.parameters:,} parameters, a {request.adversary} "
        f"server, on {request.engine}. A fraction of {request.dropout:g} drops out when it is asked for its vectors. "
        "Seconds are estimates, without training. Each client also receives the model, "
        f"{bytes_in_words(request.model_bytes)}."
    )
    yield from _bits(plan)
    if request.compression < 1:
        yield (
            f"Of the rotated coordinates, each client sends a fraction of {request.compression:g}. This adds to the "
            "mean a squared error whose expectation is at most "
            f"{short(1 / request.compression - 1)} times the squared norm of the mean update. The noise stays the same."
        )
    yield from _recommendation(plan)
    for name, reason in plan.refused.items():
        yield f"{name} is left out: {reason}"
    yield from _beyond(plan)
    yield from _of_engine(plan, engine)
    if plan.rows and request.cohort * request.adversarial < 1:
        yield f"Warning: {no_collusion_warning(request.cohort)}"
    machine = plan.constants.machine
    loaded = "" if machine.load is None else f" at a load of {machine.load:.2g}"
    yield (
        f"CPU seconds are those of one core of {machine.processor} ({machine.cores} cores), measured by "
        f"`{plan.constants.command}`{loaded}. Links: {request.uplink_mbps:g} Mbit/s for a client, {SERVER_MBPS:g} "
        "for the server and for committee members."
    )


def _bits(plan: CostPlan) -> Iterator[str]:
    found = sorted({row.one.size.bits for row in plan.rows})
    if found:
        bits = " or ".join(map(str, found))
        yield (
            f"An entry of a vector has {bits} bits, which secagg train --modulus-bits auto chooses for epsilon "
            f"{EPSILON:g} and {ROUNDS} rounds. For another budget, secagg budget plan --mechanism discrete-gaussian "
            f"tells the bits. Without noise there are {WITHOUT_NOISE}, or more if the cohort needs more."
        )


def _recommendation(plan: CostPlan) -> Iterator[str]:
    best = plan.recommended
    if best is None:
        yield f"Recommended: none. {plan.why}"
        return
    one = best.one
    text = (
        f"Recommended: {one.protocol}. {plan.why} A round takes {_range(best)}. At least "
        f"{one.size.threshold:,} of {one.size.clients:,} clients must contribute, so {best.lost:,} may drop out; "
        f"{best.colluding:,} may collude with the server."
    )
    if one.size.key is not None:
        key = one.size.key
        text += (
            f" The committee has {key.members} members; {key.threshold} of them open a sum, so "
            f"{key.members - key.threshold} may be absent."
        )
        if isinstance(key, SeedMembers):
            text += f" At most {key.sets.colluding} of them may collude; one more can decrypt every vector."
    yield text
    if best.kind.experimental:
        yield f"{best.kind.name} is experimental: {best.kind.experimental}."


def _range(row: Row) -> str:
    low, high = seconds_in_words(row.low_s), seconds_in_words(row.high_s)
    return high if low == high else f"{low} to {high}"


def _beyond(plan: CostPlan) -> Iterator[str]:
    """Yield why one server is not enough with the recommended protocol, and what is; the others are only named."""
    beyond = [row for row in plan.rows if row.limits]
    for row in beyond:
        if row is plan.recommended or plan.request.protocol is not None:
            yield f"One server is not enough with {row.kind.name}. {' '.join(row.limits)}"
            if row.layout is not None:
                yield _of_layout(row, row.layout)
    if others := [row.kind.name for row in beyond if row is not plan.recommended]:
        yield (
            f"One server is not enough with {', '.join(others)} either: give --protocol for the reasons. Their "
            "lines in the table are each one sum of a layout that is enough."
            if plan.recommended in beyond
            else f"One server is not enough with {', '.join(others)}: give --protocol for the reasons."
        )


def _of_layout(row: Row, layout: Layout) -> str:
    first, *above = layout.levels
    parts = []
    if layout.slices > 1:
        parts.append(
            f"Cut the vector into {layout.slices:,} slices of {row.one.size.length:,} coordinates, each with a session "
            "and servers of its own: together their sums are the sum."
        )
    if layout.workers > 1:
        parts.append(
            f"Let {layout.workers:,} workers share each sum: each adds up the vectors and ciphertexts of a part of the "
            "clients, nobody can open such a part, and the committee opens the total alone. Nothing is given up."
        )
    if first.sums > 1:
        chain = "; then ".join(
            f"{level.sums:,} secure {'sum' if level.sums == 1 else 'sums'} of {level.clients:,} partial sums"
            for level in above
        )
        parts.append(
            f"Form {first.sums:,} cohorts of at most {first.clients:,} clients; then {chain}. The table's line is one "
            "cohort. Each partial sum is released to the server of its cohort. So either the noise is enough for each "
            f"cohort by itself, and the noise of the total is then {short(first.sums**0.5)} times that of one sum; or "
            "these servers are trusted with the sums of their cohorts. "
            + (
                "With 2 cohorts, each of their servers learns the other's sum."
                if first.sums == 2
                else "The sums above hide them from the other servers."
            )
        )
    return " ".join(parts)


def _of_engine(plan: CostPlan, engine: EngineConstants) -> Iterator[str]:
    yield f"A step takes {engine.low_s:g} to {engine.high_s:g} s on {plan.request.engine}: {engine.source}"
    if plan.request.engine is EngineName.FLOWER:
        warm = plan.constants.engines[WARM]
        yield f"With `secagg engine warm`, which is experimental, a step takes {warm.high_s:g} s: {warm.source}"
        if plan.recommended is not None:
            yield _of_replies(plan.recommended.one, engine)


def _of_replies(one: OneSum, engine: EngineConstants) -> str:
    text = (
        f"The SuperLink holds {engine.copies} copies of every reply until the coordinator has fetched it: "
        f"{bytes_in_words(one.engine_bytes)} if all clients of a sum are asked at once."
    )
    asked = groups(one)
    if asked == 1:
        return text
    return (
        f"{text} Ask them in {asked:,} groups, so that a SuperLink needs at most {bytes_in_words(MOST_BYTES)}. The "
        "plan counts a further step for each group."
    )
