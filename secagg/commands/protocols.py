"""What the command `secagg protocols` prints: one row for each registered protocol, also for one that is broken."""

import contextlib
import sys
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dp.checks import printable
from protocols import Adversary, BrokenProtocol, SecureSum, available, load
from protocols.errors import ParameterError
from protocols.registry import suggest, told

_COHORT: Final[dict[str, Any]] = {"clients": 100, "adversarial": 0.05, "dropout": 0.1}
_NONE: Final = "-"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A registered protocol; a line of the table, an element of the JSON.

    Attributes:
        name: That it is registered under.
        server: The servers that its clients are safe from; none of a baseline.
        needs_committee: Whether a committee opens its sums; None where that is not known.
        rounds: The names of its rounds; none where they are not known.
        about: What it is, in its own words.
        error: Why it cannot be loaded; None where it can.
        note: Why it suggests no parameters for a cohort of 100 clients; None where it does.
        experimental: What is not proven of it; empty unless it is experimental.
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
    """All registered protocols, by name; what other people's modules print while they are loaded is no row's part."""
    with contextlib.redirect_stdout(sys.stderr):
        return tuple(_row(name) for name in available())


def list_on_terminal(*, as_json: bool) -> None:
    """Print all registered protocols.

    Args:
        as_json: As JSON, instead of a table.
    """
    found = rows()
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("protocol", "safe from a server that is", "opened by", "rounds", "what it is"):
        table.add_column(heading)
    for row in found:
        table.add_row(*map(escape, _cells(row)))
    Console().print(table)


def _cells(row: Row) -> tuple[str, ...]:
    if row.error is not None:
        return printable(row.name), _NONE, _NONE, _NONE, f"cannot be loaded: {row.error}"
    opened_by = "a committee" if row.needs_committee else "the clients" if row.server else _NONE
    about = row.about if row.note is None else f"{row.about} (For 100 clients: {row.note})"
    server = " or ".join(row.server) or _NONE
    if row.experimental:
        server += f" (experimental: {printable(row.experimental)})"
    return printable(row.name), server, opened_by, ", ".join(row.rounds) or _NONE, about


def _row(name: str) -> Row:
    try:
        kind = load(name)
        return _loaded(name, kind)
    except BrokenProtocol as error:
        return Row(name=name, error=str(error))


def _loaded(name: str, kind: type[SecureSum]) -> Row:
    strongest = kind.adversaries[-1] if kind.adversaries else Adversary.CURIOUS
    note, chosen = None, None
    try:
        chosen, _ = suggest(name, kind, **_COHORT, adversary=strongest)
    except BrokenProtocol:
        raise
    except ParameterError as error:
        note = told(error).partition(": ")[2]
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
    """The names of a protocol's rounds; none of a class whose rounds depend on its parameters."""
    try:
        found: Any = protocol.rounds
        return () if isinstance(found, property) else tuple(str(row.name) for row in found)
    except Exception as error:
        raise BrokenProtocol(f"{name} fails to name its rounds: {told(error)}") from error
