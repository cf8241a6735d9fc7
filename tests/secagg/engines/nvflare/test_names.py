"""The names of the package: they need FLARE when they are used, and not before."""

import sys

import pytest

import secagg.engines.nvflare
from secagg.errors import MissingExtraError


@pytest.mark.parametrize("name", secagg.engines.nvflare.__all__)
def test_a_name_without_flare_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvflare", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"\.\[nvflare\]\""):
        getattr(secagg.engines.nvflare, name)


def test_another_name_is_none() -> None:
    assert not hasattr(secagg.engines.nvflare, "Controller")
