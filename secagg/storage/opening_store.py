"""A record on disk of the sums that a party has opened or helped to open, so that no two of them reveal a third.

A committee member opens sums, and so does a client in the step that reveals. A party opens only one sum of a session.
Under one context, it never opens two sums whose contributors differ, but in fewer clients than a minimum: the
difference of the sums would be the sum of those clients' inputs. `protocols.replay` states this rule and what follows
from it. A restarted party must still know what it opened, so each opening is recorded before it is answered.

A party has one store for all of its identities, keys and key shares, whether it acts as a client or as a committee
member. The store is made together with the first of them: what was opened under one key counts under every other key.
If a party has made one store for each key, `take_over` brings them together. `secagg.storage.store` says how durable a
store is, and what it cannot detect.
"""

import hashlib
import itertools
import struct
from typing import Any, ClassVar, Final

from protocols.errors import ParameterError
from protocols.replay import Opened, check_session
from protocols.session import MAX_CLIENT_ID
from secagg.storage.store import Layout, Store, StoreCorrupt, check_bytes

_ID_BYTES: Final = 4
_WEIGHT_BYTES: Final = 8


def _first_digest(key: bytes, session_id: bytes, hashed: bytes, packed: bytes, minimum: int) -> bytes:
    sizes = len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big", signed=True)
    return hashlib.sha256(key + hashed + sizes + session_id + packed).digest()


_FIRST: Final = Layout(
    version=1,
    schema=(
        "CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, "
        "contributors BLOB NOT NULL, minimum INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (key, session_id)) "
        "STRICT, WITHOUT ROWID"
    ),
    rows="SELECT key, session_id, context, contributors, minimum, digest FROM openings",
    digest=_first_digest,
    added=(b"",),
)
"""The format of stores in which nothing can be opened again: no row has a root."""


def _second_digest(key: bytes, session_id: bytes, hashed: bytes, packed: bytes, minimum: int, root: bytes) -> bytes:
    sizes = len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big", signed=True) + len(root).to_bytes(8, "big")
    return hashlib.sha256(key + hashed + sizes + session_id + root + packed).digest()


_SECOND: Final = Layout(
    version=2,
    schema=(
        "CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, "
        "contributors BLOB NOT NULL, minimum INTEGER NOT NULL, root BLOB NOT NULL, digest BLOB NOT NULL, "
        "PRIMARY KEY (key, session_id)) STRICT, WITHOUT ROWID"
    ),
    rows="SELECT key, session_id, context, contributors, minimum, root, digest FROM openings",
    digest=_second_digest,
    added=(b"",),
)
"""The format of stores in which a session has one sum with a key, and each contributor counts once."""


