"""The searches that are made, with what each has to find: numbers of states, violated invariants, and refusals.

`tests` search the quick ones; `python -m tests.exploration` searches all of them (`make explore`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from protocols import RemoteError, SessionReused, UnsafeOpening, UnsafeSession
from tests.exploration.checks import Check
from tests.exploration.knowledge import BOTH_SECRETS, OTHER_SUM, TWO_SETS, PairwiseSearch
from tests.exploration.opening import (
    EARLIER,
    NO_SUM,
    ONE_INPUT,
    TOO_CLOSE,
    TWO_SUMS,
    OpeningCheck,
    OpeningSearch,
    OpenSession,
)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Checks that are taken out, and what follows.

    Attributes:
        checks: The checks.
        violated: Every invariant of which the search has to find a violation.
        error: The class of the error with which the real code refuses the same actions, with the checks in place; None
            if it answers all of them, and no violation follows.
        match: What the error says.
        model: The model's parameters.
        whole: Whether the search visits every state, so that no other invariant can be violated. If not, it stops once
            it has found each.
        quick: Whether the tests make the search.
    """

    checks: tuple[Check, ...] | tuple[OpeningCheck, ...]
    violated: frozenset[str]
    error: type[Exception] | None = None
    match: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    whole: bool = True
    quick: bool = True

    def __str__(self) -> str:
        return " + ".join(self.checks) or "none"


# Pairwise masking.

WHOLE_MODELS: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "every order, spoilt shares, two pairs of keys": ({"ordered": False, "lossy": True, "second_keys": True}, 21_840),
    "steps in order": ({}, 2_068),
    "no restarts and no record": ({"restarts": 0, "removed": frozenset([Check.RECORD])}, 2_068),
    "two corrupt clients, as assumed": ({"honest": (0, 1), "assumed": 2}, 1),
    "three invented clients": ({"honest": (0,)}, 1),
}
"""Models with all checks (the record is not needed if nobody is restarted), and the number of their states."""

LONG_MODELS: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "steps in order, spoilt shares, two pairs of keys": ({"lossy": True, "second_keys": True}, 21_840),
    "every order, spoilt shares": ({"ordered": False, "lossy": True}, 14_874),
    "every order": ({"ordered": False}, 7_695),
}
"""The same for the long search. The order of steps makes no difference to what is reached."""

_NOT_SIGNED: Final = "not signed by client"

NEEDED: Final = (
    Removal(
        checks=(Check.PINNED_ROSTER,),
        violated=frozenset({BOTH_SECRETS, OTHER_SUM}),
        error=UnsafeSession,
        match="not the one in this client's own roster",
        model={"honest": (0,)},
    ),
    Removal(
        checks=(Check.SAFE_THRESHOLD,),
        violated=frozenset({BOTH_SECRETS, OTHER_SUM, TWO_SETS}),
        error=UnsafeSession,
        match="could show them two survivor sets",
        model={"honest": (0, 1), "assumed": 2},
    ),
    Removal(
        checks=(Check.SIGNED_KEYS,),
        violated=frozenset({BOTH_SECRETS, OTHER_SUM}),
        error=RemoteError,
        match=_NOT_SIGNED,
        whole=False,
    ),
    Removal(
        checks=(Check.KEYS_OF_SESSION,),
        violated=frozenset({OTHER_SUM}),
        error=RemoteError,
        match=_NOT_SIGNED,
        whole=False,
    ),
    Removal(
        checks=(Check.SHARERS_PRESENT,),
        violated=frozenset({OTHER_SUM}),
        error=RemoteError,
        match="names one outside the key directory",
    ),
    Removal(
        checks=(Check.ENOUGH_SHARERS,),
        violated=frozenset({OTHER_SUM}),
        error=RemoteError,
        match="clients have shared: expected at least",
    ),
    Removal(
        checks=(Check.SURVIVORS_SHARED,),
        violated=frozenset({OTHER_SUM}),
        error=RemoteError,
        match="names a client that has not shared",
    ),
    Removal(
        checks=(Check.ENOUGH_SIGNERS,),
        violated=frozenset({OTHER_SUM, TWO_SETS}),
        error=RemoteError,
        match="confirmations: expected at least 3, found",
    ),
    Removal(
        checks=(Check.CONFIRMED,),
        violated=frozenset({OTHER_SUM, TWO_SETS}),
        error=RemoteError,
        match=_NOT_SIGNED,
    ),
    Removal(checks=(Check.SAME_DIRECTORY,), violated=frozenset({TWO_SETS}), error=RemoteError, match=_NOT_SIGNED),
    Removal(checks=(Check.SAME_SHARERS,), violated=frozenset({TWO_SETS}), error=RemoteError, match=_NOT_SIGNED),
    Removal(
        checks=(Check.SAME_SURVIVORS,),
        violated=frozenset({OTHER_SUM, TWO_SETS}),
        error=RemoteError,
        match=_NOT_SIGNED,
    ),
    Removal(checks=(Check.ONE_SECRET,), violated=frozenset({BOTH_SECRETS, OTHER_SUM})),
    Removal(
        checks=(Check.RECORD,),
        violated=frozenset({BOTH_SECRETS, OTHER_SUM, TWO_SETS}),
        error=SessionReused,
        match="expected a step after",
        whole=False,
    ),
    Removal(
        checks=(Check.SURVIVOR_ITSELF, Check.SIGNERS_SURVIVE),
        violated=frozenset({OTHER_SUM}),
        error=RemoteError,
        match="the survivor set lacks this client",
    ),
)
"""Checks without which an invariant is violated, and one pair of checks of which either is enough."""

