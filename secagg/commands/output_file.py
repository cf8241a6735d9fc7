"""Files that an option names for a command's output: checked before anything is computed, then written whole."""

import os
from pathlib import Path

from secagg.errors import ConfigurationError
from secagg.files import write_whole
from secagg.paths import escaped, expanded


def check_output_file(option: str, path: Path | None) -> None:
    """Raise an error if no file can be written at a path.

    Args:
        option: The option that names the file.
        path: Its path; None if the option is not given.

    Raises:
        ConfigurationError: It is a folder, or its folder does not exist or cannot be written to.
    """
    if path is None:
        return
    file = expanded(path)
    folder = file.absolute().parent
    if file.is_dir():
        raise _unwritable(option, path, "it is a folder")
    if not folder.is_dir():
        raise _unwritable(option, path, f"there is no folder {escaped(folder)}")
    if not os.access(folder, os.W_OK):
        raise _unwritable(option, path, f"no file can be written in the folder {escaped(folder)}")


def write_output_file(option: str, path: Path, content: str | bytes) -> None:
    """Write a file whole; a text in UTF-8.

    Raises:
        ConfigurationError: It cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        write_whole(expanded(path), lambda partial: partial.write_bytes(data))
    except OSError as error:
        raise _unwritable(option, path, error.strerror or type(error).__name__) from None


def _unwritable(option: str, path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{option}: expected a file that can be written, found {escaped(path)}: {reason}. Name another file."
    )
