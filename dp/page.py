"""Self-contained HTML pages, and that of a budget report: a template and charts, everything inside one file."""

import datetime
import importlib.resources
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dp.drawing import Chart, Scheme, chart
from dp.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dp.report import BudgetReport

_WIDTH_IN: Final = 4.0  # three charts lie side by side


def render(report: "BudgetReport") -> str:
    """Return the page of a budget report.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    require_extra()
    return fill(
        "dp/report.html.j2",
        report=report,
        share=min(1.0, report.spent.epsilon / report.budget.epsilon),
        charts=_charts(report) if report.releases else (),
        when=_when,
    )


def require_extra() -> None:
    """Make sure that pages can be made.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed; its `name` says which.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f'an HTML report needs {error.name}: pip install "secagg-toolkit[report]"', name=error.name
        ) from None


def fill(template: str, **context: Any) -> str:
    """Return a filled template, its values escaped.

    Args:
        template: `package/name`, a file in that package's folder `templates`; it may extend `dp/page.html.j2`, and
            import from `dp/parts.html.j2`.
        context: the names that the template uses; all of them must be there.
    """
    import jinja2

    from dp.report import rounded_up

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rounded_up"] = rounded_up
    return environment.get_template(template).render(context)


def _source(template: str) -> str:
    package, _, name = template.partition("/")
    return importlib.resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")


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
        chart(
            epsilon_by_release,
            title="Epsilon by release",
            caption=f"Total spent after each release, at delta {budget.delta:.3g}; dashed, the budget.",
            width_in=_WIDTH_IN,
        ),
        chart(
            contributors_by_release,
            title="Contributors by release",
            caption="Clients whose vectors and noise shares were in each committed release.",
            width_in=_WIDTH_IN,
        ),
        chart(
            epsilon_by_delta,
            title="Epsilon as a function of delta",
            caption="The same releases, stated for other deltas; dashed, the budget's delta.",
            width_in=_WIDTH_IN,
        ),
    )
