"""Committees by replicated seeds: what makes one, what identifies it, what a member holds, and what clients accept."""

import copy
import hashlib
import pickle
from dataclasses import replace
from itertools import permutations
from typing import Any, Final

import pytest

from protocols import Adversary, ClientTerms, Committee, Keyholder, MemoryOpenings, MemoryRecord, SessionReused
from protocols.committee import CommitteeKey, CommitteeShare
from protocols.errors import ParameterError, UnsafeOpening, UnsafeSession
from protocols.seeds.committee import MOST_BYTES, MemberShare, SeedCommittee
from protocols.seeds.member_key import (
    CERTIFICATE_BYTES,
    CertificateExpired,
    CertificateKeyUnusable,
    CertificateNotSigned,
    MemberCertificate,
)
from protocols.seeds.sets import quorum
from protocols.terms import check_committee
from protocols.testing.repeatable import fixed_identity, fixed_roster
from tests.support.seed_members import BEGINS, ENDS, NOW, certificates, issued

FIVE: Final = SeedCommittee(certificates=certificates(5), colluding=2, quorum=4)
NEXT: Final = SeedCommittee(certificates=certificates(5, epoch=1), colluding=2, quorum=4)
MALICIOUS, CURIOUS = Adversary.MALICIOUS, Adversary.CURIOUS


def share(index: int, committee: SeedCommittee = FIVE) -> MemberShare:
    epoch_key = issued(index - 1, committee.certificates[index - 1].epoch)[1]
    return MemberShare(committee, index, fixed_identity(index - 1), epoch_key)


def made(**changes: Any) -> SeedCommittee:
    right: dict[str, Any] = {"certificates": certificates(5), "colluding": 2, "quorum": 4}
    return SeedCommittee(**right | changes)


# The committee.


def test_committee_is_a_committees_key() -> None:
    assert isinstance(FIVE, CommitteeKey)
    assert (FIVE.members, FIVE.colluding, FIVE.threshold, FIVE.bits) == (5, 2, 4, 256)
    assert FIVE.sets.count == 10
    assert FIVE.identities == tuple(fixed_identity(member).public for member in range(5))
    assert FIVE.public_keys == tuple(issued(member)[0].public_key for member in range(5))
    assert Committee(key=FIVE, members=(9, 8, 7, 6, 5)).index(9) == 1


def test_fingerprint_is_a_hash_of_every_certificate_in_order_and_the_numbers() -> None:
    numbers = bytes([5, 2, 4])
    whole = b"secagg seeds committee v1\n" + numbers + b"".join(each.to_bytes() for each in certificates(5))
    assert FIVE.to_bytes() == whole
    assert FIVE.fingerprint == hashlib.sha256(whole).digest()
    others = [
        made(quorum=5),
        made(colluding=1),
        made(certificates=certificates(6), quorum=5),
        made(certificates=certificates(4), quorum=4),
    ]
    others += [made(certificates=tuple(reversed(certificates(5)))), NEXT]
    assert len({each.fingerprint for each in (FIVE, *others)}) == 7


def test_pin_is_a_hash_of_the_identities_in_order_and_the_numbers() -> None:
    named = b"".join(fixed_identity(member).public for member in range(5))
    assert FIVE.pin == hashlib.sha256(b"secagg seeds committee pin v1\n" + bytes([5, 2, 4]) + named).digest()
    others = [
        made(quorum=5),
        made(colluding=1),
        made(certificates=certificates(6), quorum=5),
        made(certificates=certificates(4), quorum=4),
    ]
    others += [made(certificates=tuple(reversed(certificates(5))))]
    assert len({each.pin for each in (FIVE, *others)}) == 6


def test_new_epoch_has_the_same_pin_and_another_fingerprint() -> None:
    assert NEXT.pin == FIVE.pin
    assert NEXT.fingerprint != FIVE.fingerprint
    mixed = made(certificates=(issued(0, 1)[0], *certificates(5)[1:]))
    assert mixed.pin == FIVE.pin


def test_committee_is_read_as_it_was_written() -> None:
    assert SeedCommittee.from_bytes(FIVE.to_bytes()) == FIVE
    ten = SeedCommittee(certificates=certificates(10), colluding=3, quorum=quorum(10, 3))
    assert SeedCommittee.from_bytes(ten.to_bytes()) == ten
    assert len(ten.to_bytes()) == MOST_BYTES


@pytest.mark.parametrize(
    "change", [(5, 0, 4), (5, 5, 4), (5, 2, 2), (5, 2, 6), (4, 2, 4), (6, 2, 4), (0, 0, 0), (11, 2, 9)]
)
def test_bytes_of_other_numbers_are_not_read(change: tuple[int, int, int]) -> None:
    data, start = FIVE.to_bytes(), len(b"secagg seeds committee v1\n")
    with pytest.raises(ParameterError):
        SeedCommittee.from_bytes(data[:start] + bytes(change) + data[start + 3 :])


