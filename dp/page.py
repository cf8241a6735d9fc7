"""The HTML page of a budget report: a template and three charts, everything inside one file.

Charts are drawn twice, for light and for dark, and the page shows the one that fits the reader's scheme.
"""

import base64
import datetime
import importlib.resources
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dp.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dp.report import BudgetReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The colours of a chart."""

    text: str
    grid: str
    line: str
    limit: str


LIGHT: Final = Scheme(text="#475569", grid="#e2e8f0", line="#4f46e5", limit="#e11d48")
DARK: Final = Scheme(text="#a9b4c6", grid="#2c3648", line="#8b93ff", limit="#fb7185")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart of the page: its words, and its drawing as a data URI for each scheme."""

    title: str
    caption: str
    light: str
    dark: str


def render(report: "BudgetReport") -> str:
    """Return the page.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    from dp.report import rounded_up

    try:
        import jinja2
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f'an HTML report needs {error.name}: pip install "secagg-toolkit[report]"', name=error.name
        ) from None
    source = importlib.resources.files("dp").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    share = min(1.0, report.spent.epsilon / report.budget.epsilon)
    return environment.from_string(source).render(
        report=report, share=share, charts=_charts(report) if report.releases else (), when=_when, rounded_up=rounded_up
    )


def _when(time_s: float) -> str:
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _charts(report: "BudgetReport") -> Sequence[Chart]:
    budget = report.budget
    numbers = [release.number for release in report.releases]
    epsilons = [release.epsilon_after for release in report.releases]
    committed = [(r.number, r.contributors) for r in report.releases if r.contributors is not None]

    def epsilon_by_release(axes: "Axes", scheme: Scheme) -> None:
        axes.axhline(budget.epsilon, color=scheme.limit, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.step([0, *numbers], [0.0, *epsilons], where="post", color=scheme.line, linewidth=2)
        axes.plot(numbers[-1:], epsilons[-1:], "o", color=scheme.line, markersize=5)
        axes.text(0, budget.epsilon, f" budget {budget.epsilon:g}", color=scheme.limit, va="bottom", fontsize=9)
        axes.set(xlabel="release", ylabel="epsilon", ylim=(0, 1.12 * max([budget.epsilon, *epsilons])))

    def contributors_by_release(axes: "Axes", scheme: Scheme) -> None:
        axes.bar([n for n, _ in committed], [c for _, c in committed], color=scheme.line, width=0.7)
        top = max([1, *(c for _, c in committed)])
        axes.set(xlabel="release", ylabel="clients in the sum", ylim=(0, 1.12 * top), xlim=(0.4, numbers[-1] + 0.6))

    def epsilon_by_delta(axes: "Axes", scheme: Scheme) -> None:
        axes.axvline(budget.delta, color=scheme.limit, linewidth=1.4, linestyle=(0, (4, 3)))
        deltas, values = zip(*report.epsilon_by_delta, strict=True)
        axes.semilogx(deltas, values, color=scheme.line, linewidth=2)
        axes.plot([budget.delta], [report.spent.epsilon], "o", color=scheme.line, markersize=5)
        axes.set(xlabel="delta", ylabel="epsilon", ylim=(0, None))

    return (
        Chart(
            title="Epsilon by release",
            caption=f"Total spent after each release, at delta {budget.delta:.3g}; dashed, the budget.",
            light=_draw(epsilon_by_release, LIGHT),
            dark=_draw(epsilon_by_release, DARK),
        ),
        Chart(
            title="Contributors by release",
            caption="Clients whose vectors and noise shares were in each committed release.",
            light=_draw(contributors_by_release, LIGHT),
            dark=_draw(contributors_by_release, DARK),
        ),
        Chart(
            title="Epsilon as a function of delta",
            caption="The same releases, stated for other deltas; dashed, the budget's delta.",
            light=_draw(epsilon_by_delta, LIGHT),
            dark=_draw(epsilon_by_delta, DARK),
        ),
    )


def _draw(plot: Callable[["Axes", Scheme], None], scheme: Scheme) -> str:
    """Draw one chart and return it as the data URI of an SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.hashsalt": "secagg", "font.size": 10}):
        figure = Figure(figsize=(5.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        plot(axes, scheme)
        if axes.get_xscale() == "linear":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
