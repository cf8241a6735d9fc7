"""Swap space on Linux: whether what a process has in memory may be written to a disk in the clear."""

from pathlib import Path
from typing import Final

_ENCRYPTED: Final = "CRYPT-"


def plain_swap(swaps: str, block: Path) -> tuple[str, ...]:
    """Return the swap areas of which it is not known that they are encrypted or in memory.

    Args:
        swaps: The text of `/proc/swaps` (Linux, `man 8 swapon`).
        block: The folder `/sys/class/block`, in which the kernel describes each block device.
    """
    areas = (line.split() for line in swaps.splitlines()[1:])
    return tuple(area[0] for area in areas if area and not _is_safe(Path(area[0]).name, block))


def _is_safe(device: str, block: Path) -> bool:
    """Return whether a block device is compressed memory, or is encrypted, by itself or by all devices below it."""
    if device.startswith("zram"):
        return True
    try:
        if (block / device / "dm" / "uuid").read_text(encoding="ascii").startswith(_ENCRYPTED):
            return True
        below = [path.name for path in (block / device / "slaves").iterdir()]
    except (OSError, ValueError):
        return False
    return bool(below) and all(_is_safe(each, block) for each in below)
