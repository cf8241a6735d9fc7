"""A committee for audits: its key is dealt from two fixed primes, which are public and protect nothing."""

from functools import cache
from typing import Final

from protocols import Committee
from protocols.committee import CommitteeShare
from protocols.crypto.paillier.threshold import deal
from secagg.audit.seeds import Tape

_P: Final = int(
    "fedff6659206f3875281a8d254c53a5962b75979a4178adf307b569942a8b6bad0bacdf7776b17a242d17fccdff3347a"
    "e7c70b5a64d0c0f6e0973fe53b92130bbd56edfa7426c79094d20ec462e9e04f1b9ec78bd18677f72ade7852c53d750f"
    "63618dd2020843a2b106aeb61b95e242f69eb50d86f6de494ca666264f0ed993",
    16,
)
_Q: Final = int(
    "f5b635c3e9c7c207d56616fb50beb1aec65bd6f5d2bde3c51b029d5f21d4ed37a861845ad05e94c73a1015ef928f2a06"
    "5f424c00eb907312986ecde32e0998678c8d9a12c359dbc76d23903c1affe255075d62224284d1aaddf85ad54c038970"
    "37624eaa4564d4ad7e30852da10deb5f3cfb7459babc43736c003a2cd4c5c3fb",
    16,
)


@cache
def dealt(members: tuple[int, ...], threshold: int, rotation: int = 0) -> tuple[Committee, tuple[CommitteeShare, ...]]:
    """Return a committee of these parties, and their key shares in the same order; the same ones at each call.

    Args:
        members: The ids of the members.
        threshold: The number of members that can decrypt together.
        rotation: How often the key has been dealt anew; each time the key shares and the key's fingerprint are others.
    """
    entropy = Tape(b"committee", f"{len(members)} {threshold}" + f" {rotation}" * bool(rotation))
    key, shares = deal(_P, _Q, 1, members=len(members), threshold=threshold, entropy=entropy)
    return Committee(key=key, members=members), shares
