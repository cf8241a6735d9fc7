"""Exact twins of the samplers, and the check that compares them word by word.

A wrong comparison of one word in 2^47 cannot be found by statistics. Here the same words go through the sampler and
through a computation in integers and decimal fractions: random words of a tape, and words on both sides of every border
of acceptance.

The twins take from the code only how words are read: the table of proposals of the discrete Gaussian (its validity is
checked here), and the order of readings.
"""

import decimal
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import CHUNK, UNIFORM_BITS, Bits, KeyStream, sample
from dp.noise.envelope import SLOT_BITS, Envelope
from dp.noise.skellam import PoissonTable
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.mechanisms.subject import MechanismSubject, Twin
from secagg.audit.seeds import Tape

_DIGITS: Final = 120
_WORD: Final = 64
_MOST_STEERED: Final = 12_000  # The words of one chunk.
_STEPS: Final = (-2, -1, 0, 1, 2)
_TAILS: Final = 100


class Steered:
    """Uniform words whose first readings are replaced.

    Args:
        queue: The words that the first readings return; what is missing comes from the stream.
        rest: All other words and bits.
    """

    def __init__(self, queue: Sequence[NDArray[np.uint64]], rest: Bits) -> None:
        self._queue = list(queue)
        self._rest = rest

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return words, those of the queue first."""
        words = self._rest.words(count)
        if self._queue:
            steered = self._queue.pop(0)[:count]
            words[: steered.size] = steered
        return words

    def integer(self, bits: int) -> int:
        """Return an integer of the stream."""
        return self._rest.integer(bits)


class ExactTwin(Attack[MechanismSubject]):
    """The same words through the sampler and through its exact twin."""

    id = "replay.twin"
    title = (
        "Drawn noise equals an exact computation from the same words, also at all borders of acceptance"
    )
    layer = Layer.REPLAY
    tests = ("C-15",)
    subjects = MechanismSubject

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        if subject.twin is None:
            return Inapplicable(why="The subject has no exact twin, so that small errors of its law cannot be found.")
        trials = {Level.QUICK: 100_000, Level.FULL: 2_000_000}[level]
        return Plan(trials=trials, cpu_s=0.3, details=subject.twin)

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Compare values from a tape, then values from words at the borders."""
        twin: Twin = plan.details
        differing = _differing(subject.draw(plan.trials, Tape(seed)), twin.exact(plan.trials, KeyStream(Tape(seed))))
        if differing is not None:
            return _rejected(f"value {differing} of {plan.trials} from the words of a tape")
        steered = 0
        for at, queue in enumerate(twin.borders()):
            size = queue[0].size
            steered += size
            label = f"borders {at}"
            differing = _differing(
                twin.sampler(size, Steered(queue, KeyStream(Tape(seed, label)))),
                twin.exact(size, Steered(queue, KeyStream(Tape(seed, label)))),
            )
            if differing is not None:
                return _rejected(f"value {differing} from {size} words at the borders of acceptance")
        return Result(statistic=f"differing values of {plan.trials}, and of {steered} words at borders", value=0.0)


def _differing(one: NDArray[np.int64], other: NDArray[np.int64]) -> int | None:
    if one.shape != other.shape:
        return min(one.size, other.size)
    differing = np.flatnonzero(one != other)
    return int(differing[0]) if differing.size else None


def _rejected(where: str) -> Result:
    return Result(
        statistic="differing values",
        value=1.0,
        threshold=1.0,
        rejected=True,
        evidence=f"The sampler and its exact twin differ in {where}.",
    )


def gaussian_twin(sigma: float) -> Twin:
    """Return the exact twin of `dp.noise.discrete_gaussian.discrete_gaussian`."""
    envelope = Envelope.of(Fraction(sigma))
    return Twin(
        sampler=lambda size, bits: sample(envelope, size, bits),
        exact=lambda size, bits: ExactGaussian.of(Fraction(sigma)).draw(size, bits),
        borders=lambda: ExactGaussian.of(Fraction(sigma)).borders(),
    )


def skellam_twin(variance: float) -> Twin:
    """Return the exact twin of `dp.noise.skellam.skellam`."""
    mean = Fraction(variance) / 2

    def sampler(size: int, bits: Bits) -> NDArray[np.int64]:
        return PoissonTable.of(mean).draw(size, bits) - PoissonTable.of(mean).draw(size, bits)

    return Twin(
        sampler=sampler,
        exact=lambda size, bits: ExactPoisson.of(mean).differences(size, bits),
        borders=lambda: ExactPoisson.of(mean).borders(),
    )


