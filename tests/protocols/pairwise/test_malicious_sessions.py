"""Sessions that a client with an identity does not take part in: nothing is computed, sent or recorded.

And sessions that it has taken part in before: a used session id is refused by a record that survives a restart.
"""

import dataclasses
import json
from pathlib import Path
from typing import Final

import pytest

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    MalformedMessage,
    MemoryRecord,
    ParameterError,
    PlainSum,
    Roster,
    SecAgg,
    SecAggPlus,
    SecureSum,
    Session,
    SessionReused,
    UnsafeSession,
    load,
)
from protocols.pairwise import parameters
from protocols.registry import available
from protocols.replay import SessionRecord
from protocols.testing import fixed_identity, repeatable_entropy
from tests.conformance.cohorts import Setting, member, setting
from tests.support.malicious_server import MaliciousServer

CLIENTS: Final = tuple(range(6))
WHERE: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, 4)


def never(size: int) -> bytes:
    raise AssertionError("a client drew randomness before it had checked the session")


def refused_at_once(
    kind: type[Exception], match: str, protocol: SecureSum, session: Session, who: ClientTerms | None
) -> None:
    """That there is not even a machine: nothing was computed, nothing could be sent, nothing was recorded."""
    with pytest.raises(kind, match=match):
        Client(protocol, session, 0, [0] * session.length, entropy=never, terms=who)


def session_of(clients: int, threshold: int) -> Session:
    return setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(clients)), threshold).session


@pytest.mark.parametrize("clients", [3, 4, 7, 10])
def test_client_refuses_thresholds_that_corrupt_clients_make_unsafe(clients: int) -> None:
    """The server proposes every threshold, against every number of corrupt clients.

    A client must refuse, before it draws randomness, unless 2 * threshold > clients + corrupt: else two survivor sets
    could be confirmed.
    """
    for threshold in range(2, clients + 1):
        for corrupt in range(clients - 1):
            roster = Roster({client: fixed_identity(client).public for client in range(clients)})
            session = dataclasses.replace(session_of(clients, clients), threshold=threshold, roster=roster)
            who = dataclasses.replace(member(0, session), adversarial=corrupt / clients, minimum_contributors=threshold)
            protocol = SecAgg(adversary=Adversary.MALICIOUS)
            if 2 * threshold <= clients:
                refused_at_once(ParameterError, "thresholds: expected majorities", protocol, session, who)
            elif 2 * threshold <= clients + corrupt:
                refused_at_once(
                    UnsafeSession,
                    f"threshold: expected at least {(clients + corrupt) // 2 + 1} ",
                    protocol,
                    session,
                    who,
                )
            else:
                Client(protocol, session, 0, [0] * session.length, entropy=never, terms=who)


