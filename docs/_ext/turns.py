"""Which rounds ask which clients, as a figure: cohorts in turn, and what counts."""

from typing import Final

from docs._ext.drawing import Drawing

CLIENTS: Final = 10
COHORT: Final = 3
ROUNDS: Final = 7
DROPPED: Final = (3, 1)
"""Round and client, both from 0: asked, and dropped out before it sent anything."""

_LEFT: Final = 92.0
_CELL: Final = 74.0
_HEIGHT: Final = 26.0
_TOP: Final = 48.0


def asked_in(number: int) -> list[int]:
    """Return the clients that a round asks, by a number from 0: the next ones of the population, round and round."""
    return [place % CLIENTS for place in range(number * COHORT, (number + 1) * COHORT)]


def draw_turns() -> str:
    """Return rounds and clients as a table in which each cell says whether the client was asked, as SVG."""
    drawing = Drawing(
        title=f"{ROUNDS} rounds that ask {COHORT} of {CLIENTS} clients each, and how often each client was asked.",
        width=_LEFT + _CELL * ROUNDS + 140,
    )
    counts = [0] * CLIENTS
    for number in range(ROUNDS):
        x = _LEFT + number * _CELL
        drawing.text(x + _CELL / 2, 30, [f"round {number + 1}"], kind="small", anchor="middle")
        asked = asked_in(number)
        for client in range(CLIENTS):
            y = _TOP + client * _HEIGHT
            drawing.box(x + 2, y + 2, _CELL - 4, _HEIGHT - 4, kind="hidden" if client in asked else "lane")
            if client in asked:
                counts[client] += 1
                said = "no answer" if (number, client) == DROPPED else "asked"
                drawing.text(x + _CELL / 2, y + 18, [said], kind="small", anchor="middle")
    for client, count in enumerate(counts):
        y = _TOP + client * _HEIGHT + 18
        drawing.text(8, y, [f"client {client}"], kind="small")
        drawing.text(
            _LEFT + _CELL * ROUNDS + 12, y, [f"pays for {count}"], kind="step" if count == max(counts) else "small"
        )
    return drawing.svg()
