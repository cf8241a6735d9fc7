"""Shamir secret sharing (Shamir 1979) of 32-byte secrets over the prime field of 2^256 + 297 elements.

The prime is the smallest above 2^256, so that every 32-byte string is a field element.  A holder's evaluation point
is its id plus one.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from protocols.crypto.entropy import Entropy, draw
from protocols.crypto.secret import Secret

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
_COEFFICIENT_BYTES = 49  # 135 bits more than the prime: the bias of the reduction is below 2^-135


def share(secret: Secret, *, threshold: int, holders: Sequence[int], entropy: Entropy) -> list[bytes]:
    """One share for each holder; any `threshold` of them give the secret, fewer give nothing.

    Args:
        secret: 32 bytes.
        threshold: In [1, len(holders)].
        holders: Distinct ids of at least 0.
        entropy: Source of the polynomial's coefficients.

    Returns:
        `SHARE_BYTES` bytes for each holder, in their order.

    Raises:
        ValueError: A threshold, holders or a secret that are none of these.
        ParameterError: The entropy runs short.
    """
    if not 1 <= threshold <= len(holders) or len(set(holders)) != len(holders) or min(holders) < 0:
        raise ValueError(f"cannot share among {len(holders)} holders with threshold {threshold}")
    constant = secret.reveal()
    if len(constant) != SECRET_BYTES:
        raise ValueError(f"a secret of {len(constant)} bytes, where {SECRET_BYTES} can be shared")
    drawn = draw(entropy, _COEFFICIENT_BYTES * (threshold - 1))
    coefficients = [
        int.from_bytes(drawn[start : start + _COEFFICIENT_BYTES], "little") % PRIME
        for start in range(0, len(drawn), _COEFFICIENT_BYTES)
    ]
    coefficients.append(int.from_bytes(constant, "little"))
    return [_evaluate(coefficients, holder + 1).to_bytes(SHARE_BYTES, "little") for holder in holders]


def _evaluate(coefficients: Sequence[int], point: int) -> int:
    value = 0
    for coefficient in coefficients:
        value = (value * point + coefficient) % PRIME
    return value


def is_share(data: bytes) -> bool:
    """Whether these bytes are an element of the field in its canonical encoding."""
    return len(data) == SHARE_BYTES and int.from_bytes(data, "little") < PRIME


def combine(shares: Mapping[int, bytes], *, threshold: int) -> Secret:
    """The secret from the shares of exactly the first `threshold` holders by id.

    Raises:
        ValueError: Too few shares, a share that is no field element, or shares that do not meet in 32 bytes.
    """
    if len(shares) < threshold:
        raise ValueError(f"{len(shares)} shares, where {threshold} are needed")
    holders = tuple(sorted(shares)[:threshold])
    if not all(is_share(shares[holder]) for holder in holders):
        raise ValueError("a share that is no element of the field")
    values = [int.from_bytes(shares[holder], "little") for holder in holders]
    weights = _lagrange_at_zero(holders)
    secret = sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
    if secret >= 2**256:
        raise ValueError("the shares do not belong together")
    return Secret(secret.to_bytes(SECRET_BYTES, "little"))


@lru_cache(maxsize=16)
def _lagrange_at_zero(holders: tuple[int, ...]) -> tuple[int, ...]:
    """Weight i is the product of all points, over point i times the product of the differences to it."""
    points = [holder + 1 for holder in holders]
    denominators = [point * math.prod(other - point for other in points if other != point) % PRIME for point in points]
    everything = math.prod(points) % PRIME
    return tuple(everything * inverse % PRIME for inverse in _inverses(denominators))


def _inverses(values: Sequence[int]) -> list[int]:
    """All inverses at the price of one, by products up to each value (Montgomery 1987)."""
    products = [1]
    for value in values:
        products.append(products[-1] * value % PRIME)
    inverse = pow(products[-1], -1, PRIME)
    found = []
    for value, product in zip(reversed(values), reversed(products[:-1]), strict=True):
        found.append(inverse * product % PRIME)
        inverse = inverse * value % PRIME
    return found[::-1]
