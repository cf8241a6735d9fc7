"""What sessions `SeedSum` runs, what it suggests, and when its clients and members take part."""

from dataclasses import replace
from typing import Any, Final

import pytest

from protocols.committee import Committee
from protocols.errors import ParameterError, SessionExpired, UnsafeSession
from protocols.secure_sum import Finish, Role
from protocols.seeds import MemberCertificate, SeedCommittee, SeedSum
from protocols.seeds.protocol import STEPS
from protocols.testing import ProtocolRun
from protocols.testing.repeatable import fixed_identity, fixed_roster
from tests.support import committee_keys
from tests.support.seed_members import BEGINS, ENDS, NOW, certificates
from tests.support.seed_world import CLIENTS, CURIOUS, MALICIOUS, MEMBERS, seed_scenario

SCENARIO: Final = seed_scenario(4, 1)
SESSION: Final = SCENARIO.session
STRICT, LAX = SeedSum(adversary=MALICIOUS), SeedSum()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"committee": None}, "committee: expected one, since seeds needs it"),
        ({"modulus": 2**16 - 1}, "modulus: expected a power of two"),
        ({"expires": None}, "expires: expected the time at which the session expires, found none"),
        ({"expires": ENDS + 1}, f"expires: expected at most {ENDS}"),
        ({"roster": None}, "roster: expected the clients' identities against a MALICIOUS server"),
    ],
)
def test_session_that_the_protocol_cannot_run_is_refused(change: dict[str, Any], text: str) -> None:
    STRICT.validate(SESSION)
    with pytest.raises(ParameterError, match=text):
        STRICT.validate(replace(SESSION, **change))


def test_committee_of_another_kind_is_refused() -> None:
    key = committee_keys.threshold_key()
    session = replace(SESSION, committee=Committee(key=key, members=MEMBERS[: key.members]))
    with pytest.raises(ParameterError, match="expected one with a SeedCommittee"):
        STRICT.validate(session)


def test_roster_without_a_malicious_server_is_refused() -> None:
    with pytest.raises(ParameterError, match="roster: expected none"):
        LAX.validate(SESSION)
    LAX.validate(replace(SESSION, roster=None))


def test_two_honest_contributors_are_required_by_clients() -> None:
    for corrupt in range(3):
        safe = replace(SESSION, threshold=corrupt + 2)
        STRICT.check_safety(safe, corrupt)
        with pytest.raises(UnsafeSession, match=f"expected at least {corrupt + 3} with {corrupt + 1} corrupt clients"):
            STRICT.check_safety(safe, corrupt + 1)


@pytest.mark.parametrize("adversary", ["curious", "malicious"])
def test_server_is_named_in_words_too(adversary: str) -> None:
    assert SeedSum(adversary=adversary) in (STRICT, LAX)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("adversary", [None, "none", 1, ()])
def test_server_of_another_kind_is_refused(adversary: object) -> None:
    with pytest.raises(ParameterError, match="adversary: expected CURIOUS or MALICIOUS"):
        SeedSum(adversary=adversary)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_suggestion_is_the_number_of_clients_that_stay(adversary: Any) -> None:
    assert SeedSum.suggest(clients=100, adversarial=0.1, dropout=0.3, adversary=adversary) == (
        SeedSum(adversary=adversary),
        70,
    )
    assert SeedSum.suggest(clients=10, adversarial=0.1, dropout=0.7)[1] == 3
    with pytest.raises(ParameterError, match="expected at least 3 with 1 colluding of 10, found 2"):
        SeedSum.suggest(clients=10, adversarial=0.1, dropout=0.8)
    with pytest.raises(ParameterError, match="adversary: expected one of curious, malicious for seeds"):
        SeedSum.suggest(clients=10, adversarial=0, dropout=0, adversary="none")  # type: ignore[arg-type]


def test_steps_say_who_sends_the_vector_who_agrees_and_what_repeats() -> None:
    assert [row.name for row in STEPS] == ["mask_input", "check_entries", "agree", "open_sum"]
    assert [row.sends_vector for row in STEPS] == [True, False, False, False]
    assert [row.role for row in STEPS] == [Role.CLIENT, *[Role.COMMITTEE] * 3]
    assert [row.reveals is not None for row in STEPS] == [False, False, True, False]
    assert [row.repeats for row in STEPS] == [False, False, False, True]


@pytest.mark.parametrize(("members", "colluding"), [(2, 1), (4, 1), (7, 3)])
@pytest.mark.parametrize("modulus", [2, 2**16, 2**64])
def test_longest_message_is_within_the_limit_and_sums_are_exact(members: int, colluding: int, modulus: int) -> None:
    scenario = seed_scenario(members, colluding, modulus=modulus, threshold=5, clients=CLIENTS, length=300)
    run, limit = ProtocolRun(scenario), STRICT.message_limit(scenario.session)
    while not isinstance(run.progress, Finish):
        replies = run.replies()
        assert max(map(len, (*run.requests.values(), *replies.values()))) <= limit
        run.deliver(replies)
    assert run.is_exact(run.progress)
    assert run.progress.verified is (members >= 2 * colluding + 1)


# The time.


def test_certificates_are_checked_against_the_clock() -> None:
    """One member's certificate begins later or ends earlier than the others'."""
    others = certificates(3)
    for begins, ends, expires in ((NOW, ENDS, ENDS), (BEGINS, NOW, NOW)):
        late = MemberCertificate.issue(fixed_identity(3), 0, begins, ends)[0]
        key = SeedCommittee(certificates=(*others, late), colluding=1, quorum=3)
        session = replace(SESSION, committee=Committee(key=key, members=MEMBERS[:4]), expires=expires)
        STRICT.validate(session)
        for now in (BEGINS - 1, BEGINS, NOW - 1, NOW, ENDS - 1, ENDS):
            if begins <= now < ends and BEGINS <= now < ENDS:
                STRICT.check_time(session, now)
                continue
            with pytest.raises(SessionExpired):
                STRICT.check_time(session, now)


def test_session_outlives_no_certificate() -> None:
    short = MemberCertificate.issue(fixed_identity(3), 0, BEGINS, NOW)[0]
    key = SeedCommittee(certificates=(*certificates(3), short), colluding=1, quorum=3)
    session = replace(SESSION, committee=Committee(key=key, members=MEMBERS[:4]), expires=NOW + 1)
    with pytest.raises(ParameterError, match=f"expires: expected at most {NOW}, when the first key of a member"):
        STRICT.validate(session)


def test_roster_and_expiry_are_in_the_digest() -> None:
    sessions = [SESSION, replace(SESSION, expires=ENDS - 1), replace(SESSION, roster=fixed_roster(CLIENTS))]
    first, other, same = (STRICT.digest(session) for session in sessions)
    assert first == same != other
    assert LAX.digest(SESSION) != first
