"""Safe primes: primes p = 2 p' + 1 whose half p' is prime as well, as threshold keys need.

A random starting point is drawn, and the candidates are the numbers in a stretch above it. A sieve removes those for
which a small prime divides p or p'. The others are tested in order until one passes. If none passes, another starting
point is drawn. Every safe prime above 7 is 11 modulo 12, so only such numbers are candidates.

The result is not uniform (Brandt and Damgard, On generation of probable primes by incremental search, Crypto 1992,
study the same for primes). A safe prime is more likely if the gap below it is longer, but no gap counts beyond the
stretch of 2^16 candidates. If safe primes are distributed as randomly as Hardy and Littlewood's conjecture states, none
is more than about 1.6 times as likely as in a uniform choice among those of 1024 bits, and 1.3 times among those of
1536 bits. So less than one bit of entropy is lost.

The tests are Fermat's test to the base 2, of p' and then of p, which hardly any composite number passes, and 40
iterations of Miller and Rabin's test of both (`is_probable_prime`).
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
    """Return a random safe prime of exactly `bits` bits, with its two highest bits set.

    The product of two such primes has exactly twice as many bits.

    Args:
        bits: 128 to 4096; `deal` accepts only primes of at least 1024 bits.
        entropy: Source of the starting points; any source other than the operating system's is for tests.
        arithmetic: The implementation of long integers; by default, the fastest that is installed.
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
    """Return whether a number of at least 2^13 and its half are both prime; see `is_probable_prime`."""
    return all(is_probable_prime(one, entropy=entropy, arithmetic=arithmetic) for one in (number, number >> 1))


def expected_candidates(bits: int) -> int:
    """Return the number of candidates that `safe_prime` tests on average.

    It is the inverse of the probability that p' and p are prime if no prime below B divides either of them. By Mertens'
    third theorem, this probability is log(B) * exp(gamma) / log(p) for each. The number of tests is geometric, so its
    standard deviation is about as large as its mean.

    Raises:
        ParameterError: `bits` is out of range.
    """
    _check_bits(bits)
    mean = math.log(7 / 8) + (bits - 1) * math.log(2)
    return round((mean / (math.exp(_EULER_GAMMA) * math.log(_SIEVE_BOUND))) ** 2)


def _check_bits(bits: int) -> None:
    if not is_integer(bits) or not LEAST_SAFE_PRIME_BITS <= bits <= MOST_SAFE_PRIME_BITS:
        raise ParameterError(
            f"bits: expected {LEAST_SAFE_PRIME_BITS} to {MOST_SAFE_PRIME_BITS} for a safe prime, found {shown(bits)}"
        )


def _is_safe_prime(candidate: int, entropy: Entropy, arithmetic: Arithmetic) -> bool:
    two, half = arithmetic.integer(2), candidate >> 1
    if pow(two, half - 1, half) != 1 or pow(two, candidate - 1, candidate) != 1:
        return False
    return is_safe_prime(candidate, entropy=entropy, arithmetic=arithmetic)


def _candidates(bits: int, entropy: Entropy, arithmetic: Arithmetic) -> Iterator[int]:
    """Yield the candidates that the sieve leaves in one stretch with a random start, in ascending order."""
    room = 2 ** (bits - 2) - _STEP * (_STRETCH + 1)
    start = 3 * 2 ** (bits - 2) + random_below(room, entropy)
    first = arithmetic.integer(start + (_STEP - 1 - start) % _STEP)
    for index in np.flatnonzero(~_struck(first)):
        yield first + _STEP * int(index)


def _struck(first: int) -> NDArray[np.bool_]:
    """Return, for each candidate first + 12 i, whether a small prime divides it or its half; shape `(_STRETCH,)`."""
    primes, inverses = _sieve_primes()
    residues = np.array([int(first % prime) for prime in primes.tolist()], dtype=np.int64)
    struck = np.zeros(_STRETCH, dtype=np.bool_)
    # An odd prime divides the half of p if and only if p is one more than a multiple of that prime.
    for multiple in (0, 1):
        offsets = (multiple - residues) * inverses % primes
        for prime, offset in zip(primes.tolist(), offsets.tolist(), strict=True):
            struck[offset::prime] = True
    return struck


@lru_cache(maxsize=1)
def _sieve_primes() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the primes from 5 to the bound, and the inverse of 12 modulo each; both of shape `(primes,)`, int64."""
    is_prime = np.ones(_SIEVE_BOUND, dtype=np.bool_)
    for base in range(2, math.isqrt(_SIEVE_BOUND) + 1):
        is_prime[base * base :: base] = False
    primes = np.flatnonzero(is_prime)[4:].astype(np.int64)
    return primes, np.array([pow(_STEP, -1, prime) for prime in primes.tolist()], dtype=np.int64)
