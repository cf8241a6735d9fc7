"""A model of the opening of sums by a committee: what a server can make committee members open.

The model is symbolic: encryption, signatures and proofs are perfect. Four clients have made their contributions to each
of a few sessions; clients 0, 1 and 2 are honest. The server asks any member to open any selection of contributions in
any session, in any order, any number of times. A selection opens if `threshold` members have answered for it, corrupt
ones included. A member may be restarted before each request, and may fail after it has noted an opening and before it
has answered.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import permutations, product
from typing import Final, NamedTuple

from tests.exploration.learned import learned_sums

CLIENTS: Final = (0, 1, 2, 3)
NONE, OWN, FORGED, EARLIER, THRICE, COPY = range(6)
"""What a selection holds in a client's name.

Nothing; what the client made for this session; what the server made; what the client made for session 0; the client's
own three times. From `COPY` on: a corrupt client's copy of the ciphertexts of client 0, 1 or 2.
"""

TWO_SUMS: Final = "two sums of one session"
NO_SUM: Final = "an opening that is not the sum of the minimum of clients"
TOO_CLOSE: Final = "two sums under one context that differ in too few clients"
ONE_INPUT: Final = "the input of one honest client"

Selection = tuple[int, ...]


class OpeningCheck(StrEnum):
    """A check that a committee member makes before it opens; the last one is a client's, before it takes part."""

    DISTINCT = "contributors: each once"
    ENOUGH = "contributors: at least the minimum"
    SIGNED = "contributions: signed by their clients"
    OF_SESSION = "contributions: signed for this session"
    PROVEN = "contributions: proofs of plaintext knowledge"
    ONE_SUM = "record: one sum of a session"
    APART = "record: sets of contributors differ in enough clients"
    ALL_KEYS = "record: sums under all keys are compared"
    LARGER_MINIMUM = "record: the larger of two minimums counts"
    QUORUM = "session: committee's threshold for the corrupt members"


class OpenSession(NamedTuple):
    """A session: the numbers of its context and of its committee's key, and its threshold."""

    context: int = 0
    key: int = 0
    threshold: int = 3


class Noted(NamedTuple):
    """An entry of a member's record: the session, what was to be opened, and whether the member has answered."""

    session: int
    selection: Selection
    answered: bool


class Opening(NamedTuple):
    """A request to a member to open a selection in a session, and whether it answers or fails before that."""

    member: int
    session: int
    selection: Selection
    answered: bool

    def __str__(self) -> str:
        failing = "" if self.answered else ", and fails before it answers"
        return f"member {self.member} notes {self.selection} of session {self.session}{failing}"


Record = tuple[Noted, ...]
State = tuple[int, ...]
"""By honest member, the number of its record in `OpeningSearch.records`."""


