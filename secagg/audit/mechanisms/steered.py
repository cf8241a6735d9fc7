"""Words that an auditor chooses, in the place of the first ones of a keystream."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import Bits

DIGITS: Final = 120
"""The decimal digits of exact fractions."""
WORD: Final = 64
"""The bits of a word."""
MOST_STEERED: Final = 12_000
"""The most words that are steered at once: fewer than a sampler reads at once."""
STEPS: Final = (-2, -1, 0, 1, 2)
"""How far steered words are from a limit."""


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
