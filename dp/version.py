"""The name and version of this software, as reports and files record them."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

SOFTWARE: Final = "secagg-toolkit"
"""The name of the distribution that holds the packages `secagg`, `dp` and `protocols`."""

try:
    VERSION = version(SOFTWARE)
except PackageNotFoundError:  # A source tree on the path that nobody installed.
    VERSION = "unknown"
