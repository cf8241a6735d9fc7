"""A committee's key for tests, made by `deal` from two fixed primes, since safe primes take time.

The primes are public test numbers, made once by `safe_prime`; no key made from them protects anything.
"""

from functools import cache

from protocols.crypto.integers import Arithmetic
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey, deal
from tests.support.paillier_keys import stream

SAFE_P = int(
    "fedff6659206f3875281a8d254c53a5962b75979a4178adf307b569942a8b6bad0bacdf7776b17a242d17fccdff3347a"
    "e7c70b5a64d0c0f6e0973fe53b92130bbd56edfa7426c79094d20ec462e9e04f1b9ec78bd18677f72ade7852c53d750f"
    "63618dd2020843a2b106aeb61b95e242f69eb50d86f6de494ca666264f0ed993",
    16,
)
SAFE_Q = int(
    "f5b635c3e9c7c207d56616fb50beb1aec65bd6f5d2bde3c51b029d5f21d4ed37a861845ad05e94c73a1015ef928f2a06"
    "5f424c00eb907312986ecde32e0998678c8d9a12c359dbc76d23903c1affe255075d62224284d1aaddf85ad54c038970"
    "37624eaa4564d4ad7e30852da10deb5f3cfb7459babc43736c003a2cd4c5c3fb",
    16,
)


@cache
def _dealt(
    s: int, members: int, threshold: int, arithmetic: Arithmetic | None
) -> tuple[ThresholdKey, tuple[KeyShare, ...]]:
    """Return the key and the shares of a committee, dealt once for each set of arguments."""
    entropy = stream(f"committee {s} {members} {threshold}")
    return deal(SAFE_P, SAFE_Q, s, members=members, threshold=threshold, entropy=entropy, arithmetic=arithmetic)


def threshold_key(
    s: int = 1, members: int = 3, threshold: int = 2, arithmetic: Arithmetic | None = None
) -> ThresholdKey:
    """Return the public key of a committee, the same at each call and in each run."""
    return _dealt(s, members, threshold, arithmetic)[0]


def key_shares(
    s: int = 1, members: int = 3, threshold: int = 2, arithmetic: Arithmetic | None = None
) -> tuple[KeyShare, ...]:
    """Return the shares of all members of that committee."""
    return _dealt(s, members, threshold, arithmetic)[1]