def test_other_bytes_are_no_committee() -> None:
    data = FIVE.to_bytes()
    for wrong in (
        b"",
        data[:20],
        data[:-1],
        data + b"\0",
        data[:-CERTIFICATE_BYTES],
        b"S" + data[1:],
        bytes(len(data)),
    ):
        with pytest.raises(ParameterError):
            SeedCommittee.from_bytes(wrong)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"certificates": list(certificates(5))}, "tuple of MemberCertificate"),
        ({"certificates": (*certificates(4), None)}, "tuple of MemberCertificate"),
        ({"certificates": certificates(1)}, "2 to 10 committee members"),
        ({"certificates": ()}, "2 to 10 committee members"),
        ({"certificates": certificates(11), "quorum": 8}, "Use at most 10"),
        ({"colluding": 0}, "from 1 to 4"),
        ({"colluding": 5}, "from 1 to 4"),
        ({"colluding": None}, "from 1 to 4"),
        ({"quorum": 3}, "from 4 to 5"),
        ({"quorum": 6}, "from 4 to 5"),
        ({"quorum": 4.0}, "from 4 to 5"),
        ({"quorum": True}, "from 4 to 5"),
    ],
)
def test_committee_of_other_numbers_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        made(**change)


def test_one_member_in_two_places_is_refused() -> None:
    """A member takes two places with one identity, in one epoch or in two.

    It would count twice among the corrupt members that are allowed, so the committee must be refused.
    """
    for twice in (issued(0)[0], issued(0, epoch=1)[0]):
        with pytest.raises(ParameterError, match="another identity for each member"):
            made(certificates=(*certificates(4), twice))


def test_one_key_of_two_members_is_refused() -> None:
    """A member certifies the key of another one as its own: the committee must be refused."""
    thief, key = fixed_identity(4), issued(0)[0].public_key
    taken = replace(issued(4)[0], public_key=key)
    taken = replace(taken, signature=thief.sign(taken.to_bytes()[:-64]))
    taken.check(NOW)
    with pytest.raises(ParameterError, match="another HPKE key for each member"):
        made(certificates=(*certificates(4), taken))


def test_certificate_that_is_not_signed_or_has_an_unusable_key_makes_no_committee() -> None:
    forged = replace(issued(4)[0], not_after=ENDS + 1)
    with pytest.raises(CertificateNotSigned):
        made(certificates=(*certificates(4), forged))
    weak = replace(issued(4)[0], public_key=issued(4)[0].public_key[:1184] + bytes(32))
    weak = replace(weak, signature=fixed_identity(4).sign(weak.to_bytes()[:-64]))
    with pytest.raises(CertificateKeyUnusable):
        made(certificates=(*certificates(4), weak))
    start = len(FIVE.to_bytes()) - 70
    with pytest.raises(CertificateNotSigned):
        SeedCommittee.from_bytes(FIVE.to_bytes()[:start] + b"\0\1" + FIVE.to_bytes()[start + 2 :])


def test_committee_lasts_as_long_as_its_first_certificate_to_expire() -> None:
    early, _ = MemberCertificate.issue(fixed_identity(4), 0, BEGINS, BEGINS + 10)
    committee = made(certificates=(*certificates(4), early))
    assert FIVE.expires == ENDS
    assert committee.expires == BEGINS + 10
    committee.check(BEGINS)
    with pytest.raises(CertificateExpired):
        committee.check(BEGINS + 10)
    FIVE.check(BEGINS + 10)


# A member.


def test_members_share_is_a_committees_share() -> None:
    for index in range(1, 6):
        own = share(index)
        assert isinstance(own, CommitteeShare)
        assert (own.key, own.index) == (FIVE, index)


def test_share_of_another_place_identity_or_epoch_is_refused() -> None:
    for index in (0, 6, -1, 1.0, True, None):
        with pytest.raises(ParameterError, match="from 1 to 5"):
            MemberShare(FIVE, index, fixed_identity(0), issued(0)[1])  # type: ignore[arg-type]  # that is the test
    for index, identity, key in ((2, 0, 0), (1, 1, 0), (1, 1, 1)):
        with pytest.raises(ParameterError, match="identity: expected that of member"):
            MemberShare(FIVE, index, fixed_identity(identity), issued(key)[1])
    for other in (issued(0, epoch=1)[1], issued(1)[1]):
        with pytest.raises(ParameterError, match="epoch key: expected that of epoch 0"):
            MemberShare(FIVE, 1, fixed_identity(0), other)


