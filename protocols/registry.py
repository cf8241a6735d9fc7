"""Protocols by name: entry points of the group `secagg.protocols`, those of this distribution and of others.

The code that others register may be broken in any way. It may fail to import, exit during the import, not be a
protocol at all, or fail to suggest parameters. One broken entry point never hides another. Its use ends in an error of
one line that names it.
"""

import difflib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any, Final, TypeAlias, get_args

from protocols.cohort import Adversary
from protocols.crypto.integers import shown
from protocols.errors import BrokenProtocol, ParameterError, UnknownProtocol
from protocols.secure_sum import SecureSum
from protocols.session import Extra

GROUP: Final = "secagg.protocols"
_SHOWN: Final = 300  # The number of characters that are shown of an error text of other people's code.
LONGEST_NAME: Final = 200
LARGEST_WIRE: Final = 2**31 - 1
MOST_PARAMETERS: Final = 64

Parameter: TypeAlias = bool | int | float | str | None
"""The type of a protocol's parameters wherever a protocol is made again from its name."""

_DECLARED: Final = ("adversaries", "protects", "accepts", "needs_committee", "experimental", "wire")
"""What a class declares of its protocols, and none of its objects may contradict."""


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
        known = one_line(", ".join(available())) or "none, since no protocol is installed"
        raise UnknownProtocol(f"protocol: expected one of {known}, found {shown(name)}{one_line(meant)}")
    if len(points) > 1:
        owners = sorted({"?" if point.dist is None else point.dist.name for point in points.values()})
        raise BrokenProtocol(
            f"{name!r} is registered more than once; the name is ambiguous, so none is loaded: "
            f"{one_line(', '.join(sorted(points)))}. "
            f"Uninstall all but one of these distributions: {one_line(', '.join(owners))}"
        )
    value, point = points.popitem()
    value = one_line(value)
    try:
        found = point.load()
    except BaseException as error:  # A module may raise anything, also an exit.
        raise_interruption(error)
        raise BrokenProtocol(f"{value}, registered as {name!r}, cannot be imported: {describe_error(error)}") from error
    try:
        lacking = _lacking(found)
    except BaseException as error:  # A metaclass may raise anything, whatever is asked of its class.
        raise_interruption(error)
        raise BrokenProtocol(
            f"{value}, registered as {name!r}, fails to say what it is: {describe_error(error)}"
        ) from error
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
        BrokenProtocol: The protocol fails, or does not suggest a protocol of its own class and a threshold; or the
            suggested protocol declares something else than its class, which is what is shown to people.
    """
    try:
        suggested = kind.suggest(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)
    except ParameterError:
        raise
    except BaseException as error:
        raise_interruption(error)
        raise BrokenProtocol(f"{name} fails to suggest parameters: {describe_error(error)}") from error
    match suggested:
        case (protocol, int(threshold)) if type(threshold) is int and isinstance(protocol, kind):
            if not 2 <= threshold <= clients:
                raise BrokenProtocol(
                    f"{name}.suggest: expected a threshold in [2, {clients}], found {shown(threshold)}"
                )
            if different := _contradicted(protocol, kind):
                raise BrokenProtocol(
                    f"{name}.suggest: expected a protocol that declares what its class declares, found another "
                    f"{different}"
                )
            return protocol, threshold
    found = ", ".join(type(each).__name__ for each in (suggested if type(suggested) is tuple else (suggested,)))
    raise BrokenProtocol(f"{name}.suggest: expected a {one_line(kind.__name__)} and an int, found {one_line(found)}")


def parameters_of(protocol: SecureSum) -> dict[str, Parameter]:
    """Return the parameters from which the class of a protocol makes it again, sorted by name.

    Raises:
        ParameterError: A parameter is not a number, a text or None.
    """
    own: Any = protocol
    found = {each.name: getattr(own, each.name) for each in fields(own) if each.init} if is_dataclass(own) else {}
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in sorted(found.items())}
    for name, value in plain.items():
        if type(value) not in get_args(Parameter):
            raise ParameterError(
                f"expected parameters of {protocol.name} that are numbers, texts or None, found {name} of type "
                f"{type(value).__name__}"
            )
    return plain


def raise_interruption(error: BaseException) -> None:
    """Raise an exception again if it stands for a signal, such as Ctrl-C: other people's code has not raised it.

    An application's own exception for a signal says so: its class has an attribute `is_interruption` that is True.
    """
    if isinstance(error, KeyboardInterrupt) or vars(type(error)).get("is_interruption") is True:
        raise error


def describe_error(error: BaseException) -> str:
    """Return the class and the text of an error of other people's code in one printable line."""
    name, text = one_line(type(error).__name__), error_text(error)
    return f"{name}: {text}" if text else name