class OpeningStore(Store):
    """The sums that a party has opened with any of its identities and key shares, by session and context.

    A store of openings is a context manager and a `protocols.replay.OpeningRecord`. Any thread of one process may
    use it. It closes on the first failure. A set of n contributors takes 4 * n bytes, and 12 * n bytes if they have
    weights. A new set is compared with all other sets of its context and of its session.

    Args:
        path: The path of a store that `create` has made.

    Raises:
        StoreError: The store is in use, damaged or missing, or the file is not a store of openings.
    """

    kind: ClassVar[str] = "store of openings"
    remedy: ClassVar[str] = (
        "Make a new store, with a new identity and a new committee key if the party has them, and use contexts that "
        "were never used before."
    )
    application_id: ClassVar[int] = 0x5EC09E
    format_version: ClassVar[int] = 3
    table: ClassVar[str] = "openings"
    schema: ClassVar[str] = (
        "CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, "
        "contributors BLOB NOT NULL, minimum INTEGER NOT NULL, root BLOB NOT NULL, weights BLOB NOT NULL, "
        "digest BLOB NOT NULL, PRIMARY KEY (key, session_id, root)) STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT key, session_id, context, contributors, minimum, root, weights, digest FROM openings"
    insert: ClassVar[str] = "INSERT INTO openings VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    earlier: ClassVar[tuple[Layout, ...]] = (_FIRST, _SECOND)

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),
        batches: bool = False,
    ) -> None:
        """Record that a sum is about to be opened. The record is on the disk when this returns.

        Args:
            key: 32 bytes that identify the committee member's key share, or the client; see `OpeningRecord`.
            session_id: The session's id, 16 to 64 bytes.
            context: The session's context, any bytes.
            contributors: The clients whose inputs are in the sum: ids in [0, 2^32 - 2], ascending, at least one.
            minimum: The least number of clients in which other sets of contributors under this context, earlier or
                later, must differ from this one; in [1, 2^32 - 2].
            root: 32 bytes that stand for everything that is opened, if the same may be opened again after a restart;
                otherwise empty.
            weights: The contributors' weights, ints in [1, 2^64 - 1], if there is a root; empty if each is 1.
            batches: Whether the session may have several sums, with a root each.

        Raises:
            SessionReused: A sum of this session was opened with this key before, without a root or with another one,
                and the session has no batches.
            UnsafeOpening: Under this context another sum was opened with this key or any other, or another sum of this
                session with this key, from which this one must be further apart: see `OpeningRecord`.
            StoreError: It is not certain that the opening was recorded. The store is closed.
            ParameterError: An argument has another type or is out of range.
        """
        check_bytes("key", key, least=32, most=32)
        check_bytes("session_id", session_id, least=16, most=64)
        if type(context) is not bytes:
            raise ParameterError(f"context: expected bytes, found {type(context).__name__}")
        if type(minimum) is not int or not 1 <= minimum <= MAX_CLIENT_ID:
            raise ParameterError(f"minimum: expected an int in [1, {MAX_CLIENT_ID}], found {minimum!r}")
        if root:
            check_bytes("root", root, least=32, most=32)
        packed, hashed = _packed(contributors), hashlib.sha256(context).digest()
        opened = Opened.of(contributors, _checked(weights), minimum, root)
        with self._turn:
            with self._typed():
                found = self._run(
                    "SELECT root, contributors FROM openings WHERE key = ? AND session_id = ?", key, session_id
                ).fetchall()
                # No other process writes to the file, so what is read here still holds when the row is added.
                # Openings with every key count: two sums have a difference, whether under one key or two.
                others = self._run(
                    "SELECT contributors, weights, MAX(minimum), root <> x'' FROM openings "
                    "WHERE context = ? OR (key = ? AND session_id = ?) GROUP BY contributors, weights, root <> x''",
                    *(hashed, key, session_id),
                ).fetchall()
            same_session = {its_root: self._clients(its_packed) for its_root, its_packed in found}
            if root and root in same_session:
                return
            check_session(same_session, contributors, root=root, batches=batches)
            for other in others:
                opened.check(self._opened(*other))
            with self._typed():
                row = (key, session_id, hashed, packed, minimum, root, _packed_weights(opened.weights))
                self._run(self.insert, *row, self._digest(*row))

    def _opened(self, packed: bytes, weights: bytes, minimum: int, rooted: int) -> Opened:
        """Return what a row says; a row that says nothing closes the store."""
        clients = self._clients(packed)
        if len(weights) not in (0, _WEIGHT_BYTES * len(clients)):
            raise self._corrupt("as many weights as contributors, or none")
        unpacked = struct.unpack(f">{len(weights) // _WEIGHT_BYTES}Q", weights)
        return Opened(clients, unpacked, minimum, bool(rooted))

    def _clients(self, packed: bytes) -> tuple[int, ...]:
        if len(packed) % _ID_BYTES:
            raise self._corrupt("sets of contributors of whole ids")
        return struct.unpack(f">{len(packed) // _ID_BYTES}I", packed)

    def _corrupt(self, expected: str) -> StoreCorrupt:
        """Close the store, and return the error to raise."""
        self.close()
        return StoreCorrupt(f"{self._path}: expected {expected}, found another value. {self.remedy}")

    def take_over(self, earlier: "OpeningStore") -> None:
        """Record all that another store of the same party holds. The records are on the disk when this returns.

        Both stores stay open. The earlier one is not changed. Do not use it any more.

        Args:
            earlier: An open store, such as one that was made for another key.

        Raises:
            StoreCorrupt: Both stores hold an opening of one session with one key, and the two differ: they have the
                same root, or one has none, or they have contributors in common. Nothing has been taken over, and this
                store is closed.
            StoreError: It is not certain that the openings were recorded. The store that failed is closed.
            ParameterError: The argument is not another store.
        """
        if type(earlier) is not OpeningStore or earlier is self:
            found = "this store itself" if earlier is self else type(earlier).__name__
            raise ParameterError(f"earlier: expected another OpeningStore that is open, found {found}")
        with earlier._turn, earlier._typed():
            rows = earlier._run(self.rows).fetchall()
        with self._turn, self._typed():
            self._run("BEGIN EXCLUSIVE")
            for row in rows:
                known = self._run(f"{self.rows} WHERE key = ? AND session_id = ?", *row[:2]).fetchall()
                if row in known:
                    continue
                if all(_are_batches(row, other) for other in known):
                    self._run(self.insert, *row)
                else:
                    raise StoreCorrupt(
                        f"session {row[1].hex()}: expected the same opening with one key in both stores, found two "
                        "different ones. Nothing has been taken over."
                    )
            self._run("COMMIT")

    @staticmethod
    def _digest(*row: Any) -> bytes:
        key, session_id, hashed, packed, minimum, root, weights = row
        sizes = b"".join(len(each).to_bytes(8, "big") for each in (session_id, root, weights))
        numbers = sizes + minimum.to_bytes(8, "big", signed=True)
        return hashlib.sha256(key + hashed + numbers + session_id + root + weights + packed).digest()


def _are_batches(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether two rows of one session and key may be two batches."""
    (*_, mine, _, root, _, _), (*_, its, _, other_root, _, _) = one, other
    common = set(struct.iter_unpack(">I", mine)) & set(struct.iter_unpack(">I", its))
    return bool(root and other_root and root != other_root and not common)


def _packed(contributors: tuple[int, ...]) -> bytes:
    if type(contributors) is not tuple or not contributors or any(type(client) is not int for client in contributors):
        raise ParameterError("contributors: expected a tuple of ints that is not empty, found something else")
    if not 0 <= contributors[0] <= contributors[-1] <= MAX_CLIENT_ID:
        raise ParameterError(
            f"contributors: expected ids in [0, {MAX_CLIENT_ID}], found {contributors[0]} to {contributors[-1]}"
        )
    if any(one >= other for one, other in itertools.pairwise(contributors)):
        raise ParameterError("contributors: expected ids in ascending order, each once, found another order")
    return struct.pack(f">{len(contributors)}I", *contributors)


def _checked(weights: tuple[int, ...]) -> tuple[int, ...]:
    if type(weights) is not tuple or any(type(each) is not int or not 1 <= each < 2**64 for each in weights):
        raise ParameterError("weights: expected a tuple of ints in [1, 2^64 - 1], found something else")
    return weights


def _packed_weights(weights: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(weights)}Q", *weights)