def test_share_shows_nothing_of_its_secrets_and_cannot_be_copied() -> None:
    own = share(3)
    for shown in (repr(own), repr(Keyholder(share=own, openings=MemoryOpenings(), minimum_contributors=2))):
        assert own.identity.secret.reveal().hex() not in shown
        assert own.epoch_key.key.secret.reveal().hex() not in shown
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(own)


def test_records_are_kept_under_the_identity_and_not_under_the_epochs_key() -> None:
    """A server starts a second session with a committee of the members' next keys.

    The member must find what it opened before: two sums that differ in one client, and a session that it has answered.
    """
    openings = MemoryOpenings()
    holders = [Keyholder(share=share(1, each), openings=openings, minimum_contributors=2) for each in (FIVE, NEXT)]
    keys = {holder.fingerprint for holder in holders}
    assert keys == {hashlib.sha256(b"secagg seeds member v1\n" + fixed_identity(0).public).digest()}
    common: dict[str, Any] = {"context": b"c", "minimum": 2}
    openings.record(key=holders[0].fingerprint, session_id=b"s", contributors=(1, 2, 3), **common)
    with pytest.raises(SessionReused):
        openings.record(key=holders[1].fingerprint, session_id=b"s", contributors=(1, 2, 3), **common)
    with pytest.raises(UnsafeOpening):
        openings.record(key=holders[1].fingerprint, session_id=b"t", contributors=(1, 2), **common)
    assert len({share(index).record_key for index in range(1, 6)}) == 5


def test_keyholder_accepts_its_own_committee_and_place_only() -> None:
    holder = Keyholder(share=share(1), openings=MemoryOpenings(), minimum_contributors=2)
    holder.accept(member=21, committee=Committee(key=FIVE, members=(21, 22, 23, 24, 25)), threshold=3, roster=None)
    for key, members in (
        (FIVE, (22, 21, 23, 24, 25)),
        (NEXT, (21, 22, 23, 24, 25)),
        (made(quorum=5), (21, 22, 23, 24, 25)),
    ):
        with pytest.raises(UnsafeSession, match="another key"):
            holder.accept(member=21, committee=Committee(key=key, members=members), threshold=3, roster=None)


# What clients accept.


def terms(committee: SeedCommittee, adversarial: float) -> ClientTerms:
    return ClientTerms(
        identity=fixed_identity(50),
        roster=fixed_roster((50, 51, 52)),
        sessions=MemoryRecord(),
        adversarial=adversarial,
        minimum_contributors=2,
        committee=committee,
    )


def test_client_accepts_the_committee_that_it_has_pinned_in_every_epoch() -> None:
    for pinned, found in permutations((FIVE, NEXT)):
        terms(pinned, 0.4).accept_committee(found)


@pytest.mark.parametrize(
    "other",
    [
        made(quorum=5),
        made(colluding=1),
        made(certificates=certificates(6), quorum=5),
        made(certificates=tuple(reversed(certificates(5)))),
        made(certificates=(*certificates(4), issued(5)[0])),
    ],
    ids=["quorum", "colluding", "more", "order", "another"],
)
def test_client_refuses_a_committee_of_other_members_or_numbers(other: SeedCommittee) -> None:
    """A server names a member of its own, or other numbers: the pin differs, so the client must refuse."""
    with pytest.raises(UnsafeSession, match="not the one that this client has pinned"):
        terms(FIVE, 0.2).accept_committee(other)


@pytest.mark.parametrize("m", range(2, 11))
def test_client_refuses_more_corrupt_members_than_learn_nothing(m: int) -> None:
    """More members are corrupt than the committee withstands: together they have every seed. The client must refuse.

    With the least quorum, nothing else is a reason to refuse.
    """
    for t in range(1, m):
        committee = SeedCommittee(certificates=certificates(m), colluding=t, quorum=quorum(m, t))
        for corrupt in range(m):
            adversarial = corrupt / m
            if corrupt <= t:
                check_committee(committee, adversarial=adversarial, adversary=MALICIOUS)
                continue
            for adversary in (MALICIOUS, CURIOUS):
                with pytest.raises(UnsafeSession, match=rf"withstands {corrupt} corrupt .* withstands {t}\."):
                    check_committee(committee, adversarial=adversarial, adversary=adversary)


@pytest.mark.parametrize("m", range(2, 11))
def test_committee_whose_quorums_may_have_no_honest_member_in_common_is_refused(m: int) -> None:
    """Two quorums with only corrupt members in common could agree on two sums, in one session or under one context."""
    for t in range(1, m):
        for q in range(m // 2 + 1, m + 1):
            if 2 * q > m + t:
                SeedCommittee(certificates=certificates(m), colluding=t, quorum=q)
                continue
            with pytest.raises(ParameterError, match="Two smaller quorums may have no honest member in common"):
                SeedCommittee(certificates=certificates(m), colluding=t, quorum=q)
