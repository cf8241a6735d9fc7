"""Makes the ledgers of tests/vectors/ledger: python -m tests.vectors.record_ledgers FOLDER.

It takes an empty folder, since the recorded ledgers are to be kept: a later version has to read what this one wrote.
"""

import hashlib
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from dp import (
    Accounting,
    Description,
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    Ledger,
    NeighbouringRelation,
    Observer,
    Participation,
    PoissonSampledEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
    Trust,
    clients_digest,
)
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Detail,
)
from dp.ledger.sqlite_log import SqliteLog

EITHER: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE
DISCRETE: Final = DistributedDiscreteGaussianEvent(
    local_sigma=20.0, contributors=100, l2_sensitivity=50.0, dimension=650, relation=EITHER
)
SKELLAM: Final = SkellamEvent(variance=40_000.0, contributors=90, l2_sensitivity=50.0, dimension=650, relation=EITHER)
GAUSSIAN: Final = GaussianEvent(noise_multiplier=4.0, relation=EITHER)
SAMPLED: Final = PoissonSampledEvent(sampling_rate=0.05, event=GaussianEvent(noise_multiplier=2.0, relation=EITHER))
SAMPLED_SKELLAM: Final = PoissonSampledEvent(sampling_rate=0.1, event=SKELLAM)
REPEATED: Final = RepeatedEvent(times=3, event=SAMPLED)

STEPS: Final = RepeatedEvent(
    times=4, event=GaussianEvent(noise_multiplier=5.0, relation=EITHER, unit=PrivacyUnit.EXAMPLE)
)

PROMISED: Final = DistributedDiscreteGaussianEvent(
    local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650
)
WEAKER: Final = msgspec.structs.replace(PROMISED, local_sigma=15.0)
THINNER: Final = SkellamEvent(variance=10_000.0, contributors=100, l2_sensitivity=100.0, dimension=650)


def _ticks() -> Callable[[], float]:
    return map(float, count(1_750_000_000, 60)).__next__


def _salt(size: int) -> bytes:
    return hashlib.shake_256(b"secagg recorded ledger").digest(size)


def _details(trust: Trust, *, hidden: str) -> dict[str, Detail]:
    return {
        TRUST_DETAIL: trust.value,
        CLIENTS_DETAIL: 300,
        NOISE_COLLUDING_DETAIL: 15,
        SUM_COLLUDING_DETAIL: 15,
        UPDATES_HIDDEN_DETAIL: hidden,
    }


