"""`python -m tests.exploration`: every search, the long ones as well, each compared with what it has to find."""

import sys
from collections.abc import Iterator
from typing import Any

from tests.exploration.cases import (
    LIMITS,
    LONG_MODELS,
    LONG_OPENINGS,
    NEEDED,
    NEEDED_TO_OPEN,
    SPARE,
    SPARE_TO_OPEN,
    WHOLE_MODELS,
    WHOLE_OPENINGS,
    Removal,
    opening,
    pairwise,
    spare_groups,
)
from tests.exploration.knowledge import PairwiseSearch
from tests.exploration.opening import OpeningSearch
from tests.exploration.search import Exploration, explore

Result = tuple[str, Exploration[Any], bool]


def results() -> Iterator[Result]:
    """Yield each search by name, with what it found and whether that is what it has to find."""
    yield from pairwise_results()
    yield from opening_results()


def pairwise_results() -> Iterator[Result]:
    """Yield the searches of pairwise masking."""
    for name, (parameters, states) in (WHOLE_MODELS | LONG_MODELS).items():
        found = explore(PairwiseSearch(**parameters))
        yield f"pairwise, all checks: {name}", found, _holds(found, states)
    for removal in NEEDED:
        yield _searched("pairwise", removal, explore(pairwise(removal), until=_until(removal)))
    for check, states in SPARE.items():
        found = explore(PairwiseSearch(removed=frozenset([check])))
        yield f"pairwise without {check}", found, _holds(found, states)
    for removal in spare_groups():
        yield _searched("pairwise", removal, explore(pairwise(removal), until=_until(removal)))


def opening_results() -> Iterator[Result]:
    """Yield the searches of the opening."""
    for name, (parameters, states) in (WHOLE_OPENINGS | LONG_OPENINGS).items():
        found = explore(OpeningSearch(**parameters))
        yield f"opening, all checks: {name}", found, _holds(found, states)
    for removal in (*NEEDED_TO_OPEN, *LIMITS.values()):
        yield _searched("opening", removal, explore(opening(removal), until=_until(removal)))
    for check, (parameters, states) in SPARE_TO_OPEN.items():
        found = explore(OpeningSearch(removed=frozenset([check]), **parameters))
        yield f"opening without {check}", found, _holds(found, states)


def _until(removal: Removal) -> frozenset[str]:
    return frozenset() if removal.whole else removal.violated


def _holds(found: Exploration[Any], states: int) -> bool:
    return found.complete and not found.traces and found.states == states


def _searched(kind: str, removal: Removal, found: Exploration[Any]) -> Result:
    return f"{kind} without {removal}", found, found.traces.keys() == removal.violated


def main() -> int:
    """Print every search, and return 1 if one found something else than it has to find."""
    failures = 0
    for name, found, right in results():
        violated = "; ".join(f"{each} after {len(trace)}" for each, trace in found.traces.items())
        sys.stdout.write(f"{'ok  ' if right else 'FAIL'} {name}\n     {found}\n     {violated or 'no violation'}\n")
        sys.stdout.flush()
        failures += not right
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
