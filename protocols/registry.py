"""Protocols by name: entry points of the group `secagg.protocols`, those of this distribution and of others.

The code that others register may be broken in any way. It may fail to import, exit during the import, not be a
protocol at all, or fail to suggest parameters. One broken entry point never hides another. Its use ends in an error of
one line that names it.
"""

import difflib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Final

from protocols.cohort import Adversary
from protocols.crypto.integers import shown
from protocols.errors import BrokenProtocol, ParameterError, UnknownProtocol
from protocols.secure_sum import SecureSum
from protocols.session import Extra

GROUP: Final = "secagg.protocols"
_SHOWN: Final = 300  # The number of characters that are shown of an error text of other people's code.


def available() -> tuple[str, ...]:
    """Return the names of all registered protocols, sorted. Only `load` shows whether a protocol can be loaded."""
    return tuple(sorted({point.name for point in _points()}))


def load(name: str) -> type[SecureSum]:
    """Return the protocol class registered under a name.

    Raises:
        UnknownProtocol: No protocol is registered under this name.
        BrokenProtocol: The registered object is not a protocol, cannot be imported, or is registered twice.
    """
    points = {point.value: point for point in _points() if point.name == name}
    if not points:
        close = difflib.get_close_matches(shown(name).strip("'\"").lower(), available(), n=1)
        meant = f"; did you mean {close[0]}?" if close else ". Check the name, or install the package that has it."
        known = ", ".join(available()) or "none, since no protocol is installed"
        raise UnknownProtocol(f"protocol: expected one of {known}, found {shown(name)}{meant}")
    if len(points) > 1:
        owners = sorted({"?" if point.dist is None else point.dist.name for point in points.values()})
        raise BrokenProtocol(
            f"{name!r} is registered more than once; the name is ambiguous, so none is loaded: "
            f"{', '.join(sorted(points))}. "
            f"Uninstall all but one of these distributions: {', '.join(owners)}"
        )
    value, point = points.popitem()
    try:
        found = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A module may raise anything, also an exit.
        raise BrokenProtocol(f"{value}, registered as {name!r}, cannot be imported: {describe_error(error)}") from error
    lacking = _lacking(found)
    if lacking is not None:
        raise BrokenProtocol(f"{value}, registered as {name!r}, {lacking}")
    return found  # type: ignore[no-any-return]  # It is a subclass of SecureSum, as was just checked.


def loadable() -> dict[str, type[SecureSum]]:
    """Return all registered protocols that can be loaded, by name, sorted."""
    found = {}
    for name in available():
        try:
            found[name] = load(name)
        except BrokenProtocol:
            continue
    return found


def suggest(
    name: str, kind: type[SecureSum], *, clients: int, adversarial: float, dropout: float, adversary: Adversary
) -> tuple[SecureSum, int]:
    """Return what a loaded protocol suggests for a cohort: see `SecureSum.suggest`.

    Raises:
        ParameterError: The protocol has no parameters for this cohort.
        BrokenProtocol: The protocol fails, or does not suggest a protocol of its own class and a threshold.
    """
    try:
        suggested = kind.suggest(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)
    except (ParameterError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise BrokenProtocol(f"{name} fails to suggest parameters: {describe_error(error)}") from error
    match suggested:
        case (protocol, int(threshold)) if isinstance(protocol, kind) and protocol.adversaries == kind.adversaries:
            return protocol, threshold
    found = ", ".join(type(each).__name__ for each in (suggested if type(suggested) is tuple else (suggested,)))
    raise BrokenProtocol(f"{name}.suggest: expected a {kind.__name__} and an int, found {found}")


def describe_error(error: BaseException) -> str:
    """Return the class and the text of an error of other people's code in one printable line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  # Making its text may fail too, in any way.
        text = ""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def _points() -> list[EntryPoint]:
    """Return the entry points of the group.

    If the metadata of one distribution are damaged, no entry point can be read in one call for all distributions. Then
    they are read one distribution at a time, and the damaged one is skipped.
    """
    try:
        return list(entry_points(group=GROUP))
    except Exception:  # noqa: BLE001  # The metadata of others may raise anything.
        return list(_readable())


def _readable() -> Iterator[EntryPoint]:
    seen = set()
    for distribution in distributions():
        try:
            name, points = distribution.metadata["Name"], distribution.entry_points.select(group=GROUP)
        except Exception:  # noqa: BLE001, S112  # Its metadata may raise anything; it has no name to report.
            continue
        if name not in seen:  # The first one on the path hides others of its name, as in `entry_points`.
            seen.add(name)
            yield from points


def _lacking(found: object) -> str | None:
    """Return why an object is not a protocol's class, or None if it is one."""
    if not (isinstance(found, type) and issubclass(found, SecureSum)):
        return "is not a subclass of SecureSum"
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        return f"is an incomplete SecureSum: it does not define {', '.join(missing)}"
    if type(getattr(found, "name", None)) is not str:
        return "is an incomplete SecureSum: it has no name"
    adversaries = getattr(found, "adversaries", None)
    if type(adversaries) is not tuple or any(type(each) is not Adversary for each in adversaries):
        return "is an incomplete SecureSum: its `adversaries` are not a tuple of Adversary"
    if type(getattr(found, "wire", None)) is not int:
        return "is an incomplete SecureSum: its `wire` is not an int"
    accepts = getattr(found, "accepts", None)
    if type(accepts) is not frozenset or any(type(each) is not Extra for each in accepts):
        return "is an incomplete SecureSum: its `accepts` is not a frozenset of Extra"
    if type(getattr(found, "experimental", None)) is not str:
        return "is an incomplete SecureSum: its `experimental` is not a str"
    return None
