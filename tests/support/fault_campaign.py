"""A thousand rounds of 10 clients over a faulty channel, by all protocols: `python -m tests.support.fault_campaign`.

Each round must end in time, in the exact sum of the clients that it names, in no sum, or in a typed error; and the last
rounds may take no more memory than the first ones. `tests.support.faulty_rounds` checks each round.
"""

import gc
import logging
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from protocols import Adversary
from tests.support.faulty_rounds import CHEAP, COMMITTEES, FaultyRounds, probabilities

SEED: Final = 13
ROUNDS: Final = {"paillier": 60, "oneshot": 20}
CHEAP_ROUNDS: Final = 105
LARGEST_GROWTH: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What the rounds by one protocol have come to.

    Attributes:
        rounds: The number of rounds.
        ended: How many have ended in a sum, without one, or in an error of a class.
        reasons: Why replies were missing, of all rounds.
        growth: By how many bytes the memory in use has grown since a quarter of the rounds.
        cpu_s: The CPU seconds that they have taken.
    """

    rounds: int
    ended: Counter[str]
    reasons: frozenset[str]
    growth: int
    cpu_s: float


def campaign(name: str, adversary: Adversary) -> Campaign:
    """Run the rounds by one protocol, and check them.

    Raises:
        AssertionError: A round has lasted too long or ended in another sum, memory has grown, or too few have a sum.
    """
    count = ROUNDS.get(name, CHEAP_ROUNDS)
    ended, reasons, early, began_s = Counter[str](), set[str](), 0, time.process_time()
    rounds, spread = FaultyRounds(name, adversary, SEED), probabilities(SEED)
    with _without_log(), _traced():
        for number in range(count):
            found = rounds.run(next(spread))
            ended[found.error or ("sum" if found.contributors else "no sum")] += 1
            reasons |= found.reasons
            if number == count // 4:
                early = _in_use(rounds)
        growth = _in_use(rounds) - early
    assert growth < LARGEST_GROWTH, f"{name}: memory has grown by {growth} bytes: {dict(ended)}"
    assert ended["sum"] > count / 4, f"{name}: {dict(ended)}"
    return Campaign(
        rounds=count,
        ended=ended,
        reasons=frozenset(reasons),
        growth=growth,
        cpu_s=time.process_time() - began_s,
    )


def _in_use(rounds: FaultyRounds) -> int:
    """Return the bytes in use without the messages that the channel keeps."""
    rounds.channel.forget()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@contextmanager
def _traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@contextmanager
def _without_log() -> Iterator[None]:
    """Let no record of a dropped reply be made: pytest keeps all of them, which is the growth that is looked for."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def main() -> None:
    """Run all rounds, and print what they have come to."""
    rounds, total = 0, Counter[str]()
    for name, adversary in CHEAP + COMMITTEES:
        found = campaign(name, adversary)
        rounds, total = rounds + found.rounds, total + found.ended
        sys.stdout.write(
            f"{name:12} {adversary:10} {found.rounds:4} rounds: {_counted(found.ended)}; {len(found.reasons)} reasons "
            f"of missing replies; memory {found.growth / 1e3:+.0f} kB; {found.cpu_s:.0f} s of CPU\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"{rounds} rounds: {_counted(total)}; each in time, each sum exact\n")


def _counted(ended: Counter[str]) -> str:
    return ", ".join(f"{times} {what}" for what, times in ended.most_common())


if __name__ == "__main__":
    main()