def error_text(error: BaseException) -> str:
    """Return the text of an error of other people's code in one printable line, at most 300 characters of it."""
    try:
        text = one_line(str(error))
    except Exception:  # noqa: BLE001  # Making its text may fail too, in any way.
        text = ""
    return f"{text[:_SHOWN]}..." if len(text) > _SHOWN else text


def one_line(text: str) -> str:
    """Return other people's text in one line, without the characters that could change what a terminal shows."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _points() -> tuple[EntryPoint, ...]:
    """Return the entry points of the group. They are read once, and again if something was installed since then."""
    return _points_of(_installed())


def _installed() -> tuple[object, ...]:
    """Return what changes if a distribution is installed or removed: where modules are looked for, and since when."""
    return (*map(id, sys.meta_path), *((path, _changed(path)) for path in map(os.path.abspath, sys.path)))


def _changed(path: str) -> int | None:
    """Return when a folder or an archive was changed last; None if there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


@lru_cache(maxsize=1)
def _points_of(installed: tuple[object, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001  # It is the key.
    """Return the entry points of the group.

    If the metadata of one distribution are damaged, no entry point can be read in one call for all distributions. Then
    they are read one distribution at a time, and the damaged one is skipped.
    """
    try:
        return tuple(entry_points(group=GROUP))
    except Exception:  # noqa: BLE001  # The metadata of others may raise anything.
        return tuple(_readable())


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
    own = getattr(found, "name", None)
    if type(own) is not str:
        return "is an incomplete SecureSum: it has no name"
    if not 1 <= len(own) <= LONGEST_NAME or not own.isprintable():
        return f"is an incomplete SecureSum: its name is not a text of 1 to {LONGEST_NAME} printable characters"
    adversaries = getattr(found, "adversaries", None)
    if type(adversaries) is not tuple or any(type(each) is not Adversary for each in adversaries):
        return "is an incomplete SecureSum: its `adversaries` are not a tuple of Adversary"
    if list(adversaries) != [each for each in Adversary if each in adversaries]:
        return "is an incomplete SecureSum: its `adversaries` are not in ascending order, each once"
    if getattr(found, "protects", None) is not bool(adversaries):
        return f"contradicts itself: `protects` is not {bool(adversaries)}, which follows from its `adversaries`"
    if not _keeps_validate(found):
        return "has a `validate` of its own, which may accept fields that it does not list"
    wire = getattr(found, "wire", None)
    if type(wire) is not int:
        return "is an incomplete SecureSum: its `wire` is not an int"
    if not 1 <= wire <= LARGEST_WIRE:
        return f"is an incomplete SecureSum: its `wire` is not in [1, {LARGEST_WIRE}]"
    if type(getattr(found, "needs_committee", None)) is not bool:
        return "is an incomplete SecureSum: its `needs_committee` is not a bool"
    accepts = getattr(found, "accepts", None)
    if type(accepts) is not frozenset or any(type(each) is not Extra for each in accepts):
        return "is an incomplete SecureSum: its `accepts` is not a frozenset of Extra"
    doubt = getattr(found, "experimental", None)
    if type(doubt) is not str:
        return "is an incomplete SecureSum: its `experimental` is not a str"
    if len(doubt) > _SHOWN or not doubt.isprintable():
        return f"is an incomplete SecureSum: its `experimental` is not at most {_SHOWN} printable characters"
    return None


def _keeps_validate(found: object) -> bool:
    """Return whether a protocol, or a class of protocols, leaves `validate` as `SecureSum` defines it."""
    return inspect.getattr_static(found, "validate", None) is vars(SecureSum)["validate"]


def _contradicted(protocol: SecureSum, kind: type[SecureSum]) -> str:
    """Return the name of a declaration in which a protocol differs from its class; empty if there is none."""
    try:
        different = [each for each in _DECLARED if _differ(getattr(protocol, each), getattr(kind, each))]
        return "" if not different and _keeps_validate(protocol) else (different or ["validate"])[0]
    except BaseException as error:
        raise_interruption(error)
        raise BrokenProtocol(f"{one_line(kind.__name__)} fails to say what it is: {describe_error(error)}") from error


def _differ(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or one != other
