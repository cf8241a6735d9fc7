"""Poisson samples of examples: each example takes part independently, decided by randomness of the operating system."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer
from secagg.errors import ConfigurationError


def poisson_sample(examples: int, rate: float, entropy: Callable[[int], bytes]) -> NDArray[np.int64]:
    """Return the positions of the examples that take part, each with the same probability and independently.

    Args:
        examples: The number of examples, at least 1.
        rate: The probability, in (0, 1]. It is rounded down to a multiple of 2^-64.
        entropy: A source of secret randomness. Called with a number of bytes, it returns that number of bytes.

    Returns:
        The positions, ascending, in `[0, examples)`, shape `(taking part,)`, int64. There may be none.

    Raises:
        ConfigurationError: An argument is out of range, or `entropy` returns another number of bytes.
    """
    check_integer("examples", examples, minimum=1)
    if not 0 < rate <= 1:
        raise ConfigurationError(f"expected a sampling rate in (0, 1], found {rate!r}")
    if rate == 1:
        return np.arange(examples)
    tossed = entropy(8 * examples)
    if len(tossed) != 8 * examples:
        raise ConfigurationError(f"expected {8 * examples} bytes of entropy, found {len(tossed)}")
    # The product of a float below 1 and 2^64 is exact and below 2^64.
    return np.flatnonzero(np.frombuffer(tossed, dtype="<u8") < np.uint64(int(rate * 2.0**64)))
