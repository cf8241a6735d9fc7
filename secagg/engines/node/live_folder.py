"""The folder of a node's live session: in memory, so that a session ends with the machine and is in no backup.

What a node keeps between two steps would let a restored home answer a step a second time. So it is in a folder in
memory: it survives every killed process and nothing else. A folder on a disk is accepted if the policy says that this
disk is encrypted, which nobody checks.
"""

import re
from pathlib import Path
from typing import Final

from secagg.engines.node.policy_file import PolicyFile
from secagg.errors import ConfigurationError
from secagg.storage.labelled_file import make_private_folder

_IN_MEMORY: Final = ("tmpfs", "ramfs")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class LiveFolderError(ConfigurationError):
    """There is no folder for the live session, or it is on a disk."""


def live_folder(policy: PolicyFile, fingerprint: str, *, runtime: str | None, mounts: str | None) -> Path:
    """Return the folder of a home's live session, and make it if there is none.

    Args:
        policy: The policy of the home.
        fingerprint: The fingerprint of the home's identity, which is the folder's name.
        runtime: The system's folder for the files of a user's running processes; None if there is none.
        mounts: The text of `/proc/self/mountinfo`; None if the system has no such file.

    Returns:
        A folder that only its owner can use or replace.

    Raises:
        LiveFolderError: No folder is named, or it is not in memory.
        KeyFileError: Others may use the folder, or put another one in its place.
        OSError: The folder cannot be made.
    """
    folder = _base(policy, runtime) / fingerprint
    if policy.encrypted_live_folder is None:
        _check_in_memory(folder, mounts)
    make_private_folder(folder)
    return folder


def filesystem_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system on which a path is, or would be made; None if the table does not say.

    Args:
        path: An absolute path.
        mounts: The text of `/proc/self/mountinfo` (Linux, `man 5 proc`).
    """
    found: tuple[int, str] | None = None
    real = path.resolve()
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if not separator or len(fields) < 5:
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), fields[4]))
        # Of two file systems at one place, the later one covers the earlier one.
        if real.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), kind
    return None if found is None else found[1]


def _base(policy: PolicyFile, runtime: str | None) -> Path:
    named = policy.encrypted_live_folder or policy.live_folder
    if named is not None:
        return named
    if not runtime or not Path(runtime).is_absolute():
        raise LiveFolderError(
            "live_folder: expected a folder in memory for the live session, found none, since XDG_RUNTIME_DIR is not "
            "set. Name one in policy.toml, such as /dev/shm/secagg."
        )
    return Path(runtime) / "secagg"


def _check_in_memory(folder: Path, mounts: str | None) -> None:
    kind = None if mounts is None else filesystem_of(folder, mounts)
    if kind not in _IN_MEMORY:
        found = "one on a file system that is not known" if kind is None else f"one on {kind}"
        raise LiveFolderError(
            f"live_folder: expected a folder in memory ({', '.join(_IN_MEMORY)}) for the live session, found {found}, "
            f"{folder}. Name another one in policy.toml; if its disk is encrypted, as encrypted_live_folder."
        )
