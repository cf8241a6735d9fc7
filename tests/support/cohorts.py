"""Ledgers in memory over populations of which each release asks some, and a recount without the code of `dp`."""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation, clients_digest
from dp.ledger.records import first_record
from tests.support.ledgers import ticks
from tests.support.memory_log import MemoryLog, StoredRecords

DELTA = 1e-6
EVENT = GaussianEvent(noise_multiplier=4.0)
EITHER = NeighbouringRelation.ADD_OR_REMOVE_ONE
SAMPLED = PoissonSampledEvent(sampling_rate=0.1, event=GaussianEvent(noise_multiplier=2.0, relation=EITHER))


def population(clients: int, **changes: Any) -> Participation:
    """Return a participation of numbered clients."""
    return Participation(clients=clients_digest(b"%d" % one for one in range(clients)), **changes)


class CohortLedger:
    """The records of a ledger with participation in memory, which can be opened again and again."""

    def __init__(
        self, clients: int, *, cap: int | None = None, adaptive: bool = True, epsilon: float = 8.0, **changes: Any
    ) -> None:
        chosen: dict[str, Any] = {
            "epsilon": epsilon,
            "delta": DELTA,
            "population": clients,
            "participation": population(clients, cap=cap, adaptive=adaptive),
            "clock": ticks(),
        }
        self.clock = chosen["clock"]
        self.records = StoredRecords(first_record(**chosen | changes))

    def open(self) -> Ledger:
        """Open the ledger for writing, whatever became of an earlier writer."""
        self.records.is_held = False
        return Ledger.over(MemoryLog(self.records, writable=True), clock=self.clock)

    def read(self) -> Ledger:
        """Open the ledger for reading."""
        return Ledger.over(MemoryLog(self.records, writable=False))


def filtered(clients: int, **changes: Any) -> CohortLedger:
    """Return a ledger with a Gaussian filter."""
    return CohortLedger(clients, **{"accounting": Accounting.GAUSSIAN_FILTER} | changes)


def recount(bodies: Iterable[bytes]) -> Counter[int]:
    """Return how many reservations asked each client, by JSON and the page on the format alone."""
    counts: Counter[int] = Counter()
    for body in bodies:
        record = json.loads(body)
        if record["type"] == "reservation":
            counts.update(clients_of(record["participants"]))
    return counts


def clients_of(text: str) -> list[int]:
    """Return the clients of a text, a number at a time."""
    content = base64.b64decode(text[1:], validate=True)
    if text[0] == "b":
        return [at for at in range(8 * len(content)) if content[at // 8] >> at % 8 & 1]
    found, before, difference, place = [], -1, 0, 0
    for octet in content:
        difference += octet % 128 * 128**place
        place += 1
        if octet < 128:
            before += difference
            found.append(before)
            difference, place = 0, 0
    return found
