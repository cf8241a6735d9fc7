"""Safe primes: primes p = 2 p' + 1 whose half p' is prime as well, as threshold keys need.

A random starting point, and the candidates in a stretch above it: those for which a small prime divides p or p' are
struck out for both at once, and the rest are tested in order, until one passes; without any, another starting point is
drawn.  Every safe prime above 7 is 11 modulo 12, so no other number is looked at.

How that differs from a uniform choice (Brandt and Damgard, On generation of probable primes by incremental search,
Crypto 1992, look at the same for primes): a safe prime is the likelier the longer the gap below it, but no gap counts
beyond the stretch of 2^16 candidates.  Where safe primes lie as randomly as Hardy and Littlewood's conjecture has it,
none is more than about 1.6 times as likely as in a uniform choice among those of 1024 bits, and 1.3 times among those
of 1536: less than one bit of entropy is lost.

The tests: Fermat's to the base 2, of p' and then of p, which hardly any composite number passes, and 40 rounds of
Miller and Rabin's of both (`is_probable_prime`).
"""

import math
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import Arithmetic, fastest, is_integer, is_probable_prime, random_below, shown
from protocols.crypto.paillier.public import MOST_BITS
from protocols.errors import ParameterError

LEAST_SAFE_PRIME_BITS: Final = 128
MOST_SAFE_PRIME_BITS: Final = MOST_BITS // 2

_STEP = 12
_STRETCH = 2**16
_SIEVE_BOUND = 2**18
_EULER_GAMMA = 0.5772156649015329


def safe_prime(
    bits: int,
    *,
    entropy: Entropy = os.urandom,
    arithmetic: Arithmetic | None = None,
    tried: Callable[[int], None] | None = None,
) -> int:
    """A random safe prime of exactly so many bits, its two highest bits set.

    The product of two of them has exactly twice as many bits.

    Args:
        bits: 128 to 4096; `deal` takes primes of at least 1024.
        entropy: Where starting points are drawn from; anything but the operating system's is for tests.
        arithmetic: What computes; the fastest that is installed, if not given.
        tried: Called with the number of candidates tested since the last call; see `expected_candidates`.

    Raises:
        ParameterError: `bits` is out of range.
    """
    _check_bits(bits)
    computing = fastest() if arithmetic is None else arithmetic
    while True:
        for candidate in _candidates(bits, entropy, computing):
            found = _is_safe_prime(candidate, entropy, computing)
            if tried is not None:
                tried(1)
            if found:
                return int(candidate)


def is_safe_prime(number: int, *, entropy: Entropy, arithmetic: Arithmetic) -> bool:
    """Whether a number and its half are prime, of a number of at least 2^13; see `is_probable_prime`."""
    return all(is_probable_prime(one, entropy=entropy, arithmetic=arithmetic) for one in (number, number >> 1))


def expected_candidates(bits: int) -> int:
    """How many candidates `safe_prime` tests on average.

    That is the chance of p' and p to be prime, where no prime below B divides either: by Mertens' third theorem,
    log(B) * exp(gamma) / log(p) for each.  The number of tests varies as much as it is large, being geometric.

    Raises:
        ParameterError: `bits` is out of range.
    """
    _check_bits(bits)
    mean = math.log(7 / 8) + (bits - 1) * math.log(2)
    return round((mean / (math.exp(_EULER_GAMMA) * math.log(_SIEVE_BOUND))) ** 2)


def _check_bits(bits: int) -> None:
    if not is_integer(bits) or not LEAST_SAFE_PRIME_BITS <= bits <= MOST_SAFE_PRIME_BITS:
        raise ParameterError(
            f"safe primes have {LEAST_SAFE_PRIME_BITS} to {MOST_SAFE_PRIME_BITS} bits here, not {shown(bits)}"
        )


def _is_safe_prime(candidate: int, entropy: Entropy, arithmetic: Arithmetic) -> bool:
    two, half = arithmetic.integer(2), candidate >> 1
    if pow(two, half - 1, half) != 1 or pow(two, candidate - 1, candidate) != 1:
        return False
    return is_safe_prime(candidate, entropy=entropy, arithmetic=arithmetic)


def _candidates(bits: int, entropy: Entropy, arithmetic: Arithmetic) -> Iterator[int]:
    """What the sieve leaves of one stretch with a random start, in ascending order."""
    room = 2 ** (bits - 2) - _STEP * (_STRETCH + 1)
    start = 3 * 2 ** (bits - 2) + random_below(room, entropy)
    first = arithmetic.integer(start + (_STEP - 1 - start) % _STEP)
    for index in np.flatnonzero(~_struck(first)):
        yield first + _STEP * int(index)


def _struck(first: int) -> NDArray[np.bool_]:
    """For each candidate first + 12 i whether a small prime divides it or its half; shape `(_STRETCH,)`."""
    primes, inverses = _sieve_primes()
    residues = np.array([int(first % prime) for prime in primes.tolist()], dtype=np.int64)
    struck = np.zeros(_STRETCH, dtype=np.bool_)
    # The half of p is a multiple of an odd prime where p is one more than a multiple.
    for multiple in (0, 1):
        offsets = (multiple - residues) * inverses % primes
        for prime, offset in zip(primes.tolist(), offsets.tolist(), strict=True):
            struck[offset::prime] = True
    return struck


@lru_cache(maxsize=1)
def _sieve_primes() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The primes from 5 to the bound, and the inverse of 12 modulo each; both of shape `(primes,)`, int64."""
    is_prime = np.ones(_SIEVE_BOUND, dtype=np.bool_)
    for base in range(2, math.isqrt(_SIEVE_BOUND) + 1):
        is_prime[base * base :: base] = False
    primes = np.flatnonzero(is_prime)[4:].astype(np.int64)
    return primes, np.array([pow(_STEP, -1, prime) for prime in primes.tolist()], dtype=np.int64)
