"""The agreement of all parties before one secure sum starts, and what each party brings to it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final, final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.committee import Committee
from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import InputError, ParameterError
from protocols.identity import Roster
from protocols.pieces import VectorReader
from protocols.terms import ClientTerms, Keyholder

Vector = NDArray[np.uint64]

MAX_CLIENT_ID = 2**32 - 2
MAX_LENGTH = 2**40
MAX_ATTACHED = 64
ATTACHED_BYTES = 32
MAX_TIME = 2**40  # In seconds; about 35,000 years.
MAX_WEIGHT = 2**16
MAX_WEIGHTS = 256


class Extra(StrEnum):
    """A field of a session that a protocol accepts only if it lists it; each value is the name of the field."""

    ROSTER = "roster"
    """Identities of the clients, for a protocol that protects from a malicious server."""

    ATTACHED = "attached"
    """Secrets that clients attach, and the rules by which they are opened."""

    COMMITTEE = "committee"
    """A committee that decrypts the sum."""

    EXPIRES = "expires"
    """The time from which on no party answers in the session."""

    WEIGHTS = "weights"
    """The public weights that a client's vector may have in the sum."""

    BATCHES = "batches"
    """Several sums of one session, each of other clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The rule that opens one of a contributor's attached secrets; it depends only on the number of missing clients.

    The secret is opened if at least `least_dropped` and at most `most_dropped` of the session's clients are missing
    from the sum.

    Attributes:
        least_dropped: Smallest number of clients missing from the sum.
        most_dropped: Largest number of clients missing from the sum.

    Raises:
        ParameterError: They are not ints with 0 <= least_dropped <= most_dropped.
    """

    least_dropped: int
    most_dropped: int

    def __post_init__(self) -> None:
        if type(self.least_dropped) is not int or type(self.most_dropped) is not int:
            kinds = f"{type(self.least_dropped).__name__} and {type(self.most_dropped).__name__}"
            raise ParameterError(f"least_dropped, most_dropped: expected ints, found {kinds}")
        if not 0 <= self.least_dropped <= self.most_dropped:
            least, most = shown(self.least_dropped), shown(self.most_dropped)
            raise ParameterError(f"opening: expected 0 <= least_dropped <= most_dropped, found {least} and {most}")

    def opens(self, dropped: int) -> bool:
        """Return whether the secret is opened if `dropped` clients are missing from the sum."""
        return self.least_dropped <= dropped <= self.most_dropped


