"""Kills a station at random instants while it answers: `python -m tests.support.station_kills 100 FOLDER`.

The home is on the disk, with its records, its ledger and its live file. The other parties and the server are in this
process. After every kill a new process gets the same parcel again. What must hold: no step is answered in two ways; a
node refuses only in a session in which it was killed, and only as `answered`; and each session that was answered was
reserved, once. It is the process that is killed here, not the disk: the folder may be in memory.
"""

import contextlib
import hashlib
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from secagg.engines.node.home import Home
from secagg.engines.node.live import LiveFile
from secagg.engines.node.station import Station
from secagg.engines.wire.parcel import Refusal, Reply, open_reply
from tests.support.stations import Attempt, Cohort, training

ME: Final = 5


@dataclass
class Killed:
    """A station in a process of its own, which is killed after it has worked for a random time, and started again.

    Attributes:
        home: The node's home.
        latest_s: It works for 0 to so many seconds.
        kills: How often it was killed.
        places: Where it was, counted.
    """

    home: Home
    latest_s: float
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)
    _pipe: Connection = field(init=False)
    _child: int = field(init=False)
    _left_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def ask(self, parcel: bytes) -> tuple[Reply, bool]:
        """Return the reply to a parcel, and whether the station was killed before it was here."""
        killed = False
        while True:
            reply = self._asked(parcel)
            if reply is not None:
                found = open_reply(reply, 10**7)
                if killed and found.refusal is Refusal.ANSWERED:
                    self.places["of these, after the record: dropped out"] += 1
                return found, killed
            killed = True

    def end(self) -> None:
        """End the process."""
        self._pipe.close()
        os.waitpid(self._child, 0)

    def _asked(self, parcel: bytes) -> bytes | None:
        """Return the reply; None if the station was killed before."""
        with contextlib.suppress(EOFError, OSError):
            sent_s = time.monotonic()
            self._pipe.send_bytes(parcel)
            if self._pipe.poll(self._left_s):
                self._left_s = max(0.0, self._left_s - time.monotonic() + sent_s)
                return self._pipe.recv_bytes()
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self.kills += 1
        kept = LiveFile(self.home.live, entropy=os.urandom).read()
        if kept is not None and kept.request == hashlib.sha256(parcel).digest():
            self.places["after the reply was kept: the same bytes"] += 1
        else:
            self.places["before the reply was kept"] += 1
        self._pipe.close()
        self._start()
        return None

    def _start(self) -> None:
        self._left_s = random.SystemRandom().uniform(0, self.latest_s)
        self._pipe, own = Pipe()
        self._child = os.fork()
        if self._child == 0:
            self._pipe.close()
            _serve(own, self.home.path)
        own.close()


def _serve(pipe: Connection, home: Path) -> None:
    """Answer parcels until the pipe is closed."""
    status = 1
    try:
        station = Station(home)
        with contextlib.suppress(EOFError):
            while True:
                pipe.send_bytes(station.answer(pipe.recv_bytes(), training(ME)))
        status = 0
    finally:
        os._exit(status)


def kill_often(kills: int, folder: Path, cohort: Cohort) -> tuple[Killed, Counter[str]]:
    """Kill a station `kills` times while it takes part in sessions, and check what it says.

    Raises:
        AssertionError: What must hold does not.
    """
    home = cohort.make_home(folder, ME, **({"epsilon": 1e9} if cohort.private else {}))
    ended, serial, said = Counter[str](), 2, set[str]()
    _answer_all(Station(home), cohort.attempt(1))  # The first time imports what the station needs.
    node = Killed(home, latest_s=2 * _answer_all(Station(home), cohort.attempt(2)))
    while node.kills < kills:
        serial += 1
        attempt = cohort.attempt(serial)
        whole = _session_with(node, attempt)
        ended["whole" if whole else "dropped out"] += 1
        said.add(attempt.session.session_id.hex())
    node.end()
    if cohort.private:
        with home.lock(), home.ledger() as ledger:
            reserved = [entry.reservation.label for entry in ledger.entries()]
        assert len(set(reserved)) == len(reserved), "a session was reserved twice"
        assert said <= {label.split()[1] for label in reserved}, "a session was answered and not reserved"
    return node, ended


def _answer_all(station: Station, attempt: Attempt) -> float:
    """Run a session, and return how many seconds the station has worked."""
    worked_s = 0.0
    while attempt.requests:
        parcel, began_s = attempt.parcel(ME), time.monotonic()
        reply = open_reply(station.answer(parcel, training(ME)), 10**7)
        worked_s += time.monotonic() - began_s
        attempt.advance(attempt.replies(ME) | {ME: reply.body})
    return worked_s


def _session_with(node: Killed, attempt: Attempt) -> bool:
    """Run a session, and return whether the node was in it to the end; each parcel is sent twice."""
    killed = False
    while attempt.requests:
        parcel = attempt.parcel(ME)
        reply, once = node.ask(parcel)
        killed |= once
        if reply.refusal is not None:
            assert killed, f"nobody was killed, and step {reply.step} is refused as {reply.refusal}"
            assert reply.refusal is Refusal.ANSWERED, reply.refusal
            return False
        again, once = node.ask(parcel)
        killed |= once
        assert again == reply, f"step {reply.step} is answered in two ways"
        attempt.advance(attempt.replies(ME) | {ME: reply.body})
    assert attempt.is_exact(attempt.cohort.clients), "the sum is another one"
    return True


def main() -> None:
    """Kill as often as the command line says, with a ledger and without, and print where."""
    kills, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    for name, cohort, times in (("noise", Cohort(private=True), kills - kills // 2), ("exact", Cohort(), kills // 2)):
        (folder / name).mkdir(parents=True)
        began_s = time.monotonic()
        node, ended = kill_often(times, folder / name, cohort)
        sys.stdout.write(f"{name}: {node.kills} kills in {time.monotonic() - began_s:.0f} s\n")
        for where, count in (*node.places.most_common(), *((f"sessions {how}", n) for how, n in ended.items())):
            sys.stdout.write(f"{count:6} {where}\n")
    sys.stdout.write("no step was answered in two ways, and no session was unreserved or reserved twice\n")


if __name__ == "__main__":
    main()
