"""An attribute is replaced for the duration of a context, whatever ends it."""

from types import SimpleNamespace

import pytest

from secagg.audit.planted.patch import replaced


def test_attribute_is_set_back_also_after_an_error() -> None:
    target = SimpleNamespace(value=1)
    with replaced(target, "value", 2):
        assert target.value == 2
    assert target.value == 1
    with pytest.raises(ZeroDivisionError), replaced(target, "value", 3):
        raise ZeroDivisionError
    assert target.value == 1
