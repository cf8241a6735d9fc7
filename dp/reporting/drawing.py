"""Charts for self-contained pages: each is drawn twice, for light and for dark, as an SVG inside a data URI.

A page shows the drawing that fits its reader's scheme. Words stay words in the SVG, set in the reader's own fonts.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The colours of a chart.

    Attributes:
        text: Of labels and ticks.
        grid: Of grid and axis.
        card: Of the surface that the chart lies on.
        line: Of what the chart is about.
        contrast: Of what that is compared with.
        quiet: Of what is compared with too, further back.
        limit: Of what must not be crossed.
        stages: First and last colour of a sequence of stages.
    """

    text: str
    grid: str
    card: str
    line: str
    contrast: str
    quiet: str
    limit: str
    stages: tuple[str, str]


LIGHT: Final = Scheme(
    text="#475569",
    grid="#e2e8f0",
    card="#ffffff",
    line="#4f46e5",
    contrast="#0f766e",
    quiet="#94a3b8",
    limit="#e11d48",
    stages=("#99a2fb", "#2a2769"),
)
DARK: Final = Scheme(
    text="#a9b4c6",
    grid="#2c3648",
    card="#141b2d",
    line="#8b93ff",
    contrast="#2dd4bf",
    quiet="#74839c",
    limit="#fb7185",
    stages=("#4a4fb0", "#dfe3ff"),
)

# Families of the page's own text; the last one comes with matplotlib, so that one is always there to measure with.
FAMILIES: Final = ("Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "DejaVu Sans")

Plot = Callable[["Axes", Scheme], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart of a page: its words, and its drawing as a data URI for each scheme."""

    title: str
    caption: str
    light: str
    dark: str


def chart(plot: Plot, *, title: str, caption: str, width_in: float = 5.2) -> Chart:
    """Return a chart, drawn by `plot` once for each scheme.

    A linear x axis gets whole numbers, a logarithmic one powers in plain text. The page scales the drawing to the room
    there is, and its words with it: a chart for a narrow place has a small `width_in`, in inches, of 3 in height.
    """
    light, dark = (_draw(plot, scheme, width_in) for scheme in (LIGHT, DARK))
    return Chart(title=title, caption=caption, light=light, dark=dark)


def whole_numbers() -> "MaxNLocator":
    """Return a locator of ticks at round whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def _draw(plot: Plot, scheme: Scheme, width_in: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

    with matplotlib.rc_context(
        {
            "svg.hashsalt": "secagg",
            "svg.fonttype": "none",
            "text.parse_math": False,
            "font.size": 10,
            "font.sans-serif": FAMILIES,
            "legend.labelcolor": scheme.text,
            "legend.frameon": False,
        }
    ):
        figure = Figure(figsize=(width_in, 3.0), layout="constrained")
        axes = figure.add_subplot()
        # Ticks that do not depend on the size, which is settled only once their words are known.
        axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        plot(axes, scheme)
        if axes.get_xscale() == "linear":
            axes.xaxis.set_major_locator(whole_numbers())
        else:
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(visible=True, axis="y", color=scheme.grid, linewidth=1)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(scheme.grid)
        axes.tick_params(colors=scheme.text, length=0, which="both")
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(scheme.text)
        drawing = io.BytesIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.getvalue()).decode("ascii")
