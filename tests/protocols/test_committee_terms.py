"""What each party checks before it takes part in a session with a committee; every refusal before anything is drawn."""

from dataclasses import replace
from typing import Any, Final

import pytest

from protocols import (
    Adversary,
    Client,
    Committee,
    InputError,
    Keyholder,
    OneShot,
    PaillierSum,
    ParameterError,
    PlainSum,
    Roster,
    SecAgg,
    Server,
    Session,
    UnsafeSession,
    simulate,
)
from protocols.admission import check_admission
from protocols.encrypted.protocol import EncryptedSum
from protocols.testing import fixed_identity
from tests.conformance.cohorts import COMMITTEE, IDS, Setting, committee_of, keyholder, member, setting
from tests.support.committee_keys import key_shares, threshold_key

MALICIOUS: Final = Adversary.MALICIOUS
CURIOUS: Final = setting(PaillierSum(), IDS[:4], 3)
SIGNED: Final = setting(PaillierSum(adversary=MALICIOUS), IDS[:4], 3, committee=(*COMMITTEE, IDS[0], IDS[1]))
KEY, SHARES = threshold_key(1, 3, 2), key_shares(1, 3, 2)


def refused_before_anything(where: Setting, party: int, **changes: Any) -> None:
    """That this party cannot even be made, and that nothing has been drawn."""
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    brought: dict[str, Any] = {"terms": where.terms(party), "keyholder": where.keyholder(party)} | changes
    vector = where.inputs().get(party)
    with pytest.raises(ParameterError):
        Client(where.protocol, where.session, party, vector, entropy=entropy, **brought)
    assert drawn == []


# What the protocols demand.


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_session_without_a_committee_is_refused(kind: type[EncryptedSum]) -> None:
    with pytest.raises(ParameterError, match="committee"):
        Server(kind(), replace(CURIOUS.session, committee=None))


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
@pytest.mark.parametrize(("members", "threshold"), [(4, 2), (5, 2)])
def test_committee_of_whom_disjoint_ones_could_open_is_refused(
    kind: type[EncryptedSum], members: int, threshold: int
) -> None:
    """A server proposes a committee of which two disjoint quorums could open two sums.

    Server and parties must refuse it (ParameterError).
    """
    key = threshold_key(1, members, threshold)
    session = replace(CURIOUS.session, committee=Committee(key=key, members=tuple(range(10, 10 + members))))
    with pytest.raises(ParameterError, match=f"at least {members // 2 + 1}"):
        Server(kind(), session)
    for party in (IDS[0], 10):
        refused_before_anything(replace(CURIOUS, protocol=kind(), session=session), party, keyholder=None)


@pytest.mark.parametrize("protocol", [PlainSum(), SecAgg()], ids=["plain", "secagg"])
def test_protocol_without_use_for_a_committee_refuses_the_session(protocol: PlainSum | SecAgg) -> None:
    with pytest.raises(ParameterError, match="committee"):
        Server(protocol, CURIOUS.session)


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_roster_is_demanded_exactly_against_a_malicious_server(kind: type[EncryptedSum]) -> None:
    """A malicious-mode session without a roster has no signatures to check.

    It must be refused (ParameterError), like a roster in curious mode.
    """
    with pytest.raises(ParameterError, match="roster"):
        Server(kind(), SIGNED.session)
    with pytest.raises(ParameterError, match="roster"):
        Server(kind(adversary=MALICIOUS), replace(SIGNED.session, roster=None))


# What a member checks.


def test_keyholder_of_another_place_or_key_takes_no_part() -> None:
    """A server lists a member in another's place, or with another key.

    The member compares its share and must refuse (UnsafeSession).
    """
    party = COMMITTEE[0]
    own = CURIOUS.keyholder(party)
    assert own is not None
    for share in (SHARES[1], SHARES[2], key_shares(1, 3, 3)[0], key_shares(1, 5, 3)[0]):
        with pytest.raises(UnsafeSession, match="another key share"):
            check_admission(CURIOUS.protocol, CURIOUS.session, party, terms=None, keyholder=replace(own, share=share))
        refused_before_anything(CURIOUS, party, keyholder=replace(own, share=share))
    swapped = replace(CURIOUS.session, committee=committee_of((COMMITTEE[1], COMMITTEE[0], COMMITTEE[2])))
    with pytest.raises(UnsafeSession, match="another key share"):
        check_admission(CURIOUS.protocol, swapped, party, terms=None, keyholder=own)
    check_admission(CURIOUS.protocol, CURIOUS.session, party, terms=None, keyholder=own)


