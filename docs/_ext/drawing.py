"""Text, boxes and arrows as SVG, without any library.

Colours come from classes that `docs/_static/site.css` defines by the theme's variables, so a figure follows the
reader's choice of a light or a dark page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count
from typing import Final

LINE: Final = 19
"""Height of a line of text, in units of the drawing."""

_WIDEST: Final = 0.53
"""Width of a letter over the size of its font: more than the mean of the fonts that readers have."""

_numbers = count(1)


def wrapped(text: str, width: float, size: float = 14) -> list[str]:
    """Return a text in lines of at most a width, as far as its words allow."""
    room = max(1, int(width / (size * _WIDEST)))
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


@dataclass(kw_only=True)
class Drawing:
    """One figure.

    Attributes:
        title: What the figure shows, in one sentence; a reader who sees no pictures hears it.
        width: Its width. The height follows from what was drawn.
        parts: The elements drawn so far.
        bottom: The lowest point drawn so far.
    """

    title: str
    width: float
    parts: list[str] = field(default_factory=list)
    bottom: float = 0

    def text(self, x: float, y: float, lines: Sequence[str], *, kind: str = "label", anchor: str = "start") -> None:
        """Write lines, the first of which has its base line at y."""
        for number, line in enumerate(lines):
            at = y + number * LINE
            self.parts.append(
                f'<text class="figure-{kind}" x="{x:g}" y="{at:g}" text-anchor="{anchor}">{escape(line)}</text>'
            )
            self._reach(at + 6)

    def box(self, x: float, y: float, width: float, height: float, *, kind: str = "box") -> None:
        """Draw a rectangle with its upper left corner at (x, y)."""
        self.parts.append(
            f'<rect class="figure-{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        )
        self._reach(y + height)

    def note(self, x: float, y: float, width: float, lines: Sequence[str], *, kind: str = "box") -> float:
        """Draw a box around lines, and return its height."""
        height = LINE * len(lines) + 14
        self.box(x, y, width, height, kind=kind)
        self.text(x + 11, y + 21, lines)
        return height

    def line(self, x: float, top: float, bottom: float) -> None:
        """Draw a dashed vertical line behind everything else."""
        self.parts.insert(0, f'<line class="figure-lifeline" x1="{x:g}" y1="{top:g}" x2="{x:g}" y2="{bottom:g}"/>')
        self._reach(bottom)

    def arrow(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw an arrow through points, with its head at the last one."""
        self.parts.append(f'<polyline class="figure-arrow" points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>')
        (x0, y0), (x, y) = points[-2:]
        length = max(abs(x - x0), abs(y - y0)) or 1
        along, up = (x - x0) / length, (y - y0) / length
        wings = [(x - 10 * along + 5 * up * side, y - 10 * up + 5 * along * side) for side in (1, -1)]
        head = " ".join(f"{px:g},{py:g}" for px, py in [(x, y), *wings])
        self.parts.append(f'<polygon class="figure-head" points="{head}"/>')
        self._reach(max(y for _, y in points) + 5)

    def svg(self) -> str:
        """Return the figure as an SVG element that stands in a page."""
        name = f"figure-title-{next(_numbers)}"
        opening = (
            f'<svg class="figure" role="img" aria-labelledby="{name}" xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {self.width:g} {self.bottom + 8:g}" style="max-width: {self.width:g}px">'
        )
        return "\n".join([opening, f'<title id="{name}">{escape(self.title)}</title>', *self.parts, "</svg>"])

    def _reach(self, y: float) -> None:
        self.bottom = max(self.bottom, y)
