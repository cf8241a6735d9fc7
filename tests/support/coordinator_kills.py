"""Kills a coordinator at random instants of its rounds: `python -m tests.support.coordinator_kills 100 FOLDER`.

The coordinator's folder, its ledger and the model's checkpoint are on the disk. Its nodes are stations with homes of
their own in this process, which live on. After every kill a new process goes on by itself. What must hold: a work has
one release, whoever asks again; each release that is kept was reserved and is committed once; and no start ends by
itself, as it would if the stations refused to open a sum because of an earlier one.
It is the process that is killed here, not the disk: the folder may be in memory.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from dp.ledger.ledger import Ledger
from secagg.aggregation.mean import SecureMean
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.wire.work import Work
from secagg.files import write_whole
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from tests.support.stations import ARRAYS, Cohort, training

EPSILON: Final = 1e9
DELTA: Final = 1e-3
_CHECKPOINT: Final = "checkpoint"
_LEDGER: Final = "ledger.sqlite"


class PipeChannel:
    """A channel to stations of the parent process, one after the other."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes]]:
        """See `secagg.engines.server.channel.Channel`."""
        for node in parcels:
            self._pipe.send((node, parcels[node]))
            yield node, self._pipe.recv()


def train_on(pipe: Connection, folder: Path, cohort: Cohort) -> None:
    """Run rounds until the process is killed, and tell the parent of each release."""

    def plan(*_: Any) -> SecureMean:
        return cohort.mean

    engine = ChannelEngine(PipeChannel(pipe), clock=time.monotonic, step_s=3600.0)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(folder / _LEDGER)) if cohort.private else None
        coordinator = stack.enter_context(Coordinator(folder / "coordinator", plan, ledger=ledger))
        checkpoint = folder / _CHECKPOINT
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        while True:
            done += 1
            release = coordinator.run(Work(coordinator.run_id, done, ARRAYS), cohort.clients, engine)
            pipe.send(("release", done, [array.tolist() for array in release.mean]))
            write_whole(checkpoint, partial(_fill, json.dumps(done)))
            coordinator.forget(done)


def _fill(content: str, path: Path) -> None:
    path.write_text(content)


class Federation:
    """The stations, and the coordinator that is killed.

    Args:
        folder: An empty folder.
        cohort: The cohort.

    Attributes:
        places: What the coordinator was doing when it was killed, counted.
        releases: The mean of each round that was told of.
    """

    def __init__(self, folder: Path, cohort: Cohort) -> None:
        self.places: Counter[str] = Counter()
        self.releases: dict[int, list[Any]] = {}
        self._folder, self._cohort = folder, cohort
        create_coordinator(folder / "coordinator")
        if cohort.private:
            Ledger.create(folder / _LEDGER, epsilon=EPSILON, delta=DELTA, population=len(cohort.clients)).close()
        self._homes = [self._home(party) for party in cohort.clients]
        self._stations = {home.node: Station(home) for home in self._homes}

    def _home(self, party: int) -> Home:
        budget = {"epsilon": EPSILON, "delta": DELTA} if self._cohort.private else {}
        home = self._cohort.make_home(self._folder, party, **budget)
        shutil.copy(self._folder / "coordinator" / COORDINATOR_NAME, home.path)
        return Home.open(home.path)

    def live(self, seconds: float, *, rounds: int | None = None) -> None:
        """Let a coordinator run until so many seconds are over, or so many rounds, and kill it.

        Raises:
            AssertionError: It has ended by itself, or has released another mean for a work.
        """
        pipe, own = Pipe()
        child = os.fork()
        if child == 0:
            pipe.close()
            try:
                train_on(own, self._folder, self._cohort)
            finally:
                os._exit(1)
        own.close()
        until, place, told = time.monotonic() + seconds, "before the first request", 0
        while (left := until - time.monotonic()) > 0 and told != rounds:
            if not pipe.poll(left):
                break
            try:
                message = pipe.recv()
            except EOFError:
                raise AssertionError("the coordinator has ended by itself") from None
            if message[0] == "release":
                _, number, mean = message
                assert self.releases.setdefault(number, mean) == mean, f"round {number} has two releases"
                place, told = "after a release was told", told + 1
            else:
                node, parcel = message
                pipe.send(self._stations[node].answer(parcel, training(node)))
                place = "during a session"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pipe.close()
        if list((self._folder / "coordinator").glob("opening-*")):
            place = "with a kept opening"
        self.places[place] += 1

    def check(self, kills: int) -> None:
        """Check the ledger and the nodes' records against what was released.

        Raises:
            AssertionError: What must hold does not.
        """
        rounds = max(self.releases)
        assert sorted(self.releases) == list(range(1, rounds + 1)), "a round has no release"
        if not self._cohort.private:
            return
        with Ledger.open(self._folder / _LEDGER) as ledger:
            entries = ledger.entries()
        committed = Counter(entry.reservation.label for entry in entries if entry.commitment is not None)
        assert set(committed.values()) == {1}, "a release was committed twice"
        assert rounds <= len(committed) <= rounds + 1, f"{len(committed)} commitments of {rounds} releases"
        assert len(entries) <= len(committed) + kills, "a run without a crash was counted twice"
        for home in self._homes:
            with home.lock(), home.ledger() as own:
                assert rounds <= len(own.entries()) <= len(entries), "a node has paid for another number of sessions"


def kill_often(kills: int, folder: Path, cohort: Cohort) -> Federation:
    """Kill a coordinator `kills` times, each time within the first two rounds of its life, and check what is left."""
    federation = Federation(folder, cohort)
    federation.live(3600.0, rounds=1)  # The first time imports what the parties need.
    began_s = time.monotonic()
    federation.live(3600.0, rounds=2)
    latest_s = time.monotonic() - began_s
    federation.places.clear()
    for _ in range(kills):
        federation.live(random.SystemRandom().uniform(0, latest_s))
    places = federation.places.copy()
    federation.live(3600.0, rounds=2)
    federation.check(kills + 3)
    federation.places = places
    return federation


def main() -> None:
    """Kill as often as the command line says, with noise and with exact sums, and print where."""
    kills, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    for name, cohort, times in (("noise", Cohort(private=True), kills - kills // 2), ("exact", Cohort(), kills // 2)):
        (folder / name).mkdir(parents=True)
        began_s = time.monotonic()
        found = kill_often(times, folder / name, cohort)
        sys.stdout.write(
            f"{name}: {times} kills in {time.monotonic() - began_s:.0f} s, {len(found.releases)} releases\n"
        )
        for where, count in found.places.most_common():
            sys.stdout.write(f"{count:6} {where}\n")
    sys.stdout.write("each work has one release, reserved before it and committed once\n")


if __name__ == "__main__":
    main()
