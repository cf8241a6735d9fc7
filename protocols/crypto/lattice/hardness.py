r"""For reviewers and tests: the security bound of lattice masks whose sum of keys and errors is revealed.

Nothing in the library calls this module. The bound: revealing the sum leaves a ring-LWE problem of half the width.

Let h >= 2 honest clients encrypt under secrets r_i = (s_i, e_i,1, ..., e_i,m), every coordinate of which is a discrete
Gaussian of width sigma, and let the adversary learn sum(r_i), besides all ciphertexts. With ring-LWE of width
sigma / 2 for secret and errors, m samples, the ciphertexts reveal no more than the sum of the plaintexts:

1. Replace the ciphertexts of all honest clients but the last, one after the other, by uniform ones. Let the ciphertext
   of the last client be the one that makes the total right: (a sum(s) + sum(e) + D sum(m)) less the others. The total
   is a function of what the adversary may know. In the end nothing else depends on any client's plaintext.
2. In each of the h - 1 steps, a distinguisher of the two sides knows a_j, b_j and the hint z = r_i + y, where y are the
   last client's secrets. On one side b_j is a_j s_i + e_i,j, on the other it is uniform. All other secrets are
   independent of r_i and y. That is Hint-MLWE (Kim, Lee, Seo, Song, Toward practical lattice-based proof of knowledge
   from Hint-MLWE, CRYPTO 2023, ia.cr/2023/623) of rank 1 with one hint, whose matrix is the identity.
3. Given z, r_i is a discrete Gaussian of variance sigma^2 / 2 about z / 2: exp(-(x^2 + (z - x)^2) / (2 sigma^2)) is
   exp(-(x - z/2)^2 / sigma^2) times what z determines. Instead take x0 + t, x0 of width sigma / 2 about 0 and t of
   width sigma / 2 about z / 2, all on the integers. Their sum has the weight

       exp(-(x - z/2)^2 / sigma^2) * sum over the integers k of exp(-(k - c)^2 / (2 nu^2)),   nu^2 = sigma^2 / 8,

   for some real c, and by Poisson's summation formula the second factor is nu sqrt(2 pi) (1 + d), |d| <= epsilon =
   2 (q + q^4 + q^9 + ...), q = exp(-2 pi^2 nu^2). So each coordinate is within statistical distance epsilon /
   (1 - epsilon) of the right distribution. An algorithm that is given a_j and b_j = a_j x0 + x0_j, or uniform b_j, can
   draw z as the sum of two fresh secrets, draw t given z, and add a_j t + t_j to b_j: that is the problem of step 2 on
   either side.

The theorem of the paper, in the form of Espitau, Niot and Prest (CRYPTO 2024), gives the same width, 1 / sigma_0^2 =
2 (1 / sigma^2 + 1 / sigma^2), wherever sigma_0 is at least sqrt 2 times the smoothing parameter of Z^(N (1 + m)).

A client's key may be a sum of discrete Gaussians, one for each of several seeds, as in `protocols.seeds.lattice_pads`.
Let the adversary know all summands but one, g_i of each honest client i, and the sum of the g_i over the clients. Then
only g_i counts. Less a_j times the known summands, b_j is a_j g_i + e_i,j, and r_i = (g_i, e_i,1, ..., e_i,m) has one
discrete Gaussian of width sigma in each coordinate, as above. The hint is the sum of these r_i. So the bound is the
same for any number of summands. The whole key is wider, but its width gives no security: the adversary subtracts the
summands that it knows.

So two honest clients are enough for the lattice problem, and more do not weaken it. The sum of two clients still tells
something about each of them; the session's threshold decides whether such a sum is opened. All of this holds for one
opening of one set: sums of keys over sets that differ by one client reveal that client's key.

The remaining problem is ring-LWE with N = 4096, log2 Q = 64 and secrets and errors of width 13/4. The homomorphic
encryption standard (Albrecht et al., version 1.1, 2018; errors of 8 / sqrt(2 pi) = 3.19, ternary secrets, classical
attacks; the same figures are in Microsoft SEAL's hestdparms.h) allows up to 109 bits of modulus at 128 bits of security
and 75 at 192; wider secrets are no easier. That Q is a power of two makes no known difference (Peikert, Regev and
Stephens-Davidowitz, Pseudorandomness of ring-LWE for any ring and modulus, STOC 2017).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from protocols.crypto.lattice.gaussian import REACH, WIDTH
from protocols.crypto.lattice.ring import DEGREE

MINIMUM_HONEST: Final = 2
"""Smallest number of honest clients among those whose keys are added up."""
MODULUS_BITS: Final = 64
STANDARD_WIDTH: Final = 8 / math.sqrt(2 * math.pi)
"""Width of the errors in the homomorphic encryption standard."""
STANDARD: Final = ((192, 75), (128, 109))
"""Bits of security and the largest number of modulus bits for them, at dimension 4096; strictest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardness:
    """The ring-LWE problem that protects one honest client's plaintext from a coalition.

    Attributes:
        width: Width of secrets and errors of the ring-LWE problem that is left.
        security_bits: Security of that problem in bits, by the homomorphic encryption standard.
        distance_log2: log2 of the statistical distance that the reduction adds, over all clients and coordinates.
    """

    width: Fraction
    security_bits: int
    distance_log2: float


def hardness(*, words: int, clients: int, width: Fraction = WIDTH) -> Hardness:
    """Return the bound of the module's docstring.

    Args:
        words: Number of 64-bit words in a ciphertext, at least 1.
        clients: Number of clients whose ciphertexts are added up; at least `MINIMUM_HONEST` of them are honest.
        width: Width of one client's secrets and errors.

    Returns:
        The bound. It has 0 bits of security if the width that is left is below the standard's, since the standard does
        not cover such widths.

    Raises:
        ValueError: There are fewer than `MINIMUM_HONEST` clients, or there is no word.
    """
    if words < 1 or clients < MINIMUM_HONEST:
        raise ValueError(
            f"words and clients: expected at least 1 and at least {MINIMUM_HONEST}, found {words} and {clients}"
        )
    left = width / 2
    levels = [bits for bits, limit in STANDARD if limit >= MODULUS_BITS and left >= STANDARD_WIDTH]
    coordinates = DEGREE * (1 + -(-words // DEGREE))
    # For q <= 1/8, 2 (q + q^4 + ...) <= 2 q / (1 - q), and over 1 - epsilon that is at most 4 q.
    smoothing = 4 * math.exp(-2 * math.pi**2 * float(width**2) / 8)
    # Beyond 127, weights fall faster than by half, and zero's is 1: at most four times the first, for two secrets.
    tail = 2 * 4 * math.exp(-float((REACH + 1) ** 2 / (2 * width**2)))
    return Hardness(
        width=left,
        security_bits=max(levels, default=0),
        distance_log2=math.log2((clients - 1) * coordinates * (smoothing + tail)),
    )
