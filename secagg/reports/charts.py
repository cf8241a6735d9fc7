"""The charts of a training run's report, one function each: rounds in, a drawing for light and for dark out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dp.figures import in_full
from dp.reporting.drawing import Chart, Scheme, chart, whole_numbers
from secagg.runs.comparison import PLAIN, WITHOUT_NOISE
from secagg.training.records import RoundRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES: Final = (0, (4, 3))
_ROOM: Final = 1.12  # above the highest value, as a factor
_ABOVE: Final[Mapping[str, Any]] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0.2,
    "handlelength": 1.2,
    "columnspacing": 1.4,
}

Compared = Mapping[str, Sequence[RoundRecord]]
"""Rounds of the runs to compare with, by kind."""


def accuracy(rounds: Sequence[RoundRecord], compared: Compared, *, before: float, name: str) -> Chart:
    """Accuracy by round of the run, called `name`, and of those it is compared with; `before` is at round 0."""

    def plot(axes: "Axes", scheme: Scheme) -> None:
        from matplotlib.ticker import PercentFormatter

        for run, style in _runs(rounds, compared, scheme, name):
            axes.plot([0, *_numbers(run)], [before, *(record.accuracy for record in run)], **style)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.set(xlabel="round", ylabel="accuracy")
        axes.legend(loc="best")

    return chart(plot, title="Accuracy by round", caption="Of the global model, on held-out examples.")


def loss(rounds: Sequence[RoundRecord], compared: Compared, *, name: str) -> Chart:
    """Loss by round of the run, called `name`, and of those it is compared with."""

    def plot(axes: "Axes", scheme: Scheme) -> None:
        for run, style in _runs(rounds, compared, scheme, name):
            axes.plot(_numbers(run), [record.loss for record in run], **style)
        worst = max(record.loss for run in (rounds, *compared.values()) for record in run)
        axes.set(xlabel="round", ylabel="loss", ylim=(0, _ROOM * worst))
        axes.legend(loc="best")

    return chart(plot, title="Loss by round", caption="Of the global model, on held-out examples.")


def epsilon(rounds: Sequence[RoundRecord], *, budget: float, delta: float) -> Chart:
    """Epsilon by round, and the budget; every round must have an epsilon."""
    numbers, spent = _numbers(rounds), [record.epsilon or 0.0 for record in rounds]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.step([0, *numbers], [0.0, *spent], where="post", color=scheme.line, linewidth=2)
        axes.plot(numbers[-1:], spent[-1:], "o", color=scheme.line, markersize=5)
        _limit(axes, scheme, budget, f"budget {in_full(budget)}")
        axes.set(xlabel="round", ylabel="epsilon", ylim=(0, _ROOM * max([budget, *spent])))

    caption = f"Spent by all releases up to and with each round, at delta {in_full(delta)}; dashed, the budget."
    return chart(plot, title="Epsilon by round", caption=caption)


def used(rounds: Sequence[RoundRecord], *, budget: float) -> Chart:
    """Return a chart of the part of the budget that a filter has charged, by round; without it, a round has none."""
    known = [record for record in rounds if record.used is not None]
    numbers, parts = _numbers(known), [100 * (record.used or 0.0) for record in known]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.step([0, *numbers], [0.0, *parts], where="post", color=scheme.line, linewidth=2)
        axes.plot(numbers[-1:], parts[-1:], "o", color=scheme.line, markersize=5)
        _limit(axes, scheme, 100.0, f"budget of epsilon {in_full(budget)}")
        axes.set(xlabel="round", ylabel="% of the budget", ylim=(0, _ROOM * max([100.0, *parts])))

    caption = (
        "Used up by all releases up to and with each round. The guarantee is the whole budget after every round, "
        "whatever part of it is used."
    )
    return chart(plot, title="Budget used by round", caption=caption)


def contributors(rounds: Sequence[RoundRecord], *, clients: int, minimum: int) -> Chart:
    """Contributors by round, of the clients that it asks, and the minimum; rounds that released nothing are marked."""
    released = [record for record in rounds if record.contributors]
    withheld = [record.round for record in rounds if not record.contributors]

    def plot(axes: "Axes", scheme: Scheme) -> None:
        counts = [record.contributors for record in released]
        lowest, room = min([minimum, *counts]), max(1.0, 0.3 * (clients - minimum))
        axes.plot(_numbers(released), counts, color=scheme.line, linewidth=1.6, marker="o", markersize=4)
        _limit(axes, scheme, minimum, f"minimum {minimum}", below=True)
        axes.axhline(clients, color=scheme.quiet, linewidth=1)
        if withheld:
            floor = [lowest - 0.75 * room] * len(withheld)
            axes.plot(withheld, floor, "x", color=scheme.limit, markersize=7, label="nothing released")
            axes.legend(**_ABOVE)
        axes.set(xlabel="round", ylabel="clients in the sum", ylim=(lowest - room, clients + room / 3))
        axes.set_xlim(rounds[0].round - 0.7, rounds[-1].round + 0.7)
        axes.yaxis.set_major_locator(whole_numbers())

    caption = f"Of the {clients} clients that a round asks. A round that ends below the dashed line releases nothing."
    return chart(plot, title="Contributors by round", caption=caption)


def dropouts(rounds: Sequence[RoundRecord], stages: Sequence[str]) -> Chart:
    """Draw the clients that dropped out of each round, stacked by the protocol step that they left unanswered."""

    def plot(axes: "Axes", scheme: Scheme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        ramp = LinearSegmentedColormap.from_list("stages", scheme.stages, N=max(2, len(stages)))
        base = [0] * len(rounds)
        for index, stage in enumerate(stages):
            counts = [len(record.dropped.get(stage, ())) for record in rounds]
            top = [below + count for below, count in zip(base, counts, strict=True)]
            label = stage.replace("_", " ")
            _columns(axes, rounds, top, base=base, color=ramp(index), edgecolor=scheme.card, label=label)
            base = top
        axes.set(xlabel="round", ylabel="clients", ylim=(0, _ROOM * max([1, *base])))
        axes.yaxis.set_major_locator(whole_numbers())
        axes.legend(ncols=min(4, max(1, len(stages))), fontsize=8.5, **_ABOVE)

    caption = "Clients that stopped answering, by the step of the protocol that they left unanswered."
    return chart(plot, title="Dropouts by step", caption=caption)


def traffic(rounds: Sequence[RoundRecord]) -> Chart:
    """Bytes a client by round; of rounds that released nothing they are not recorded."""

    def plot(axes: "Axes", scheme: Scheme) -> None:
        from matplotlib.ticker import EngFormatter

        sent = [record.sent_bytes if record.contributors else np.nan for record in rounds]
        received = [record.received_bytes if record.contributors else np.nan for record in rounds]
        _columns(axes, rounds, sent, span=(-0.4, 0.0), color=scheme.line, label="sent")
        _columns(axes, rounds, received, span=(0.0, 0.4), color=scheme.contrast, label="received")
        axes.yaxis.set_major_formatter(EngFormatter(unit="B"))
        axes.set(xlabel="round", ylabel="bytes", ylim=(0, _ROOM * max([1.0, *np.nan_to_num([*sent, *received])])))
        axes.legend(ncols=2, **_ABOVE)

    caption = "The summing protocol alone, mean over all clients."
    return chart(plot, title="Bytes a client, by round", caption=caption)


def _numbers(rounds: Sequence[RoundRecord]) -> list[int]:
    return [record.round for record in rounds]


def _runs(
    rounds: Sequence[RoundRecord], compared: Compared, scheme: Scheme, name: str
) -> Iterator[tuple[Sequence[RoundRecord], dict[str, Any]]]:
    """Each run with how its line is drawn, the run itself last and on top; equal lines must all stay visible."""
    marker = "o" if len(rounds) == 1 else None
    styles: dict[str, dict[str, Any]] = {
        PLAIN: {"color": scheme.quiet, "linewidth": 4.5, "label": "plain, in the clear", "marker": marker},
        WITHOUT_NOISE: {
            "color": scheme.contrast,
            "linewidth": 1.6,
            "linestyle": _DASHES,
            "label": "without noise",
            "marker": marker,
        },
    }
    for kind, style in styles.items():
        if compared.get(kind):
            yield compared[kind], style
    yield rounds, {"color": scheme.line, "linewidth": 2.2, "label": name, "marker": "o", "markevery": [-1]}


def _limit(axes: "Axes", scheme: Scheme, y: float, words: str, *, below: bool = False) -> None:
    """Draw a dashed horizontal line, with its words at the left end."""
    axes.axhline(y, color=scheme.limit, linewidth=1.4, linestyle=_DASHES)
    axes.annotate(
        words,
        (0, y),
        (4, -4 if below else 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=scheme.limit,
        fontsize=9,
        va="top" if below else "bottom",
    )


def _columns(
    axes: "Axes",
    rounds: Sequence[RoundRecord],
    tops: Sequence[float],
    *,
    base: Sequence[float] | None = None,
    span: tuple[float, float] = (-0.4, 0.4),
    **style: Any,
) -> None:
    """Draw a column for each round, all of them one path, so that a thousand rounds stay a small drawing.

    Args:
        axes: Drawn on.
        rounds: Whose numbers, evenly spaced, are the places.
        tops: One height each; NaN leaves the column out.
        base: One lower end each; by default 0.
        span: Left and right edge, from the round's number, in units of the way from one round to the next.
        style: The style of the patch.
    """
    numbers = np.array(_numbers(rounds), dtype=float)
    apart = numbers[1] - numbers[0] if len(numbers) > 1 else 1.0
    edges = (numbers[:, None] + apart * np.array(span)).ravel()
    values, bottom = np.full(len(edges) - 1, np.nan), np.zeros(len(edges) - 1)
    values[::2] = tops
    bottom[::2] = 0 if base is None else base
    axes.stairs(values, edges, baseline=bottom, fill=True, **style)
    axes.set_xlim(numbers[0] - 0.7 * apart, numbers[-1] + 0.7 * apart)