def test_keyholder_takes_no_part_where_fewer_than_its_minimum_would_do() -> None:
    """A server proposes a session whose sum may have few contributors.

    A member with a greater minimum must refuse (UnsafeSession).
    """
    own = CURIOUS.keyholder(COMMITTEE[0])
    assert own is not None
    for minimum, fits in ((2, True), (3, True), (4, False), (1000, False)):
        changed = replace(own, minimum_contributors=minimum)
        if fits:
            check_admission(CURIOUS.protocol, CURIOUS.session, COMMITTEE[0], terms=None, keyholder=changed)
            continue
        with pytest.raises(UnsafeSession, match=f"member's minimum of {minimum},"):
            check_admission(CURIOUS.protocol, CURIOUS.session, COMMITTEE[0], terms=None, keyholder=changed)
        refused_before_anything(CURIOUS, COMMITTEE[0], keyholder=changed)


def test_keyholder_takes_no_part_among_identities_that_it_has_not_pinned() -> None:
    """A server invents clients, or swaps their identities.

    A member compares the session's roster with its own and must refuse (UnsafeSession).
    """
    keys = {client: fixed_identity(client).public for client in SIGNED.session.clients}
    first, second = SIGNED.session.clients[:2]
    party, own = COMMITTEE[0], SIGNED.keyholder(COMMITTEE[0])
    assert own is not None
    pinned = {
        "all and others": (Roster({**keys, 77: fixed_identity(77).public}), True),
        "none": (None, False),
        "one fewer": (Roster({client: keys[client] for client in SIGNED.session.clients[1:]}), False),
        "one of another key": (Roster({**keys, first: fixed_identity(78).public}), False),
        "two swapped": (Roster({**keys, first: keys[second], second: keys[first]}), False),
    }
    for roster, fits in pinned.values():
        changed = replace(own, roster=roster)
        if fits:
            check_admission(SIGNED.protocol, SIGNED.session, party, terms=None, keyholder=changed)
            continue
        with pytest.raises(UnsafeSession, match="pinned"):
            check_admission(SIGNED.protocol, SIGNED.session, party, terms=None, keyholder=changed)
        refused_before_anything(SIGNED, party, keyholder=changed)


def test_keyholder_that_has_pinned_identities_takes_no_part_without_them() -> None:
    """A server proposes a session without a roster to a member that has pinned identities.

    The member must refuse (UnsafeSession).
    """
    own = CURIOUS.keyholder(COMMITTEE[0])
    assert own is not None
    changed = replace(own, roster=Roster({client: fixed_identity(client).public for client in CURIOUS.session.clients}))
    with pytest.raises(UnsafeSession, match="pinned"):
        check_admission(CURIOUS.protocol, CURIOUS.session, COMMITTEE[0], terms=None, keyholder=changed)


# Agreement.


def test_exactly_the_members_bring_a_share() -> None:
    share = CURIOUS.keyholder(COMMITTEE[0])
    refused_before_anything(CURIOUS, COMMITTEE[0], keyholder=None)
    refused_before_anything(CURIOUS, COMMITTEE[0], keyholder=SHARES[0])
    refused_before_anything(CURIOUS, COMMITTEE[0], keyholder="share")
    refused_before_anything(CURIOUS, IDS[0], keyholder=share)
    both = SIGNED.session.clients[0]
    refused_before_anything(SIGNED, both, keyholder=None)
    refused_before_anything(SIGNED, both, terms=None)
    assert SIGNED.client(both, SIGNED.inputs()[both], bytes).step == "encrypt_input"
    assert SIGNED.client(COMMITTEE[0], None, bytes).step == "open_sum"


def test_member_that_is_no_client_brings_neither_identity_nor_vector() -> None:
    refused_before_anything(SIGNED, COMMITTEE[0], terms=member(IDS[0], SIGNED.session))
    vector = SIGNED.inputs()[IDS[0]]
    for party, brought in ((COMMITTEE[0], vector), (IDS[0], None)):
        with pytest.raises(InputError, match="vector"):
            SIGNED.client(party, brought, bytes)


