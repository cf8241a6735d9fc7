"""The chart of an audit's lower bounds on epsilon, beside the exact epsilon and the ledger's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dp.reporting.drawing import Chart, Scheme, chart
from secagg.audit.epsilon.rows import EpsilonRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 1.08  # to the right of the largest epsilon, as a factor


def lower_bounds(rows: Sequence[EpsilonRow]) -> Chart:
    """Draw one line for each row: a bar up to the lower bound, and marks at the exact epsilon and the ledger's.

    Args:
        rows: At least one row; the first one is at the top.
    """
    places = list(range(len(rows)))

    def plot(axes: "Axes", scheme: Scheme) -> None:
        axes.barh(
            places, [row.lower_bound for row in rows], height=0.45, color=scheme.line, label="lower bound of the audit"
        )
        for label, colour, marker in (("exact", scheme.contrast, "|"), ("ledger", scheme.limit, "D")):
            known = [(getattr(row, label), place) for row, place in zip(rows, places, strict=True)]
            shown = [(value, place) for value, place in known if value is not None]
            if shown:
                size = 16 if marker == "|" else 5
                axes.plot(*zip(*shown, strict=True), marker, color=colour, markersize=size, label=label)
        axes.set_yticks(places, [_label(row) for row in rows], fontsize=8)
        axes.invert_yaxis()
        largest = max(value for row in rows for value in (row.lower_bound, row.exact or 0, row.ledger or 0))
        axes.set(xlabel="epsilon", xlim=(0, _ROOM * largest or 1.0))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, fontsize=8.5)

    caption = (
        "The true epsilon is at least the length of the bar, with the stated confidence. If the accounting is right, "
        "it is at most the ledger's epsilon. A short bar shows a weak attack, not a stronger guarantee."
    )
    return chart(plot, title="Lower bounds on epsilon, and the epsilon of the ledger", caption=caption, width_in=8.0)


def _label(row: EpsilonRow) -> str:
    confidence = (
        f"{row.confidence:.0%}" if row.confidence < 0.999 else f"1 - {1 - row.confidence:.0e}".replace("e-0", "e-")
    )
    return f"{row.unit}: {row.method}" + ("" if confidence in row.method else f", {confidence}")