@dataclass(frozen=True, kw_only=True)
class Session:
    """The agreement of all parties before one secure sum starts.

    Attributes:
        session_id: 16 to 64 bytes, never used twice.
        clients: Distinct ids in [0, 2^32 - 2], at least two.
        threshold: The smallest number of contributors whose sum may be released, in [2, len(clients)].
        length: Number of coordinates of each vector, in [1, 2^40].
        modulus: Entries are in [0, modulus); at least 2, at most 2^64.
        context: What the inputs are made for (round of training, hash of the model), as bytes. A committee member, and
            a client that keeps a record of openings, refuses to help to open two sums under one context if their
            contributors are not the same but differ in fewer clients than its minimum or than either session's
            threshold. (For members of `SeedSum`, they must be the same with the same weights, or disjoint.) Use the
            same context again if you repeat a failed sum of the same inputs: a new one would switch this protection
            off. Use a new context for new inputs. The default, no bytes, is one context too.
        parameters: Anything else that the parties must agree on (encoding, noise), as bytes.
        roster: The identities of these clients and of no others, if the server is not trusted; otherwise None.
        attached: For each secret that every client attaches, at most 64, the rule that opens it. Such a secret must be
            uniform: a hash of it is public. The rule must suit every number of survivors from the threshold up.
        committee: The committee that opens the sum, in protocols that encrypt under its key; otherwise None.
        expires: The time from which on no party answers in the session, in seconds since 1970-01-01 00:00 UTC, in
            protocols whose keys expire; otherwise None.
        weights: The weights that a contributor's vector may have in the sum: distinct ints in [1, 2^16], ascending, at
            most 256. Which client has which weight is public, and is fixed together with the contributors. By default
            each vector counts once. Entries that represent negative integers need room too: see the protocol's
            promise of headroom, if it has one.
        batches: Whether the session may have several sums, called batches, whose contributors are disjoint. A client
            that was late for one batch is in a later one.

    Raises:
        ParameterError: A field is out of range; or the modulus has no room for a sum of ones with the largest weight.
        TypeError: A subclass has added a field that the digest does not hash.
    """

    session_id: bytes
    clients: tuple[int, ...]
    threshold: int
    length: int
    modulus: int
    context: bytes = b""
    parameters: bytes = b""
    roster: Roster | None = None
    attached: tuple[Opening, ...] = ()
    committee: Committee | None = None
    expires: int | None = None
    weights: tuple[int, ...] = (1,)
    batches: bool = False

    def __post_init__(self) -> None:
        check_entries(type(self), _entries())  # type: ignore[arg-type]  # mypy asks if its instances are hashable.
        if type(self.session_id) is not bytes or not 16 <= len(self.session_id) <= 64:
            raise ParameterError("session_id: expected 16 to 64 bytes, found another value. Use os.urandom(16).")
        for name, data in (("context", self.context), ("parameters", self.parameters)):
            if type(data) is not bytes:
                raise ParameterError(f"{name}: expected bytes, found {type(data).__name__}")
        for name, value in (("threshold", self.threshold), ("length", self.length), ("modulus", self.modulus)):
            if type(value) is not int:
                raise ParameterError(f"{name}: expected an int, found {type(value).__name__}")
        if type(self.clients) is not tuple or any(type(client) is not int for client in self.clients):
            raise ParameterError("clients: expected a tuple of ints, found another value")
        if len(set(self.clients)) != len(self.clients):
            repeated = len(self.clients) - len(set(self.clients))
            raise ParameterError(f"clients: expected distinct ids, found {repeated} repeated")
        if any(not 0 <= client <= MAX_CLIENT_ID for client in self.clients):
            raise ParameterError(f"client ids must lie in [0, {MAX_CLIENT_ID}]")
        if len(self.clients) < 2:
            raise ParameterError(f"clients: expected at least 2, found {len(self.clients)}")
        if not 2 <= self.threshold <= len(self.clients):
            raise ParameterError(f"threshold must lie in [2, {len(self.clients)}], not {shown(self.threshold)}")
        if not 1 <= self.length <= MAX_LENGTH:
            raise ParameterError(f"length must lie in [1, {MAX_LENGTH}], not {shown(self.length)}")
        if not 2 <= self.modulus <= 2**64:
            raise ParameterError(f"modulus must lie in [2, 2^64], not {shown(self.modulus)}")
        if self.roster is not None and (type(self.roster) is not Roster or set(self.roster) != set(self.clients)):
            raise ParameterError(
                "roster: expected a Roster of the session's clients only, found another. Use `Roster.of`."
            )
        if type(self.attached) is not tuple or any(type(rule) is not Opening for rule in self.attached):
            raise ParameterError("attached: expected a tuple of Openings, found another value")
        if len(self.attached) > MAX_ATTACHED:
            raise ParameterError(f"attached: expected at most {MAX_ATTACHED} secrets, found {len(self.attached)}")
        if self.committee is not None and type(self.committee) is not Committee:
            raise ParameterError(f"committee: expected a Committee, found {type(self.committee).__name__}")
        if any(not 0 <= member <= MAX_CLIENT_ID for member in self.committee_members):
            raise ParameterError(f"a committee's ids must lie in [0, {MAX_CLIENT_ID}]")
        if self.expires is not None and (type(self.expires) is not int or not 0 <= self.expires <= MAX_TIME):
            raise ParameterError(
                f"expires: expected seconds since 1970, an int in [0, {MAX_TIME}], or None, found {shown(self.expires)}"
            )
        self._check_batches()

    def _check_batches(self) -> None:
        if type(self.batches) is not bool:
            raise ParameterError(f"batches: expected a bool, found {type(self.batches).__name__}")
        if type(self.weights) is not tuple or any(type(weight) is not int for weight in self.weights):
            raise ParameterError("weights: expected a tuple of ints, found another value")
        if not 1 <= len(self.weights) <= MAX_WEIGHTS or list(self.weights) != sorted(set(self.weights)):
            raise ParameterError(
                f"weights: expected at least one and at most {MAX_WEIGHTS} distinct ints in ascending order, found "
                "others"
            )
        if not 1 <= self.weights[0] <= self.weights[-1] <= MAX_WEIGHT:
            raise ParameterError(
                f"weights: expected ints in [1, {MAX_WEIGHT}], found {shown(self.weights[0])} to "
                f"{shown(self.weights[-1])}"
            )
        if self.weights != (1,) and self.weights[-1] * len(self.clients) >= self.modulus:
            raise ParameterError(
                f"modulus: expected more than {self.weights[-1] * len(self.clients)}, the largest weight times the "
                f"number of clients, found {self.modulus}. Weighted sums would wrap around. Use a larger modulus or "
                "smaller weights."
            )

    @property
    def committee_members(self) -> tuple[int, ...]:
        """The ids of the committee's members, who may be clients too; empty if there is no committee."""
        return () if self.committee is None else self.committee.members

    @final
    def extras(self) -> tuple[str, ...]:
        """Return the names of the fields that are set in this session and that not every protocol accepts."""
        return tuple(
            each.name for each in fields(self) if each.name not in _COMMON and getattr(self, each.name) != each.default
        )

    @final
    def transcript(self) -> tuple[tuple[str, tuple[object, ...]], ...]:
        """Return what the session's digest hashes: each field once, by name, with the values that stand for it.

        A field in `_LATER` is left out if it has its default.

        Raises:
            TypeError: A subclass has added a field that has no entry.
        """
        check_entries(type(self), _entries())  # type: ignore[arg-type]  # mypy asks if its instances are hashable.
        first = tuple((", ".join(names), values(self)) for names, values in _TRANSCRIPT)
        known = type(self).__dataclass_fields__
        return first + tuple(
            (name, ((name, value(self)),))
            for name, value in _LATER.items()
            if getattr(self, name) != known[name].default
        )

    @cached_property
    def hashed(self) -> bytes:
        """The values of `transcript` in MessagePack: a list of all of them, without the names."""
        return msgspec.msgpack.encode([value for _, values in Session.transcript(self) for value in values])

    def no_vector(self) -> Words:
        """Return no entries, in the words of the session's vectors."""
        return np.empty(0, dtype=word_dtype(self.modulus))

    def checked(self, vector: ArrayLike) -> Words:
        """Check a client's input, and return a copy of it as words.

        Args:
            vector: Shape `(length,)`, any integer dtype but bool, entries in [0, modulus).

        Raises:
            InputError: The dtype, shape or range is wrong. Floats are refused, even whole numbers.
        """
        try:
            array = np.asarray(vector)
        except (TypeError, ValueError):
            raise InputError(
                f"the input: expected an array of shape ({self.length},), found an object that NumPy cannot convert"
            ) from None
        if array.dtype.kind not in "iu":
            raise InputError(f"the input: expected an integer dtype, found {array.dtype}")
        if array.shape != (self.length,):
            raise InputError(f"the input: expected shape ({self.length},), found {array.shape}")
        if array.dtype.kind == "i" and int(array.min()) < 0:
            raise InputError("the input has a negative entry; encode it in [0, modulus)")
        if int(array.max()) >= self.modulus:
            raise InputError(
                f"the input has an entry at or above the modulus {self.modulus}; encode it in [0, modulus)"
            )
        return array.astype(word_dtype(self.modulus))


