"""Numbers that are 1 modulo b, taken modulo b^(s+1): their group is additive, through the logarithm.

For 1 + b*x and s below every prime factor of b,

    log(1 + b*x) = b * sum over k = 1..s of (-1)^(k-1) * b^(k-1) * x^k / k     modulo b^(s+1)
    exp(b*y)     = 1 + b * sum over k = 1..s of b^(k-1) * y^k / k!             modulo b^(s+1)

since further terms are multiples of b^(s+1). The two functions are inverse to each other. The logarithm turns products
into sums. The recursive algorithm of Damgard and Jurik (PKC 2001) computes the same quotient of logarithms.
"""

import math
from collections.abc import Sequence

from protocols.crypto.integers import Arithmetic


class OneUnits:
    """Logarithm and exponential for one base and one s; both take and return the quotients x and y, without the b.

    Args:
        base: b, a product of primes above s.
        s: At least 1.
        arithmetic: The implementation of long integers.
    """

    __slots__ = ("_base", "_exponential", "_logarithm", "modulus")

    def __init__(self, base: int, s: int, arithmetic: Arithmetic) -> None:
        self._base = arithmetic.integer(base)
        self.modulus = self._base**s
        inverses = [pow(arithmetic.integer(k), -1, self.modulus) for k in range(1, s + 1)]
        self._logarithm = [inverse if k % 2 == 0 else -inverse for k, inverse in enumerate(inverses)]
        self._exponential = [math.prod(inverses[: k + 1]) % self.modulus for k in range(s)]

    def logarithm(self, x: int) -> int:
        """Return log(1 + b*x) / b, modulo b^s."""
        return self._series(self._logarithm, x)

    def exponential(self, y: int) -> int:
        """Return (exp(b*y) - 1) / b, modulo b^s."""
        return self._series(self._exponential, y)

    def _series(self, coefficients: Sequence[int], x: int) -> int:
        """Return the sum of coefficient * b^k * x^(k+1), from the highest power down.

        The highest power is needed only modulo b, the next one modulo b^2, and so on.
        """
        total, modulus = 0, self._base
        for coefficient in reversed(coefficients):
            total = (total * self._base + coefficient) * (x % modulus) % modulus
            modulus = modulus * self._base
        return total
