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

from protocols.errors import ParameterError, SessionReused
from protocols.replay import check_apart
from protocols.session import MAX_CLIENT_ID
from secagg.storage.store import Layout, Store, StoreCorrupt, check_bytes

_ID_BYTES: Final = 4


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


class OpeningStore(Store):
    """The sums that a party has opened with any of its identities and key shares, by session and context.

    A store of openings is a context manager and a `protocols.replay.OpeningRecord`. Any thread of one process may
    use it. It closes on the first failure. A set of n contributors takes 4 * n bytes. A new set is compared with all
    other sets of its context.

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
    format_version: ClassVar[int] = 2
    table: ClassVar[str] = "openings"
    schema: ClassVar[str] = (
        "CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, "
        "contributors BLOB NOT NULL, minimum INTEGER NOT NULL, root BLOB NOT NULL, digest BLOB NOT NULL, "
        "PRIMARY KEY (key, session_id)) STRICT, WITHOUT ROWID"
    )
    rows: ClassVar[str] = "SELECT key, session_id, context, contributors, minimum, root, digest FROM openings"
    insert: ClassVar[str] = "INSERT INTO openings VALUES (?, ?, ?, ?, ?, ?, ?)"
    earlier: ClassVar[tuple[Layout, ...]] = (_FIRST,)

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
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

        Raises:
            SessionReused: A sum of this session was opened with this key before, without a root or with another one.
            UnsafeOpening: Under this context, another sum was opened with this key or any other. Its contributors
                differ from these, but in fewer clients than this minimum, or than that sum's own minimum.
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
        with self._turn:
            with self._typed():
                found = self._run(
                    "SELECT root FROM openings WHERE key = ? AND session_id = ?", key, session_id
                ).fetchone()
                # No other process writes to the file, so what is read here still holds when the row is added.
                # Openings with every key count: two sums have a difference, whether under one key or two.
                others = self._run(
                    "SELECT contributors, MAX(minimum) FROM openings WHERE context = ? AND contributors <> ? "
                    "GROUP BY contributors",
                    *(hashed, packed),
                ).fetchall()
            if found is not None and root and found == (root,):
                return
            if found is not None:
                raise SessionReused(
                    f"session {session_id.hex()}: expected a session of which no sum was opened with this key, found "
                    "one of which a sum was opened. Use a new session."
                )
            if any(len(other) % _ID_BYTES for other, _ in others):
                self.close()
                raise StoreCorrupt(
                    f"{self._path}: expected sets of contributors of whole ids, found another one. {self.remedy}"
                )
            for other, its_minimum in others:
                check_apart(contributors, _unpacked(other), max(minimum, its_minimum))
            with self._typed():
                row = (key, session_id, hashed, packed, minimum, root)
                self._run(self.insert, *row, self._digest(*row))

    def take_over(self, earlier: "OpeningStore") -> None:
        """Record all that another store of the same party holds. The records are on the disk when this returns.

        Both stores stay open. The earlier one is not changed. Do not use it any more.

        Args:
            earlier: An open store, such as one that was made for another key.

        Raises:
            StoreCorrupt: Both stores hold an opening of one session with one key, and the two differ. Nothing has been
                taken over, and this store is closed.
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
                known = self._run(f"{self.rows} WHERE key = ? AND session_id = ?", *row[:2]).fetchone()
                if known is None:
                    self._run(self.insert, *row)
                elif known != row:
                    raise StoreCorrupt(
                        f"session {row[1].hex()}: expected the same opening with one key in both stores, found two "
                        "different ones. Nothing has been taken over."
                    )
            self._run("COMMIT")

    @staticmethod
    def _digest(*row: Any) -> bytes:
        key, session_id, hashed, packed, minimum, root = row
        sizes = (
            len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big", signed=True) + len(root).to_bytes(8, "big")
        )
        return hashlib.sha256(key + hashed + sizes + session_id + root + packed).digest()


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


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(packed) // _ID_BYTES}I", packed)
