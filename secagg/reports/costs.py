"""What secure aggregation cost in a run, for people: a client, a committee member, the server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from secagg.training.records import RoundRecord

_MULTIPLES: Final[Mapping[str, Sequence[tuple[str, float]]]] = {
    "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)),
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One line of the table of costs: for one round that released a mean, and for all of them."""

    what: str
    a_round: str
    in_all: str


def costs(rounds: Sequence[RoundRecord], *, clients: int) -> tuple[CostRow, ...]:
    """Return the costs of a run's rounds; those that released nothing have none recorded.

    Args:
        rounds: The rounds of the run.
        clients: The number that a round asks.
    """
    released = [record for record in rounds if record.contributors]
    members = [record.committee for record in released if record.committee is not None]
    of_members = (
        (
            _line("A committee member sends", [each.sent_bytes for each in members], "B"),
            _line("A committee member receives", [each.received_bytes for each in members], "B"),
            _line("A committee member computes", [each.member_s for each in members], "s"),
        )
        if members
        else ()
    )
    arriving = [clients * record.sent_bytes for record in released]
    leaving = [clients * record.received_bytes for record in released]
    for index, each in enumerate(members):  # of every round, or of none
        arriving[index] += each.members * each.sent_bytes
        leaving[index] += each.members * each.received_bytes
    return (
        _line("A client sends", [record.sent_bytes for record in released], "B"),
        _line("A client receives", [record.received_bytes for record in released], "B"),
        _line("A client computes", [record.client_s for record in released], "s"),
        _line("The server receives", arriving, "B"),
        _line("The server sends", leaving, "B"),
        _line("The server computes", [record.server_s for record in released], "s"),
        *of_members,
    )


def _line(what: str, values: Sequence[float], unit: str) -> CostRow:
    total = math.fsum(values)
    return CostRow(what=what, a_round=quantity(total / max(1, len(values)), unit), in_all=quantity(total, unit))


def quantity(value: float, unit: str) -> str:
    """Return a value, at least 0, in the unit's multiple that reads best: 5170 "B" is "5.17 kB"."""
    multiples = _MULTIPLES[unit]
    symbol, size = next((multiple for multiple in multiples if value >= multiple[1]), multiples[-1])
    scaled = value / size
    places = 0 if scaled >= 100 or value == 0 else 1 if scaled >= 10 else 2
    return f"{scaled:,.{places}f} {symbol}"
