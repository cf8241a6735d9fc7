"""Secret randomness: the type of its sources, and the one check of what they return."""

from collections.abc import Callable
from functools import partial

from protocols.errors import ParameterError

Entropy = Callable[[int], bytes]
"""A source of secret randomness: `entropy(n)` returns n uniform bytes, as `os.urandom` does."""


def draw(entropy: Entropy, size: int) -> bytes:
    """Return `size` bytes from a source.

    Raises:
        ParameterError: The source returns anything other than `size` bytes.
    """
    drawn = entropy(size)
    if type(drawn) is not bytes or len(drawn) != size:
        found = f"{len(drawn)}" if type(drawn) is bytes else f"a {type(drawn).__name__}"
        raise ParameterError(f"entropy: expected {size} bytes of entropy, found {found}. Use os.urandom.")
    return drawn


def checked(entropy: Entropy) -> Entropy:
    """Return the same source with each of its answers checked by `draw`."""
    return partial(draw, entropy)
