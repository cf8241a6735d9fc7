"""The seconds of a round, training left out: what the engine adds to each step, the links, and the CPU time."""

import math
from dataclasses import replace

from secagg.planning.cost.capacity import MOST_BYTES
from secagg.planning.cost.constants import Constants
from secagg.planning.cost.layout import Layout
from secagg.planning.cost.one_sum import SERVER_MBPS, OneSum
from secagg.planning.cost.request import CostRequest, EngineName


def layout_seconds(layout: Layout, request: CostRequest, constants: Constants) -> tuple[float, float]:
    """Return the least and the most seconds of a round of a layout: one level after the other.

    The clients of the levels above are servers, and have a server's link.
    """
    first, *above = layout.levels
    between = replace(request, uplink_mbps=SERVER_MBPS)
    found = [round_seconds(first.one, request, constants, slices=layout.slices, workers=layout.workers)]
    found += [
        round_seconds(level.one, between, constants, slices=layout.slices, workers=layout.workers) for level in above
    ]
    return sum(low for low, _ in found), sum(high for _, high in found)


def groups(one: OneSum) -> int:
    """Return in how many groups clients are asked, so that the engine's server can hold the replies of each."""
    return max(1, math.ceil(one.engine_bytes / MOST_BYTES))


def round_seconds(
    one: OneSum, request: CostRequest, constants: Constants, *, slices: int = 1, workers: int = 1
) -> tuple[float, float]:
    """Return the least and the most seconds of a round of one sum.

    On an engine, nodes compute at the same time, each on a core of its own. In memory, one core does everything.

    Args:
        one: The sum.
        request: The request.
        constants: The constants.
        slices: The number of slices of the vector; a client takes part in the sums of all of them.
        workers: The number of workers that share the sum on the server's side.
    """
    engine = constants.engines[request.engine]
    members = 0 if one.size.key is None else one.size.key.members
    if request.engine is EngineName.MEMORY:
        member_s = 0.0 if one.member is None else one.member.cpu_s
        total = one.size.clients * one.client.cpu_s + one.server_cpu_s + members * member_s
        return slices * total, slices * total
    moved = slices * (one.client.sent_bytes + one.client.received_bytes) + request.model_bytes
    link_s = max(8 * moved / (1e6 * request.uplink_mbps), one.link_s / workers)
    parties = [party for party in (one.client, one.member) if party is not None]
    cpu_s = one.server_cpu_s / workers + slices * sum(party.cpu_s for party in parties)
    if engine.processes:
        cpu_s += sum(party.starting_s for party in parties)
    steps = one.steps + groups(one) - 1  # The step with the longest replies is taken once for each group.
    return steps * engine.low_s + link_s + cpu_s, steps * engine.high_s + link_s + cpu_s
