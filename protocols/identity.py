"""Who is who: long-term Ed25519 identities (RFC 8032), the roster that a client pins, and what is signed with them.

A roster reaches each client by a way that the server does not control.  Every signature is bound to the digest of
one session, to a purpose and to the signer's id, so none of them says anything in another session or round.

Adversary: a server that may do anything, and clients that help it.  It cannot speak for a client of the roster that
does not help it.  (A client that enrols a key of low order helps it: anyone can sign for such a key.)
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.cohort import whole_clients
from protocols.crypto.integers import shown
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import ParameterError, RemoteError, SessionReused, UnsafeSession

PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_SECRET_BYTES: Final = 32
_DOMAIN: Final = b"secagg signature v1"
PURPOSE_BYTES: Final = 8


class Identity(Uncopyable):
    """A client's long-term signing key.

    Args:
        secret: The private key, 32 uniform bytes (RFC 8032, section 5.1.5), from `generate` or from where it is kept.
    """

    __slots__ = ("_private", "public", "secret")

    def __init__(self, secret: Secret) -> None:
        if type(secret) is not Secret or len(secret.reveal()) != _SECRET_BYTES:
            raise ParameterError(f"an identity is made from a Secret of {_SECRET_BYTES} bytes")
        self.secret = secret
        self._private = Ed25519PrivateKey.from_private_bytes(secret.reveal())
        self.public: bytes = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "Identity":
        """A new identity, from the operating system's randomness."""
        return cls(Secret(os.urandom(_SECRET_BYTES)))

    def sign(self, statement: bytes) -> bytes:
        """A signature, 64 bytes, over a statement made by `Signatures`."""
        return self._private.sign(statement)

    def __repr__(self) -> str:
        return f"Identity(public={self.public.hex()})"


class Roster(Mapping[int, bytes]):
    """Public identity keys by client id; immutable.

    Args:
        keys: 32 bytes for each client, all different.

    Raises:
        ParameterError: An id or a key is none, or one key stands for two clients.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if any(type(client) is not int or client < 0 for client in keys):
            raise ParameterError("a roster's clients must be ints of at least 0")
        if any(type(key) is not bytes or len(key) != PUBLIC_BYTES for key in keys.values()):
            raise ParameterError(f"a roster's keys must be {PUBLIC_BYTES} bytes each")
        if len(set(keys.values())) != len(keys):
            raise ParameterError("a roster must not give two clients the same key")
        self._keys = dict(sorted(keys.items()))

    def __getitem__(self, client: int) -> bytes:
        return self._keys[client]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __hash__(self) -> int:
        return hash(tuple(self._keys.items()))

    def __repr__(self) -> str:
        return f"Roster(<{len(self._keys)} clients>)"

    def of(self, clients: Iterable[int]) -> "Roster":
        """The part that concerns these clients.

        Raises:
            ParameterError: One of them is not in the roster.
        """
        chosen = tuple(clients)
        missing = [client for client in chosen if client not in self._keys]
        if missing:
            raise ParameterError(f"{len(missing)} clients are not in the roster, client {shown(missing[0])} among them")
        return Roster({client: self._keys[client] for client in chosen})


class SessionRecord(Protocol):
    """Remembers what a client has answered; what it must survive is a restart of that client."""

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Note, durably before it returns, that round `number` of a session is about to be answered.

        Args:
            identity: The client's public identity key.
            session_id: The session's id.
            number: The round, from 0.

        Raises:
            SessionReused: The round, or a later one, was recorded before; or the session is resumed in the middle
                without a record of how it began.
        """


