"""What sums someone can compute from masked vectors, if some of the masks are known: exact linear algebra.

A row stands for one masked vector. It adds inputs and masks with whole coefficients, for example `{"x0": 1, "s0": 1,
"p01": -1}`. Masks that are known can be subtracted, so rows name only the others. A combination of rows in which all
masks cancel is a sum of inputs that is learned.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Row = Mapping[Any, int]


@dataclass(frozen=True)
class Sum:
    """A sum of inputs that can be computed.

    Attributes:
        inputs: By input, its coefficient; never 0. The first coefficient is positive.
        weights: By row, the coefficient with which the row enters; never 0.
    """

    inputs: tuple[tuple[Hashable, Fraction], ...]
    weights: tuple[tuple[int, Fraction], ...]


def learned_sums(rows: Sequence[Row], inputs: Collection[Hashable]) -> tuple[Sum, ...]:
    """Return a basis of the sums of inputs that the rows give away, in reduced form.

    Args:
        rows: The masked vectors.
        inputs: The names that stand for inputs, in order; all other names are unknown masks.
    """
    masks = sorted({name for row in rows for name in row if name not in inputs}, key=repr)
    columns = [*masks, *inputs]
    matrix = [
        [Fraction(row.get(name, 0)) for name in columns] + [Fraction(int(at == number)) for at in range(len(rows))]
        for number, row in enumerate(rows)
    ]
    pivot, found = 0, []
    for column in range(len(columns)):
        chosen = next((at for at in range(pivot, len(matrix)) if matrix[at][column]), None)
        if chosen is None:
            continue
        matrix[pivot], matrix[chosen] = matrix[chosen], matrix[pivot]
        lead = matrix[pivot][column]
        matrix[pivot] = [value / lead for value in matrix[pivot]]
        for at, line in enumerate(matrix):
            if at != pivot and line[column]:
                factor = line[column]
                matrix[at] = [value - factor * own for value, own in zip(line, matrix[pivot], strict=True)]
        if column >= len(masks):
            found.append(pivot)
        pivot += 1
    return tuple(
        Sum(
            tuple((name, value) for name, value in zip(columns, matrix[at], strict=False) if value),
            tuple((number, value) for number, value in enumerate(matrix[at][len(columns) :]) if value),
        )
        for at in found
    )