@dataclass(frozen=True, kw_only=True)
class OpeningSearch:
    """The model with its invariants.

    Attributes:
        sessions: The sessions.
        members: Number of committee members; the honest ones come first.
        threshold: Number of members that open a sum together.
        corrupt_members: Number of corrupt members.
        assumed: Number of corrupt members that clients assume.
        corrupt_clients: The corrupt clients.
        own_minimum: The smallest number of contributors that members accept, whatever the session says.
        curious: Whether the server follows the protocol: it asks all members of a session for one selection, of
            contributions as they were made.
        kinds: What selections may hold besides a client's own contribution.
        crashes: Whether members may fail between noting and answering.
        old_copies: Whether a member's record may be replaced by an old copy, such as an empty one.
        removed: The checks that are left out.
        records: The records of a member that were met, by number.
    """

    sessions: tuple[OpenSession, ...]
    members: int = 3
    threshold: int = 2
    corrupt_members: int = 0
    assumed: int = 0
    corrupt_clients: tuple[int, ...] = (3,)
    own_minimum: int = 2
    curious: bool = False
    kinds: tuple[int, ...] = (FORGED, EARLIER, THRICE, COPY)
    crashes: bool = False
    old_copies: bool = False
    removed: frozenset[OpeningCheck] = frozenset()
    records: list[Record] = field(default_factory=list, repr=False, compare=False)
    _numbers: dict[Record, int] = field(default_factory=dict, repr=False, compare=False)
    _possible: dict[int, tuple[list[Selection], int]] = field(default_factory=dict, repr=False, compare=False)
    _answers: dict[int, tuple[list[tuple[Noted, int]], int]] = field(default_factory=dict, repr=False, compare=False)
    _broken: dict[frozenset[tuple[int, Selection]], tuple[str, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _renamed: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def honest_members(self) -> range:
        """The honest members."""
        return range(self.members - self.corrupt_members)

    @property
    def honest_clients(self) -> tuple[int, ...]:
        """The honest clients."""
        return tuple(client for client in CLIENTS if client not in self.corrupt_clients)

    def start(self) -> State:
        """Return the state before any request."""
        return tuple(self._number(()) for _ in self.honest_members)

    def _number(self, record: Record) -> int:
        number = self._numbers.setdefault(record, len(self.records))
        if number == len(self.records):
            self.records.append(record)
        return number

    # What members answer.

    def moves(self, state: State) -> tuple[list[tuple[Opening, State]], int]:
        """See `search.Model.moves`."""
        accepted, refused = [], 0
        for member in self.honest_members:
            answered, others = self._answered(state[member])
            refused += others
            for noted, changed in answered:
                if not self.curious or self._is_asked(state, noted.session, noted.selection):
                    action = Opening(member, *noted)
                    accepted.append((action, (*state[:member], changed, *state[member + 1 :])))
        return accepted, refused

    def _answered(self, number: int) -> tuple[list[tuple[Noted, int]], int]:
        """Return what a member with a record notes, with the number of its record then; and count what it refuses."""
        if number not in self._answers:
            found, refused = [], 0
            for session in range(len(self.sessions)):
                possible, others = self._acceptable(session)
                refused += others
                for selection in possible:
                    if self._noted_before(self.records[number], session, selection) is not None:
                        refused += 1
                        continue
                    for answered in (True, False) if self.crashes else (True,):
                        noted = Noted(session, selection, answered)
                        found.append((noted, self._with(number, noted)))
            self._answers[number] = [each for each in found if each[1] != number], refused
        return self._answers[number]

    def _with(self, number: int, noted: Noted) -> int:
        return self._number(tuple(sorted({*self.records[number], noted})))

    def after(self, state: State, action: Opening) -> State:
        """Return the state after a member has noted an opening."""
        member, session, selection, answered = action
        changed = self._with(state[member], Noted(session, selection, answered))
        return (*state[:member], changed, *state[member + 1 :])

    def reason(self, state: State, action: Opening) -> OpeningCheck | None:
        """Return why a member refuses in a state; None if it opens."""
        found = next(self._refusals(action.session, action.selection), None)
        return found or self._noted_before(self.records[state[action.member]], action.session, action.selection)

    def selections(self, session: int) -> list[Selection]:
        """Return everything that the server can ask for in a session: contributions of at least one client."""
        kinds = [kind for kind in self.kinds if kind != COPY]
        copies = [COPY + client for client in self.honest_clients] if COPY in self.kinds else []
        entries = [[NONE, OWN, *(copies if client in self.corrupt_clients else kinds)] for client in CLIENTS]
        if self.curious:
            entries = [[NONE, OWN] for _ in CLIENTS]
        # In the session in which they were made, earlier contributions are a client's own.
        return [each for each in product(*entries) if any(each) and (EARLIER not in each or session)]

    def _acceptable(self, session: int) -> tuple[list[Selection], int]:
        """Return the selections that an empty record lets a member open; and count the others."""
        if session not in self._possible:
            every = self.selections(session)
            found = [each for each in every if next(self._refusals(session, each), None) is None]
            self._possible[session] = found, len(every) - len(found)
        return self._possible[session]

    def _refusals(self, session: int, selection: Selection) -> Iterator[OpeningCheck]:
        """Yield the checks that a selection fails, whatever was opened before, in order."""
        failing = []
        if 2 * self.threshold <= self.members + self.assumed:
            failing.append(OpeningCheck.QUORUM)
        if THRICE in selection:
            failing.append(OpeningCheck.DISTINCT)
        if sum({NONE: 0, THRICE: 3}.get(entry, 1) for entry in selection) < self._minimum(session):
            failing.append(OpeningCheck.ENOUGH)
        if FORGED in selection:
            failing.append(OpeningCheck.SIGNED)
        if EARLIER in selection and OpeningCheck.SIGNED not in self.removed:
            failing.append(OpeningCheck.OF_SESSION)
        if EARLIER in selection or max(selection) >= COPY:
            failing.append(OpeningCheck.PROVEN)
        return (check for check in failing if check not in self.removed)

    def _minimum(self, session: int) -> int:
        return max(self.sessions[session].threshold, self.own_minimum)

    def _noted_before(self, record: Record, session: int, selection: Selection) -> OpeningCheck | None:
        """Return the check by which a member's record refuses a selection; None if it does not."""
        if self.old_copies:
            return None
        here = self.sessions[session]
        if OpeningCheck.ONE_SUM not in self.removed and any(noted.session == session for noted in record):
            return OpeningCheck.ONE_SUM
        for noted in record:
            there = self.sessions[noted.session]
            if there.context != here.context or OpeningCheck.APART in self.removed:
                continue
            if OpeningCheck.ALL_KEYS in self.removed and there.key != here.key:
                continue
            larger = OpeningCheck.LARGER_MINIMUM not in self.removed
            least = max(self._minimum(session), self._minimum(noted.session) if larger else 0)
            if 0 < len(_clients(selection) ^ _clients(noted.selection)) < least:
                return OpeningCheck.APART
        return None

    def _is_asked(self, state: State, session: int, selection: Selection) -> bool:
        """Return whether a server that follows the protocol asks for this: it asks all members for the same."""
        records = (self.records[number] for number in state)
        asked = {noted.selection for record in records for noted in record if noted.session == session}
        return asked <= {selection}

    # What the server learns.

    def opened(self, state: State) -> frozenset[tuple[int, Selection]]:
        """Return the sessions and selections that are opened."""
        records = (self.records[number] for number in state)
        answers = [(noted.session, noted.selection) for record in records for noted in record if noted.answered]
        needed = self.threshold - self.corrupt_members
        return frozenset(each for each in answers if answers.count(each) >= needed)

    def violations(self, state: State) -> tuple[str, ...]:
        """See `search.Model.violations`."""
        opened = self.opened(state)
        if opened not in self._broken:
            self._broken[opened] = tuple(self._violated(sorted(opened)))
        return self._broken[opened]

    def _violated(self, opened: Sequence[tuple[int, Selection]]) -> Iterator[str]:
        if len({session for session, _ in opened}) < len(opened):
            yield TWO_SUMS
        if any(not self._is_sum(*each) for each in opened):
            yield NO_SUM
        for session, selection in opened:
            for other, another in opened:
                same_context = self.sessions[session].context == self.sessions[other].context
                apart = len(_clients(selection) ^ _clients(another))
                if same_context and 0 < apart < max(self._minimum(session), self._minimum(other)):
                    yield TOO_CLOSE
        if self.single_inputs(opened):
            yield ONE_INPUT

    def _is_sum(self, session: int, selection: Selection) -> bool:
        whole = all(selection[client] in (NONE, OWN) for client in CLIENTS)
        return whole and len(_clients(selection)) >= self._minimum(session)

    def inputs(self, session: int, selection: Selection) -> dict[tuple[int, int], int]:
        """Return the inputs in a selection's sum: by context and client, how often. What the server made is zero."""
        found: dict[tuple[int, int], int] = {}
        for client, entry in enumerate(selection):
            source = entry - COPY if entry >= COPY else client
            context = self.sessions[0 if entry == EARLIER else session].context
            times = {NONE: 0, FORGED: 0, THRICE: 3}.get(entry, 1)
            if times:
                found[context, source] = found.get((context, source), 0) + times
        return found

    def single_inputs(self, opened: Sequence[tuple[int, Selection]]) -> frozenset[tuple[int, int]]:
        """Return the honest clients' inputs, by context and client, that can be computed from opened sums."""
        sums = [self.inputs(*each) for each in opened]
        known = [{name: times for name, times in each.items() if name[1] in self.honest_clients} for each in sums]
        every = sorted({name for each in known for name in each})
        return frozenset(
            name
            for name in every
            # An input is known if something of it is left when all other inputs are masks.
            if learned_sums(known, [name])
        )

    # Equal parties.

    def canonical(self, state: State) -> Hashable:
        """See `search.Model.canonical`. Honest clients are equal, and so are honest members."""
        return min(
            tuple(sorted(self._renamed_record(number, record) for record in state))
            for number in range(len(self._names))
        )

    def _renamed_record(self, names: int, number: int) -> int:
        key = (names, number)
        if key not in self._renamed:
            self._renamed[key] = self._number(
                tuple(sorted(_renamed(self._names[names], noted) for noted in self.records[number]))
            )
        return self._renamed[key]

    @cached_property
    def _names(self) -> list[dict[int, int]]:
        honest = self.honest_clients
        return [
            dict(zip((*honest, *self.corrupt_clients), (*renamed, *self.corrupt_clients), strict=True))
            for renamed in permutations(honest)
        ]


def _clients(selection: Selection) -> frozenset[int]:
    """Return the clients in whose names a selection has contributions."""
    return frozenset(client for client, entry in enumerate(selection) if entry != NONE)


def _renamed(names: dict[int, int], noted: Noted) -> Noted:
    found = [NONE] * len(CLIENTS)
    for client, entry in enumerate(noted.selection):
        found[names[client]] = COPY + names[entry - COPY] if entry >= COPY else entry
    return Noted(noted.session, tuple(found), noted.answered)
