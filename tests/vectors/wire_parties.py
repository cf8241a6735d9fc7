"""The parties of a wire vector's session, made from what its file says and from repeatable randomness."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np

from protocols import (
    Client,
    ClientTerms,
    Committee,
    CommitteeShare,
    Keyholder,
    KeyShare,
    MemoryOpenings,
    MemoryRecord,
    Opening,
    Roster,
    Secret,
    SecureSum,
    SeedCommittee,
    Server,
    Session,
    ThresholdKey,
    load,
)
from protocols.seeds.member_keys import MemberKeys
from tests.conformance.cohorts import remembering
from tests.vectors.wire_cases import Case, identity_of, label_of

SNAPSHOT_KEY: Final = Secret(hashlib.sha256(b"wire vectors: key of snapshots").digest())


def protocol_of(case: Case) -> SecureSum:
    """The protocol that a case names."""
    parameters = {key: value for key, value in case["protocol"].items() if key != "name"}
    return _kind(case["protocol"]["name"])(**parameters)


@cache
def _kind(name: str) -> Callable[..., SecureSum]:
    return load(name)


@cache
def _key(data: str) -> ThresholdKey | SeedCommittee:
    if SeedCommittee.is_encoded(bytes.fromhex(data)):
        return SeedCommittee.from_bytes(bytes.fromhex(data))
    return ThresholdKey.from_bytes(bytes.fromhex(data), arithmetic=remembering())  # twins repeat openings a lot


@cache
def _share(data: str, key: str) -> CommitteeShare:
    committee = _key(key)
    if isinstance(committee, SeedCommittee):
        return MemberKeys.from_bytes(bytes.fromhex(data)).share(committee)
    return KeyShare.from_bytes(bytes.fromhex(data), committee)


def session_of(case: Case) -> Session:
    """The session that a case describes."""
    roster, committee = case["roster"], case.get("committee")
    opened_by = Committee(key=_key(committee["key"]), members=tuple(committee["members"])) if committee else None
    return Session(
        session_id=bytes.fromhex(case["session_id"]),
        clients=tuple(case["clients"]),
        threshold=case["threshold"],
        length=case["length"],
        modulus=case["modulus"],
        context=bytes.fromhex(case["context"]),
        roster=Roster({int(client): bytes.fromhex(key) for client, key in roster.items()}) if roster else None,
        attached=tuple(Opening(least_dropped=least, most_dropped=most) for least, most in case["attached"]),
        committee=opened_by,
        expires=case.get("expires"),
    )


class Entropy:
    """A party's repeatable randomness: SHAKE-256 of a label, the case, the party and the number of the draw.

    Args:
        case: The case.
        party: The party's id, or -1 for the server.
        drawn: How many draws have been made before.
    """

    def __init__(self, case: Case, party: int, drawn: int = 0) -> None:
        self._label = label_of(case) + b" vectors" + case["name"].encode() + party.to_bytes(4, "big", signed=party < 0)
        self.drawn = drawn

    def __call__(self, size: int) -> bytes:
        self.drawn += 1
        return hashlib.shake_256(self._label + self.drawn.to_bytes(4, "big")).digest(size)


def parties_of(case: Case) -> list[int]:
    """All clients, and those of the committee that are not clients."""
    return list(dict.fromkeys((*case["clients"], *session_of(case).committee_members)))


def attached_of(case: Case, client: int) -> tuple[Secret, ...]:
    """A client's attached secrets: SHA-256 of a label, its id and the secret's index."""
    label = label_of(case) + b" attached" + client.to_bytes(4, "big")
    return tuple(
        Secret(hashlib.sha256(label + index.to_bytes(4, "big")).digest()) for index in range(len(case["attached"]))
    )


def _terms(case: Case, session: Session, client: int, answered: Sequence[int]) -> ClientTerms | None:
    if session.roster is None or client not in session.clients:
        return None
    record, identity = MemoryRecord(), identity_of(case, client)
    for number in answered:
        record.record(identity.public, session.session_id, number)
    return ClientTerms(
        identity=identity,
        roster=session.roster,
        sessions=record,
        adversarial=0.0,
        minimum_contributors=session.threshold,
        committee=None if session.committee is None else session.committee.key,
    )


def keyholder_of(case: Case, session: Session, party: int) -> Keyholder | None:
    """A committee member's share and rules; None for a party that is not a member."""
    if party not in session.committee_members:
        return None
    committee = case["committee"]
    return Keyholder(
        share=_share(committee["shares"][str(party)], committee["key"]),
        openings=MemoryOpenings(),
        minimum_contributors=session.threshold,
        roster=session.roster,
    )


def party_of(case: Case, party: int, entropy: Callable[[int], bytes] | None = None) -> Client:
    """A client's or a committee member's machine, at its beginning."""
    session = session_of(case)
    vector = case["inputs"].get(str(party))
    return Client(
        protocol_of(case),
        session,
        party,
        None if vector is None else np.array(vector, dtype=np.uint64),
        entropy=entropy or Entropy(case, party),
        attached=attached_of(case, party) if party in session.clients else (),
        terms=_terms(case, session, party, ()),
        keyholder=keyholder_of(case, session, party),
        clock=lambda: float(case.get("now", 0)),
    )


def restored_party(case: Case, party: int, data: bytes, *, drawn: int, answered: Sequence[int]) -> Client:
    """A party's machine from its snapshot, which remembers the steps that it has answered."""
    session = session_of(case)
    return Client.restore(
        protocol_of(case),
        session,
        data,
        key=SNAPSHOT_KEY,
        entropy=Entropy(case, party, drawn),
        terms=_terms(case, session, party, answered),
        keyholder=keyholder_of(case, session, party),
        clock=lambda: float(case.get("now", 0)),
    )


def server_of(case: Case) -> Server:
    """The server's machine, at its beginning."""
    return Server(protocol_of(case), session_of(case))


def restored_server(case: Case, data: bytes) -> Server:
    """The server's machine from its snapshot."""
    return Server.restore(protocol_of(case), session_of(case), data, key=SNAPSHOT_KEY)
