"""Protocols by name: entry points of the group `secagg.protocols`, ours and other distributions' alike."""

from importlib.metadata import entry_points

from protocols.errors import ParameterError, UnknownProtocol
from protocols.machine import SecureSum

GROUP = "secagg.protocols"


def available() -> tuple[str, ...]:
    """Names of all installed protocols, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load(name: str) -> type[SecureSum]:
    """The protocol class registered under a name.

    Raises:
        UnknownProtocol: None is.
        ParameterError: What is registered is no protocol.
    """
    for point in entry_points(group=GROUP, name=name):
        found = point.load()
        if not (isinstance(found, type) and issubclass(found, SecureSum)):
            raise ParameterError(f"{point.value}, registered as {name!r}, is no SecureSum")
        return found
    raise UnknownProtocol(f"no protocol {name!r}; there are {', '.join(available()) or 'none'}")
