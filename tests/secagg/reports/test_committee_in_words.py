"""What reports say of a committee."""

import pytest
from msgspec.structs import replace

from protocols import SeedCommittee
from secagg.reports.committee import answers_in_words, committee_in_words, member_in_words
from secagg.training.records import MemberComplaint, RoundRecord
from tests.support.committee_keys import threshold_key
from tests.support.seed_members import certificates


def test_committee_with_a_key_is_described_by_its_threshold_and_fingerprint() -> None:
    key = threshold_key(1, 3, 2)
    words = committee_in_words(key)
    assert words == f"any 2 of 3 members open a sum; 2048 bits, fingerprint {key.fingerprint.hex()}"


@pytest.mark.parametrize(
    ("members", "colluding", "quorum", "verified"),
    [
        (5, 1, 4, "at least 3 answers decide it, so every sum is verified if at most 1 members lie"),
        (5, 2, 4, "at least 5 answers decide it, so every sum is verified if at most 2 members lie"),
        (2, 1, 2, "no sum is verified, since that takes 3 members if 1 may lie, and there are 2"),
    ],
)
def test_committee_of_seeds_says_who_agrees_and_whether_sums_are_verified(
    members: int, colluding: int, quorum: int, verified: str
) -> None:
    key = SeedCommittee(certificates=certificates(members), colluding=colluding, quorum=quorum)
    words = committee_in_words(key)
    assert words.startswith(f"any {quorum} of {members} members agree on a sum; {verified}; pin {key.pin.hex()}, ")
    assert words.endswith(f"fingerprint of the epoch {key.fingerprint.hex()}")


def test_members_of_both_kinds_of_committee_are_told_how_many_of_them_may_combine_what_they_hold() -> None:
    _, hidden = member_in_words(threshold_key(1, 3, 2))
    assert "fewer than 2 members combine their key shares, and that the dealer" in hidden
    seen, hidden = member_in_words(SeedCommittee(certificates=certificates(5), colluding=1, quorum=4))
    assert "seeds" in seen
    # Fewer members than the quorum of 4 can decrypt: one more than may collude.
    assert "no more than 1 of the 5 members combine" in hidden
    assert "dealer" not in hidden


def test_answers_of_a_committee_are_told_only_if_there_is_something_to_say() -> None:
    well = RoundRecord(round=1, accuracy=0.5, loss=1.0, contributors=4)
    assert answers_in_words([well]) == ()
    complaint = MemberComplaint(member=9, client=2, reason="does not open")
    ill = replace(well, verified=False, culprits=[9, 8], complaints=[complaint])
    ((heading, text),) = answers_in_words([well, ill, ill])
    assert heading == "The committee's answers"
    assert text == (
        "2 sums are NOT verified: a committee member that lies could have changed them; parties 8, 9 broke the rules "
        "and did no harm to a sum; committee members complained of clients' messages 2 times (metrics.jsonl)"
    )
