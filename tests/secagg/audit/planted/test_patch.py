import math

import pytest

from secagg.audit.planted.patch import replaced


def test_attribute_is_set_back_also_after_an_error() -> None:
    with replaced(math, "tau", 1.0):
        assert math.tau == 1.0
    with pytest.raises(ZeroDivisionError), replaced(math, "tau", 0.0):
        1 / math.tau
    assert math.tau == pytest.approx(2 * math.pi)
