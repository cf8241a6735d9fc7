"""The one session of a node that is under way: what the node said last, and its machine between two steps.

It is one file in a folder that should be in memory (`Home.live` says which). The file is written beside its name and
renamed, so a killed process leaves the earlier file or the later one. Nothing is synced: the file shall not survive a
power cut, after which a node has dropped out. Beside it is the key under which the machine's snapshots are sealed.

A file that is missing, damaged, cut, from another version or under another key means that there is no live session. It
never is an error. The key finds such files, and keeps snapshots out of core dumps. It is no protection from a person
who reads the folder.

The record of answered steps (`secagg.storage.session_store`) is what keeps a node from answering twice. This file only
lets it go on. So an older copy of this file is safe as long as the record is not older too.

Adversary: a process that is killed at any instant, and somebody who puts an older or a damaged file in its place.
"""

import contextlib
import hmac
import os
from pathlib import Path
from typing import Final

import msgspec

from protocols.codec import Message
from protocols.crypto.entropy import Entropy, draw
from protocols.crypto.sealing import KEY_BYTES, derive
from protocols.crypto.secret import Secret
from secagg.storage.labelled_file import KeyFileError, check_private_path, make_private_folder

_NAME: Final = "session"
_KEY_NAME: Final = "key"
_FORMAT: Final = b"secagg live session, file format 1\n"
_TAG_BYTES: Final = 32


class LiveSession(Message, frozen=True, kw_only=True):
    """What a node keeps of its session between two steps.

    Attributes:
        step: The number of the step that was answered last.
        request: SHA-256 of the parcel that was answered, 32 bytes.
        reply: The reply to it, byte for byte.
        offer: The session's offer as bytes.
        snapshot: The machine after that step, sealed; empty after its last step.
    """

    step: int
    request: bytes
    reply: bytes
    offer: bytes
    snapshot: bytes

    def __repr__(self) -> str:
        return f"LiveSession(step={self.step})"


class LiveFile:
    """The file of a node's live session, and its key. Use it under the lock of the node's home.

    Args:
        folder: The folder, which is made with mode 0700 if it is missing, as after every start of the system.
        entropy: The source of the key, `os.urandom` outside tests.
    """

    def __init__(self, folder: Path, *, entropy: Entropy) -> None:
        self._folder = folder
        self._entropy = entropy

    def read(self) -> LiveSession | None:
        """Return the live session; None if there is none, or if its file or the key cannot be used."""
        key = self._kept_key()
        if key is None:
            return None
        try:
            data = (self._folder / _NAME).read_bytes()
        except OSError:
            return None
        start = len(_FORMAT) + _TAG_BYTES
        body = memoryview(data)[start:]
        if not data.startswith(_FORMAT) or not hmac.compare_digest(_tag(key, body), data[len(_FORMAT) : start]):
            return None
        try:
            return msgspec.msgpack.decode(body, type=LiveSession)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def write(self, session: LiveSession) -> None:
        """Put a session in the place of the one that is kept, if any.

        Raises:
            OSError: It cannot be written. What was there before is unchanged.
            KeyFileError: Other users may use or replace the folder, or it is none.
        """
        body = msgspec.msgpack.encode(session)
        self._replace(_NAME, _FORMAT, _tag(self.key(), body), body)

    def forget(self) -> None:
        """Remove the session that is kept, if any. A file that cannot be removed is left, which is safe."""
        with contextlib.suppress(OSError):
            (self._folder / _NAME).unlink()

    def key(self) -> Secret:
        """Return the key of the snapshots; a new one if there is none, after which no earlier session can be read.

        Raises:
            OSError: A new key cannot be written.
            KeyFileError: Other users may use or replace the folder, or it is none.
        """
        kept = self._kept_key()
        if kept is not None:
            return kept
        make_private_folder(self._folder)
        fresh = draw(self._entropy, KEY_BYTES)
        self._replace(_KEY_NAME, fresh)
        return Secret(fresh)

    def _kept_key(self) -> Secret | None:
        try:
            check_private_path(self._folder)
            data = (self._folder / _KEY_NAME).read_bytes()
        except (OSError, KeyFileError):
            return None
        return Secret(data) if len(data) == KEY_BYTES else None

    def _replace(self, name: str, *parts: bytes) -> None:
        """Write a file beside its name, then rename it; an error leaves what was there."""
        partial = self._folder / f".{name}.partial"
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()  # A killed process may have left one.
        try:
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            with open(descriptor, "wb") as file:
                file.writelines(parts)
            os.replace(partial, self._folder / name)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def _tag(key: Secret, body: bytes | memoryview) -> bytes:
    return hmac.digest(derive(key, _FORMAT).reveal(), body, "sha256")
