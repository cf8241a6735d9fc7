"""The form of a model's inputs and outputs, and arrays that are put into it and taken out of it; without Keras."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from secagg.errors import DataError, ModelError
from secagg.models.layout import Form, Layout, input_layout, output_layout

ONE = Layout(form=Form.ONE, names=("image",))
LIST = Layout(form=Form.LIST, names=("left", "right"))
DICT = Layout(form=Form.DICT, names=("left", "right"))


@pytest.mark.parametrize(
    ("structure", "layout"),
    [("image", ONE), (["left", "right"], LIST), (("left", "right"), LIST), ({"left": "a", "right": "b"}, DICT)],
)
def test_layout_is_read_off_a_structure(structure: Any, layout: Layout) -> None:
    assert Layout.of(structure, str) == layout


@pytest.mark.parametrize("structure", [[], {}, [["left"], "right"], {"left": {"right": 1}}])
def test_empty_or_nested_structures_are_refused(structure: Any) -> None:
    with pytest.raises(ModelError, match="an empty or nested structure"):
        Layout.of(structure, str)


def test_members_are_arranged_by_position_or_by_name() -> None:
    assert ONE.arranged("x", 1) == ONE.arranged("x", [1]) == ONE.arranged("x", {"image": 1}) == [1]
    assert LIST.arranged("x", (1, 2)) == [1, 2]
    for layout in (LIST, DICT):
        assert layout.arranged("x", {"right": 2, "left": 1}) == [1, 2]


@pytest.mark.parametrize(
    ("layout", "given", "match"),
    [
        (LIST, {"left": 1}, "a dict of left, right, found left"),
        (LIST, {}, "found nothing"),
        (LIST, [1], "found a list of 1"),
        (LIST, np.ones((2, 3)), r"found one array of shape \(2, 3\)"),
        (LIST, 1, "found int"),
        (DICT, [1, 2], "A dict says which is which"),
        (ONE, [1, 2], "numpy.stack makes one array"),
    ],
)
def test_members_that_do_not_match_the_names_are_refused(layout: Layout, given: Any, match: str) -> None:
    with pytest.raises(DataError, match=f"^expected x as .*{match}"):
        layout.arranged("x", given)


def test_members_are_packed_in_the_models_form_and_unpacked_again() -> None:
    for layout, packed in ((LIST, [1, 2]), (DICT, {"left": 1, "right": 2})):
        assert layout.packed([1, 2]) == packed
        assert layout.unpacked(packed) == [1, 2]
    assert ONE.packed([1]) == 1
    assert DICT.unpacked({"right": 2, "left": 1}) == [1, 2]


@pytest.mark.parametrize(
    ("layout", "structure"),
    [(ONE, [1]), (LIST, [1]), (LIST, 1), (LIST, {"left": 1, "right": 2}), (DICT, {"left": 1, "up": 2}), (DICT, [1, 2])],
)
def test_structures_of_another_form_are_refused(layout: Layout, structure: Any) -> None:
    with pytest.raises(ModelError, match=f"expected {layout.form.value} from the model"):
        layout.unpacked(structure)


def test_failed_check_names_its_member_if_there_are_several() -> None:
    def check(position: int, member: int) -> int:
        if member < 0:
            raise DataError(f"found {member}")
        return 10 * position + member

    assert DICT.checked("x", {"left": 1, "right": 2}, check) == {"left": 1, "right": 12}
    with pytest.raises(DataError, match=r"^right: found -2$"):
        LIST.checked("x", [1, -2], check)
    with pytest.raises(DataError, match=r"^found -1$"):
        ONE.checked("x", -1, check)


def test_layouts_of_a_model_are_those_of_its_tensors() -> None:
    left, right = SimpleNamespace(name="left"), SimpleNamespace(name="right")
    model = SimpleNamespace(
        inputs=[left, right], input={"left": left, "right": right}, outputs=[left], output=left, output_names=["image"]
    )
    assert input_layout(model) == (DICT, [left, right])
    assert output_layout(model) == (ONE, [left])
    assert input_layout(SimpleNamespace()) is output_layout(SimpleNamespace()) is None
    sequential = SimpleNamespace(inputs=[left])  # which has no `input` until it is called
    assert input_layout(sequential) == (Layout(form=Form.ONE, names=("left",)), [left])