SPARE: Final[dict[Check, int]] = {
    Check.OWN_KEYS: 14_998,
    Check.MATCHING_KEYS: 66_429,
    Check.ENOUGH_PRESENT: 2_068,
    Check.SHARER_ITSELF: 2_346,
    Check.SURVIVOR_ITSELF: 2_349,
    Check.ENOUGH_SURVIVORS: 14_854,
    Check.SIGNERS_SURVIVE: 2_176,
}
"""Checks without which no invariant of the model is violated, and the number of states without them."""

SLOW: Final = frozenset({Check.MATCHING_KEYS})
"""Checks whose removal makes a search long."""


def spare_groups() -> Iterator[Removal]:
    """Yield every pair and, without the slow ones, every three of the spare checks, for the long search."""
    quick = [check for check in SPARE if check not in SLOW]
    for group in (*combinations(SPARE, 2), *combinations(quick, 3)):
        exposed = {Check.SURVIVOR_ITSELF, Check.SIGNERS_SURVIVE} <= set(group)
        yield Removal(checks=group, violated=frozenset({OTHER_SUM} if exposed else ()), quick=False)


# The committee's opening.

_SESSION: Final = OpenSession()
_RETRY: Final = (_SESSION, _SESSION)
_MINIMUMS: Final = (_SESSION, OpenSession(threshold=2))
_CONTEXTS: Final = (_SESSION, OpenSession(context=1))
_ALL: Final = (*_RETRY, OpenSession(key=1))
_PAIRS: Final = OpenSession(threshold=2)

WHOLE_OPENINGS: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "two sessions of one context and one under a second key": ({"sessions": _ALL}, 2_724),
    "two sessions of one context; members fail": ({"sessions": _RETRY, "crashes": True}, 3_945),
    "two contexts": ({"sessions": _CONTEXTS}, 1_952),
    "two minimums, no corrupt client": ({"sessions": _MINIMUMS, "corrupt_clients": ()}, 527),
    "one session of pairs, no corrupt client": ({"sessions": (_PAIRS,), "corrupt_clients": ()}, 44),
    "committee of 3 of 4, one corrupt, as assumed": (
        {"sessions": _RETRY, "members": 4, "threshold": 3, "corrupt_members": 1, "assumed": 1},
        290,
    ),
    "committee of 2 of 3, one corrupt, as assumed": ({"sessions": _RETRY, "corrupt_members": 1, "assumed": 1}, 1),
    "curious server, one corrupt member, one session": (
        {"sessions": (_SESSION,), "curious": True, "corrupt_members": 1},
        7,
    ),
    "curious server, committee of 3 of 4, one corrupt": (
        {"sessions": _RETRY, "curious": True, "corrupt_members": 1, "members": 4, "threshold": 3},
        79,
    ),
}
"""Models of the opening with all checks, and the number of their states."""

LONG_OPENINGS: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "two sessions of one context and one under a second key; members fail": (
        {"sessions": _ALL, "crashes": True},
        116_325,
    ),
}
"""The same for the long search."""

_APART: Final = "differs in at least 3 clients, found a difference of"

