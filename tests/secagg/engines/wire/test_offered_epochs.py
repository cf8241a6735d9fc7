"""Offers of a committee by replicated seeds: new epochs are accepted, and nothing else that has not the pinned pin."""

from dataclasses import replace as replaced
from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocols import Adversary, SeedCommittee
from protocols.errors import MalformedMessage
from secagg.engines.wire.offer import MOST_BYTES, Offer
from tests.support import committee_keys
from tests.support.offers import MEMBERS, SEEDS, offered
from tests.support.seed_world import seed_committee_of

CASE: Final = offered("seeds", Adversary.MALICIOUS)
NEXT: Final = seed_committee_of(3, 1, 3, epoch=1)


def built(pinned: Any = SEEDS, **changes: Any) -> Any:
    offer = Offer.from_bytes(replace(CASE.offer, **changes).to_bytes())
    return offer.build(CASE.roster, pinned)[1]


def forged() -> bytes:
    """Return a committee's bytes in which the first member's certificate lasts longer than it was signed for."""
    first, *others = SEEDS.certificates
    longer = replaced(first, not_after=first.not_after + 1)
    return SEEDS.to_bytes().replace(first.to_bytes(), longer.to_bytes()) if others else b""


def test_next_epoch_with_the_same_pin_is_accepted_and_is_another_session() -> None:
    session = built(epoch=NEXT.to_bytes())
    assert session.committee.key == NEXT
    assert session.expires == NEXT.expires
    assert CASE.mean.protocol.digest(session) != CASE.digest
    assert built(pinned=NEXT).committee.key == SEEDS


def with_quorum(committee: SeedCommittee, quorum: int) -> bytes:
    """Return a committee's bytes with another quorum, which is the byte before the certificates."""
    certified = b"".join(each.to_bytes() for each in committee.certificates)
    return committee.to_bytes()[: -len(certified) - 1] + bytes([quorum]) + certified


@pytest.mark.parametrize(
    ("epoch", "error"),
    [
        (b"", "not a committee by replicated seeds"),
        (b"\x00" * 100, "not a committee by replicated seeds"),
        (SEEDS.to_bytes()[:-1], "bytes"),
        (SEEDS.to_bytes() + b"\x00", "bytes"),
        (forged(), "expected the signature of its identity"),
        (replaced(SEEDS, certificates=SEEDS.certificates[::-1]).to_bytes(), "with the pin"),
        (with_quorum(SEEDS, 2), "no honest member in common"),
        (replaced(SEEDS, colluding=2).to_bytes(), "with the pin"),
        (seed_committee_of(4, 1, 3).to_bytes(), "with the pin"),
        (
            SeedCommittee(certificates=seed_committee_of(4, 1, 3).certificates[1:], colluding=1, quorum=3).to_bytes(),
            "with the pin",
        ),
    ],
    ids=["none", "zeros", "cut", "tail", "forged", "swapped", "quorum", "colluding", "larger", "replaced"],
)
def test_committee_without_the_pinned_pin_or_a_valid_signature_is_refused(epoch: bytes, error: str) -> None:
    with pytest.raises(MalformedMessage, match=error) as caught:
        built(epoch=epoch)
    assert len(str(caught.value)) < 500


def test_epoch_that_is_longer_than_any_committee_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedMessage, match="expected one of version 1"):
        built(epoch=bytes(20_000))


def test_epoch_without_members_and_for_another_kind_of_committee_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="none without members"):
        built(members=())
    with pytest.raises(MalformedMessage, match="pinned the key of a committee with a dealer"):
        built(pinned=committee_keys.threshold_key())
    with pytest.raises(MalformedMessage, match="no committee's key"):
        built(pinned=None)


def test_dealt_key_is_never_taken_from_an_offer() -> None:
    case = offered("oneshot")
    assert case.offer.epoch == b""
    with pytest.raises(MalformedMessage, match="with a dealer"):
        replace(case.offer, epoch=SEEDS.to_bytes()).build(case.roster, case.committee_key)
    with pytest.raises(MalformedMessage, match="not a committee by replicated seeds"):
        case.offer.build(case.roster, SEEDS)


def test_swapped_members_are_another_session() -> None:
    swapped = built(members=(MEMBERS[1], MEMBERS[0], MEMBERS[2]))
    assert CASE.mean.protocol.digest(swapped) != CASE.digest


def test_offer_of_the_largest_committee_is_far_below_the_limit() -> None:
    assert len(CASE.offer.to_bytes()) < 4_600
    assert len(seed_committee_of(10, 3, 7).to_bytes()) + 1000 < MOST_BYTES / 50
