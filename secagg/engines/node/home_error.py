"""The error of a node's home."""

from secagg.errors import SecaggError


class HomeError(SecaggError, ValueError):
    """A home that is not complete, or whose parts do not fit together."""
