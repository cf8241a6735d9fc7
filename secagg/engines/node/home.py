"""The home of a node: one folder with all that makes a machine a node, and the record of what it has answered.

| File | What it is | Who makes it |
|---|---|---|
| `identity.key` | The node's secret identity key | `Home.create` |
| `node.pub` | Its public line, for the maker of the roster | `Home.create` |
| `coordinator.pub` | The public key of the only coordinator whose requests count | the coordinator |
| `roster.json` | All nodes of the federation; this node's id is that of its key | `secagg keys roster` |
| `committee.pub` | The committee, if any; its first line tells its kind | `secagg keys committee`, `seed-committee` |
| `member-N.key` | This member's key share, in a committee with a dealer | the dealer |
| `member.key` | This member's identity and epoch keys, in a committee by replicated seeds | `secagg keys member` |
| `policy.toml` | What the node accepts | the operator |
| `record/` | Which steps were answered and which sums opened, the ledger and its head, and the lock | `Home.create` |

In `record/` is also what only the owner is told of failed trainings (`secagg.engines.node.failure_log`).

Only its owner can use the folder. What the node keeps of a session between two steps is not here but in memory
(`secagg.engines.node.live_folder`). Everything in a home is trusted; nothing that arrives is.

A stolen home gives its identity away, so the federation needs a new roster; it tells nothing of the inputs of earlier
sessions. A home that is restored from a backup must get a new identity, since its record is older than what the node
has answered. A copied home would be two nodes with one identity.

Adversary: other users of the machine, whom the access rights keep out, and thieves of the folder. Nothing is encrypted.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from dp.errors import LedgerLocked
from dp.events import PrivacyEvent
from dp.ledger.ledger import Ledger
from dp.ledger.records import Clock
from protocols.committee import CommitteeKey, CommitteeShare
from protocols.identity import Identity, Roster
from protocols.seeds.committee import SeedCommittee
from secagg.engines.node.failure_log import FAILURES_NAME, FailureLog
from secagg.engines.node.home_committee import check_member, home_committee
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.home_lock import LOCK_NAME, WAIT_S, HomeBusy, HomeLock
from secagg.engines.node.ledger_head import LedgerHead
from secagg.engines.node.live_folder import live_folder
from secagg.engines.node.policy import NodePolicy
from secagg.engines.node.policy_file import POLICY_NAME, TEMPLATE
from secagg.storage.key_files import check_free
from secagg.storage.labelled_file import check_private_folder, filled_folder, write_new
from secagg.storage.node_keys import (
    COORDINATOR_NAME,
    IDENTITY_NAME,
    read_coordinator_key,
    read_node_identity,
    write_node_identity,
)
from secagg.storage.opening_store import OpeningStore
from secagg.storage.public_line import PublicLine, fingerprint
from secagg.storage.roster_file import ROSTER_NAME, RosterFile
from secagg.storage.seed_keys import KEYS_NAME, read_member_share
from secagg.storage.session_store import SessionStore

LINE_NAME: Final = "node.pub"
RECORD_NAME: Final = "record"
SESSIONS_NAME: Final = "sessions.db"
OPENINGS_NAME: Final = "openings.db"
LEDGER_NAME: Final = "ledger.db"
HEAD_NAME: Final = "ledger.head"
SHARED_HEAD_NAME: Final = "shared-ledger.head"

_MOUNTS: Final = Path("/proc/self/mountinfo")
_NEEDED: Final[Mapping[str, str]] = {
    IDENTITY_NAME: "Make a home with `secagg keys node`.",
    COORDINATOR_NAME: "Copy it from the coordinator's folder, and compare its fingerprint.",
    ROSTER_NAME: "Get it from the maker of the roster, and compare its fingerprint.",
    POLICY_NAME: "Write it; a new home has one that explains every field.",
}


class Home:
    """A node's home, opened; make one with `create` and open it with `open`.

    Threads may share it. The stores can be used only while its lock is held: they are opened when they are first used,
    and closed with the lock. Nothing stays open without the lock, so there is nothing to close.

    Attributes:
        path: The folder.
        identity: The node's identity.
        node: The node's id, which is that of its key in the roster.
        coordinator: The public key of the coordinator, 32 bytes.
        roster: The public identity keys of all nodes.
        names: The names of all nodes by id.
        roster_fingerprint: The fingerprint of the roster file.
        committee_key: The committee's public key; None if there is none. Of a committee by replicated seeds, only the
            pin counts: its epoch may be an earlier one than that of a session.
        share: The node's key share, in a committee with a dealer; None if the node has none. See `share_of`.
        policy: The policy of its operator.
        live: The folder of the live session, in memory.
        fingerprint: The fingerprint of the node's identity.
    """

    def __init__(self, path: Path, *, wall_clock: Clock, runtime: str | None, mounts: str | None) -> None:
        self.path = path
        self._wall_clock = wall_clock
        self._check_files()
        self.identity: Identity = read_node_identity(path)
        self.fingerprint = fingerprint(self.identity.public)
        self.coordinator = read_coordinator_key(path / COORDINATOR_NAME)
        file = RosterFile.read(path / ROSTER_NAME)
        self.roster: Roster = file.roster
        self.names = file.names
        self.roster_fingerprint = file.fingerprint
        self.node = self._own_id()
        self.committee_key, self.share = home_committee(path)
        if self.is_seed_member:
            check_member(path, self.committee_key)
        self.policy = NodePolicy.read(path / POLICY_NAME)
        if self.policy.delta is not None and self.policy.delta * len(self.roster) >= 1:
            raise HomeError(
                f"{path / POLICY_NAME}: expected a delta below one over the {len(self.roster)} nodes of the roster, "
                f"found {self.policy.delta:g}. Such a delta would allow to publish one node's data. Lower it."
            )
        self.live = live_folder(self.policy, self.fingerprint, runtime=runtime, mounts=mounts)
        self.failures = FailureLog(self._record(FAILURES_NAME))
        self._lock = HomeLock(path / RECORD_NAME / LOCK_NAME)
        self._head = LedgerHead(self._record(HEAD_NAME if self.policy.ledger is None else SHARED_HEAD_NAME))
        self._opened: contextlib.ExitStack | None = None
        self._sessions: SessionStore | None = None
        self._openings: OpeningStore | None = None

    @classmethod
    def create(cls, path: str | Path, *, name: str | None = None) -> Identity:
        """Make a new home, with a new identity and an empty record, whole or not at all.

        The coordinator's key, the roster and the policy are still missing. The file of the policy explains every field
        and sets none.

        Args:
            path: A folder that is empty or does not exist. Its parents are made.
            name: The node's name in its public line; None for that of the folder.

        Returns:
            The identity. Its public line is in the home too.

        Raises:
            ConfigurationError: The name is not valid.
            KeyFileError: The folder is not free.
            SecaggError: The record cannot be made.
            OSError: The folder cannot be written to.
        """
        identity = Identity.generate()
        line = PublicLine(name=Path(os.path.abspath(path)).name if name is None else name, key=identity.public)
        with filled_folder(check_free(path, example="home")) as partial:
            write_node_identity(partial, identity)
            write_new(partial / LINE_NAME, f"{line}\n".encode(), mode=0o644)
            write_new(partial / POLICY_NAME, TEMPLATE.encode(), mode=0o600)
            record = partial / RECORD_NAME
            record.mkdir(mode=0o700)
            SessionStore.create(record / SESSIONS_NAME).close()
            OpeningStore.create(record / OPENINGS_NAME).close()
            write_new(record / LOCK_NAME, b"", mode=0o600)
        return identity

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        wall_clock: Clock = time.time,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """Open a home that is complete.

        Args:
            path: The folder.
            wall_clock: Returns the time in seconds since 1970, for the ledger's records and for what expires.
            environment: Variables of the process; `XDG_RUNTIME_DIR` names the system's folder in memory, in which the
                folder of the live session is made unless the policy names another.

        Raises:
            HomeError: The home or a file is missing, or the home's parts do not fit together.
            KeyFileError: A key file or the roster is damaged, or others may use the home or the folder of the live
                session, or put another one in the place of that folder.
            PolicyError: The policy is not complete.
            LiveFolderError: The live session would be on a disk.
        """
        if not os.path.lexists(path):
            raise HomeError(f"{path}: expected a node's home, found none. Make it: secagg keys node {path}")
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape") if _MOUNTS.exists() else None
        runtime = environment.get("XDG_RUNTIME_DIR")
        return cls(Path(os.path.abspath(path)), wall_clock=wall_clock, runtime=runtime, mounts=mounts)

    @contextlib.contextmanager
    def lock(self, timeout_s: float = WAIT_S, clock: Callable[[], float] = time.monotonic) -> Iterator[Self]:
        """Hold the home's lock for the length of the `with` block. It cannot be entered twice.

        The ledger of a home with a budget is made when the lock is first held, before the home has taken part in any
        session. A ledger that is missing later was lost, and is never made anew.

        Args:
            timeout_s: How long to wait for other processes and threads.
            clock: Returns the time in seconds; it never goes back.

        Raises:
            HomeBusy: Others still held the lock at the end of that time.
            StoreError: The record of sessions cannot be opened.
            KeyFileError: The file with the ledger's head is damaged.
            dp.errors.LedgerError: The ledger is still to be made, and cannot be.
            OSError: The lock file is missing or damaged.
        """
        with self._lock.held(timeout_s=timeout_s, clock=clock), contextlib.ExitStack() as opened:
            self._opened = opened
            try:
                self._make_ledger()
                yield self
            finally:
                self._opened = self._sessions = self._openings = None

    @property
    def sessions(self) -> SessionStore:
        """The record of the steps that were answered; only while the lock is held.

        Raises:
            StoreError: It cannot be opened.
        """
        if self._sessions is None:
            self._sessions = self._held().enter_context(SessionStore(self._record(SESSIONS_NAME)))
        return self._sessions

    @property
    def openings(self) -> OpeningStore:
        """The record of the sums that were opened; only while the lock is held.

        Raises:
            StoreError: It cannot be opened.
        """
        if self._openings is None:
            self._openings = self._held().enter_context(OpeningStore(self._record(OPENINGS_NAME)))
        return self._openings

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger for the length of the `with` block; only while the lock is held.

        Another home may share it, so it is not held for longer than it takes.

        Raises:
            HomeBusy: Another home that shares the ledger is using it.
            HomeError: There is no budget, the ledger was lost, or its budget is not that of the policy.
            KeyFileError: The file with the ledger's head is damaged.
            dp.errors.LedgerStale: The ledger lacks a record that it had when this home used it last.
            dp.errors.LedgerError: It cannot be opened.
            OSError: The ledger's head cannot be written.
        """
        self._held()
        if self.policy.epsilon is None or self.policy.delta is None:
            raise HomeError(f"{self.path / POLICY_NAME}: expected a budget, since a ledger is asked for, found none.")
        with self._opened_ledger(self.policy.epsilon, self.policy.delta) as ledger:
            yield ledger
            self._head.keep(ledger.head)

    def reserve(self, event: PrivacyEvent, label: str) -> None:
        """Reserve the cost of an offer in the ledger, unless this very cost was reserved under its label before.

        Args:
            event: The cost, from the policy.
            label: The label of the offer to this node; see `NodeSession.label`.

        Raises:
            dp.errors.BudgetExceeded: The budget has no room for it; nothing was recorded.
            HomeError: Another cost was reserved under the label, or as from `ledger`.
            HomeBusy, dp.errors.LedgerError: As from `ledger`.
        """
        with self.ledger() as ledger:
            reserved = [entry.reservation.event for entry in ledger.entries() if entry.reservation.label == label]
            if any(each != event for each in reserved):
                raise HomeError(
                    f"{label}: expected the cost that was reserved for this offer, found another. The policy or the "
                    "roster has changed since then: let the coordinator begin a new session."
                )
            if not reserved:
                ledger.reserve(event, label)

    def now(self) -> float:
        """Return the time in seconds since 1970-01-01 00:00 UTC, by which sessions and keys expire."""
        return self._wall_clock()

    @property
    def is_seed_member(self) -> bool:
        """Whether the node is a member of a committee by replicated seeds."""
        return os.path.lexists(self.path / KEYS_NAME)  # A link to nothing is an error, which the reader tells.

    def share_of(self, key: CommitteeKey) -> CommitteeShare | None:
        """Return what the node holds of a session's committee; None if it is no member.

        The keys of epochs are read from the file each time, since keys are added and deleted while a node runs.

        Args:
            key: The session's committee, which is the one of this home, perhaps in another epoch.

        Raises:
            KeyFileError: The file of a member by replicated seeds is damaged, or has no key of this epoch.
        """
        if not isinstance(key, SeedCommittee):
            return self.share
        return read_member_share(self.path, key) if self.is_seed_member else None

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r}, node={self.node})"

    def _held(self) -> contextlib.ExitStack:
        if self._opened is None:
            raise HomeError(f"{self.path}: expected the lock of the home to be held, found it free. Use `lock`.")
        return self._opened

    def _record(self, name: str) -> Path:
        return self.path / RECORD_NAME / name

    def _check_files(self) -> None:
        check_private_folder(self.path)
        for name, remedy in _NEEDED.items():
            if not (self.path / name).exists():
                raise HomeError(f"{self.path / name}: expected this file in the home, found none. {remedy}")
        check_private_folder(self.path / RECORD_NAME)

    def _own_id(self) -> int:
        own = [node for node, key in self.roster.items() if key == self.identity.public]
        if not own:
            raise HomeError(
                f"{self.path / ROSTER_NAME}: expected the key of this node in the roster, found it missing. Make a "
                f"roster with the public line of this node, whose fingerprint is {self.fingerprint}."
            )
        return own[0]

    def _make_ledger(self) -> None:
        """Make the ledger of this home, unless there is or was one, or the home has taken part in a session before."""
        policy, path = self.policy, self._record(LEDGER_NAME)
        if policy.epsilon is None or policy.delta is None or policy.ledger is not None or path.exists():
            return
        if self._head.read() is None and self.sessions.empty:
            with Ledger.create(
                path,
                epsilon=policy.epsilon,
                delta=policy.delta,
                population=len(self.roster),
                clock=self._wall_clock,
            ) as ledger:
                self._head.keep(ledger.head)

    def _opened_ledger(self, epsilon: float, delta: float) -> Ledger:
        shared, path = self.policy.ledger, self.policy.ledger or self._record(LEDGER_NAME)
        head = self._head.read()
        if not path.exists():
            if head is not None:
                raise HomeError(
                    f"{path}: expected the ledger that this home has used before, found none. Restore the latest copy. "
                    "If it is lost, so is what was spent: every home that counted in it must be made anew."
                )
            if shared is not None:
                raise HomeError(
                    f"{path}: expected the ledger of another home, found none. Run `secagg node check` on that home, "
                    "which makes its ledger, or correct the path."
                )
            raise HomeError(
                f"{path}: expected the ledger of this home, which has taken part in sessions, found none. Restore the "
                "latest copy. If the home had no budget before, make a new home with a new identity: what it has taken "
                "part in has no bound."
            )
        try:
            ledger = Ledger.open(path, head=head, clock=self._wall_clock)
        except LedgerLocked:
            raise HomeBusy(f"{path}: expected a free ledger, found it in use. Try again later.") from None
        if (ledger.budget.epsilon, ledger.budget.delta) != (epsilon, delta):
            ledger.close()
            raise HomeError(
                f"{path}: expected the budget of the policy, epsilon {epsilon:g} and delta {delta:g}, found epsilon "
                f"{ledger.budget.epsilon:g} and delta {ledger.budget.delta:g}. The budget of a ledger never changes: "
                "write it into the policy."
            )
        return ledger
