"""What a node makes of an offer: its part in the session, and the requests that it may answer."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocols import Adversary, Committee
from protocols.errors import MalformedMessage, UnsafeSession
from secagg.engines.node.session import NodeSession
from secagg.engines.wire.offer import Offer
from secagg.storage import session_store
from tests.support.seed_world import seed_committee_of
from tests.support.stations import Attempt, Cohort


def session_of(tmp_path: Path, attempt: Attempt, party: int) -> NodeSession:
    home = attempt.cohort.make_home(tmp_path, party)
    return NodeSession.of(home, Offer.from_bytes(attempt.offer))


@pytest.mark.parametrize(
    ("party", "is_client", "is_member", "first"), [(5, True, False, 0), (2, True, True, 0), (21, False, True, 1)]
)
def test_node_session_knows_the_nodes_part(
    tmp_path: Path, party: int, is_client: bool, is_member: bool, first: int
) -> None:
    attempt = Cohort(protocol="paillier").attempt(1)
    found = session_of(tmp_path, attempt, party)
    assert found.session == attempt.session
    assert (found.is_client, found.is_member, found.first_step) == (is_client, is_member, first)
    with found.home.lock():
        found.check_policy()
        found.check_terms()


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
@pytest.mark.parametrize(("protocol", "opening"), [("paillier", 1), ("seeds", 2)])
def test_machine_records_a_clients_steps_with_a_roster_and_what_a_member_agrees_to_open(
    tmp_path: Path, protocol: str, opening: int, adversary: Adversary
) -> None:
    """A member's other steps are recorded by the node."""
    attempt = Cohort(protocol=protocol, adversary=adversary).attempt(1)
    found = session_of(tmp_path, attempt, 2)
    by_machine = [step for step in range(len(attempt.mean.protocol.steps)) if found.is_recorded_by_machine(step)]
    assert by_machine == ([0, opening] if adversary is Adversary.MALICIOUS else [opening])


def test_request_of_another_session_step_or_role_is_malformed(tmp_path: Path) -> None:
    cohort = Cohort(protocol="paillier")
    attempt = cohort.attempt(1)
    found = session_of(tmp_path, attempt, 5)
    opening = attempt.requests[5]
    found.check_request(0, opening)
    for step, body in ((0, b""), (0, cohort.attempt(2).requests[5]), (1, opening), (7, opening)):
        with pytest.raises(MalformedMessage):
            found.check_request(step, body)
    attempt.advance(attempt.replies())
    with pytest.raises(MalformedMessage):  # A client that is no member of the committee is not asked to open.
        found.check_request(1, attempt.requests[2])


def test_only_the_next_step_or_one_of_the_other_role_follows(tmp_path: Path) -> None:
    attempt = Cohort(protocol="paillier").attempt(1)
    both = session_of(tmp_path, attempt, 2)
    assert [both.may_follow(attempt.machine(2), step) for step in (0, 1)] == [True, True]
    attempt.replies()
    assert [both.may_follow(attempt.machine(2), step) for step in (0, 1)] == [False, True]
    pairwise = Cohort().attempt(1)
    client = session_of(tmp_path / "secagg", pairwise, 5)
    assert [client.may_follow(pairwise.machine(5), step) for step in range(3)] == [True, False, False]


@pytest.mark.parametrize("checked", [True, False])
def test_node_sends_its_input_under_one_context_to_no_second_committee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, checked: bool
) -> None:
    """The session has no roster, so the node records, and not its machine. The coordinator replaces the committee.

    Each committee opens one sum of the same inputs, and neither knows of the other one's: their difference can be one
    update. The node must refuse the second committee (UnsafeSession). Without the comparison, it sends its input again.
    """
    first = session_of(tmp_path, Cohort(protocol="seeds").attempt(1), 5)
    others = [Committee(key=seed_committee_of(4, 1, 3), members=(21, 22, 23, 24)), None]
    if not checked:
        monkeypatch.setattr(session_store, "check_committees", lambda *_: None)
    with first.home.lock():
        first.record(0)
        for number, committee in enumerate(others):
            session = replace(first.session, session_id=b"another session%d" % number, committee=committee)
            second = replace(first, session=session)
            if not checked:
                second.record(0)
                continue
            for attempt in (lambda it=second: it.record(0), second.join):
                with pytest.raises(UnsafeSession, match="committee: expected the one to which this client has sent"):
                    attempt()
        again = replace(first, session=replace(first.session, session_id=b"the same committee"))
        if checked:
            again.record(0)
        assert first.home.sessions.participations(first.home.identity.public) == (2 if checked else 3)
