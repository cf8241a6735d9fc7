"""A plan of costs for a terminal: a table of at most 80 columns, and sentences."""

import textwrap
from collections.abc import Iterator
from typing import Final

from secagg.planning.cost.constants import EngineConstants
from secagg.planning.cost.figures import bytes_in_words, count, seconds_in_words, short
from secagg.planning.cost.layout import Layout
from secagg.planning.cost.one_sum import SERVER_MBPS
from secagg.planning.cost.planner import CostPlan, Row
from secagg.planning.cost.request import EngineName
from secagg.privacy.contributors import no_collusion_warning

WIDTH: Final = 80
_WARM_S: Final = 3.6
_HEADINGS: Final = (
    ("", "", "seconds", "client MB", "", "CPU seconds", "", "", "server", "may", "may"),
    ("protocol", "steps", "a round", "sent", "recvd", "client", "server", "member", "MB", "leave", "collude"),
)
_WIDTHS: Final = (11, 5, 7, 5, 5, 6, 6, 6, 6, 5, 7)


def as_text(plan: CostPlan) -> str:
    """Return a plan as lines of at most 80 columns."""
    lines = [_line(heading) for heading in _HEADINGS]
    lines += [_line(_cells(row)) for row in plan.rows]
    for sentence in _sentences(plan):
        lines += ["", *textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    name, *others = cells
    parts = [f"{name:<{_WIDTHS[0]}}"]
    parts += [f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS[1:], strict=True)]
    return " ".join(parts).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    one = row.one
    return (
        row.kind.name,
        f"{one.steps}",
        short(row.high_s),
        short(one.client.sent_bytes / 1e6),
        short(one.client.received_bytes / 1e6),
        short(one.client.cpu_s),
        short(one.server_cpu_s),
        "-" if one.member is None else short(one.member.cpu_s),
        short((one.server_bytes + one.engine_bytes) / 1e6),
        count(row.lost),
        count(row.colluding),
    )


def _sentences(plan: CostPlan) -> Iterator[str]:
    request, engine = plan.request, plan.constants.engines[plan.request.engine]
    yield (
        f"One round of {request.clients:,} clients and {request.parameters:,} parameters against a {request.adversary} "
        f"server, on {request.engine}. The fraction {request.dropout:g} of the clients drops out when asked for vectors. "
        "Seconds are the most, without training. Beside the bytes of the table, each client receives the model, "
        f"{bytes_in_words(request.model_bytes)}."
    )
    yield from _recommendation(plan)
    for name, reason in plan.refused.items():
        yield f"{name} is left out: {reason}"
    for row in plan.rows:
        yield from _beyond(row)
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


def _recommendation(plan: CostPlan) -> Iterator[str]:
    best = plan.recommended
    if best is None:
        yield f"Recommended: none. {plan.why}"
        return
    one = best.one
    text = (
        f"Recommended: {one.protocol}. {plan.why} It takes {seconds_in_words(best.low_s)} to "
        f"{seconds_in_words(best.high_s)} a round. At least {one.size.threshold:,} of {one.size.clients:,} clients must "
        f"contribute, so {best.lost:,} may drop out; {best.colluding:,} may collude with the server."
    )
    if one.size.key is not None:
        key = one.size.key
        text += (
            f" The committee has {key.members} members; {key.threshold} of them open a sum, so "
            f"{key.members - key.threshold} may be absent."
        )
    yield text
    if best.kind.experimental:
        yield f"{best.kind.name} is experimental: {best.kind.experimental}."


def _beyond(row: Row) -> Iterator[str]:
    if not row.limits:
        return
    text = f"{row.kind.name}: one server does not do. {' '.join(row.limits)}"
    yield text if row.layout is None else f"{text} {_of_layout(row, row.layout)}"


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
            "these servers are trusted with the sums of their cohorts. The second secure sum hides them from the server "
            "above."
        )
    return " ".join(parts)


def _of_engine(plan: CostPlan, engine: EngineConstants) -> Iterator[str]:
    yield f"A step takes {engine.low_s:g} to {engine.high_s:g} s on {plan.request.engine}: {engine.source}"
    if plan.request.engine is EngineName.FLOWER:
        largest = max((row.one.engine_bytes for row in plan.rows), default=0.0)
        yield (
            f"With `secagg engine warm` (experimental) a step takes {_WARM_S:g} s. The SuperLink holds {engine.copies} "
            f"copies of every reply until the coordinator has fetched it: up to {bytes_in_words(largest)} if all "
            "clients are asked at once. Ask large cohorts in groups."
        )
