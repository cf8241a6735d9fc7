"""Protocols by name: entry points of the group `secagg.protocols`, ours and other distributions' alike."""

import difflib
from importlib.metadata import entry_points

from protocols.errors import ParameterError, UnknownProtocol
from protocols.secure_sum import SecureSum

GROUP = "secagg.protocols"


def available() -> tuple[str, ...]:
    """Names of all installed protocols, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load(name: str) -> type[SecureSum]:
    """The protocol class registered under a name.

    Raises:
        UnknownProtocol: None is.
        ParameterError: What is registered is no protocol, cannot be imported, or is registered twice.
    """
    points = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if not points:
        close = difflib.get_close_matches(name.lower(), available(), n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise UnknownProtocol(f"no protocol {name!r}; there are {', '.join(available()) or 'none'}{meant}")
    if len(points) > 1:
        raise ParameterError(f"{name!r} is registered by several distributions: {', '.join(sorted(points))}")
    value, point = points.popitem()
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise ParameterError(f"{value}, registered as {name!r}, cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, SecureSum)):
        raise ParameterError(f"{value}, registered as {name!r}, is no SecureSum")
    return found
