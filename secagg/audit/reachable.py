"""What can be reached from an object through attributes and containers."""

import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

_OPAQUE: Final = {*sys.stdlib_module_names, "numpy", "cryptography", "gmpy2"}
"""Packages whose objects hold no part of a party, other than containers."""


def reachable(value: object) -> Iterator[object]:
    """Yield an object and everything that it holds, each once; numbers, texts, bytes, arrays and classes are left out.

    Containers are passed through and not yielded: their reprs show the arrays that they hold.
    """
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | np.ndarray | type):
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, tuple | list | set | frozenset):
            waiting += list(each)
        elif type(each).__module__.partition(".")[0] not in _OPAQUE:
            yield each
            names = [name for kind in type(each).__mro__ for name in _slots(kind)]
            names += getattr(each, "__struct_fields__", ())
            waiting += [*getattr(each, "__dict__", {}).values(), *(getattr(each, name, None) for name in names)]


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
