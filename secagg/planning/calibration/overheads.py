"""What the machines do for each message and each pair of clients, beside the counted operations, from small sums.

Vectors of 64 coordinates cost next to nothing, so these sums take the time of their messages and pairs.
"""

from collections.abc import Mapping, Sequence
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
    plain, masked = _sums(PlainSum), _sums(SecAgg)
    for operation, sums, party in (
        (Operation.MESSAGE, plain, "server"),
        (Operation.PEER, masked, "client"),
        (Operation.EDGE, masked, "server"),
    ):
        timed = _quickest(sums, party)
        counts = timed.cost.server if party == "server" else timed.cost.client.counts
        rest = timed.seconds[party] - timed.counted({**durations, **found})[party]
        found[operation] = max(rest / counts[operation], _LEAST)
    return found


def _sums(kind: type[SecureSum]) -> list[Timed]:
    return [run(kind, clients=_CLIENTS, length=_LENGTH, adversary=Adversary.CURIOUS) for _ in range(_REPEATS)]


def _quickest(sums: Sequence[Timed], party: str) -> Timed:
    """Return the sum that took a party the least time."""
    return min(sums, key=lambda each: each.seconds[party])
