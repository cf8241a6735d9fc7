"""A committee's key of the usual size, made of two well-known safe primes, for measurements and sizes only.

Everybody knows its factors, so nothing under it is secret. The primes are those of the 1536-bit group of RFC 3526
(section 2) and of the 1536-bit group of RFC 5054 (appendix A), whose product has 3072 bits.
"""

from typing import Final

from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey, deal

S: Final = 2
"""The exponent of the message space, as in `secagg keys committee`."""

P: Final = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f"
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca237327ffffffffffffffff",
    16,
)
Q: Final = int(
    "9def3cafb939277ab1f12a8617a47bbbdba51df499ac4c80beeea9614b19cc4d5f4f5f556e27cbde51c6a94be4607a29"
    "1558903ba0d0f84380b655bb9a22e8dcdf028a7cec67f0d08134b1c8b97989149b609e0be3bab63d47548381dbc5b1fc"
    "764e3f4b53dd9da1158bfd3e2b9c8cf56edf019539349627db2fd53d24b7c48665772e437d6c7f8ce442734af7ccb7ae"
    "837c264ae3a9beb87f8a2fe9b8b5292e5a021fff5e91479e8ce7a28c2442c6f315180f93499a234dcf76e3fed135f9bb",
    16,
)
N: Final = P * Q


def dealt(members: int, threshold: int) -> tuple[ThresholdKey, tuple[KeyShare, ...]]:
    """Return a key and its shares, for measurements; this takes about a second."""
    return deal(P, Q, S, members=members, threshold=threshold)
