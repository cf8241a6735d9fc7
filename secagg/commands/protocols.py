"""What the command `secagg protocols` prints: one paragraph for each registered protocol, also for a broken one."""

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from rich.console import Console

from dp.checks import printable
from protocols import Adversary, BrokenProtocol, SecureSum, available, load
from protocols.errors import ParameterError
from protocols.registry import describe_error, error_text, raise_interruption, suggest
from protocols.secure_sum import Step

_COHORT: Final[dict[str, Any]] = {"clients": 100, "adversarial": 0.05, "dropout": 0.1}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A registered protocol: a paragraph for people, an element of the JSON.

    Attributes:
        name: The name that it is registered under.
        server: The servers that it can be configured against; none for a baseline.
        needs_committee: Whether a committee opens its sums; None if that is not known.
        rounds: The names of its steps; none if they are not known.
        about: What it is, in its own words.
        error: Why it cannot be loaded; None if it can.
        note: Why it suggests no parameters for a cohort of 100 clients; None if it does.
        experimental: What has not been proven about it; empty unless it is experimental.
    """

    name: str
    server: tuple[str, ...] = ()
    needs_committee: bool | None = None
    rounds: tuple[str, ...] = ()
    about: str = ""
    error: str | None = None
    note: str | None = None
    experimental: str = ""


def rows() -> tuple[Row, ...]:
    """Return all registered protocols, by name; what foreign modules print meanwhile goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        return tuple(_row(name) for name in available())


def list_on_terminal(*, as_json: bool) -> None:
    """Print all registered protocols.

    Args:
        as_json: Print JSON instead of text.
    """
    found = rows()
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return
    console = Console()
    for row in found:
        console.print("\n".join(_paragraph(row, console.width)), markup=False, highlight=False, soft_wrap=True)


def _paragraph(row: Row, width: int) -> Iterator[str]:
    """Yield a protocol's lines, in which no word is cut in two."""
    yield printable(row.name)
    for line in _facts(row):
        yield textwrap.fill(
            line, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )


def _facts(row: Row) -> Iterator[str]:
    if row.error is not None:
        yield f"cannot be loaded: {row.error}"
        return
    if row.about:
        yield row.about
    yield f"can be configured against: {_servers(row)}"
    if row.server:
        yield f"sums are opened by: {'a committee' if row.needs_committee else 'the clients'}"
    if row.rounds:
        yield f"steps: {', '.join(row.rounds)}"
    if row.note is not None:
        yield f"with 100 clients: {row.note}"


def _servers(row: Row) -> str:
    """Return the servers that a protocol protects from, the one of its default settings marked."""
    if not row.server:
        return "no server: it protects nothing"
    default = str(Adversary.CURIOUS)
    found = " or ".join(
        f"a {name} server (the default)" if name == default and len(row.server) > 1 else f"a {name} server"
        for name in row.server
    )
    return f"{found} (experimental: {printable(row.experimental)})" if row.experimental else found


def _row(name: str) -> Row:
    try:
        kind = load(name)
        return _loaded(name, kind)
    except BrokenProtocol as error:
        return Row(name=name, error=str(error))
    except BaseException as error:  # noqa: BLE001  # A class of others may raise anything, whatever it is asked.
        raise_interruption(error)
        return Row(name=name, error=f"fails to say what it is: {describe_error(error)}")


def _loaded(name: str, kind: type[SecureSum]) -> Row:
    strongest = kind.adversaries[-1] if kind.adversaries else Adversary.CURIOUS
    note, chosen = None, None
    try:
        chosen, _ = suggest(name, kind, **_COHORT, adversary=strongest)
    except BrokenProtocol:
        raise
    except ParameterError as error:
        note = error_text(error)
    return Row(
        name=name,
        server=tuple(str(each) for each in kind.adversaries),
        needs_committee=bool(kind.needs_committee),
        rounds=_rounds(name, kind if chosen is None else chosen),
        about=printable((kind.__doc__ if isinstance(kind.__doc__, str) else "").strip().partition("\n")[0]),
        note=note,
        experimental=kind.experimental,
    )


def _rounds(name: str, protocol: SecureSum | type[SecureSum]) -> tuple[str, ...]:
    """Return the names of a protocol's steps; none for a class whose steps depend on its parameters."""
    try:
        found: Any = protocol.steps
        if isinstance(found, property):
            return ()
        if type(found) is tuple and all(type(row) is Step and isinstance(row.name, str) for row in found):
            return tuple(printable(row.name) for row in found)
    except BaseException as error:
        raise_interruption(error)
        raise BrokenProtocol(f"{name} fails to name its steps: {describe_error(error)}") from error
    raise BrokenProtocol(f"{name}.steps: expected a tuple of Step, found another value")
