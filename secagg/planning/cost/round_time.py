"""The seconds of a round, training left out: what the engine adds to each step, the links, and the CPU time."""

from secagg.planning.cost.constants import Constants
from secagg.planning.cost.one_sum import OneSum
from secagg.planning.cost.request import CostRequest, EngineName


def round_seconds(one: OneSum, request: CostRequest, constants: Constants, *, slices: int = 1) -> tuple[float, float]:
    """Return the least and the most seconds of a round of one sum.

    On an engine, nodes compute at the same time, each on a core of its own. In memory, one core does everything.

    Args:
        one: The sum.
        request: The request.
        constants: The constants.
        slices: The number of slices of the vector; a client takes part in the sums of all of them.
    """
    engine = constants.engines[request.engine]
    members = 0 if one.size.key is None else one.size.key.members
    if request.engine is EngineName.MEMORY:
        member_s = 0.0 if one.member is None else one.member.cpu_s
        total = one.size.clients * one.client.cpu_s + one.server_cpu_s + members * member_s
        return slices * total, slices * total
    moved = slices * (one.client.sent_bytes + one.client.received_bytes) + request.model_bytes
    link_s = max(8 * moved / (1e6 * request.uplink_mbps), one.link_s)
    parties = [party for party in (one.client, one.member) if party is not None]
    cpu_s = one.server_cpu_s + slices * sum(party.cpu_s for party in parties)
    if engine.processes:
        cpu_s += sum(party.starting_s for party in parties)
    return one.steps * engine.low_s + link_s + cpu_s, one.steps * engine.high_s + link_s + cpu_s
