"""Randomness, identities and attached secrets that are the same in each run of a test, and so protect nobody."""

import hashlib
from collections.abc import Iterable
from typing import Final

from protocols.crypto.entropy import Entropy
from protocols.crypto.secret import Secret
from protocols.identity import Identity, Roster
from protocols.session import Session

SNAPSHOT_KEY: Final = Secret(hashlib.sha256(b"key of snapshots").digest())
"""The key under which the tests seal their snapshots."""


def repeatable_entropy(label: bytes) -> Entropy:
    """Return a source of bytes that depend only on the label and on the calls before: SHAKE-256 of both."""
    calls = 0

    def draw(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(label + calls.to_bytes(4, "big")).digest(size)

    return draw


def fixed_identity(client: int) -> Identity:
    """Return the identity that a client has in all tests. Its secret key is a hash of the client's id."""
    return Identity(Secret(hashlib.sha256(b"identity of %d" % client).digest()))


def fixed_roster(clients: Iterable[int]) -> Roster:
    """Return the roster of the clients' identities in all tests."""
    return Roster({client: fixed_identity(client).public for client in clients})


def attached_secrets(client: int, session: Session) -> tuple[Secret, ...]:
    """Return a client's attached secrets in all tests, as many as the session has."""
    count = len(session.attached)
    return tuple(Secret(hashlib.sha256(b"attached %d %d" % (client, index)).digest()) for index in range(count))
