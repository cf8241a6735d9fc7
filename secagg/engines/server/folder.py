"""The folder of a coordinator: its keys, the parties that it knows, and what a crash must not lose.

One process at a time uses it. Each file is written whole beside its place, moved there, and on the disk before a method
returns. Everything but the public line is for the owner alone: an opening holds the server's state in a session, and a
release may be one that nobody has seen yet.

Adversary: a process that is killed during a write. Anyone who can read the folder can send requests in the
coordinator's name, and learns means before they are published.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from protocols import Committee, Identity, Secret
from protocols.crypto import sealing
from protocols.identity import Roster
from secagg.checks import shown
from secagg.engines.parties import Parties
from secagg.engines.server.kept import KeptOpening, KeptRelease
from secagg.engines.server.testimony import LARGEST_ADVANCE
from secagg.engines.wire.parcel import LARGEST_SERIAL
from secagg.errors import CoordinatorError
from secagg.files import write_whole
from secagg.storage.folder_lock import FolderLock
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.labelled_file import KeyFileError, fill_labelled, read_labelled
from secagg.storage.node_keys import read_coordinator
from secagg.storage.roster_file import ROSTER_NAME, RosterFile
from secagg.storage.seed_keys import read_committee_of_any_kind

_SERIAL: Final = "serial"
_RELEASE: Final = "release"
_OPENING: Final = "opening"
_KEPT_RELEASES: Final = 2
_RUN_DIGITS: Final = 16
_MOST_BYTES: Final = 2**40
_SERIAL_LABEL: Final = b"secagg coordinator's last serial, file format 1\n"
_RELEASE_LABEL: Final = b"secagg coordinator's release, file format 1\n"
_OPENING_LABEL: Final = b"secagg coordinator's opening, file format 1\n"
_SEALING_DOMAIN: Final = b"secagg coordinator opening v1"
_RISK: Final = "Anyone who has read it knows a mean that may not have been published."


class CoordinatorFolder:
    """The folder that `secagg keys coordinator` has made, in use by this process.

    Args:
        path: The folder.
        lock: Its lock, held.
        members: The ids of the committee's members, in the order of their key shares; none without a committee.

    Attributes:
        identity: The coordinator's identity.
        sealing: The key of openings, 32 bytes.
        run_id: The name of the run, 32 hexadecimal digits.
        parties: Whom it knows; see `renew_committee`.
    """

    def __init__(self, path: Path, lock: FolderLock, *, members: Sequence[int]) -> None:
        self._path = path
        self._lock = lock
        self.identity, run = read_coordinator(path)
        self.run_id: Final = run.hex()
        self.sealing: Final = _sealing_key(self.identity)
        self.parties = _parties(path, members)
        self._serial = self._read_serial()

    @classmethod
    def open(cls, path: str | Path, *, members: Sequence[int] = (), rollback: int | None = None) -> "CoordinatorFolder":
        """Return the folder at a path, as its only user.

        Args:
            path: The folder.
            members: As for the class.
            rollback: Go on from this serial, if it is later than the one in the folder.

        Raises:
            CoordinatorError: It is not a coordinator's folder, is damaged, or another process uses it; or no nodes can
                have seen the serial `rollback`.
        """
        folder = Path(path).absolute()
        if not folder.is_dir():
            raise CoordinatorError(
                f"{path}: expected a coordinator's folder, found none. Make it: secagg keys coordinator {path}"
            )
        with contextlib.ExitStack() as undone, _typed():
            lock = undone.enter_context(FolderLock(folder, "coordinator"))
            found = cls(folder, lock, members=members)
            if rollback is not None:
                found._go_on_from(rollback)
            undone.pop_all()
        return found

    def close(self) -> None:
        """Let other processes use the folder; closing twice is harmless."""
        self._lock.__exit__(None, None, None)

    @property
    def roster(self) -> Roster:
        """The public identity keys of all nodes.

        Raises:
            CoordinatorError: There is no roster in the folder.
        """
        if self.parties.roster is None:
            raise CoordinatorError(
                f"{self._path / ROSTER_NAME}: expected the roster, which has the keys of all nodes, found none. Copy "
                "it from its maker, and compare its fingerprint."
            )
        return self.parties.roster

    def renew_committee(self) -> None:
        """Read the committee's file again, in whose place that of the next epoch may be by now.

        Raises:
            CoordinatorError: The file is missing or damaged, or names another committee than the one before.
        """
        committee, path = self.parties.committee, self._path / PUBLIC_NAME
        if committee is None:
            return
        with _typed():
            key = read_committee_of_any_kind(path)
        if key.pin != committee.key.pin:
            raise CoordinatorError(
                f"{path}: expected the committee with the pin {committee.key.pin.hex()}, perhaps in another epoch, "
                f"found one with the pin {key.pin.hex()}. Nodes accept only the one that they have pinned. Put the "
                "right file in its place, or start the coordinator again once all nodes have pinned the new committee."
            )
        self.parties = replace(self.parties, committee=replace(committee, key=key))

    def next_serial(self) -> int:
        """Return the serial of a new attempt, once it is on the disk.

        Raises:
            CoordinatorError: There is no later serial.
        """
        if self._serial >= LARGEST_SERIAL:
            raise CoordinatorError(
                f"{self._path / _SERIAL}: expected a serial below {LARGEST_SERIAL}, found {self._serial}. Make a new "
                "coordinator's folder, and put its key into the homes of all nodes."
            )
        self._write_serial(self._serial + 1)
        return self._serial

    def keep_opening(self, kept: KeptOpening) -> None:
        """Keep an opening, in the place of an earlier one of the same work."""
        self._write(self._file(_OPENING, kept.inputs), _OPENING_LABEL, *kept.pieces())

    def opening(self, inputs: bytes) -> KeptOpening | None:
        """Return the opening that is kept for a work, given by its digest; None if there is none."""
        path = self._file(_OPENING, inputs)
        return KeptOpening.from_bytes(self._read(path, _OPENING_LABEL)) if path.exists() else None

    def drop_opening(self, inputs: bytes) -> None:
        """Remove the opening of a work, if there is one."""
        self._file(_OPENING, inputs).unlink(missing_ok=True)

    def keep_release(self, kept: KeptRelease) -> None:
        """Keep a release."""
        name = f"{_releases_of(kept.run)}-{kept.round:010d}"
        self._write(self._file(name, kept.inputs), _RELEASE_LABEL, *kept.pieces())

    def release(self, inputs: bytes) -> KeptRelease | None:
        """Return the release of a work, given by its digest; None if none is kept."""
        for path in self._releases(_RELEASE):
            if path.name.endswith(inputs.hex()):
                return KeptRelease.from_bytes(self._read(path, _RELEASE_LABEL))
        return None

    def releases(self) -> Iterator[KeptRelease]:
        """Yield all kept releases, one run after the other, the earliest round of each first."""
        for path in self._releases(_RELEASE):
            yield KeptRelease.from_bytes(self._read(path, _RELEASE_LABEL))

    def forget(self, run: str, number: int) -> None:
        """Remove the releases of a run's rounds up to `number`, but for the last two of the run."""
        for path in self._releases(_releases_of(run))[:-_KEPT_RELEASES]:
            if int(path.name.split("-")[2]) <= number:
                path.unlink()

    def _releases(self, beginning: str) -> list[Path]:
        return sorted(self._path.glob(f"{beginning}-*-*"))

    def _file(self, name: str, inputs: bytes) -> Path:
        return self._path / f"{name}-{inputs.hex()}"

    def _go_on_from(self, serial: int) -> None:
        """Go on from a serial that nodes have seen, if it is later than that of the folder."""
        if type(serial) is not int or not 0 <= serial <= self._serial + LARGEST_ADVANCE:
            raise CoordinatorError(
                f"rollback: expected a serial up to {self._serial + LARGEST_ADVANCE}, found {shown(serial)}. Use the "
                "one that ServerRolledBack names."
            )
        if serial > self._serial:
            self._write_serial(serial)

    def _read_serial(self) -> int:
        path = self._path / _SERIAL
        return int(self._read(path, _SERIAL_LABEL).decode()) if path.exists() else 0

    def _write_serial(self, serial: int) -> None:
        self._write(self._path / _SERIAL, _SERIAL_LABEL, str(serial).encode())
        self._serial = serial

    @staticmethod
    def _write(path: Path, label: bytes, *content: bytes | memoryview) -> None:
        write_whole(path, lambda partial: fill_labelled(partial, label, content), mode=0o600)

    @staticmethod
    def _read(path: Path, label: bytes) -> bytes:
        with _typed():
            return read_labelled(path, label, most_bytes=_MOST_BYTES, risk=_RISK)


def _releases_of(run: str) -> str:
    """Return how the names of a run's releases begin: a run's name may have characters that a file's may not."""
    return f"{_RELEASE}-{hashlib.sha256(run.encode()).hexdigest()[:_RUN_DIGITS]}"


def _sealing_key(identity: Identity) -> Secret:
    """Return the key of openings: derived, so that the folder has one secret and no second file to lose."""
    return sealing.derive(identity.secret, _SEALING_DOMAIN)


def _parties(path: Path, members: Sequence[int]) -> Parties:
    roster, key = path / ROSTER_NAME, path / PUBLIC_NAME
    return Parties(
        roster=RosterFile.read(roster).roster if roster.exists() else None,
        committee=Committee(key=read_committee_of_any_kind(key), members=tuple(members)) if key.exists() else None,
    )


@contextlib.contextmanager
def _typed() -> Iterator[None]:
    """Turn errors of files into the coordinator's own."""
    try:
        yield
    except (KeyFileError, ValueError) as error:
        raise CoordinatorError(str(error)) from None
