"""The security bound of lattice pads, recomputed from the parameters."""

import math
from fractions import Fraction

import numpy as np
import pytest

from protocols.crypto.lattice.gaussian import WIDTH
from protocols.crypto.lattice.hardness import MINIMUM_HONEST, MODULUS_BITS, STANDARD, STANDARD_WIDTH, hardness
from protocols.crypto.lattice.pad import MAX_CLIENTS, MAX_LENGTH
from protocols.crypto.lattice.ring import DEGREE


def smoothing_parameter(dimension: int, epsilon: float) -> float:
    """Of Z^dimension, as a standard deviation (Micciancio and Regev, SIAM J. Comput. 37, 2007, lemma 3.3)."""
    return math.sqrt(math.log(2 * dimension * (1 + 1 / epsilon)) / math.pi) / math.sqrt(2 * math.pi)


def block_size(dimension: int, modulus_bits: int, width: float) -> int:
    """The least block size at which lattice reduction finds the secret (Alkim et al., USENIX Security 2016, 6.3)."""

    def root(block: int) -> float:
        base = (math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)
        return math.log2(base) / (2 * (block - 1))

    for block in range(60, 2000):
        for samples in range(dimension // 4, 2 * dimension, dimension // 64):
            full = dimension + samples + 1
            if (
                math.log2(width * math.sqrt(block))
                <= (2 * block - full - 1) * root(block) + modulus_bits * samples / full
            ):
                return block
    raise AssertionError("out of range")


def test_hint_leaves_the_width_of_the_theorem() -> None:
    left = hardness(words=5_000_000, clients=1000).width
    assert 1 / left**2 == 2 * (1 / WIDTH**2 + 1 / WIDTH**2)
    coordinates = DEGREE * (1 + -(-5_000_000 // DEGREE))
    assert left >= math.sqrt(2) * smoothing_parameter(coordinates, 2.0**-100)


def test_standard_covers_what_is_left() -> None:
    bound = hardness(words=5_000_000, clients=1000)
    assert bound.width >= STANDARD_WIDTH
    assert dict(STANDARD)[bound.security_bits] >= MODULUS_BITS
    assert bound.security_bits == 192
    assert bound.distance_log2 < -115
    assert hardness(words=1000, clients=2, width=Fraction(6)).security_bits == 0


def test_largest_vectors_and_cohorts_are_covered() -> None:
    assert hardness(words=MAX_LENGTH, clients=MAX_CLIENTS).distance_log2 < -96


def test_distance_adds_up_over_clients_and_polynomials() -> None:
    one = hardness(words=1, clients=2).distance_log2
    assert hardness(words=1, clients=1025).distance_log2 == pytest.approx(one + 10)
    assert hardness(words=7 * DEGREE, clients=2).distance_log2 == pytest.approx(one + 2)


def test_lattice_attack_is_as_hard_as_claimed() -> None:
    """The estimate is sound: the lattice estimator's own documentation has 374 to 383 for the first instance."""
    assert 370 <= block_size(1024, 27, 3.0) <= 390
    block = block_size(DEGREE, MODULUS_BITS, float(WIDTH / 2))
    assert 0.292 * block > 192
    assert 0.292 * block_size(DEGREE, 75, STANDARD_WIDTH) < 0.292 * block


@pytest.mark.parametrize("width", [Fraction(2), Fraction(5, 2), Fraction(3)])
def test_distance_is_what_direct_summation_gives(width: Fraction) -> None:
    """One coordinate, both distributions of step 3, for both classes of hints; at widths where float64 still tells."""
    points = np.arange(-60, 62)
    worst = 0.0
    for hint in (0, 1):
        target = np.exp(-((points - hint / 2) ** 2) / float(width**2))
        half = float(width**2) / 4
        plain, shifted = np.exp(-(points**2) / (2 * half)), np.exp(-((points - hint / 2) ** 2) / (2 * half))
        simulated = np.convolve(plain / plain.sum(), shifted / shifted.sum())[60:-61]
        worst = max(worst, float(np.abs(simulated - target / target.sum()).sum() / 2))
    claimed = 2 ** hardness(words=1, clients=2, width=width).distance_log2 / (2 * DEGREE)
    assert worst <= claimed < 20 * worst


def test_nobody_hides_behind_one_honest_client() -> None:
    with pytest.raises(ValueError, match="words and clients: expected at least 1 and at least 2, found"):
        hardness(words=1, clients=MINIMUM_HONEST - 1)
    with pytest.raises(ValueError, match="words and clients: expected at least 1 and at least 2, found"):
        hardness(words=0, clients=2)