def make_mixed(path: Path) -> None:
    """Make a ledger within its budget with every kind of event, one of them reserved and never committed."""
    with Ledger.create(
        path,
        epsilon=12.0,
        delta=1e-3,
        population=300,
        relation=EITHER,
        description=Description(run="recorded", data="digits", organisation="Example Ltd", data_digest="5e" * 32),
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        distributed = _details(Trust.DISTRIBUTED, hidden="yes")
        more = msgspec.structs.replace(DISCRETE, contributors=121)
        ledger.commit(ledger.reserve(DISCRETE, "round 1"), contributors=121, realised=more, details=distributed)
        ledger.commit(ledger.reserve(SKELLAM, "round 2"), contributors=90, realised=SKELLAM, details=distributed)
        ledger.commit(
            ledger.reserve(GAUSSIAN, "round 3"),
            contributors=200,
            details=_details(Trust.CENTRAL, hidden="no") | {"accuracy": 0.875, "note": "f\u00fcr <alle> & jeden"},
        )
        ledger.commit(ledger.reserve(SAMPLED, "round 4"), contributors=17, realised=SAMPLED)
        ledger.commit(ledger.reserve(SAMPLED_SKELLAM, "round 5"), contributors=95)
        ledger.reserve(DISCRETE, "round 6, which was never committed")
        ledger.commit(ledger.reserve(REPEATED, "round 7"), contributors=20, realised=REPEATED)


def make_thinner(path: Path) -> None:
    """Make a ledger that no `commit` would write: a release is said to have had less noise than was reserved."""
    with Ledger.create(
        path,
        epsilon=20.0,
        delta=1e-4,
        population=5_000,
        unit=PrivacyUnit.CLIENT,
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        for number in (1, 2):
            details = _details(Trust.DISTRIBUTED, hidden="yes")
            ledger.commit(ledger.reserve(PROMISED, f"round {number}"), contributors=120, details=details)
        ledger.reserve(PROMISED, "round 3")
    with SqliteLog.open(path, writable=False) as chain:
        body = msgspec.json.decode(chain.bodies[-2])
    body |= {"number": 3, "time_s": body["time_s"] + 120.0, "realised": msgspec.to_builtins(THINNER)}
    with SqliteLog.open(path, writable=True) as chain:
        chain.append(msgspec.json.encode(body))


def make_examples(path: Path) -> None:
    """Make a ledger of local training by examples, which privacy loss distributions account."""
    with Ledger.create(
        path,
        epsilon=4.0,
        delta=1e-5,
        population=50_000,
        unit=PrivacyUnit.EXAMPLE,
        relation=EITHER,
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        for number in (1, 2):
            ledger.commit(ledger.reserve(STEPS, f"round {number}"), contributors=12, realised=STEPS)


def make_cohorts(path: Path) -> None:
    """Make a ledger of cohorts with a cap and a Gaussian filter, whose noise changes, with both texts of cohorts."""
    clients = 1_000
    with Ledger.create(
        path,
        epsilon=6.0,
        delta=1e-4,
        population=clients,
        participation=Participation(clients=clients_digest(b"%d" % client for client in range(clients)), cap=3),
        accounting=Accounting.GAUSSIAN_FILTER,
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        details = _details(Trust.DISTRIBUTED, hidden="yes")
        number = ledger.reserve(PROMISED, "round 1", participants=range(0, clients, 7))
        ledger.commit(number, contributors=range(0, clients, 7), realised=PROMISED, details=details)
        number = ledger.reserve(WEAKER, "round 2", participants=range(500, clients))
        ledger.commit(number, contributors=[one for one in range(500, clients) if one % 50])
        ledger.reserve(PROMISED, "round 3, which was never committed", participants=range(7, 907, 9))


def make_readers(path: Path) -> None:
    """Make a ledger of secret draws towards readers with a Renyi filter, one of them of nobody."""
    clients = 40
    with Ledger.create(
        path,
        epsilon=3.0,
        delta=1e-3,
        population=clients,
        relation=EITHER,
        participation=Participation(clients=clients_digest(b"%d" % client for client in range(clients))),
        towards=Observer.READERS,
        accounting=Accounting.RENYI_FILTER,
        order=7.5,
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        for number, drawn in enumerate(([3, 39], [], [0, 1, 17]), start=1):
            ledger.reserve(SAMPLED, f"round {number}", participants=drawn)
            ledger.commit(number, contributors=drawn[:2], realised=SAMPLED)


def make_local(path: Path) -> None:
    """Make a ledger of local training by examples whose cohorts were fixed beforehand, with two kinds of events."""
    with Ledger.create(
        path,
        epsilon=4.0,
        delta=1e-5,
        population=50_000,
        unit=PrivacyUnit.EXAMPLE,
        relation=EITHER,
        participation=Participation(clients=clients_digest([b"a", b"b", b"c"]), cap=2, size=3, adaptive=False),
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        ledger.commit(ledger.reserve(STEPS, "round 1", participants=[0, 2]), contributors=[0, 2], realised=STEPS)
        fewer = msgspec.structs.replace(STEPS, times=2)
        ledger.commit(ledger.reserve(fewer, "round 2", participants=[2, 1]), contributors=[1], realised=fewer)


def make_drawn(path: Path) -> None:
    """Make a ledger of secret draws of many clients towards readers, with one kind of event that is fixed beforehand."""
    clients = 1_000
    with Ledger.create(
        path,
        epsilon=4.0,
        delta=1e-4,
        population=clients,
        relation=EITHER,
        participation=Participation(
            clients=clients_digest(b"%d" % client for client in range(clients)), adaptive=False
        ),
        towards=Observer.READERS,
        clock=_ticks(),
        entropy=_salt,
    ) as ledger:
        for number in range(5):
            drawn = [each for each in range(clients) if hashlib.sha256(b"%d %d" % (number, each)).digest()[0] < 13]
            ticket = ledger.reserve(SAMPLED, f"round {number + 1}", participants=drawn)
            details = {TRUST_DETAIL: Trust.CENTRAL.value, UPDATES_HIDDEN_DETAIL: "yes"}
            ledger.commit(ticket, contributors=drawn, realised=SAMPLED, details=details)


def main(folder: Path) -> None:
    """Make all ledgers."""
    make_mixed(folder / "mixed.sqlite")
    make_thinner(folder / "thinner.sqlite")
    make_examples(folder / "examples.sqlite")
    make_cohorts(folder / "cohorts.sqlite")
    make_readers(folder / "readers.sqlite")
    make_local(folder / "local.sqlite")
    make_drawn(folder / "drawn.sqlite")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
