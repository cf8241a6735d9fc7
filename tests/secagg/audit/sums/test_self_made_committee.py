from protocols import SeedCommittee
from secagg.audit.sums.seed_committee import self_made

MEMBERS = (11, 12, 13, 14)


def test_committee_of_audits_is_the_same_at_each_call_and_has_one_pin_in_all_epochs() -> None:
    first, shares = self_made(MEMBERS, 1, 3)
    self_made.cache_clear()
    again, _ = self_made(MEMBERS, 1, 3)
    later, _ = self_made(MEMBERS, 1, 3, epoch=1)
    assert isinstance(first.key, SeedCommittee)
    first.key.check(now=2**31)
    assert first == again
    assert (first.key.pin, first.key.fingerprint != later.key.fingerprint) == (later.key.pin, True)
    assert [share.index for share in shares] == [1, 2, 3, 4]
