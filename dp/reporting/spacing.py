"""The releases that a report shows if there are many: evenly spread positions."""

from typing import Final

MAXIMUM_ACCOUNTED: Final = 200


def evenly_spaced(releases: int, most: int = MAXIMUM_ACCOUNTED) -> tuple[int, ...]:
    """Return the positions, from 0, of all `releases`, or of `most` evenly spread ones that end with the last."""
    if releases <= most:
        return tuple(range(releases))
    return tuple((position + 1) * releases // most - 1 for position in range(most))
