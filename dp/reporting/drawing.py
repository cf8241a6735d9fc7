"""Charts for self-contained pages: each is drawn twice, for a light and a dark scheme, as an SVG inside a data URI.

A page shows the drawing for its reader's scheme. Words stay text in the SVG, in the reader's own fonts.
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
        text: The colour of labels and ticks.
        grid: The colour of grid and axis.
        card: The colour of the surface under the chart.
        line: The colour of the main curve.
        contrast: The colour of the curve that is compared with it.
        quiet: The colour of further curves in the background.
        limit: The colour of a limit that must not be crossed.
        stages: The first and the last colour of a sequence of stages.
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

# Font families of the page. The last one comes with matplotlib, so at least one is always available for measuring.
FAMILIES: Final = ("Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "DejaVu Sans")

Plot = Callable[["Axes", Scheme], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart of a page: its title, its caption, and its drawing as a data URI for each scheme."""

    title: str
    caption: str
    light: str
    dark: str


def chart(plot: Plot, *, title: str, caption: str, width_in: float = 5.2) -> Chart:
    """Return a chart, drawn by `plot` once for each scheme.

    A linear x axis has whole numbers, a logarithmic one has powers in plain text. The page scales the drawing and its
    words to the available width, so a chart for a narrow place needs a small `width_in`. Width and height are in
    inches; the height is 3.
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
        # These ticks do not depend on the size, which is known only after their words are.
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