@pytest.mark.parametrize("party", [4, -1, True, 21.0, "21", None])
def test_stranger_is_refused(party: object) -> None:
    with pytest.raises(ParameterError, match="not in the session"):
        check_admission(CURIOUS.protocol, CURIOUS.session, party, terms=None, keyholder=CURIOUS.keyholder(COMMITTEE[0]))  # type: ignore[arg-type]  # that is the test


def test_client_takes_part_only_under_the_key_that_it_has_pinned() -> None:
    """A server proposes a committee key of its own, which it can open.

    A client compares it with the key that it has pinned and must refuse (UnsafeSession).
    """
    client = SIGNED.session.clients[2]
    own = SIGNED.terms(client)
    assert own is not None
    assert SIGNED.session.committee is not None
    check_admission(SIGNED.protocol, SIGNED.session, client, terms=own, keyholder=None)
    for pinned in (None, KEY, threshold_key(1, 5, 4)):
        with pytest.raises(UnsafeSession, match="pinned"):
            check_admission(
                SIGNED.protocol, SIGNED.session, client, terms=replace(own, committee=pinned), keyholder=None
            )
        refused_before_anything(SIGNED, client, terms=replace(own, committee=pinned))
    for none in (KEY.fingerprint, KEY.public_key, committee_of(COMMITTEE)):
        with pytest.raises(ParameterError, match="committee: expected the committee's key"):
            replace(own, committee=none)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("members", "threshold", "adversarial", "safe"),
    [
        (3, 2, 0.0, True),
        (3, 2, 0.33, True),  # less than one of three
        (3, 2, 0.34, False),
        (3, 3, 0.34, True),
        (5, 3, 0.19, True),
        (5, 3, 0.2, False),
        (5, 4, 0.2, True),
        (5, 4, 0.5, True),
        (5, 4, 0.6, False),
        (5, 5, 0.8, True),
    ],
)
def test_client_demands_a_threshold_above_half_of_members_and_corrupt_ones(
    members: int, threshold: int, adversarial: float, safe: bool
) -> None:
    """Corrupt members may help the server to open two sums.

    Two sets of `threshold` members share at least 2 * threshold - members; a client must refuse unless those are more
    than the corrupt ones.
    """
    key = threshold_key(1, members, threshold)
    own = replace(member(IDS[0], SIGNED.session), adversarial=adversarial, committee=key)
    assert (2 * threshold - members > int(members * adversarial)) == safe
    if safe:
        own.accept_committee(key)
        return
    with pytest.raises(UnsafeSession, match=f"threshold of at least {(members + int(members * adversarial)) // 2 + 1}"):
        own.accept_committee(key)


def test_client_demands_two_honest_contributors() -> None:
    """The server invites all corrupt clients of a roster of which half may be corrupt.

    A sum of three could then hide one client from two; the client must refuse (UnsafeSession).
    """
    five = threshold_key(1, 5, 5)
    session = replace(SIGNED.session, committee=Committee(key=five, members=(*COMMITTEE, 24, 25)))
    for adversarial, safe in ((0.25, True), (0.5, False)):
        own = replace(member(IDS[0], session), adversarial=adversarial)
        if safe:
            check_admission(SIGNED.protocol, session, IDS[0], terms=own, keyholder=None)
            continue
        with pytest.raises(UnsafeSession, match="at least 4"):
            check_admission(SIGNED.protocol, session, IDS[0], terms=own, keyholder=None)


def test_simulation_refuses_keyholders_that_do_not_fit() -> None:
    holders, inputs = CURIOUS.keyholders(), CURIOUS.inputs()

    def attempt(changed: dict[int, Keyholder]) -> None:
        simulate(CURIOUS.protocol, CURIOUS.session, inputs, keyholders=changed)

    attempt(holders)
    for bad in ({}, {**holders, 4: holders[21]}, {**holders, IDS[0]: holders[21]}, {**holders, 21: holders[22]}):
        with pytest.raises(ParameterError):
            attempt(bad)


def test_session_and_its_keyholders_are_those_of_one_key() -> None:
    """The settings of these tests are what a driver would make: each member accepts, in each place."""
    for each in (CURIOUS, SIGNED):
        session: Session = each.session
        for party in session.committee_members:
            check_admission(each.protocol, session, party, terms=each.terms(party), keyholder=keyholder(party, session))
