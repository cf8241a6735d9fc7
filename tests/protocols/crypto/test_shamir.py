"""Shamir sharing: thresholds, exact algebra, and bad shares refused."""

import hashlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto import shamir
from protocols.crypto.secret import Secret

P = shamir.PRIME


def entropy(size: int) -> bytes:
    return hashlib.shake_256(b"shamir").digest(size)


def dealt(secret: bytes, threshold: int, holders: list[int]) -> dict[int, bytes]:
    shares = shamir.share(Secret(secret), threshold=threshold, holders=holders, entropy=entropy)
    return dict(zip(holders, shares, strict=True))


def test_field_is_the_first_prime_above_two_to_the_256() -> None:
    small = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]
    for number in range(2**256, P + 1):
        probable = all(pow(base, number - 1, number) == 1 for base in small)
        assert probable == (number == P)


@given(
    secret=st.binary(min_size=32, max_size=32),
    holders=st.lists(st.integers(0, 2**32 - 2), min_size=1, max_size=9, unique=True),
    data=st.data(),
)
def test_any_threshold_of_the_shares_gives_the_secret(secret: bytes, holders: list[int], data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, len(holders)))
    shares = dealt(secret, threshold, holders)
    assert all(len(share) == shamir.SHARE_BYTES for share in shares.values())
    chosen = data.draw(st.permutations(holders)).copy()[: data.draw(st.integers(threshold, len(holders)))]
    assert shamir.combine({holder: shares[holder] for holder in chosen}, threshold=threshold).reveal() == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31), bytes(31) + b"\x80"])
def test_every_subset_of_threshold_size_gives_edge_secrets(secret: bytes) -> None:
    shares = dealt(secret, 3, [0, 1, 2, 4_294_967_294, 7])
    for chosen in combinations(shares, 3):
        assert shamir.combine({holder: shares[holder] for holder in chosen}, threshold=3).reveal() == secret


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    """Two of three shares leave every secret possible: some third share explains it."""
    shares = dealt(b"s" * 32, 3, [0, 1, 2])
    first, second = (int.from_bytes(shares[holder], "little") for holder in (0, 1))
    for other in (bytes(32), b"\x07" * 32, b"\xff" * 32):
        # The Lagrange weights at 0 of the points 1, 2, 3 are 3, -3, 1.
        third = (int.from_bytes(other, "little") - 3 * first + 3 * second) % P
        completed = {0: shares[0], 1: shares[1], 2: third.to_bytes(33, "little")}
        assert shamir.combine(completed, threshold=3).reveal() == other


def test_threshold_of_one_gives_the_secret_to_everyone() -> None:
    shares = dealt(b"k" * 32, 1, [3, 9])
    assert set(shares.values()) == {b"k" * 32 + b"\x00"}


@pytest.mark.parametrize(
    ("threshold", "holders"), [(0, [1]), (-1, [1]), (3, [1, 2]), (2, [1, 1]), (1, []), (2, [-1, 1]), (2, [1, 2, -7])]
)
def test_impossible_sharing_is_refused(threshold: int, holders: list[int]) -> None:
    with pytest.raises(ValueError, match="holders, threshold: expected distinct ids"):
        shamir.share(Secret(bytes(32)), threshold=threshold, holders=holders, entropy=entropy)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_secret_of_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="secret: expected 32 bytes"):
        shamir.share(Secret(bytes(size)), threshold=2, holders=[1, 2], entropy=entropy)


def test_entropy_that_runs_short_is_refused() -> None:
    """It would lower the polynomial's degree, and so the threshold, without a word."""
    with pytest.raises(ValueError, match="entropy"):
        shamir.share(Secret(bytes(32)), threshold=3, holders=[1, 2, 3], entropy=lambda size: bytes(size - 1))


def test_too_few_shares_are_refused() -> None:
    shares = dealt(bytes(32), 3, [1, 2, 3])
    for count in range(3):
        with pytest.raises(ValueError, match=f"secret shares: expected at least 3, found {count}"):
            shamir.combine(dict(list(shares.items())[:count]), threshold=3)


@pytest.mark.parametrize("bad", [b"", bytes(32), bytes(34), b"\xff" * 33, P.to_bytes(33, "little")])
def test_share_that_is_no_field_element_is_refused(bad: bytes) -> None:
    shares = dealt(b"x" * 32, 2, [1, 2])
    with pytest.raises(ValueError, match="secret shares: expected elements of the field"):
        shamir.combine({**shares, 1: bad}, threshold=2)


def test_shares_that_meet_above_32_bytes_are_refused() -> None:
    """With threshold 1 the share is the value; 2^256 is a field element and no secret."""
    with pytest.raises(ValueError, match="belong together"):
        shamir.combine({4: (2**256).to_bytes(33, "little")}, threshold=1)


def test_altered_share_gives_another_secret_or_none() -> None:
    shares = dealt(b"x" * 32, 3, [1, 2, 3])
    for position in range(33):
        altered = bytearray(shares[2])
        altered[position] ^= 1
        try:
            secret = shamir.combine({**shares, 2: bytes(altered)}, threshold=3)
        except ValueError:
            continue
        assert secret.reveal() != b"x" * 32


def test_shares_beyond_the_threshold_are_not_looked_at() -> None:
    shares = dealt(b"x" * 32, 2, [1, 2, 3])
    assert shamir.combine({**shares, 3: b"rubbish"}, threshold=2).reveal() == b"x" * 32


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(33), True),
        ((P - 1).to_bytes(33, "little"), True),
        (P.to_bytes(33, "little"), False),
        (b"\xff" * 33, False),
        (bytes(32), False),
        (bytes(34), False),
        (b"", False),
    ],
)
def test_share_is_a_canonical_element_of_the_field(data: bytes, expected: bool) -> None:
    assert shamir.is_share(data) is expected
