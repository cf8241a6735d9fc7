"""One attribute that is replaced for a limited time, where the real code has no seam for a planted bug."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replaced(target: Any, name: str, value: object) -> Iterator[None]:
    """Replace an attribute of a module or class, and put it back at the end."""
    before = vars(target)[name]
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)