@lru_cache(maxsize=16)  # The answer depends on the class alone, and each session and each digest asks.
def check_entries(kind: type[Session], entries: tuple[str, ...]) -> None:
    """Raise `TypeError` unless a transcript has exactly one entry for each field of a kind of session.

    Args:
        kind: `Session` or a subclass of it.
        entries: The names of the fields that the transcript's entries stand for.
    """
    names = [each.name for each in fields(kind)]
    for wrong, faulty in (
        ("no entry", [name for name in names if name not in entries]),
        ("more than one entry", [name for name, count in Counter(entries).items() if count > 1]),
        ("an entry without a field", [name for name in entries if name not in names]),
    ):
        if faulty:
            raise TypeError(
                f"{kind.__name__}: expected one entry of the transcript for each field, found {wrong} for "
                f"{', '.join(sorted(faulty))}. Add a field to `_LATER` in protocols/session.py."
            )


def _committee(session: Session) -> tuple[object, ...]:
    return () if session.committee is None else (session.committee.key.fingerprint, session.committee.members)


_COMMON: Final = ("session_id", "clients", "threshold", "length", "modulus", "context", "parameters")
"""The fields that every protocol accepts; all others are extras."""

_TRANSCRIPT: Final[tuple[tuple[tuple[str, ...], Callable[[Session], tuple[object, ...]]], ...]] = (
    (("session_id",), lambda session: (session.session_id,)),
    (("clients",), lambda session: (session.clients,)),
    # MessagePack has no number of 2^64, which the modulus may be.
    (("threshold", "length", "modulus"), lambda session: ((session.threshold, session.length, session.modulus - 1),)),
    (("context",), lambda session: (session.context,)),
    (("roster",), lambda session: (None if session.roster is None else tuple(session.roster.items()),)),
    (("attached",), lambda session: (tuple((rule.least_dropped, rule.most_dropped) for rule in session.attached),)),
    (("committee",), _committee),
    (("parameters",), lambda session: (session.parameters,) if session.parameters else ()),
)
"""The values of each field in the digest's first version, in its order. This table is closed; see `_LATER`.

The values are hashed without names. Two sessions still have the same values only if they have the same fields: the
values up to `attached` are always there, a committee adds two values and parameters add one.
"""

