"""Poisson samples of examples: each takes part by a coin of its own, which the operating system tosses."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer
from secagg.errors import ConfigurationError


def poisson_sample(examples: int, rate: float, entropy: Callable[[int], bytes]) -> NDArray[np.int64]:
    """Positions of the examples that take part, each with the same probability, independently of all others.

    Args:
        examples: How many there are, at least 1.
        rate: The probability, in (0, 1]; it is rounded down to a multiple of 2^-64.
        entropy: Secret randomness: called with a number of bytes, returns as many.

    Returns:
        Ascending, in `[0, examples)`, shape `(taking part,)`, int64; possibly none.

    Raises:
        ConfigurationError: An argument is out of range, or entropy returns another number of bytes.
    """
    check_integer("examples", examples, minimum=1)
    if not 0 < rate <= 1:
        raise ConfigurationError(f"expected a sampling rate in (0, 1], found {rate!r}")
    if rate == 1:
        return np.arange(examples)
    tossed = entropy(8 * examples)
    if len(tossed) != 8 * examples:
        raise ConfigurationError(f"expected {8 * examples} bytes of entropy, found {len(tossed)}")
    # A float below 1 times 2^64 is exact, and below 2^64.
    return np.flatnonzero(np.frombuffer(tossed, dtype="<u8") < np.uint64(int(rate * 2.0**64)))
