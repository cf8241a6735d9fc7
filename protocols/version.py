"""The version of this software, of the distribution that holds `protocols`, `dp` and `secagg`."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("secagg-toolkit")
except PackageNotFoundError:  # A source tree on the path that nobody installed.
    VERSION = "unknown"
