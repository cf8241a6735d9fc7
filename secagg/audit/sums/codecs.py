"""How an attacker reads and writes a session's messages, and what it knows of sums of encrypted vectors."""

from protocols.codec import Codec
from protocols.encrypted.oneshot import OneShot
from protocols.encrypted.protocol import EncryptedSum
from secagg.audit.attack import Level
from secagg.audit.sums.cohort import Cohort


def codec_of(cohort: Cohort) -> Codec:
    """Return the encoder and decoder of a session's messages."""
    protocol, session = cohort.protocol, cohort.session
    limits = protocol.message_limit(session), protocol.list_limit(session)
    return Codec(protocol.digest(session), *limits, wire=protocol.wire)


def is_encrypted(cohort: Cohort) -> bool:
    """Return whether the protocol sums Paillier's ciphertexts."""
    return isinstance(cohort.protocol, EncryptedSum)


def encrypted(cohort: Cohort) -> EncryptedSum:
    """Return the protocol of a cohort that sums Paillier's ciphertexts."""
    if not isinstance(cohort.protocol, EncryptedSum):
        raise TypeError("protocol: expected a sum of encrypted vectors, found another one")
    return cohort.protocol


def members_at(level: Level, cohort: Cohort) -> int | None:
    """Return how many committee members answer in a session that is replayed; None for all of them, to its end.

    Of sums of encrypted vectors it is one at quick level, and none for OneShot: its committee runs the code of
    PaillierSum's, ten times as long.
    """
    if level is Level.FULL or not is_encrypted(cohort):
        return None
    return 0 if isinstance(cohort.protocol, OneShot) else 1


def session_s(cohort: Cohort) -> float:
    """Return about how many seconds of CPU time a session of a few clients takes."""
    if not is_encrypted(cohort):
        return 0.02
    return 1.7 if isinstance(cohort.protocol, OneShot) else 0.4
