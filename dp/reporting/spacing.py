"""Which of many releases a report shows: positions that are spread evenly."""

from typing import Final

MAXIMUM_ACCOUNTED: Final = 200


def evenly_spaced(releases: int, most: int = MAXIMUM_ACCOUNTED) -> tuple[int, ...]:
    """Return the positions, from 0, of all `releases`, or of `most` of them, spread evenly and ending with the last."""
    if releases <= most:
        return tuple(range(releases))
    return tuple((position + 1) * releases // most - 1 for position in range(most))
