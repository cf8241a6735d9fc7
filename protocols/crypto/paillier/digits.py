"""Small signed integers as balanced digits of long integers: many coefficients in one encryption, no bit wasted.

Coefficients x_0, x_1, ... whose sum over all clients stays within [-reach, reach] are the digits of

    sum of x_i * B^i   modulo the message modulus,   B = 2 * reach + 1.

So messages add up as coefficients do. A sum is read by adding reach to every digit, which makes all of them digits in
[0, B). Slots (`slots`) are for long vectors, for which whole bits are faster; digits are for short vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.integers import is_integer, shown
from protocols.errors import DamagedSum, InputError, ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The layout of coefficients in messages.

    Attributes:
        reach: Largest absolute value of a coefficient, and of a sum of the clients' coefficients; in [1, 2^62).
        message_modulus: Messages are below this number.

    Raises:
        ParameterError: A value is out of range, or a message does not hold one digit.
    """

    reach: int
    message_modulus: int = field(repr=False)  # It has thousands of digits, which Python does not print.

    def __post_init__(self) -> None:
        if not is_integer(self.reach) or not 1 <= self.reach < 2**62:
            raise ParameterError(f"reach: expected an integer in [1, 2^62), found {shown(self.reach)}")
        if not is_integer(self.message_modulus) or self.message_modulus < self.base:
            raise ParameterError(
                f"a digit: expected a base of at most one message, found {self.base}. Use a longer key."
            )

    @property
    def base(self) -> int:
        """B, the number of values of a digit."""
        return 2 * self.reach + 1

    @property
    def count(self) -> int:
        """Number of digits in a message: the greatest for which B^count is at most the message modulus."""
        return _most_digits(self.base, self.message_modulus)

    def messages(self, length: int) -> int:
        """Return the number of messages that `length` coefficients take."""
        return -(-length // self.count)

    def pack(self, coefficients: NDArray[np.int64]) -> list[int]:
        """Return messages that hold coefficients.

        Args:
            coefficients: Shape `(length,)`, length at least 1, int64, entries in [-reach, reach].

        Returns:
            `messages(length)` integers in [0, message_modulus).

        Raises:
            InputError: The coefficients have another type, shape or range.
        """
        if coefficients.dtype != np.int64 or coefficients.ndim != 1 or not coefficients.size:
            raise InputError(
                f"coefficients: expected an int64 array of shape (length,) with at least one entry, "
                f"found {coefficients.dtype} of shape {coefficients.shape}"
            )
        if int(coefficients.max()) > self.reach or int(coefficients.min()) < -self.reach:
            raise InputError(f"coefficients: expected integers in [-{self.reach}, {self.reach}], found one outside")
        digits, count = coefficients.tolist(), self.count
        return [self._joined(digits[start : start + count]) for start in range(0, len(digits), count)]

    def unpack(self, sums: Sequence[int], length: int) -> NDArray[np.int64]:
        """Return the sums of coefficients, from the sums of their messages.

        Returns:
            Shape `(length,)`, int64, entries in [-reach, reach].

        Raises:
            DamagedSum: The number of messages does not fit the length, or no coefficients in range have these sums.
        """
        count = self.count
        if len(sums) != self.messages(length):
            raise DamagedSum(
                f"number of messages: expected {self.messages(length)} for {length} coefficients, found {len(sums)}"
            )
        digits: list[int] = []
        for message in sums:
            some = min(count, length - len(digits))
            digits += self._parted(int(message), some)
        return np.array(digits, dtype=np.int64)

    def _joined(self, digits: Sequence[int]) -> int:
        message = 0
        for digit in reversed(digits):
            message = message * self.base + digit
        return int(message % self.message_modulus)

    def _parted(self, message: int, count: int) -> list[int]:
        rest = (message + self.reach * (self.base**count - 1) // (self.base - 1)) % int(self.message_modulus)
        digits = []
        for _ in range(count):
            rest, digit = divmod(rest, self.base)
            digits.append(digit - self.reach)
        if rest:
            raise DamagedSum("a message is not a sum of coefficients in range")
        return digits


@lru_cache(maxsize=16)
def _most_digits(base: int, modulus: int) -> int:
    count, power = 0, base
    while power <= modulus:
        count, power = count + 1, power * base
    return count
