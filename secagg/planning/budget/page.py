"""A plan as one self-contained HTML page: its figures, its table and a chart of the table."""

import math
from typing import TYPE_CHECKING

from dp.figures import in_full
from dp.reporting.drawing import Chart, Scheme, chart
from dp.reporting.page import fill, require_extra
from dp.version import SOFTWARE, VERSION
from secagg.planning.budget.answer import Plan, Table
from secagg.planning.budget.digits import enough, shown
from secagg.planning.budget.rows import rows, table_caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def as_html(plan: Plan) -> str:
    """Return a plan as one page, in the reader's light or dark scheme.

    Raises:
        dp.errors.MissingExtra: Jinja2 or matplotlib is not installed.
    """
    require_extra()
    return fill(
        "secagg.planning.budget/plan.html.j2",
        plan=plan,
        rows=rows(plan),
        table=plan.table,
        caption=table_caption(plan),
        chart=None if plan.table is None else _chart(plan, plan.table),
        software=f"{SOFTWARE} {VERSION}",
        enough=enough,
        shown=lambda epsilon: shown(epsilon, plan.request.epsilon),
    )


def _chart(plan: Plan, table: Table) -> Chart:
    """Draw a curve for each noise: epsilon by rounds, on a logarithmic scale; the dashed line is the given epsilon."""
    curves = [
        (noise, [(rounds, epsilons[column]) for rounds, epsilons in zip(table.rounds, table.epsilon, strict=True)])
        for column, noise in enumerate(table.noise_multipliers)
    ]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        ramp = LinearSegmentedColormap.from_list("noise", scheme.stages, N=max(2, len(curves)))
        drawn = False
        for index, (noise, points) in enumerate(curves):
            finite = [(at, each) for at, each in points if not isinstance(each, str) and 0 < each < math.inf]
            if finite:
                label = f"noise {enough(noise)}"
                axes.plot(*zip(*finite, strict=True), "o-", color=ramp(index), markersize=4, linewidth=1.8, label=label)
                drawn = True
        if plan.request.epsilon is not None:
            axes.axhline(plan.request.epsilon, color=scheme.limit, linewidth=1.4, linestyle=(0, (4, 3)))
        if drawn:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2, handlelength=1.4, columnspacing=1.4
            )
        axes.set(xlabel="rounds", ylabel="epsilon", xlim=(0, None))

    caption = table_caption(plan)
    if plan.request.epsilon is not None:
        caption += f" The dashed line is epsilon {in_full(plan.request.epsilon)}."
    return chart(plot, title="Epsilon by rounds and noise", caption=caption, width_in=8.6)