_LATER: Final[dict[str, Callable[[Session], object]]] = {
    "expires": lambda session: session.expires,
    "weights": lambda session: session.weights,
    "batches": lambda session: session.batches,
}
"""The value of each field that is younger than the digest's first version.

Such a field is hashed as a pair of its name and its value, unless it has its default. So a new field changes no digest
of a session that does not set it, and no two fields can be mistaken for each other.
"""


def _entries() -> tuple[str, ...]:
    return (*(name for names, _ in _TRANSCRIPT for name in names), *_LATER)


check_entries(Session, _entries())


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """What one party, a client or a committee member or both, brings to one session, after every check.

    Attributes:
        client: The party's id.
        vector: Shape `(length,)`, the smallest unsigned words that hold the modulus, the party's own copy; shape `(0,)`
            for a committee member that is not a client, and for a client with a reader.
        attached: 32 bytes for each of the session's attached secrets.
        terms: The client's identity and terms, if the session has a roster; otherwise None.
        keyholder: The party's key share and rules, if it is a member of the committee; otherwise None.
        entropy: The party's secret randomness.
        reader: The client's vector, if it is read piece by piece; otherwise None.
    """

    client: int
    vector: Words = field(repr=False)
    attached: tuple[Secret, ...]
    terms: ClientTerms | None
    keyholder: Keyholder | None
    entropy: Entropy
    reader: VectorReader | None = field(default=None, repr=False)
