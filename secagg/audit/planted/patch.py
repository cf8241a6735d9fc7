"""One attribute, replaced for the duration of a call: for planted bugs where the code has no seam."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Replace an attribute, and set it back at the end."""
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)
