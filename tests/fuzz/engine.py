"""The engine: makes inputs, gives them to a target, and judges what comes back.

An input is a mutation of a seed, or of an earlier input that reached a new line of the packages. Only a sample of the
inputs is traced for that; the rest runs at full speed. All choices follow from the seed and the target's name.

What is judged, for each input: the entry returns, or raises an error that it documents; it ends within a limit of CPU
time; and no canary is in the text of its error. For a sample, also how much memory it allocates at one time.
"""

import signal
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Final

from tests.fuzz.coverage import Coverage
from tests.fuzz.target import Finding, Target

CPU_LIMIT_S: Final = 30.0
"""The most CPU time of one input. The slowest entry, the report of an altered ledger, takes 0.14 s."""

EXPLORED: Final = 32
"""How many inputs of a campaign are all traced, before tracing is a sample."""

TRACED_EVERY: Final = 32
MEASURED_EVERY: Final = 50
_MOST_KEPT: Final = 400
_LONGEST_ERROR: Final = 20_000
_SHRINKS: Final = 300


@dataclass(frozen=True, slots=True)
class Crash:
    """An input and what was found with it."""

    target: str
    data: bytes
    found: str


@dataclass(slots=True)
class Tally:
    """What a campaign has done.

    Attributes:
        inputs: Inputs that were run.
        accepted: Inputs that the entry accepted.
        refused: Refused inputs, by the name of the error's type.
        crashes: One crash of each kind.
    """

    inputs: int = 0
    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, Crash] = field(default_factory=dict)


class Hang(Exception):
    """An input that has used all the CPU time that it may."""


class Campaign:
    """Inputs for one target; it may be continued.

    Args:
        name: The target's name.
        target: The target.
        seed: The choices follow from it and from the name.
        coverage: Which lines count; those of the packages if it is left out.
        traced_every: Of so many inputs one is traced; None to trace none.
        kept: Inputs of earlier campaigns that reached something new, run after the seeds.

    Attributes:
        tally: What was done so far.
        corpus: The seeds, what was kept of earlier campaigns, and inputs that reached something new.
        coverage: The lines that were reached.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        *,
        seed: str,
        coverage: Coverage | None = None,
        traced_every: int | None = TRACED_EVERY,
        kept: Sequence[bytes] = (),
    ) -> None:
        self.tally = Tally()
        self.corpus: list[bytes] = []
        self.coverage = coverage or Coverage()
        self._name = name
        self._target = target
        self._traced_every = traced_every
        self._choices = Random(f"{seed}/{name}")
        self._first = tuple(dict.fromkeys((*target.seeds, *kept)))
        self._others = (*target.seeds, *target.others)
        self._longest = 256 + 2 * max(map(len, target.seeds))

    @property
    def grown(self) -> list[bytes]:
        """The inputs of the corpus that are no seeds."""
        return [data for data in self.corpus if data not in self._target.seeds]

    @property
    def covers(self) -> tuple[str, ...]:
        """The functions that the target must reach."""
        return self._target.covers

    def run(self, inputs: int) -> None:
        """Run that many further inputs; the first are the seeds and what was kept."""
        with watchdog():
            for _ in range(inputs):
                self._next()

    def _next(self) -> None:
        number = self.tally.inputs
        first = self._first
        data = first[number] if number < len(first) else self._mutated()
        self.tally.inputs += 1
        if number < len(first):
            self.corpus.append(data)
        if not self._is_traced(number):
            self._judge(data, measured=number % MEASURED_EVERY == 1)
            return
        self.coverage.grown = False
        with self.coverage.tracing():
            self._judge(data, measured=False)
        if self.coverage.grown and number >= len(first) and self._is_kept(data):
            self.corpus.append(data)

    def _is_kept(self, data: bytes) -> bool:
        """Return whether there is room: long inputs are slow, and most of what they reach shorter ones reach too."""
        return len(self.corpus) < _MOST_KEPT and len(data) <= self._longest

    def _is_traced(self, number: int) -> bool:
        if self._traced_every is None:
            return False
        return number < EXPLORED or number % self._traced_every == 0

    def _mutated(self) -> bytes:
        choices, corpus = self._choices, self.corpus
        # Half of all inputs are made from the newest of what was kept: it reached what nothing before it did.
        last = len(corpus) - 1
        at = (
            last - int(choices.random() ** 3 * len(corpus))
            if choices.random() < 0.5
            else choices.randrange(len(corpus))
        )
        return self._target.mutate(corpus[at], choices, self._others)

    def _judge(self, data: bytes, *, measured: bool) -> None:
        error = judge(self._target, data, measured=measured)
        if error is None:
            self.tally.accepted += 1
        elif type(error) is Refusal:
            self.tally.refused[error.name] = self.tally.refused.get(error.name, 0) + 1
        elif str(error) not in self.tally.crashes:
            shrunk = shrink(self._target, data, str(error), measured=measured)
            self.tally.crashes[str(error)] = Crash(self._name, shrunk, str(error))


class Refusal(Exception):
    """An error that the entry documents."""

    def __init__(self, name: str) -> None:
        self.name = name


def judge(
    target: Target, data: bytes, *, measured: bool = False, cpu_limit_s: float = CPU_LIMIT_S
) -> Refusal | Finding | None:
    """Run one input, and return what came of it: None if it was accepted.

    Args:
        target: The target.
        data: The input.
        measured: Whether to measure the memory that the entry allocates, which takes longer.
        cpu_limit_s: The most CPU time. It is watched only within `watchdog`.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
    if measured:
        tracemalloc.start()
    try:
        target.run(data)
    except target.refusals as error:
        outcome: Refusal | Finding | None = _refusal(target, error)
    except Finding as error:
        outcome = error
    except Hang:
        outcome = Finding(f"more than {cpu_limit_s:g} s of CPU time")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever an entry does not document is a finding
        outcome = Finding(f"{type(error).__name__} at {_place(error)}")
    else:
        outcome = None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if measured:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    if measured and peak > target.memory_base + target.memory_factor * len(data):
        return Finding("more memory than a multiple of the input")
    return outcome


