"""Sessions that differ from one in a single field, and committees whose keys open nothing, to compare digests."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Any, assert_never

from protocols.cohort import Adversary
from protocols.committee import Committee
from protocols.errors import ParameterError
from protocols.identity import Roster
from protocols.secure_sum import SecureSum
from protocols.session import MAX_TIME, Extra, Opening, Session
from protocols.testing.repeatable import fixed_identity, fixed_roster
from protocols.testing.suite.base import STRANGER

_OPENING = Opening(least_dropped=3, most_dropped=4)


@dataclass(frozen=True, slots=True)
class StandInKey:
    """A committee's key that can stand in a session and do nothing else."""

    members: int
    threshold: int
    bits: int = 0

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that identify the key."""
        return sha256(self.to_bytes()).digest()

    @property
    def colluding(self) -> int:
        """One fewer than the threshold."""
        return self.threshold - 1

    @property
    def pin(self) -> bytes:
        """The fingerprint."""
        return self.fingerprint

    @property
    def expires(self) -> None:
        """It never expires."""

    def to_bytes(self) -> bytes:
        """Return its numbers as text."""
        return f"stand-in key {self.members} {self.threshold}".encode()


def stand_in_committee(members: tuple[int, ...], threshold: int = 2) -> Committee:
    """Return a committee of these members with a key that opens nothing."""
    return Committee(key=StandInKey(len(members), threshold), members=members)


def with_extra(session: Session, extra: Extra) -> Session:
    """Return the session with one more field set."""
    match extra:
        case Extra.ROSTER:
            return replace(session, roster=fixed_roster(session.clients))
        case Extra.ATTACHED:
            return replace(session, attached=(_OPENING,))
        case Extra.COMMITTEE:
            return replace(session, committee=stand_in_committee((21, 22, 23)))
        case Extra.EXPIRES:
            return replace(session, expires=MAX_TIME)
        case Extra.WEIGHTS:
            return replace(session, weights=(1, 2))
        case Extra.BATCHES:
            return replace(session, batches=True)
        case _ as never:
            assert_never(never)


def other_sessions(session: Session) -> Iterator[Session]:
    """Yield sessions each of which differs from this one, and from all others, in at least one field."""
    yield replace(session, session_id=session.session_id + b"x")
    yield replace(session, context=session.context + b"x")
    yield replace(session, parameters=session.parameters + b"x")
    yield replace(session, context=session.context + b"x", parameters=session.parameters + b"x")
    yield replace(session, clients=tuple(reversed(session.clients)))
    yield _with_clients(session, (*session.clients[:-1], STRANGER))
    yield _with_clients(session, (*session.clients, STRANGER))
    keys = {client: fixed_identity(client).public for client in session.clients}
    first, second = session.clients[:2]
    yield replace(session, roster=None if session.roster else Roster(keys))
    yield replace(session, roster=Roster({**keys, first: keys[second], second: keys[first]}))
    yield replace(session, attached=(*session.attached, _OPENING))
    yield replace(session, attached=(_OPENING, *session.attached, _OPENING))
    yield replace(session, attached=(*session.attached, replace(_OPENING, least_dropped=2)))
    yield replace(session, attached=(*session.attached, replace(_OPENING, most_dropped=5)))
    yield from _other_committees(session)
    yield replace(session, expires=None if session.expires else MAX_TIME)
    yield replace(session, expires=MAX_TIME - 1)
    yield replace(session, weights=(1, 3))
    yield replace(session, weights=(3,))
    yield replace(session, batches=not session.batches)
    yield replace(session, length=session.length + 1)
    yield replace(session, modulus=session.modulus - 1)
    yield replace(session, modulus=2**64 if session.modulus < 2**64 else 2**63)
    if len(session.clients) > 2:
        yield replace(session, threshold=2 if session.threshold > 2 else 3)


def _other_committees(session: Session) -> Iterator[Session]:
    members = session.committee_members or (21, 22, 23)
    committees = [
        stand_in_committee(members),
        stand_in_committee(members[::-1]),
        stand_in_committee((*members[:-1], STRANGER)),
        stand_in_committee((*members, STRANGER)),
        stand_in_committee(members, threshold=len(members) + 1),
    ]
    if session.committee is not None:
        yield replace(session, committee=None)
        committees.append(replace(session.committee, members=members[::-1]))
        committees.append(replace(session.committee, members=(*members[:-1], STRANGER)))
    yield from (replace(session, committee=committee) for committee in committees)


def _with_clients(session: Session, clients: tuple[int, ...]) -> Session:
    return replace(session, clients=clients, roster=None if session.roster is None else fixed_roster(clients))


def other_parameters(protocol: SecureSum) -> Iterator[SecureSum]:
    """Yield the protocol with one of its parameters changed, for all parameters and some values of each.

    Raises:
        LookupError: A parameter is of a type for which no other value is known, or accepts none of those tried.
    """
    if not is_dataclass(protocol):
        raise LookupError(f"{type(protocol).__name__}: expected a frozen dataclass, found another class")
    for each in fields(protocol):
        found = 0
        for value in _other_values(each.name, getattr(protocol, each.name), protocol):
            try:
                other = replace(protocol, **{each.name: value})
            except ParameterError:
                continue
            found += 1
            yield other
        if not found and not isinstance(getattr(protocol, each.name), Enum):
            raise LookupError(f"{each.name}: expected a parameter that accepts another value, found none that it does")


def _other_values(name: str, value: Any, protocol: SecureSum) -> list[Any]:
    if isinstance(value, Adversary):
        return [other for other in protocol.adversaries if other is not value]
    if isinstance(value, Enum):
        return [other for other in type(value) if other is not value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return sorted({1, 8, 16, value + 1, value + 2, value + 256} - {value})
    if isinstance(value, float):
        return [value / 2, value / 2 + 0.25]
    if isinstance(value, str):
        return [value + "x", value + value + "y"]
    if isinstance(value, bytes):
        return [value + b"x", value + value + b"y"]
    if value is None:
        return [1, 8, 16]
    raise LookupError(f"{name}: expected a parameter that is a number, a text or an Enum, found {type(value).__name__}")
