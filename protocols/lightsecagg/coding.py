"""Coded shares of a mask: a Lagrange code that hides the mask from any T holders, and that any U holders decode.

Source: So et al., LightSecAgg, MLSys 2022 (arXiv 2109.14236): a mask is cut into U - T pieces, joined by T random
ones, and multiplied by a T-private MDS matrix. Errors are located as in Gao, A new algorithm for decoding
Reed-Solomon codes, 2003.

Each coordinate of the pieces is a polynomial of degree below U over F_p: its values at the points 0, ..., U - T - 1
are the mask's pieces, and its value at the point U - T + i is the share of the holder at position i.

Departure from the paper: the random pieces are not extra knots. They *are* the shares of T holders, which the caller
chooses. The code is the same: U values fix a polynomial of degree below U. So for any pieces, the values at any T
holders are in bijection with those at the T chosen ones, hence uniform and independent of the mask (T-privacy). And any
U holders' shares fix the polynomial. But T of the shares need no arithmetic, and each of them may be sent as a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from protocols.crypto.field import Field
from protocols.crypto.keystream import Words

Polynomial = list[int]
"""Coefficients, the constant first, without leading zeros; empty for zero."""


class InconsistentShares(ValueError):
    """Shares that do not lie on one polynomial.

    Attributes:
        positions: The positions of the wrong shares, if at most half of the redundant number are wrong; empty if they
            cannot be located.
    """

    def __init__(self, positions: frozenset[int]) -> None:
        super().__init__("the shares do not lie on one polynomial")
        self.positions = positions


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskCode:
    """The code of one field and two thresholds.

    Attributes:
        field: The mask's field.
        privacy: T, at least 0: any T shares reveal nothing.
        responders: U, above T: any U shares give the mask, and any U holders' sums of shares give the sum of the masks.
    """

    field: Field
    privacy: int
    responders: int

    def __post_init__(self) -> None:
        if not 0 <= self.privacy < self.responders:
            raise ValueError(f"privacy: expected a value in [0, {self.responders - 1}], found {self.privacy}")

    @property
    def pieces(self) -> int:
        """The number of pieces into which a mask is cut, U - T."""
        return self.responders - self.privacy

    def piece_length(self, length: int) -> int:
        """Return the number of elements of a piece, and of a share, of a mask that covers `length` coordinates."""
        return -(-length // self.pieces)

    def matrix(self, chosen: Sequence[int], holders: Sequence[int]) -> list[list[int]]:
        """Return the matrix that maps the pieces and the chosen holders' shares to the shares of other holders."""
        knots = [*range(self.pieces), *map(self._point, chosen)]
        return self.field.interpolation(knots, [self._point(holder) for holder in holders])

    def encode(self, mask: Words, chosen: Mapping[int, Words], holders: Sequence[int]) -> Words:
        """Return the shares that belong to a mask and to T shares chosen at random.

        Args:
            mask: Shape `(pieces * s,)`, of the field's dtype.
            chosen: By position, the shares of T holders, shape `(s,)`: uniform, and drawn for this mask alone.
            holders: Positions, from 0, of the holders whose shares to compute.

        Returns:
            Shape `(len(holders), s)`, of the field's dtype.

        Raises:
            ValueError: The shapes or the number of chosen shares do not fit.
        """
        if len(chosen) != self.privacy:
            raise ValueError(f"random shares: expected {self.privacy}, found {len(chosen)}")
        values = np.concatenate([mask.reshape(self.pieces, -1), *(share[np.newaxis] for share in chosen.values())])
        return self.field.product(self.matrix(tuple(chosen), holders), values)

    def decode(self, shares: Mapping[int, Words]) -> Words:
        """Return the mask from at least U shares; each share beyond U is compared with the result of the others.

        Args:
            shares: By position, shape `(s,)`, of the field's dtype.

        Returns:
            Shape `(pieces * s,)`, of the field's dtype.

        Raises:
            ValueError: There are fewer than U shares.
            InconsistentShares: The shares do not lie on one polynomial. The error names the wrong ones if they can be
                located.
        """
        mask, consistent = self._extend(shares)
        if not consistent.all():
            raise InconsistentShares(self._culprits(shares))
        return mask.reshape(-1)

    def _point(self, position: int) -> int:
        return self.pieces + position

    def _extend(self, shares: Mapping[int, Words]) -> tuple[Words, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Return the pieces by the first U shares, and the coordinates on which all other shares agree."""
        if len(shares) < self.responders:
            raise ValueError(f"shares: expected at least {self.responders}, found {len(shares)}")
        order = sorted(shares)
        knots, others = order[: self.responders], order[self.responders :]
        matrix = self.field.interpolation(
            [self._point(knot) for knot in knots], [*range(self.pieces), *map(self._point, others)]
        )
        values = self.field.product(matrix, np.stack([shares[knot] for knot in knots]))
        consistent = np.ones(values.shape[1], dtype=np.bool_)
        for predicted, other in zip(values[self.pieces :], others, strict=True):
            consistent &= predicted == shares[other]
        return values[: self.pieces], consistent

    def _culprits(self, shares: Mapping[int, Words]) -> frozenset[int]:
        """Return the wrong positions: locate errors in one inconsistent coordinate at a time until none is left."""
        left, found = dict(shares), set[int]()
        most = (len(shares) - self.responders) // 2
        while len(found) <= most:
            _, consistent = self._extend(left)
            if consistent.all():
                return frozenset(found)
            column = int(np.argmin(consistent))
            values = {position: int(share[column]) for position, share in left.items()}
            wrong = self._errors(values)
            if not wrong:
                break
            found |= wrong
            left = {position: share for position, share in left.items() if position not in wrong}
            if len(left) < self.responders:
                break
        return frozenset()

    def _errors(self, values: Mapping[int, int]) -> set[int]:
        """Return the positions of errors in one coordinate; empty if there are too many (Gao's algorithm 1)."""
        prime = self.field.prime
        points = {self._point(position): value for position, value in values.items()}
        previous, current = _interpolate(points, prime)
        before, cofactor = Polynomial(), [1]
        while 2 * (len(current) - 1) >= len(points) + self.responders:
            quotient, remainder = _divide(previous, current, prime)
            previous, current = current, remainder
            before, cofactor = cofactor, _subtract_product(before, quotient, cofactor, prime)
        polynomial, remainder = _divide(current, cofactor, prime)
        if remainder or len(polynomial) > self.responders:
            return set()
        return {
            position
            for position, value in values.items()
            if _evaluate(polynomial, self._point(position), prime) != value
        }


def _interpolate(points: Mapping[int, int], prime: int) -> tuple[Polynomial, Polynomial]:
    """Return the product of all x - point, and the polynomial of least degree through the points (Newton)."""
    product, through = [1], Polynomial()
    for point, value in points.items():
        missing = (value - _evaluate(through, point, prime)) * pow(_evaluate(product, point, prime), -1, prime)
        through = _subtract_product(through, [-missing % prime], product, prime)
        product = _subtract_product([0, *product], [point], product, prime)
    return product, through


def _evaluate(polynomial: Polynomial, point: int, prime: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * point + coefficient) % prime
    return value


def _subtract_product(minuend: Polynomial, one: Polynomial, other: Polynomial, prime: int) -> Polynomial:
    product = [0] * (len(one) + len(other))
    for shift, factor in enumerate(one):
        for index, coefficient in enumerate(other):
            product[shift + index] = (product[shift + index] + factor * coefficient) % prime
    return _trimmed([(a - b) % prime for a, b in zip_longest(minuend, product, fillvalue=0)])


def _divide(dividend: Polynomial, divisor: Polynomial, prime: int) -> tuple[Polynomial, Polynomial]:
    remainder, inverse = list(dividend), pow(divisor[-1], -1, prime)
    quotient = [0] * max(0, len(dividend) - len(divisor) + 1)
    for shift in range(len(quotient) - 1, -1, -1):
        quotient[shift] = factor = remainder[shift + len(divisor) - 1] * inverse % prime
        for index, coefficient in enumerate(divisor):
            remainder[shift + index] = (remainder[shift + index] - factor * coefficient) % prime
    return _trimmed(quotient), _trimmed(remainder)


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial
