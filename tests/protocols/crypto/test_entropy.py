"""Every source of randomness is checked by one function."""

import os

import pytest

from protocols.crypto.entropy import Entropy, checked, draw
from protocols.errors import ParameterError


@pytest.mark.parametrize("size", [0, 1, 32])
def test_draw_returns_the_bytes_of_the_source(size: int) -> None:
    assert draw(bytes, size) == checked(bytes)(size) == bytes(size)
    assert len(draw(os.urandom, size)) == size


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (lambda size: bytes(size - 1), "found 7"),
        (lambda size: bytes(size + 1), "found 9"),
        (lambda size: bytearray(size), "found a bytearray"),
        (lambda size: "x" * size, "found a str"),
    ],
)
def test_source_that_gives_anything_else_is_refused(source: Entropy, found: str) -> None:
    with pytest.raises(ParameterError, match=f"expected 8 bytes of entropy, {found}"):
        draw(source, 8)
    with pytest.raises(ParameterError, match=f"expected 8 bytes of entropy, {found}"):
        checked(source)(8)
