"""The charts of a budget report; of more than 200 releases, only those that are accounted."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from dp.events import Observer
from dp.figures import in_full, rounded_up
from dp.reporting.drawing import Chart, Scheme, chart
from dp.reporting.report import BudgetReport
from dp.reporting.wording import more_releases

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_WIDE_IN: Final = 8.6
_HALF_IN: Final = 4.3  # Two such charts are side by side.
_ROOM: Final = 1.14
_DASHED: Final = (0, (4, 3))
_SHORT_DASHES: Final = (0, (2, 1.5))
_LEAST_SHOWN: Final = 3
_SHOWN_BUDGETS: Final = 2.5  # Without amplification, hundreds of budgets may be spent.

Curve = list[tuple[int, float]]


def charts(report: BudgetReport) -> Sequence[Chart]:
    """Return the charts of a report of at least one release: one of full width, the others in pairs."""
    filtered = report.spent.used is not None
    return (
        _used_by_release(report) if filtered else _epsilon_by_release(report),
        _remaining(report),
        *((_epsilon_by_delta(report),) if report.epsilon_by_delta else ()),
        _noise_by_release(report),
        _contributors_by_release(report),
    )


def _used_by_release(report: BudgetReport) -> Chart:
    used = _in_percent((r.number, r.used_after) for r in report.accounted)
    top = max(100.0, *(part for _, part in used))

    def plot(axes: "Axes", scheme: Scheme) -> None:
        _budget_line(axes, scheme, 100.0, f"budget of epsilon {in_full(report.budget.epsilon)}")
        numbers, parts = zip((0, 0.0), *used, strict=True)
        axes.step(numbers, parts, where="post", color=scheme.line, linewidth=2.0)
        axes.plot(numbers[-1:], parts[-1:], "o", color=scheme.line, markersize=5)
        axes.set(xlabel="release", ylabel="% of the budget", ylim=(0, _ROOM * top), xlim=(0, 1.01 * numbers[-1]))

    whose = "" if report.participation is None else ", by the client that was charged most up to then"
    caption = (
        f"Part of the budget that all releases up to and including each one have used{whose}. The guarantee is the "
        "whole budget at every release, whatever part of it is used."
    )
    return chart(plot, title="Budget used by release", caption=caption, width_in=_WIDE_IN)


def _epsilon_by_release(report: BudgetReport) -> Chart:
    budget, shown = report.budget, report.accounted
    reserved = _finite((r.number, r.epsilon_after) for r in shown)
    realised = _finite((r.number, r.realised_epsilon_after) for r in shown) if report.realised_noise else []
    unamplified = _finite((r.number, r.unamplified_epsilon_after) for r in shown)
    lowest = max([budget.epsilon, *(e for _, e in reserved + realised)])
    highest = max((e for _, e in unamplified), default=0.0)
    top = max(lowest, min(_SHOWN_BUDGETS * budget.epsilon, highest))
    # A curve that soon leaves the chart would show only a line upwards, so it is not drawn.
    drawn = unamplified if highest <= top or sum(e <= top for _, e in unamplified) >= _LEAST_SHOWN else []
    top = top if drawn else lowest
    same = realised == reserved

    def plot(axes: "Axes", scheme: Scheme) -> None:
        _budget_line(axes, scheme, budget.epsilon, f"budget {in_full(budget.epsilon)}")
        promised = "noise promised, enforced, and noise realised" if same else "noise promised, enforced"
        curves = (
            (drawn, "without sampling amplification", scheme.quiet, 2.0, "solid"),
            (reserved, promised, scheme.line, 2.0 if same or not realised else 3.5, "solid"),
            ([] if same else realised, "noise realised", scheme.contrast, 1.8, _SHORT_DASHES),
        )
        for curve, label, colour, linewidth, linestyle in curves:
            if curve:
                numbers, epsilons = zip((0, 0.0), *curve, strict=True)
                axes.step(
                    numbers, epsilons, where="post", color=colour, linewidth=linewidth, linestyle=linestyle, label=label
                )
                axes.plot(numbers[-1:], epsilons[-1:], "o", color=colour, markersize=linewidth + 3)
        axes.set(xlabel="release", ylabel="epsilon", ylim=(0, _ROOM * top), xlim=(0, 1.01 * shown[-1].number))
        if realised or drawn:
            _legend(axes)

    if report.claims_budget:
        caption = (
            f"Epsilon that all releases up to and including each one would have, at delta {budget.delta!r}, if who was "
            "asked, and their number, had been fixed beforehand. It is no guarantee: the guarantee is the budget, the "
            "dashed line."
        )
    else:
        caption = (
            f"Epsilon spent by all releases up to and including each one, at delta {budget.delta!r}. The dashed line "
            "is the budget."
        )
    if len(reserved) < len(shown):
        caption += f" Computed after {len(reserved)} of {len(report.releases):,} releases."
    if drawn and highest > top:
        caption += f" Without sampling amplification, the curve rises to {rounded_up(highest)}."
    elif unamplified and not drawn:
        caption += (
            f" The curve without sampling amplification is not in the chart: {rounded_up(unamplified[0][1])} after "
            f"release {unamplified[0][0]}, {rounded_up(highest)} after the last."
        )
    return chart(plot, title="Epsilon by release", caption=caption, width_in=_WIDE_IN)


def _remaining(report: BudgetReport) -> Chart:
    filtered = report.spent.used is not None
    whole, unit = (100.0, "% of the budget") if filtered else (report.budget.epsilon, "epsilon")
    if filtered:
        charged = _in_percent((r.number, r.used_after) for r in report.accounted)
        projection = _in_percent(report.projection)
    else:
        charged = _finite((r.number, r.epsilon_after) for r in report.accounted)
        projection = list(report.projection)
    made = [(0, whole), *((number, max(0.0, whole - figure)) for number, figure in charged)]
    last = made[-1]
    ahead = [last, *((last[0] + more, max(0.0, whole - figure)) for more, figure in projection)]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        numbers, left = zip(*made, strict=True)
        axes.fill_between(numbers, left, step="post", color=scheme.line, alpha=0.16, linewidth=0)
        axes.step(numbers, left, where="post", color=scheme.line, linewidth=2)
        axes.plot(*last, "o", color=scheme.line, markersize=5)
        axes.plot(*zip(*ahead, strict=True), color=scheme.quiet, linewidth=1.6, linestyle=_DASHED)
        axes.set(xlabel="release", ylabel=f"{unit} left", ylim=(0, _ROOM * whole), xlim=(0, None))

    caption = f"{'Part of the budget' if filtered else 'Epsilon'} left after each release."
    if report.projection:
        caption += " The dashed line continues with more releases like the last one."
    if report.remaining_releases is not None:
        words = more_releases(report.remaining_releases, everybody=report.budget.towards is Observer.SERVER)
        caption += f" {words[0].upper()}{words[1:]}."
    return chart(plot, title="What remains", caption=caption, width_in=_HALF_IN)


def _epsilon_by_delta(report: BudgetReport) -> Chart:
    budget = report.budget
    amplified = [(at.delta, at.epsilon) for at in report.epsilon_by_delta if math.isfinite(at.epsilon)]
    unamplified = [
        (at.delta, at.unamplified)
        for at in report.epsilon_by_delta
        if at.unamplified is not None and math.isfinite(at.unamplified)
    ]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.axvline(budget.delta, color=scheme.limit, linewidth=1.4, linestyle=_DASHED)
        for curve, label, colour in (
            (unamplified, "unamplified", scheme.quiet),
            (amplified, "amplified by sampling", scheme.line),
        ):
            if curve:
                axes.semilogx(*zip(*curve, strict=True), color=colour, linewidth=2, label=label)
        axes.plot([budget.delta], [report.spent.epsilon], "o", color=scheme.line, markersize=5)
        axes.set(xlabel="delta", ylabel="epsilon", ylim=(0, None))
        if unamplified:
            _legend(axes)

    whose = "the whole budget" if report.claims_budget else "the same releases"
    caption = f"Epsilon of {whose} for other deltas. The dashed line is the budget's delta."
    return chart(plot, title="Epsilon as a function of delta", caption=caption, width_in=_HALF_IN)


def _noise_by_release(report: BudgetReport) -> Chart:
    promised = [(r.number, r.noise_multiplier) for r in report.accounted]
    realised = _finite((r.number, r.realised_noise_multiplier) for r in report.accounted)
    low = min(noise for _, noise in promised + realised)
    high = max(noise for _, noise in promised + realised)
    margin = max(0.15 * (high - low), 0.03 * high)

    def plot(axes: "Axes", scheme: Scheme) -> None:
        if realised:
            size = 4.0 if len(realised) <= 80 else 2.5
            axes.plot(*zip(*realised, strict=True), "o", color=scheme.contrast, markersize=size, label="realised")
        numbers, noises = zip(*promised, strict=True)
        axes.step(numbers, noises, where="mid", color=scheme.line, linewidth=2, label="promised")
        if len(numbers) == 1:
            axes.plot(numbers, noises, "o", color=scheme.line, markersize=5)
        axes.set(xlabel="release", ylabel="noise multiplier", ylim=(max(0.0, low - margin), high + margin))
        axes.set(xlim=_across(promised))
        _legend(axes)

    caption = "Standard deviation of a release's noise over its sensitivity."
    if not realised:
        caption += " The realised noise was not recorded."
    return chart(plot, title="Noise realised and promised", caption=caption, width_in=_HALF_IN)


def _contributors_by_release(report: BudgetReport) -> Chart:
    committed = _finite((r.number, r.contributors) for r in report.accounted)
    numbers = [(r.number, 0.0) for r in report.accounted]
    first, last = _across(numbers)

    def plot(axes: "Axes", scheme: Scheme) -> None:
        width = 0.72 * (last - first) / len(numbers)
        axes.bar([n for n, _ in committed], [c for _, c in committed], color=scheme.line, width=width)
        top = max([1.0, *(c for _, c in committed)])
        axes.set(xlabel="release", ylabel="clients in the sum", ylim=(0, _ROOM * top), xlim=(first, last))

    return chart(
        plot,
        title="Contributors by release",
        caption="Clients whose vectors were in each committed release.",
        width_in=_HALF_IN,
    )


def _budget_line(axes: "Axes", scheme: Scheme, height: float, words: str) -> None:
    axes.axhline(height, color=scheme.limit, linewidth=1.4, linestyle=_DASHED)
    axes.annotate(words, (0, height), xytext=(4, 4), textcoords="offset points", color=scheme.limit, fontsize=9)


def _legend(axes: "Axes") -> None:
    """Draw a legend above the chart, where it hides no curve."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handlelength=1.4, columnspacing=1.4
    )


def _finite(points: Iterable[tuple[int, float | None]]) -> Curve:
    return [(number, value) for number, value in points if value is not None and math.isfinite(value)]


def _in_percent(points: Iterable[tuple[int, float | None]]) -> Curve:
    return [(number, 100 * part) for number, part in _finite(points)]


def _across(points: Curve) -> tuple[float, float]:
    return points[0][0] - 0.6, points[-1][0] + 0.6