@dataclass(frozen=True, kw_only=True)
class ExactGaussian:
    """The discrete Gaussian sampler with every probability of acceptance as an exact decimal fraction.

    Attributes:
        envelope: The table of proposals.
        limits: For each magnitude of the table, floor(2^47 M f(x) / c), where c is the count of its block; a uniform
            integer below it is accepted, one above it is not, and an equal one is refined.
    """

    envelope: Envelope
    limits: NDArray[np.int64]

    @staticmethod
    @cache
    def of(sigma: Fraction) -> "ExactGaussian":
        """Compute the table, and check that every probability of acceptance is one."""
        envelope = Envelope.of(sigma)
        width = 1 << envelope.shift
        limits = [
            math.floor(acceptance(envelope, x, envelope.counts[x // width]) * 2**UNIFORM_BITS)
            for x in range(envelope.tail_start)
        ]
        if max(limits) > 1 << UNIFORM_BITS:
            raise ArithmeticError("the table of proposals: expected probabilities of acceptance, found one above 1")
        return ExactGaussian(envelope=envelope, limits=np.array(limits, dtype=np.int64))

    def draw(self, size: int, bits: Bits) -> NDArray[np.int64]:
        """Return exact samples, reading as the sampler does."""
        drawn: list[NDArray[np.int64]] = []
        missing = size
        while missing:
            accepted = self._proposed(min(CHUNK, missing + missing // 8 + 16), bits)[:missing]
            drawn.append(accepted)
            missing -= accepted.size
        return np.concatenate(drawn)

    def _proposed(self, count: int, bits: Bits) -> NDArray[np.int64]:
        envelope = self.envelope
        words = bits.words(count)
        block = envelope.slots[(words >> np.uint64(_WORD - SLOT_BITS)).astype(np.int64)].astype(np.int64)
        low = np.zeros(count, dtype=np.int64)
        if envelope.shift:
            low = (bits.words(count) >> np.uint64(_WORD - envelope.shift)).astype(np.int64)
        magnitude = (block << envelope.shift) + low
        uniform = (words & np.uint64((1 << UNIFORM_BITS) - 1)).astype(np.int64)
        in_table = block < envelope.tail_block
        limit = np.where(in_table, self.limits[np.where(in_table, magnitude, 0)], 0)
        accepted = in_table & (uniform < limit)
        for index in np.flatnonzero(in_table & (uniform == limit)):
            probability = acceptance(envelope, int(magnitude[index]), envelope.counts[int(block[index])])
            accepted[index] = _refined(probability, int(uniform[index]), UNIFORM_BITS, bits)
        for index in np.flatnonzero(block == envelope.tail_block):
            magnitude[index], accepted[index] = self._tail(bits)
        negative = ((words >> np.uint64(UNIFORM_BITS)) & np.uint64(1)).astype(bool)
        accepted &= ~(negative & (magnitude == 0))
        return np.where(negative, -magnitude, magnitude)[accepted]

    def _tail(self, bits: Bits) -> tuple[int, bool]:
        envelope = self.envelope
        depth = 0
        while bits.integer(1):
            depth += 1
        x = envelope.tail_start + (depth << envelope.tail_shift) + bits.integer(envelope.tail_shift)
        factor = 1 << (depth + 1 + envelope.tail_shift - envelope.shift)
        return x, _refined(acceptance(envelope, x, envelope.tail_count) * factor, 0, 0, bits)

    def borders(self) -> list[tuple[NDArray[np.uint64], ...]]:
        """Return words that are next to a limit, for every magnitude of the table, and words of the tail."""
        envelope = self.envelope
        first_slot = {int(block): at for at, block in reversed(list(enumerate(envelope.slots)))}
        high: list[int] = []
        low: list[int] = []
        for x, limit in enumerate(self.limits.tolist()):
            if limit == 1 << UNIFORM_BITS:
                continue  # It is always accepted. The sampler may read on before it knows that.
            block, rest = x >> envelope.shift, x & ((1 << envelope.shift) - 1)
            for uniform in {min(max(limit + step, 0), (1 << UNIFORM_BITS) - 1) for step in _STEPS}:
                high.append(first_slot[block] << (_WORD - SLOT_BITS) | uniform)
                low.append(rest << (_WORD - envelope.shift) if envelope.shift else 0)
        high += [first_slot[envelope.tail_block] << (_WORD - SLOT_BITS)] * _TAILS
        low += [0] * _TAILS
        return [
            tuple(
                np.array(part[at : at + _MOST_STEERED], dtype=np.uint64)
                for part in ((high, low) if envelope.shift else (high,))
            )
            for at in range(0, len(high), _MOST_STEERED)
        ]


def acceptance(envelope: Envelope, x: int, count: int) -> Fraction:
    """Return M exp(-x^2 / (2 sigma^2)) / c to 120 digits."""
    exponent = x * x * envelope.exponent_unit
    context = decimal.Context(prec=_DIGITS, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
    ratio = context.divide(decimal.Decimal(exponent.numerator), decimal.Decimal(exponent.denominator))
    return Fraction(context.exp(ratio.copy_negate())) * envelope.scale / count


def _refined(probability: Fraction, prefix: int, length: int, bits: Bits) -> bool:
    """Return whether a uniform real with these first bits is below a probability, reading 64 more bits at a time."""
    while length < 3 * _WORD:  # 120 digits are more than twice as many bits.
        floor = int(probability * 2**length)
        if prefix != floor:
            return prefix < floor
        prefix = prefix << _WORD | bits.integer(_WORD)
        length += _WORD
    raise ArithmeticError("a comparison: expected it to be decided by 192 bits, found a tie")


@dataclass(frozen=True, kw_only=True)
class ExactPoisson:
    """The Poisson law by its distribution function, as exact decimal fractions.

    Attributes:
        cumulated: F(x) for x = 0, 1, ..., to 120 digits, as far as it can be told from 1 by 192 bits.
        limits: floor(2^64 F(x)), uint64.
    """

    cumulated: list[Fraction] = field(repr=False)
    limits: NDArray[np.uint64] = field(repr=False)

    @staticmethod
    @cache
    def of(mean: Fraction) -> "ExactPoisson":
        """Compute the distribution function."""
        context = decimal.Context(prec=_DIGITS, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
        mu = context.divide(decimal.Decimal(mean.numerator), decimal.Decimal(mean.denominator))
        weight = total = context.exp(mu.copy_negate())
        cumulated = [Fraction(total)]
        x = 0
        while x < mean or weight > decimal.Decimal(2) ** -200:
            x += 1
            weight = context.divide(context.multiply(weight, mu), decimal.Decimal(x))
            total = context.add(total, weight)
            cumulated.append(Fraction(total))
        limits = np.array([min(math.floor(value * 2**64), 2**64 - 1) for value in cumulated], dtype=np.uint64)
        return ExactPoisson(cumulated=cumulated, limits=limits)

    def differences(self, size: int, bits: Bits) -> NDArray[np.int64]:
        """Return exact Skellam samples, reading as the sampler does: a chunk of one Poisson, then of the other."""
        chunks: list[NDArray[np.int64]] = []
        for start in range(0, size, CHUNK):
            count = min(CHUNK, size - start)
            chunks.append(self.draw(count, bits) - self.draw(count, bits))
        return np.concatenate(chunks)

    def draw(self, count: int, bits: Bits) -> NDArray[np.int64]:
        """Return the number of F(x) that are at most each uniform real."""
        words = bits.words(count)
        drawn = np.searchsorted(self.limits, words, side="left").astype(np.int64)
        at = np.minimum(drawn, self.limits.size - 1)
        open_ends = (words == 0) | (words == np.uint64(2**64 - 1))
        for index in np.flatnonzero((self.limits[at] == words) | open_ends):
            drawn[index] = self._settled(int(words[index]), bits)
        return drawn

    def _settled(self, prefix: int, bits: Bits) -> int:
        """Return the sample of a word on a border; ends of the range are always refined, as their borders are many."""
        length = _WORD
        while length < 3 * _WORD:
            prefix = prefix << _WORD | bits.integer(_WORD)
            length += _WORD
            floors = [math.floor(value * 2**length) for value in self._near(prefix, length)]
            if prefix not in floors:
                return self._below(prefix, length)
        raise ArithmeticError("a comparison: expected it to be decided by 192 bits, found a tie")

    def _near(self, prefix: int, length: int) -> list[Fraction]:
        at = self._below(prefix, length)
        return self.cumulated[max(at - 1, 0) : at + 2]

    def _below(self, prefix: int, length: int) -> int:
        low, high = 0, len(self.cumulated)
        while low < high:
            middle = (low + high) // 2
            if math.floor(self.cumulated[middle] * 2**length) < prefix:
                low = middle + 1
            else:
                high = middle
        return low

    def borders(self) -> list[tuple[NDArray[np.uint64], ...]]:
        """Return words next to each F(x), for either Poisson."""
        near = {int(limit) + step for limit in self.limits for step in _STEPS} | {0, 2**64 - 1}
        words = np.array(sorted(word for word in near if 0 <= word < 2**64), dtype=np.uint64)
        pieces = [words[at : at + _MOST_STEERED] for at in range(0, words.size, _MOST_STEERED)]
        return [(piece, piece[::-1].copy()) for piece in pieces]