class MemoryRecord:
    """A `SessionRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[bytes, bytes], int] = {}

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """See `SessionRecord.record`."""
        last = self._rounds.get((identity, session_id), -1)
        if number <= last or (last == -1 and number != 0):
            raise SessionReused(f"round {number} of a session whose last recorded round is {last}")
        self._rounds[identity, session_id] = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a client brings to a session with a server that it does not trust.

    Attributes:
        identity: Its own identity.
        roster: The identities that it has pinned; at least those of the session.
        sessions: Its memory of the sessions it took part in.
        adversarial: The fraction of the roster, in [0, 1), that it wants to be safe from together with the server; they
            may all be invited into one session.
        minimum_contributors: It takes part only where no sum of fewer vectors, at least 2, is released.
        committee: The committee's key that it has pinned; without one it takes part in no session with a committee.

    Raises:
        ParameterError: A field is none of these.
    """

    identity: Identity
    roster: Roster
    sessions: SessionRecord
    adversarial: float
    minimum_contributors: int
    committee: ThresholdKey | None = None

    def __post_init__(self) -> None:
        if type(self.identity) is not Identity or type(self.roster) is not Roster:
            raise ParameterError("a member needs an Identity and a Roster")
        if not callable(getattr(self.sessions, "record", None)):
            raise ParameterError("a member needs a record of its sessions; see SessionRecord")
        if self.committee is not None and type(self.committee) is not ThresholdKey:
            raise ParameterError("a member's committee is the ThresholdKey that it has pinned")
        if type(self.adversarial) not in (int, float) or not 0 <= self.adversarial < 1:
            raise ParameterError(f"adversarial must be a fraction in [0, 1), not {shown(self.adversarial)}")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors must be an int of at least 2, not {shown(self.minimum_contributors)}"
            )

    @property
    def corrupt(self) -> int:
        """How many clients of the roster that fraction is, rounded down."""
        return whole_clients(len(self.roster), self.adversarial, "adversarial")

    def accept_committee(self, key: ThresholdKey) -> None:
        """Compare a session's committee with what this client has pinned.

        As large a fraction of the committee as of the roster, rounded down, is taken to be corrupt.

        Raises:
            UnsafeSession: The key is not the one pinned, or so many corrupt members could open a second sum.
        """
        if self.committee is None or self.committee.fingerprint != key.fingerprint:
            raise UnsafeSession("the session's committee has another key than the one that this client has pinned")
        corrupt = whole_clients(key.members, self.adversarial, "adversarial")
        if 2 * key.threshold <= key.members + corrupt:
            raise UnsafeSession(
                f"with {corrupt} of {key.members} members of the committee corrupt, any {key.threshold} of them could "
                f"open more than one sum; that takes a threshold of {(key.members + corrupt) // 2 + 1}"
            )

    def accept(self, *, client: int, clients: tuple[int, ...], threshold: int, roster: Roster) -> None:
        """Compare what a session says with what this client has pinned.

        Raises:
            UnsafeSession: The identities are not those pinned, or sums of too few may be released.
        """
        if any(self.roster.get(each) != roster[each] for each in clients):
            raise UnsafeSession("the session names an identity that is not the one in this client's own roster")
        if roster[client] != self.identity.public:
            raise UnsafeSession(f"the session knows client {client} by another identity than this client's own")
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"the session releases sums of {threshold} clients, this client allows none below "
                f"{shown(self.minimum_contributors)}"
            )


class Signatures:
    """Signs and checks statements of one session; in a session without a roster every signature is empty.

    Args:
        digest: The session's digest, 32 bytes.
        roster: The session's identities, or None where the server is trusted to pass on keys.
    """

    __slots__ = ("_prefix", "_roster")

    def __init__(self, digest: bytes, roster: Roster | None) -> None:
        self._prefix = _DOMAIN + digest
        self._roster = roster

    def sign(self, member: Member | None, *, client: int, purpose: bytes, payload: bytes) -> bytes:
        """The client's signature over a payload; `purpose` has 8 bytes."""
        if member is None:
            return b""
        return member.identity.sign(self._statement(client, purpose, payload))

    def check(self, signature: bytes, *, client: int, purpose: bytes, payload: bytes) -> None:
        """Check that this client has signed this payload for this purpose in this session.

        Raises:
            RemoteError: It has not.
        """
        if self._roster is None:
            if signature:
                raise RemoteError("a signature, in a session without identities")
            return
        key = Ed25519PublicKey.from_public_bytes(self._roster[client])
        try:
            key.verify(signature, self._statement(client, purpose, payload))
        except InvalidSignature:
            raise RemoteError(f"not signed by client {client} for this purpose in this session") from None

    def _statement(self, client: int, purpose: bytes, payload: bytes) -> bytes:
        if len(purpose) != PURPOSE_BYTES:
            raise ParameterError(f"a purpose has {PURPOSE_BYTES} bytes")
        return self._prefix + purpose + client.to_bytes(4, "big") + payload
