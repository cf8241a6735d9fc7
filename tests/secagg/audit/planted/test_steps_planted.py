"""Tables of steps with one method replaced."""

from protocols import SecAgg
from secagg.audit.planted.steps import with_answers, with_closes


def test_one_row_calls_another_method_and_all_else_stays() -> None:
    steps, other = SecAgg().steps, object()
    answered, closed = with_answers(steps, {"mask_input": other}), with_closes(steps, {"mask_input": other})
    assert [id(row.answer) == id(other) for row in answered] == [False, False, True, False]
    assert [id(row.close) == id(other) for row in closed] == [False, False, True, False]
    assert [(row.name, row.request, row.absorb) for row in answered] == [
        (row.name, row.request, row.absorb) for row in steps
    ]
