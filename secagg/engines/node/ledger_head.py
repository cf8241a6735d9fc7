"""The latest head of a node's ledger, kept beside the record of its sessions.

A ledger cannot tell that it was lost and made anew, or that an older copy took its place. So the home keeps the head
that its ledger had last. The ledger must exist from then on, and hold the record with that head. The head is kept after
the record is on the disk, so a process that is killed between the two leaves a ledger that is further. That is
accepted.

Adversary: mistakes, such as a lost file or a backup of the ledger alone. An older copy of the whole folder is not
noticed here.
"""

from pathlib import Path
from typing import Final

from secagg.files import write_whole
from secagg.storage.labelled_file import fill_labelled, read_labelled

_LABEL: Final = b"secagg head of a ledger, file format 1\n"
_MOST_BYTES: Final = 1024


class LedgerHead:
    """The file with the latest head of a ledger. Use it under the lock of the node's home.

    Args:
        path: The file, which `keep` makes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return the head that was kept, for `Ledger.open`; None if none was.

        Raises:
            KeyFileError: The file is damaged or cannot be read.
        """
        if not self._path.exists():
            return None
        return read_labelled(self._path, _LABEL, most_bytes=_MOST_BYTES).hex()

    def keep(self, head: str) -> None:
        """Keep a head in the place of the earlier one. It is on the disk when this returns.

        Raises:
            KeyFileError: The earlier file is damaged or cannot be read.
            OSError: It cannot be written; the earlier one is unchanged.
        """
        if self.read() != head:
            content = bytes.fromhex(head)
            write_whole(self._path, lambda partial: fill_labelled(partial, _LABEL, [content]), mode=0o600)
