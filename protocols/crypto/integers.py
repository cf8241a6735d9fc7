"""Long integers: the implementation that computes with them, random integers, and a test for primes.

GMP's integers (gmpy2) are used if they are installed, and Python's own otherwise; the results are the same. Every
operation used is an operator or `pow`, so the type of the modulus decides which implementation does the work.
"""

import importlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from protocols.crypto.entropy import Entropy, draw

SMALL_PRIME_BOUND: Final = 2**12

_STEPS = 40
_SURPLUS_BITS = 128
_SHOWN_BITS = 64


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """An implementation of long integers.

    Attributes:
        name: "python" or "gmpy2".
        integer: Makes its integers from Python's.
        powers: Raises many bases to one exponent of at least 0, modulo one number; with GMP, on all cores.
    """

    name: str
    integer: Callable[[int], int]
    powers: Callable[[Sequence[int], int, int], list[int]]


def _powers(bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
    return [pow(base, exponent, modulus) for base in bases]


PYTHON: Final = Arithmetic("python", int, _powers)


@lru_cache(maxsize=1)
def fastest() -> Arithmetic:
    """Return GMP's arithmetic if gmpy2 is installed (the extra `paillier`), and Python's otherwise."""
    try:
        module = importlib.import_module("gmpy2")
    except ImportError:
        return PYTHON
    return Arithmetic("gmpy2", module.mpz, partial(_threaded_powers, module))


def _threaded_powers(module: Any, bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
    """Return powers by gmpy2, which releases the interpreter's lock only for lists.

    Each list has one base, so that all cores finish together, and an interrupt waits for at most one power.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda base: module.powmod_base_list([base], exponent, modulus)[0], bases))


def is_integer(value: object) -> bool:
    """Return whether a value is a Python integer and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: object) -> str:
    """Return a value as errors show it: an integer of more than 64 bits is shown by its length.

    Python does not print integers of more than some thousand digits.
    """
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def random_bits(bits: int, entropy: Entropy) -> int:
    """Return a uniform integer in [0, 2^bits).

    Raises:
        ParameterError: The source does not return as many bytes as it is asked for.
    """
    size = -(-bits // 8)
    return int.from_bytes(draw(entropy, size), "little") >> (8 * size - bits)


def random_below(bound: int, entropy: Entropy) -> int:
    """Return an integer in [0, bound), whose distance from uniform is below 2^-128."""
    return random_bits(bound.bit_length() + _SURPLUS_BITS, entropy) % bound


def random_unit(modulus: int, entropy: Entropy) -> int:
    """Return a random integer in [1, modulus) that is coprime to the modulus."""
    while True:
        drawn = random_below(modulus, entropy)
        if math.gcd(drawn, modulus) == 1:
            return drawn


@lru_cache(maxsize=1)
def small_primorial() -> int:
    """Return the product of all primes below `SMALL_PRIME_BOUND`."""
    candidates = range(2, SMALL_PRIME_BOUND)
    composite = {multiple for base in range(2, 64) for multiple in range(2 * base, SMALL_PRIME_BOUND, base)}
    return math.prod(number for number in candidates if number not in composite)


def is_probable_prime(number: int, *, entropy: Entropy, arithmetic: Arithmetic) -> bool:
    """Return whether a number of at least `SMALL_PRIME_BOUND` is prime, by Miller-Rabin with 40 random bases.

    A composite number passes with a probability of at most 4^-40, no matter who chose it (Rabin 1980).
    """
    if number % 2 == 0 or math.gcd(number, small_primorial()) != 1:
        return False
    modulus = arithmetic.integer(number)
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    odd = (number - 1) >> twos
    for _ in range(_STEPS):
        power = pow(arithmetic.integer(2 + random_below(number - 3, entropy)), odd, modulus)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % modulus
            if power == number - 1:
                break
        else:
            return False
    return True