@pytest.mark.parametrize("adversarial", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("neighbours", [4, 8, 12])
def test_client_refuses_share_thresholds_below_the_least_that_is_safe(neighbours: int, adversarial: float) -> None:
    """The server proposes a sparse graph with every share threshold.

    A client must refuse those below `least_threshold` for the corrupt clients that it assumes (UnsafeSession).
    """
    session = session_of(20, 18)
    who = dataclasses.replace(member(0, session), adversarial=adversarial)
    try:
        least = parameters.least_threshold(clients=20, adversarial=adversarial, degree=neighbours)
    except parameters.InfeasibleParameters:
        least = neighbours + 2
    for threshold in range(2, neighbours + 2):
        protocol = SecAggPlus(neighbours=neighbours, share_threshold=threshold, adversary=Adversary.MALICIOUS)
        if 2 * threshold <= neighbours + 1:
            refused_at_once(ParameterError, "thresholds: expected majorities", protocol, session, who)
        elif threshold < least:
            refused_at_once(UnsafeSession, "share threshold", protocol, session, who)
        else:
            Client(protocol, session, 0, [0] * session.length, entropy=never, terms=who)


def test_client_refuses_a_threshold_of_survivors_that_lets_two_sets_be_confirmed_on_a_sparse_graph() -> None:
    """The server proposes a sparse graph with a high share threshold and a low threshold of survivors.

    Of 20 clients, of whom 2 may be corrupt, more than 11 must confirm; the client must refuse 11.
    """
    protocol = SecAggPlus(neighbours=12, share_threshold=13, adversary=Adversary.MALICIOUS)
    for threshold in range(11, 21):
        session = session_of(20, threshold)
        who = dataclasses.replace(member(0, session), adversarial=0.1)
        if threshold == 11:
            refused_at_once(
                UnsafeSession, "threshold: expected at least 12 .* two survivor sets", protocol, session, who
            )
        else:
            Client(protocol, session, 0, [0] * session.length, entropy=never, terms=who)


def test_client_takes_what_is_suggested_for_the_corrupt_clients_that_it_fears_and_not_for_fewer() -> None:
    """Suggested parameters are accepted by a client that assumes as many corrupt clients.

    A client that assumes more must refuse them (UnsafeSession).
    """
    for kind in (SecAgg, SecAggPlus):
        for clients in (20, 60, 200):
            protocol, threshold = kind.suggest(
                clients=clients, adversarial=0.05, dropout=0.1, adversary=Adversary.MALICIOUS
            )
            session = session_of(clients, threshold)
            who = dataclasses.replace(member(0, session), adversarial=0.05)
            Client(protocol, session, 0, [0] * session.length, entropy=never, terms=who)
            wary = dataclasses.replace(who, adversarial=0.9)
            refused_at_once(UnsafeSession, ".", protocol, session, wary)


@pytest.mark.parametrize("minimum", [5, 6, 1000])
def test_client_refuses_a_cohort_below_its_own_minimum(minimum: int) -> None:
    """The server proposes a session whose sum may have few contributors.

    A client with a greater minimum of its own must refuse (UnsafeSession).
    """
    who = dataclasses.replace(member(0, WHERE.session), minimum_contributors=minimum)
    refused_at_once(UnsafeSession, f"this client's minimum of {minimum},", WHERE.protocol, WHERE.session, who)


def test_client_refuses_identities_that_it_has_not_pinned() -> None:
    """The server invents clients (Sybils): the session's roster has identities that the client does not know, or knows
    with other keys. The client compares it with its own roster and must refuse.
    """
    pinned = {client: fixed_identity(client).public for client in CLIENTS}
    for roster in (
        pinned | {3: fixed_identity(99).public},
        {client: fixed_identity(100 + client).public if client else pinned[0] for client in CLIENTS},
    ):
        session = dataclasses.replace(WHERE.session, roster=Roster(roster))
        who = dataclasses.replace(member(0, session), roster=Roster(pinned))
        refused_at_once(UnsafeSession, "not the one in this client's own roster", WHERE.protocol, session, who)
    unknown = dataclasses.replace(member(0, WHERE.session), roster=Roster({c: pinned[c] for c in CLIENTS[:5]}))
    refused_at_once(UnsafeSession, "not the one in this client's own", WHERE.protocol, WHERE.session, unknown)


def test_client_refuses_a_session_that_knows_it_by_another_identity() -> None:
    """The server lists a client with an identity that is not its own.

    The client must refuse (UnsafeSession), since nobody could verify its signatures.
    """
    who = dataclasses.replace(member(0, WHERE.session), identity=fixed_identity(99))
    refused_at_once(UnsafeSession, "identity of client 0 is not this client's own", WHERE.protocol, WHERE.session, who)


@pytest.mark.parametrize("protocol", [SecAgg(), SecAggPlus(neighbours=4, share_threshold=4), PlainSum()])
def test_client_with_identities_refuses_a_protocol_that_trusts_the_server(protocol: SecureSum) -> None:
    """The server proposes a session without a roster, or a protocol without signatures, to a client with an identity.

    The client must refuse, or the server could be in the middle.
    """
    who = member(0, WHERE.session)
    curious = dataclasses.replace(WHERE.session, roster=None)
    refused_at_once(UnsafeSession, "found a session without a roster", protocol, curious, who)
    refused_at_once(ParameterError, "roster", protocol, WHERE.session, who)


@pytest.mark.parametrize("name", available())
def test_client_with_identities_is_refused_by_every_protocol_without_a_defence(name: str) -> None:
    """A server proposes each protocol to a client that defends against a malicious one.

    A protocol without a defence must say so: `check_safety` raises UnsafeSession.
    """
    kind = load(name)
    protocol: SecureSum
    if Adversary.MALICIOUS in kind.adversaries:
        protocol, _ = kind.suggest(clients=6, adversarial=0.0, dropout=0.0, adversary=Adversary.MALICIOUS)
        protocol.check_safety(WHERE.session, 0)
        return
    with pytest.raises(ParameterError):
        kind.suggest(clients=6, adversarial=0.0, dropout=0.0, adversary=Adversary.MALICIOUS)
    protocol, _ = kind.suggest(clients=6, adversarial=0.0, dropout=0.0)
    with pytest.raises(UnsafeSession, match="does not protect"):
        protocol.check_safety(WHERE.session, 0)


def test_malicious_session_needs_a_member_and_a_roster() -> None:
    """A malicious-mode session without a roster, or a client without terms, has no signatures to check.

    Both must be refused (ParameterError).
    """
    refused_at_once(ParameterError, "expected a ClientTerms", WHERE.protocol, WHERE.session, None)
    bare = dataclasses.replace(WHERE.session, roster=None)
    refused_at_once(ParameterError, "roster: expected the clients' identities", WHERE.protocol, bare, None)


# A session id that was used before.


class FileRecord:
    """A record of sessions in a file, as a client needs it that is restarted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        rounds: dict[str, int] = json.loads(self.path.read_text()) if self.path.exists() else {}
        name = f"{identity.hex()} {session_id.hex()}"
        if (number != 0 and name not in rounds) or number <= rounds.get(name, -1):
            raise SessionReused(f"round {number} of a session that was answered before")
        self.path.write_text(json.dumps(rounds | {name: number}))


def client_with(record: SessionRecord, session: Session = WHERE.session) -> Client:
    who = dataclasses.replace(member(0, session), sessions=record)
    return Client(WHERE.protocol, session, 0, [0] * session.length, entropy=repeatable_entropy(b"one"), terms=who)


def test_client_refuses_a_session_id_that_it_has_used_in_the_same_process() -> None:
    """The server runs a session again with a client that has answered it.

    The record of sessions must refuse (SessionReused): signatures of the first run would be valid in the second.
    """
    record, run = MemoryRecord(), MaliciousServer(WHERE)
    client_with(record).handle(run.requests[0])
    again = client_with(record)
    with pytest.raises(SessionReused):
        again.handle(run.requests[0])
    assert again.closed


def test_client_refuses_a_session_id_that_it_has_used_before_a_restart(tmp_path: Path) -> None:
    """The server runs a session again with a client that was restarted meanwhile.

    The record in a file must refuse (SessionReused).
    """
    run = MaliciousServer(WHERE)
    client_with(FileRecord(tmp_path / "sessions")).handle(run.requests[0])
    again = client_with(FileRecord(tmp_path / "sessions"))
    with pytest.raises(SessionReused):
        again.handle(run.requests[0])
    assert again.closed


@pytest.mark.parametrize("change", [{"length": 41}, {"context": b"round 8"}, {"modulus": 2**17}, {"threshold": 5}])
def test_client_refuses_a_used_session_id_under_other_parameters(change: dict[str, object]) -> None:
    """The server repeats a session id with another length, context, modulus or threshold.

    The record counts the id alone, and must refuse (SessionReused).
    """
    record = MemoryRecord()
    client_with(record).handle(MaliciousServer(WHERE).requests[0])
    session = dataclasses.replace(WHERE.session, **change)  # type: ignore[arg-type]  # fields of a session
    other = MaliciousServer(Setting(label="other", protocol=WHERE.protocol, session=session))
    with pytest.raises(SessionReused):
        client_with(record, session).handle(other.requests[0])


def test_client_takes_part_in_another_session_with_the_same_record(tmp_path: Path) -> None:
    """A record that refuses a used session id must accept another one, so that the refusals above are due to the id."""
    record = FileRecord(tmp_path / "sessions")
    client_with(record).handle(MaliciousServer(WHERE).requests[0])
    session = dataclasses.replace(WHERE.session, session_id=b"a session id of its own")
    other = MaliciousServer(Setting(label="other", protocol=WHERE.protocol, session=session))
    client_with(record, session).handle(other.requests[0])


def test_message_that_is_refused_does_not_use_up_the_session() -> None:
    """An attacker on the way sends a client rubbish first.

    The client must refuse it without noting the session as used, so that the honest message is still answered.
    """
    record, run = MemoryRecord(), MaliciousServer(WHERE)
    with pytest.raises(MalformedMessage):
        client_with(record).handle(b"rubbish")
    client_with(record).handle(run.requests[0])
