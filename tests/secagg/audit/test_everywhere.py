import os
import secrets
import types
from collections.abc import Iterator
from os import urandom

import pytest

from secagg.audit import seeds
from secagg.audit.everywhere import replaced_everywhere


def _zeros(size: int) -> bytes:
    return bytes(size)


def test_object_is_replaced_under_every_name_and_put_back() -> None:
    before = urandom
    with replaced_everywhere([(urandom, _zeros)]):
        assert os.urandom is _zeros
        assert globals()["urandom"] is _zeros
    assert os.urandom is before
    assert globals()["urandom"] is before


def test_object_is_put_back_after_an_error() -> None:
    before = secrets.token_bytes
    with pytest.raises(ValueError, match="inside"), replaced_everywhere([(secrets.token_bytes, _zeros)]):
        raise ValueError("inside")
    assert secrets.token_bytes is before


@pytest.fixture
def own() -> Iterator[types.ModuleType]:
    seeds.token = secrets.token_bytes  # type: ignore[attr-defined]  # A name for the test.
    yield seeds
    del seeds.token  # type: ignore[attr-defined]  # As above.


def test_audit_keeps_the_original_objects(own: types.ModuleType) -> None:
    with replaced_everywhere([(secrets.token_bytes, _zeros)]):
        assert own.token is not _zeros
