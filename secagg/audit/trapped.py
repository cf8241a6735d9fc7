"""Traps for randomness that does not come from the tape: each use during an observation is counted.

A profile function sees every call of a function that is written in C, under whatever name the code knows it, also as
the default value of an argument: the operating system's source, which `secrets`, `uuid.uuid4` and `SystemRandom` use
too, the generators of `random`, and the key generation of `cryptography`. It does not see the generators of NumPy, so
their constructors and NumPy's global generator are replaced instead.
"""

import _random
import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import numpy as np

from secagg.audit.everywhere import replaced_everywhere

_SYSTEM: Final = (
    "urandom",
    "getrandom",
    "RAND_bytes",
    "generate_key",
    "generate_private_key",
    "generate_parameters",
)
_CONSTRUCTORS: Final = ("default_rng", "Generator", "RandomState", "SeedSequence", "MT19937", "PCG64", "PCG64DXSM",
                        "Philox", "SFC64")  # fmt: skip
_NO_DRAW: Final = ("setstate", "getstate", "seed")


@contextlib.contextmanager
def counted_randomness() -> Iterator[Counter[str]]:
    """Count the uses of other sources of randomness in this thread and in threads that start meanwhile, by name."""
    counts: Counter[str] = Counter()

    def profile(_: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            name = getattr(called, "__name__", "")
            if name in _SYSTEM:
                counts[name] += 1
            elif isinstance(getattr(called, "__self__", None), _random.Random) and name not in _NO_DRAW:
                counts[f"random.{name}"] += 1

    with replaced_everywhere([(each, _counting(each, counts)) for each in _numpy_sources()]):
        before, of_threads = sys.getprofile(), threading.getprofile()
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            yield counts
        finally:
            sys.setprofile(before)
            threading.setprofile(of_threads)


def _numpy_sources() -> list[Any]:
    """Return the constructors of NumPy's generators, and all methods of its global generator that NumPy exports."""
    found = [getattr(np.random, name) for name in _CONSTRUCTORS if hasattr(np.random, name)]
    shared = getattr(np.random.random, "__self__", None)
    exported = [each for each in vars(np.random).values() if callable(each)]
    return found + [each for each in exported if shared is not None and getattr(each, "__self__", None) is shared]


def _counting(original: Any, counts: Counter[str]) -> Any:
    """Return what takes the place of a function, or of a class, and counts each call."""
    name, constructor = f"numpy.random.{original.__name__}", original.__init__
    if isinstance(original, type):

        def begin(self: Any, *arguments: Any, **named: Any) -> None:
            counts[name] += 1
            constructor(self, *arguments, **named)

        return type(original.__name__, (original,), {"__init__": begin})

    def counted(*arguments: Any, **named: Any) -> Any:
        counts[name] += 1
        return original(*arguments, **named)

    return counted
