"""The steps of a protocol as a sequence diagram, drawn from its table of rounds."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from docs._ext.drawing import Drawing, wrapped
from protocols import Adversary, Role, SecureSum, Step, load

_PARTIES: Final = {Role.CLIENT: "each client", Role.COMMITTEE: "each member"}
_WIDTH: Final = 760
_NOTE: Final = 330
_NUMBERED: Final = re.compile(r"^Step \d+[^:.]*: *| \(step \d+[^)]*\)")
_NO_ANSWER: Final = re.compile(r"^Step \d+[^:]*$|^See ")


def protocol_for_figure(name: str, adversary: Adversary) -> SecureSum:
    """Return a registered protocol with the parameters that it suggests for 100 clients."""
    protocol, _ = load(name).suggest(clients=100, adversarial=0.05, dropout=0.1, adversary=adversary)
    return protocol


def draw_steps(protocol: SecureSum) -> str:
    """Return the sequence diagram of a protocol's table of rounds, as SVG.

    A row of the table is a step: the server's request, what the party asked does with it, and the party's reply.
    """
    rows = protocol.steps
    drawing = Drawing(title=f"The steps of the protocol {protocol.name}: {_listed(rows)}.", width=_WIDTH)
    places = _place_parties(drawing, rows)
    y = 62.0
    for number, row in enumerate(rows, 1):
        y = _draw_step(drawing, places, number, row, y, last=number == len(rows))
    server = places[None]
    lines = wrapped(_first_sentence(rows[-1].close) or "The server computes the sum.", _NOTE - 22)
    y += drawing.note(_beside(server), y, _NOTE, [*lines]) + 10
    drawing.text(server, y + 14, ["result: the sum, and who contributed"], kind="step", anchor=_anchor(server))
    for x in places.values():
        drawing.line(x, 44, y)
    return drawing.svg()


def words(name: str) -> str:
    """Return the name of a message class in words: "KeyDirectory" is "key directory"."""
    return " ".join(re.findall(r"[A-Z]+[a-z]*|[a-z]+|\d+", name)).lower()


def _listed(rows: tuple[Step[Any, Any, Any, Any], ...]) -> str:
    return ", ".join(row.name for row in rows)


def _place_parties(drawing: Drawing, rows: tuple[Step[Any, Any, Any, Any], ...]) -> dict[Role | None, float]:
    roles = [role for role in Role if any(row.role is role for row in rows)]
    order: list[Role | None] = [*roles[:1], None, *roles[1:]]
    edges = (96.0, _WIDTH - 96.0) if len(order) == 2 else (96.0, _WIDTH / 2, _WIDTH - 96.0)
    places = dict(zip(order, edges, strict=True))
    for role, x in places.items():
        drawing.box(x - 92, 4, 184, 34, kind="party")
        drawing.text(x, 26, ["server" if role is None else _PARTIES[role]], kind="party-name", anchor="middle")
    return places


def _draw_step(
    drawing: Drawing,
    places: dict[Role | None, float],
    number: int,
    row: Step[Any, Any, Any, Any],
    y: float,
    *,
    last: bool,
) -> float:
    server, party = places[None], places[row.role]
    drawing.box(4, y, _WIDTH - 8, 28, kind="band")
    drawing.text(16, y + 19, [f"Step {number}: {row.name}"], kind="step")
    y += 56
    _draw_message(drawing, server, party, y, words(row.request.__name__))
    did = _first_sentence(row.answer)
    y += 14
    if did:
        lines = wrapped(did, _NOTE - 22)
        y += drawing.note(_beside(party), y, _NOTE, lines)
    y += 28
    _draw_message(drawing, party, server, y, words(row.reply.__name__))
    y += 16
    between = _first_sentence(row.close)
    if between and not last:
        y += drawing.note(_beside(server), y, _NOTE, wrapped(between, _NOTE - 22)) + 14
    return y


def _draw_message(drawing: Drawing, start: float, end: float, y: float, name: str) -> None:
    drawing.arrow([(start, y), (end, y)])
    drawing.text((start + end) / 2, y - 7, [name], kind="message", anchor="middle")


def _beside(x: float) -> float:
    """Return where a note on a party's line begins, so that it lies within the figure."""
    return min(max(4.0, x - _NOTE / 2), _WIDTH - _NOTE - 4)


def _anchor(x: float) -> str:
    return "middle" if 160 < x < _WIDTH - 160 else ("start" if x < _WIDTH / 2 else "end")


def _first_sentence(method: Callable[..., object]) -> str:
    """Return what a party's method does, by the first line of its docstring, without its number of the step."""
    line = (inspect.getdoc(method) or "").split("\n")[0]
    if _NO_ANSWER.match(line):
        return ""
    said = _NUMBERED.sub("", line).replace("`", "")
    return said[:1].upper() + said[1:]
