"""Kills a server and its clients at random instants: `python -m tests.support.cohort_kills 1000 FOLDER`.

One process asks cohorts of a small population under a ledger in a file. Each client records in a store of sessions in a
file, and then sends its vector: it tells the parent. The process is killed between or within any two writes, and the
next one goes on from the files. After each kill, the number of vectors that each client sent is at most the count of
the ledger, by a recount of its file, at most that of the client's own record, and at most the cap. A folder in memory
is faster: it is the process that is killed here, not the disk.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from protocols.errors import ParticipationRefused
from secagg.storage.session_store import SessionStore
from tests.support.cohort_world import DIGEST, identity
from tests.support.ledger_recount import recount_file

POPULATION: Final = 9
COHORT: Final = 4
CAP: Final = 6
EVENT: Final = GaussianEvent(noise_multiplier=10.0)


def make_files(folder: Path) -> None:
    """Make a folder with a new ledger and a new store."""
    folder.mkdir(parents=True)
    SessionStore.create(folder / "sessions").close()
    Ledger.create(
        folder / "ledger",
        epsilon=8.0,
        delta=1e-3,
        population=POPULATION,
        participation=Participation(clients=DIGEST, cap=CAP),
        accounting=Accounting.GAUSSIAN_FILTER,
    ).close()


def ask_cohorts(folder: Path, told: int) -> None:
    """Run rounds until everybody is at the cap; write a line to `told` for each vector that is sent."""
    draw = random.SystemRandom()
    with Ledger.open(folder / "ledger") as ledger, SessionStore(folder / "sessions") as store:
        while eligible := ledger.eligible():
            cohort = draw.sample(eligible, min(COHORT, len(eligible)))
            number = ledger.reserve(EVENT, "round", participants=cohort)
            session, there = os.urandom(16), []
            for client in cohort:
                try:
                    store.record(identity(client), session, 0, cap=CAP)
                    store.record(identity(client), session, 1, vector=True, cap=CAP)
                except ParticipationRefused:
                    continue
                os.write(told, f"{client}\n".encode())
                there.append(client)
            if there:
                ledger.commit(number, contributors=there)


@dataclass
class Killed:
    """What was seen of all processes in a folder.

    Attributes:
        sent: How many vectors each client sent.
        kills: How many processes were killed.
        within_a_record: How many of them were killed within a write of the ledger or of the store.
    """

    sent: Counter[int] = field(default_factory=Counter)
    kills: int = 0
    within_a_record: int = 0

    def live(self, folder: Path, latest_s: float) -> bool:
        """Start a process, kill it after at most `latest_s` seconds, and return whether that struck it alive."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                ask_cohorts(folder, writing)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writing)
        time.sleep(random.SystemRandom().uniform(0, latest_s))
        os.kill(child, signal.SIGKILL)
        with os.fdopen(reading) as pipe:
            self.sent.update(map(int, pipe))
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the process was refused something"
        self.kills += os.WIFSIGNALED(status)
        self.within_a_record += any(any(journal.read_bytes()[:8]) for journal in folder.glob("*-journal"))
        self.check(folder)
        return os.WIFSIGNALED(status)

    def check(self, folder: Path) -> None:
        """Compare what was sent with the files."""
        counted = recount_file(folder / "ledger").counts()
        with Ledger.open(folder / "ledger") as ledger:
            assert {client: ledger.rounds_of(client) for client in counted} == counted
        with SessionStore(folder / "sessions") as store:
            own = {client: store.participations(identity(client)) for client in range(POPULATION)}
        for client in range(POPULATION):
            assert self.sent[client] <= own[client] <= CAP
            assert self.sent[client] <= counted[client] <= CAP


def kill_often(kills: int, folder: Path) -> Counter[str]:
    """Kill processes `kills` times, in a new folder whenever all clients are at their cap, and count what happened."""
    # The first time imports what the children need.
    for name in ("imported", "timed"):
        began_s = time.monotonic()
        make_files(folder / name)
        with (folder / name / "told").open("wb") as told:
            ask_cohorts(folder / name, told.fileno())
    latest_s = (time.monotonic() - began_s) / 2
    found: Counter[str] = Counter()
    number = 0
    while found["kills"] < kills:
        number += 1
        here, world = folder / str(number), Killed()
        make_files(here)
        while world.live(here, latest_s) and found["kills"] + world.kills < kills:
            pass
        found.update(kills=world.kills, vectors=world.sent.total(), within_a_record=world.within_a_record)
        assert number < 10 * kills, "processes end before they can be killed"
    return found


def main() -> None:
    """Kill as often as the command line says, and print what happened."""
    kills, folder = int(sys.argv[1]), Path(sys.argv[2])
    began_s = time.monotonic()
    found = kill_often(kills, folder)
    sys.stdout.write(
        f"{found['kills']:6} kills in {time.monotonic() - began_s:.0f} s, {found['within_a_record']} of them within a "
        f"record; {found['vectors']} vectors, none of them uncounted\n"
    )


if __name__ == "__main__":
    main()
