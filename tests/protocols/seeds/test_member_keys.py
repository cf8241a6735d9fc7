"""A member's secret keys over its epochs: new ones, expired ones, and the right one for a committee."""

import copy
import pickle
from typing import Final

import pytest

from protocols.crypto import hpke
from protocols.crypto.hpke import BoxNotOpened
from protocols.errors import ParameterError
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.member_key import EPOCH_KEY_BYTES, InvalidCertificate
from protocols.seeds.member_keys import MOST_EPOCHS, MemberKeys
from protocols.testing.repeatable import fixed_identity
from tests.support.seed_members import BEGINS, ENDS, NOW, certificates, issued

KEYS: Final = MemberKeys(fixed_identity(0), 2, (issued(0)[1], issued(0, 1)[1]))
HEAD_BYTES: Final = len(b"secagg seeds member keys v1\n") + 32 + 8 + 2


def committee(epoch: int = 0) -> SeedCommittee:
    return SeedCommittee(certificates=(*certificates(3)[1:], issued(0, epoch)[0]), colluding=1, quorum=3)


def numbers(keys: MemberKeys) -> list[int]:
    return [key.certificate.epoch for key in keys.epochs]


def test_new_member_has_an_identity_and_gets_a_key_for_each_epoch() -> None:
    keys = MemberKeys.generate()
    assert (keys.next_epoch, keys.epochs) == (0, ())
    assert keys.identity.public != MemberKeys.generate().identity.public
    for epoch in range(3):
        keys = keys.with_epoch(BEGINS + epoch, ENDS + epoch)
        newest = keys.epochs[-1].certificate
        newest.check(NOW)
        assert (newest.epoch, newest.not_before, newest.not_after) == (epoch, BEGINS + epoch, ENDS + epoch)
        assert newest.identity == keys.identity.public
    assert numbers(keys) == [0, 1, 2]
    assert len({key.key.public for key in keys.epochs}) == 3


def test_keys_of_expired_epochs_are_dropped_and_their_numbers_not_used_again() -> None:
    """Someone takes a member's keys after an epoch.

    If the member has dropped the key of that epoch, a box of the epoch must not open with what is left.
    """
    keys = MemberKeys.generate().with_epoch(0, 10).with_epoch(5, 20).with_epoch(15, 30)
    assert numbers(keys.without_expired(9.9)) == [0, 1, 2]
    assert numbers(keys.without_expired(10)) == [1, 2]
    box = hpke.seal(keys.epochs[0].key.public, b"info", b"seeds")
    for key in keys.without_expired(10).epochs:
        with pytest.raises(BoxNotOpened):
            key.key.open(b"info", box)
    left = keys.without_expired(30)
    assert numbers(left) == []
    assert left.identity is keys.identity
    assert numbers(left.with_epoch(30, 40)) == [3]


def test_share_in_a_committee_is_that_of_the_members_place_and_epoch() -> None:
    for epoch in (0, 1):
        share = KEYS.share(committee(epoch))
        assert (share.index, share.epoch_key) == (3, KEYS.epochs[epoch])


def test_committee_of_others_or_of_a_deleted_epoch_has_no_share_for_the_member() -> None:
    with pytest.raises(ParameterError, match="identity of one of the committee's members"):
        MemberKeys.generate().share(committee())
    with pytest.raises(ParameterError, match="key of epoch 1"):
        MemberKeys(fixed_identity(0), 1, (issued(0)[1],)).share(committee(1))
    again = MemberKeys(fixed_identity(0), 0, ()).with_epoch(BEGINS, ENDS)  # Epoch 0 again, with another key.
    with pytest.raises(ParameterError, match="key of epoch 0"):
        again.share(committee(0))


def test_keys_are_read_as_they_were_written() -> None:
    for keys in (KEYS, KEYS.without_expired(ENDS), MemberKeys.generate()):
        again = MemberKeys.from_bytes(keys.to_bytes())
        assert again.to_bytes() == keys.to_bytes()
        assert again.identity.secret == keys.identity.secret
        assert (again.next_epoch, numbers(again)) == (keys.next_epoch, numbers(keys))


def test_other_bytes_are_no_keys() -> None:
    data = KEYS.to_bytes()
    wrong = [b"", data[: HEAD_BYTES - 1], data[:-1], data + b"\0", data[:-EPOCH_KEY_BYTES], b"S" + data[1:]]
    wrong += [data[: HEAD_BYTES - 2] + (count).to_bytes(2, "big") + data[HEAD_BYTES:] for count in (0, 1, 3, 65535)]
    for each in wrong:
        with pytest.raises(ParameterError):
            MemberKeys.from_bytes(each)


def test_keys_that_do_not_fit_together_are_refused() -> None:
    identity, first, second = fixed_identity(0), issued(0)[1], issued(0, 1)[1]
    for number, epochs in ((1, (first, second)), (2, (second, first)), (2, (first, first)), (-1, ()), (2**63, ())):
        with pytest.raises(ParameterError, match="ascending epochs"):
            MemberKeys(identity, number, epochs)
    with pytest.raises(ParameterError, match="another's"):
        MemberKeys(identity, 2, (issued(1)[1],))
    head = KEYS.to_bytes()[: HEAD_BYTES - 2]
    with pytest.raises(ParameterError, match="another's"):
        MemberKeys.from_bytes(head + b"\0\1" + issued(1)[1].to_bytes())
    damaged = bytearray(KEYS.to_bytes())
    damaged[HEAD_BYTES + 30] ^= 1
    with pytest.raises(InvalidCertificate, match="another key"):
        MemberKeys.from_bytes(bytes(damaged))


def test_more_epochs_than_are_kept_are_refused_with_what_to_do() -> None:
    keys = MemberKeys.generate()
    for _ in range(MOST_EPOCHS):
        keys = keys.with_epoch(0, 10)
    with pytest.raises(ParameterError, match=r"at most 256 epochs, found 257\. Delete those of expired"):
        keys.with_epoch(0, 10)
    assert keys.without_expired(10).with_epoch(10, 20).next_epoch == 257


def test_keys_show_nothing_of_themselves_and_cannot_be_copied() -> None:
    for secret in (KEYS.identity.secret, *(key.key.secret for key in KEYS.epochs)):
        assert secret.reveal().hex() not in repr(KEYS)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(KEYS)