def _refusal(target: Target, error: Exception) -> Refusal | Finding:
    text = str(error)
    if len(text) > _LONGEST_ERROR:
        return Finding(f"an error text of more than {_LONGEST_ERROR} characters in {type(error).__name__}")
    if any(canary in text for canary in target.canaries):
        return Finding(f"a secret in the text of {type(error).__name__}")
    return Refusal(type(error).__name__)


def _place(error: BaseException) -> str:
    """Return the innermost function of the repository's own packages in an error's traceback."""
    place, at = "?", error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        if any(f"/{name}/" in code.co_filename for name in ("dp", "protocols", "secagg")):
            place = f"{code.co_filename.rpartition('/')[2]}:{code.co_qualname}"
        at = at.tb_next
    return place


def shrink(target: Target, data: bytes, found: str, *, measured: bool = False) -> bytes:
    """Return a shorter input with which the same is found, if there is one among a few hundred."""
    size, tries = len(data) // 2, 0
    while size and tries < _SHRINKS:
        at = 0
        while at < len(data) and tries < _SHRINKS:
            shorter = data[:at] + data[at + size :]
            tries += 1
            outcome = judge(target, shorter, measured=measured)
            if isinstance(outcome, Finding) and str(outcome) == found:
                data = shorter
            else:
                at += size
        size //= 2
    return data


@contextmanager
def watchdog() -> Iterator[None]:
    """Raise `Hang` in this thread if one input uses too much CPU time; `judge` sets the timer anew for each."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)


def replay(target: Target, inputs: Sequence[bytes]) -> list[Finding]:
    """Return what is found with these inputs, memory included."""
    with watchdog():
        outcomes = [judge(target, data, measured=measured) for data in inputs for measured in (False, True)]
    return [outcome for outcome in outcomes if isinstance(outcome, Finding)]
