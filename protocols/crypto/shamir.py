"""Shamir secret sharing (Shamir 1979) of 32-byte secrets over the prime field of 2^256 + 297 elements.

The prime is the smallest above 2^256, so that every 32-byte string is a field element. A holder's evaluation point
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
    """Return one secret share for each holder; any `threshold` of them determine the secret, fewer reveal nothing.

    Args:
        secret: 32 bytes.
        threshold: Number of secret shares that determine the secret, in [1, len(holders)].
        holders: Distinct ids of at least 0.
        entropy: Source of the polynomial's coefficients.

    Returns:
        `SHARE_BYTES` bytes for each holder, in the order of `holders`.

    Raises:
        ValueError: `threshold`, `holders` or `secret` is not as described.
        ParameterError: `entropy` does not return as many bytes as it is asked for.
    """
    if not 1 <= threshold <= len(holders) or len(set(holders)) != len(holders) or min(holders) < 0:
        raise ValueError(
            f"holders, threshold: expected distinct ids of at least 0, and a threshold from 1 to their number, found "
            f"{len(holders)} holders and threshold {threshold}"
        )
    constant = secret.reveal()
    if len(constant) != SECRET_BYTES:
        raise ValueError(f"secret: expected {SECRET_BYTES} bytes, found {len(constant)}")
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
    """Return whether these bytes are an element of the field in its canonical encoding."""
    return len(data) == SHARE_BYTES and int.from_bytes(data, "little") < PRIME


def combine(shares: Mapping[int, bytes], *, threshold: int) -> Secret:
    """Return the secret, from the secret shares of exactly the first `threshold` holders by id.

    Raises:
        ValueError: There are fewer than `threshold` secret shares, one is not a field element, or they do not combine
            to 32 bytes.
    """
    if len(shares) < threshold:
        raise ValueError(f"secret shares: expected at least {threshold}, found {len(shares)}")
    holders = tuple(sorted(shares)[:threshold])
    if not all(is_share(shares[holder]) for holder in holders):
        raise ValueError("secret shares: expected elements of the field, found one that is not")
    values = [int.from_bytes(shares[holder], "little") for holder in holders]
    weights = _lagrange_at_zero(holders)
    secret = sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
    if secret >= 2**256:
        raise ValueError("secret shares: expected shares of one secret, found shares that do not belong together")
    return Secret(secret.to_bytes(SECRET_BYTES, "little"))


@lru_cache(maxsize=16)
def _lagrange_at_zero(holders: tuple[int, ...]) -> tuple[int, ...]:
    """Return the Lagrange weights at zero.

    Weight i is the product of all points, divided by point i and by the product of the differences to it (each other
    point less point i).
    """
    points = [holder + 1 for holder in holders]
    denominators = [point * math.prod(other - point for other in points if other != point) % PRIME for point in points]
    everything = math.prod(points) % PRIME
    return tuple(everything * inverse % PRIME for inverse in _inverses(denominators))


def _inverses(values: Sequence[int]) -> list[int]:
    """Return all inverses at the cost of one inversion, by products up to each value (Montgomery 1987)."""
    products = [1]
    for value in values:
        products.append(products[-1] * value % PRIME)
    inverse = pow(products[-1], -1, PRIME)
    found = []
    for value, product in zip(reversed(values), reversed(products[:-1]), strict=True):
        found.append(inverse * product % PRIME)
        inverse = inverse * value % PRIME
    return found[::-1]
