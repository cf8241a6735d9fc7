"""Interrupts a station while it answers a step: `python -m tests.support.interrupted_station reply|refusal FOLDER`.

In the case `reply`, the signal arrives while the machine draws randomness. In the case `refusal`, it arrives while the
reply is written, and the disk is full. Both times the step ends first, and then the interruption takes effect. What is
printed is what the same parcel gets afterwards: the code of a refusal, or none.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from secagg.engines.node.station import Station
from secagg.engines.wire.parcel import open_reply
from tests.support.stations import Cohort, training

ME: Final = 5


class NotInterrupted(Exception):
    """The interruption was lost."""


class Interrupting:
    """What a process does once at a moment: it gets SIGINT."""

    def __init__(self) -> None:
        self.struck = False

    def strike(self) -> None:
        """Raise the signal, the first time."""
        if not self.struck:
            self.struck = True
            signal.raise_signal(signal.SIGINT)

    def entropy(self, size: int) -> bytes:
        """Draw randomness after the signal."""
        self.strike()
        return os.urandom(size)

    def replace(self, source: object, target: object) -> None:
        """Fail like a full disk, after the signal."""
        self.strike()
        raise OSError(28, "No space left on device")


def main() -> None:
    """Interrupt the second step, and print what its parcel gets afterwards."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    case, cohort = sys.argv[1], Cohort()
    home, attempt, at = cohort.make_home(Path(sys.argv[2]), ME), cohort.attempt(1), Interrupting()
    first = open_reply(Station(home).answer(attempt.parcel(ME), training(ME)), 10**7)
    attempt.advance(attempt.replies(ME) | {ME: first.body})
    parcel, replace = attempt.parcel(ME), os.replace
    station = Station(home, entropy=at.entropy) if case == "reply" else Station(home)
    try:
        if case == "refusal":
            os.replace = at.replace  # type: ignore[assignment]  # The disk is full.
        station.answer(parcel, None)
    except KeyboardInterrupt:
        os.replace = replace
    else:
        raise NotInterrupted
    found = open_reply(Station(home).answer(parcel, None), 10**7)
    sys.stdout.write(f"{found.refusal.value if found.refusal else 'none'}\n")


if __name__ == "__main__":
    main()
