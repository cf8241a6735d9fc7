"""What the machines do for each message and each pair of clients, beside the counted operations, from small sums.

Vectors of 64 coordinates cost next to nothing, so these sums take the time of their messages and pairs.
"""

from collections.abc import Mapping
from typing import Final

from protocols import Adversary, PlainSum, SecAgg, SecureSum
from secagg.planning.calibration.sums import Timed, run
from secagg.planning.cost.operations import Operation

_LENGTH: Final = 64
_CLIENTS: Final = 40
_REPEATS: Final = 3
_LEAST: Final = 1e-8


def overheads(durations: Mapping[Operation, float]) -> dict[Operation, float]:
    """Return the CPU seconds of a message, a peer and an edge, given those of the operations that are counted."""
    found = dict.fromkeys((Operation.MESSAGE, Operation.PEER, Operation.EDGE), 0.0)
    for operation, kind, party in (
        (Operation.MESSAGE, PlainSum, "server"),
        (Operation.PEER, SecAgg, "client"),
        (Operation.EDGE, SecAgg, "server"),
    ):
        timed = _least(kind, party)
        counts = timed.cost.server if party == "server" else timed.cost.client.counts
        rest = timed.seconds[party] - timed.counted({**durations, **found})[party]
        found[operation] = max(rest / counts[operation], _LEAST)
    return found


def _least(kind: type[SecureSum], party: str) -> Timed:
    """Return the quickest of a few sums, for one party."""
    sums = (run(kind, clients=_CLIENTS, length=_LENGTH, adversary=Adversary.CURIOUS) for _ in range(_REPEATS))
    return min(sums, key=lambda each: each.seconds[party])