NEEDED_TO_OPEN: Final = (
    Removal(
        checks=(OpeningCheck.DISTINCT,),
        violated=frozenset({NO_SUM, ONE_INPUT}),
        error=RemoteError,
        match="clients of the session in ascending order",
        model={"sessions": (_SESSION,)},
    ),
    Removal(
        checks=(OpeningCheck.ENOUGH,),
        violated=frozenset({NO_SUM, ONE_INPUT}),
        error=RemoteError,
        match="expected at least 3, found",
        model={"sessions": (_SESSION,)},
    ),
    Removal(
        checks=(OpeningCheck.SIGNED,),
        violated=frozenset({NO_SUM, ONE_INPUT}),
        error=RemoteError,
        match=_NOT_SIGNED,
        model={"sessions": (_SESSION,)},
    ),
    Removal(
        checks=(OpeningCheck.PROVEN,),
        violated=frozenset({NO_SUM}),
        error=RemoteError,
        match="proof of plaintext knowledge",
        model={"sessions": (_SESSION,)},
    ),
    Removal(
        checks=(OpeningCheck.ONE_SUM,),
        violated=frozenset({TWO_SUMS}),
        error=SessionReused,
        match="no sum was opened with this key",
        model={"sessions": (_PAIRS,), "corrupt_clients": ()},
        whole=False,
    ),
    Removal(
        checks=(OpeningCheck.APART,),
        violated=frozenset({TOO_CLOSE, ONE_INPUT}),
        error=UnsafeOpening,
        match=_APART,
        model={"sessions": _RETRY},
        whole=False,
    ),
    Removal(
        checks=(OpeningCheck.ALL_KEYS,),
        violated=frozenset({TOO_CLOSE, ONE_INPUT}),
        error=UnsafeOpening,
        match=_APART,
        model={"sessions": (_SESSION, OpenSession(key=1))},
        whole=False,
    ),
    Removal(
        checks=(OpeningCheck.LARGER_MINIMUM,),
        violated=frozenset({TOO_CLOSE}),
        error=UnsafeOpening,
        match=_APART,
        model={"sessions": _MINIMUMS, "corrupt_clients": ()},
        whole=False,
    ),
    Removal(
        checks=(OpeningCheck.QUORUM,),
        violated=frozenset({TWO_SUMS, TOO_CLOSE, ONE_INPUT}),
        error=UnsafeSession,
        match="could open two sums",
        model={"sessions": (_SESSION,), "corrupt_members": 1, "assumed": 1},
    ),
    Removal(
        checks=(OpeningCheck.OF_SESSION, OpeningCheck.PROVEN),
        violated=frozenset({NO_SUM, ONE_INPUT}),
        error=RemoteError,
        match=_NOT_SIGNED,
        model={"sessions": _CONTEXTS, "kinds": (EARLIER,)},
        whole=False,
        quick=False,
    ),
)
"""Checks without which an invariant of the opening is violated; of the last two either is enough for it."""

SPARE_TO_OPEN: Final[dict[OpeningCheck, tuple[dict[str, Any], int]]] = {
    OpeningCheck.OF_SESSION: ({"sessions": _CONTEXTS, "kinds": (EARLIER,)}, 1_952),
}
"""The check of the opening without which no invariant is violated, since a proof is bound to its session as well."""

LIMITS: Final[dict[str, Removal]] = {
    "NOT-12: one corrupt member of a committee of 2 of 3, and a malicious server": Removal(
        checks=(),
        violated=frozenset({TWO_SUMS, TOO_CLOSE, ONE_INPUT}),
        model={"sessions": (_SESSION,), "corrupt_members": 1},
    ),
    "NOT-13: one corrupt member of a committee of 2 of 3, a curious server, and a session that is repeated": Removal(
        checks=(),
        violated=frozenset({TOO_CLOSE, ONE_INPUT}),
        model={"sessions": _RETRY, "curious": True, "corrupt_members": 1},
    ),
    "NOT-13: old copies of the members' records": Removal(
        checks=(),
        violated=frozenset({TWO_SUMS, TOO_CLOSE, ONE_INPUT}),
        model={"sessions": (_SESSION,), "old_copies": True},
        whole=False,
    ),
}
"""What the threat model says that it does not protect from: with every check in place, the search finds how."""


THREE_SUMS: Final[dict[str, Any]] = {"sessions": (_PAIRS,) * 3, "corrupt_clients": (), "kinds": ()}
"""NOT-13: three sums of two clients each under one context, which differ in two clients, and give each input."""


def pairwise(removal: Removal) -> PairwiseSearch:
    """Return the model of pairwise masking for a removal."""
    return PairwiseSearch(removed=frozenset(removal.checks), **removal.model)  # type: ignore[arg-type]  # Checks of it.


def opening(removal: Removal) -> OpeningSearch:
    """Return the model of the opening for a removal."""
    return OpeningSearch(removed=frozenset(removal.checks), **removal.model)  # type: ignore[arg-type]  # Checks of it.
