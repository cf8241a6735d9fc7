"""Threshold decryption: any t right parts give the messages, and every wrong one is refused."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import pytest

from protocols.crypto.integers import PYTHON, Arithmetic, fastest
from protocols.crypto.paillier.decryption_proof import Proof, proof_bytes, prove, response_bits
from protocols.crypto.paillier.partial_decryption import (
    InvalidShare,
    PartialDecryption,
    check_partial,
    combine,
    decrypt_partially,
    partial_bytes,
)
from protocols.crypto.paillier.private import PrivateKey
from protocols.crypto.paillier.public import InvalidCiphertext
from protocols.crypto.paillier.threshold import KeyShare
from protocols.errors import InputError, TooFewSurvivors
from tests.support.committee_keys import SAFE_P, SAFE_Q, key_shares, threshold_key
from tests.support.paillier_keys import stream

each = pytest.mark.parametrize(("s", "arithmetic"), [(1, fastest()), (2, fastest()), (3, fastest()), (1, PYTHON)])

N = SAFE_P * SAFE_Q
STATEMENT = b"session 7, sum of 10 clients"
Forge = Callable[[PartialDecryption], PartialDecryption]


def encrypted(s: int, messages: Sequence[int]) -> list[int]:
    entropy = stream(f"encrypted {s}")
    return [threshold_key(s).public_key.encrypt_raw(message, entropy=entropy) for message in messages]


def parts(s: int, ciphertexts: Sequence[int], members: int = 3, threshold: int = 2) -> dict[int, PartialDecryption]:
    shares = key_shares(s, members, threshold)
    return {share.index: decrypt_partially(share, ciphertexts, statement=STATEMENT) for share in shares}


@pytest.mark.parametrize(
    ("s", "members", "threshold"), [(1, 2, 2), (1, 3, 2), (1, 5, 3), (1, 4, 4), (2, 3, 3), (3, 3, 2)]
)
def test_any_t_members_decrypt_what_the_owner_decrypts(s: int, members: int, threshold: int) -> None:
    messages = [0, N**s - 1, N**s // 3]
    ciphertexts = encrypted(s, messages)
    assert PrivateKey.from_primes(SAFE_P, SAFE_Q, s).decrypt(ciphertexts) == messages
    values = {index: part.values for index, part in parts(s, ciphertexts, members, threshold).items()}
    key = threshold_key(s, members, threshold)
    for size in range(threshold, members + 1):
        for chosen in combinations(values, size):
            found = combine(key, {index: values[index] for index in reversed(chosen)})
            assert found == messages
            assert {type(message) for message in found} == {int}


@each
def test_right_parts_pass_and_round_trip(s: int, arithmetic: Arithmetic) -> None:
    key, share = threshold_key(s, arithmetic=arithmetic), key_shares(s, arithmetic=arithmetic)[1]
    ciphertexts = encrypted(s, [0, N**s - 1])
    part = decrypt_partially(share, ciphertexts, statement=STATEMENT)
    check_partial(key, 2, ciphertexts, part, statement=STATEMENT)
    data = part.to_bytes(key)
    size = 256 * (s + 1)
    assert len(data) == partial_bytes(key, 2) == 16 + size + 256 // 8 + 1 + 2 * size
    for form in (data, memoryview(data)):
        again = PartialDecryption.from_bytes(key, form, 2)
        assert again == part
        assert again.to_bytes(key) == data
        check_partial(key, 2, ciphertexts, again, statement=STATEMENT)


def test_values_are_the_papers_formula() -> None:
    share, ciphertexts = key_shares(1, 5, 3)[3], encrypted(1, [5, 6])
    expected = tuple(pow(one, 2 * 120 * share.reveal(), N**2) for one in ciphertexts)
    assert decrypt_partially(share, ciphertexts, statement=b"").values == expected


def test_arithmetics_give_the_same_bytes() -> None:
    ciphertexts = encrypted(1, [5, 6])
    made = {
        decrypt_partially(
            key_shares(1, arithmetic=arithmetic)[0], ciphertexts, statement=STATEMENT, entropy=stream("nonce")
        ).to_bytes(threshold_key())
        for arithmetic in (fastest(), PYTHON)
    }
    assert len(made) == 1


def test_many_ciphertexts_come_back_in_order() -> None:
    """More than all cores take at once."""
    messages = list(range(21))
    ciphertexts = encrypted(1, messages)
    check_partial(threshold_key(), 3, ciphertexts, part_by(3, *messages), statement=STATEMENT)
    assert combine(threshold_key(), {1: part_by(1, *messages).values, 3: part_by(3, *messages).values}) == messages


@pytest.mark.parametrize("arithmetic", [fastest(), PYTHON], ids=lambda arithmetic: arithmetic.name)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 23])
def test_powers_of_lists_are_the_powers(count: int, arithmetic: Arithmetic) -> None:
    bases, modulus = list(range(2**80, 2**80 + count)), 2**127 - 1
    found = arithmetic.powers([arithmetic.integer(base) for base in bases], 3**50, arithmetic.integer(modulus))
    assert found == [pow(base, 3**50, modulus) for base in bases]


def test_sums_are_opened() -> None:
    public_key = threshold_key(2).public_key
    total = public_key.add(encrypted(2, [7, N**2 - 1]), encrypted(2, [8, 2]))
    values = {index: part.values for index, part in parts(2, total).items()}
    assert combine(threshold_key(2), values) == [15, 1]


@pytest.mark.parametrize("s", [1, 3])
def test_fewer_members_than_the_threshold_do_not_decrypt(s: int) -> None:
    """Fewer members than the threshold combine what they have, also with a key whose threshold they have lowered.

    Both must fail (TooFewSurvivors, InvalidShare).
    """
    ciphertexts = encrypted(s, [11])
    values = {index: part.values for index, part in parts(s, ciphertexts, 5, 3).items()}
    for chosen in combinations(values, 2):
        two = {index: values[index] for index in chosen}
        with pytest.raises(TooFewSurvivors, match="expected 3 members or more, found 2"):
            combine(threshold_key(s, 5, 3), two)
        with pytest.raises(InvalidShare, match="partial decryptions: expected those of one ciphertext"):
            combine(replace(threshold_key(s, 5, 3), threshold=2), two)
    with pytest.raises(TooFewSurvivors):
        combine(threshold_key(s, 5, 3), {})


@cache
def part_by(index: int, *messages: int) -> PartialDecryption:
    """One member's, for s = 1."""
    return decrypt_partially(key_shares()[index - 1], encrypted(1, messages), statement=STATEMENT)


def changed(part: PartialDecryption, at: int, value: Any) -> PartialDecryption:
    return replace(part, values=(*part.values[:at], value, *part.values[at + 1 :]))


FORGERIES: dict[str, Forge] = {
    "another unit": lambda part: changed(part, 1, 4),
    "message shifted by one": lambda part: changed(part, 0, part.values[0] * (1 + N) % N**2),
    "sign flipped": lambda part: changed(part, 2, N**2 - part.values[2]),
    "all signs flipped": lambda part: replace(part, values=tuple(N**2 - value for value in part.values)),
    "two swapped": lambda part: replace(part, values=(part.values[1], part.values[0], part.values[2])),
    "factors that cancel": lambda part: changed(
        changed(part, 0, part.values[0] * 3 % N**2), 1, part.values[1] * pow(3, -1, N**2) % N**2
    ),
    "one too few": lambda part: replace(part, values=part.values[:-1]),
    "one too many": lambda part: replace(part, values=(*part.values, 1)),
    "none": lambda part: replace(part, values=()),
    "challenge plus one": lambda part: replace(part, proof=part.proof._replace(challenge=part.proof.challenge ^ 1)),
    "challenge zero": lambda part: replace(part, proof=part.proof._replace(challenge=0)),
    "response plus one": lambda part: replace(part, proof=part.proof._replace(response=part.proof.response + 1)),
    "response zero": lambda part: replace(part, proof=part.proof._replace(response=0)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_part_is_refused_and_names_its_member(name: str) -> None:
    """A member alters its values or its proof in one of many ways.

    The check must refuse each (InvalidShare) and name the member.
    """
    ciphertexts = encrypted(1, [5, 6, 7])
    part = part_by(2, 5, 6, 7)
    with pytest.raises(InvalidShare, match="by member 2") as caught:
        check_partial(threshold_key(), 2, ciphertexts, FORGERIES[name](part), statement=STATEMENT)
    assert caught.value.index == 2


@pytest.mark.parametrize(
    "bad", [0, N**2, N**2 + 1, -1, N, SAFE_P, 3 * SAFE_Q, True, None, 2.0], ids=lambda bad: type(bad).__name__
)
def test_value_out_of_range_is_refused_and_pointed_at(bad: Any) -> None:
    """A member sends a number that is no ciphertext.

    Both the check and the combination must refuse it (InvalidShare) and say which.
    """
    ciphertexts = encrypted(1, [5, 6, 7])
    damaged = changed(part_by(3, 5, 6, 7), 1, bad)
    with pytest.raises(InvalidShare, match="value 1 by member 3 is out of range") as caught:
        check_partial(threshold_key(), 3, ciphertexts, damaged, statement=STATEMENT)
    assert caught.value.index == 3
    with pytest.raises(InvalidShare, match="value 1 by member 3 is out of range"):
        combine(threshold_key(), {1: part_by(1, 5, 6, 7).values, 3: damaged.values})


@pytest.mark.parametrize(
    "proof",
    [
        (2**128, 5),
        (-1, 5),
        (5, -1),
        (5, 2 ** response_bits(threshold_key())),
        (5, 2**100_000),
        (True, 5),
        (5, None),
        (5.0, 5),
    ],
    ids=["challenge above", "challenge below", "response below", "response above", "huge", "bool", "none", "float"],
)
def test_proof_out_of_range_is_refused(proof: Any) -> None:
    """A member sends a challenge or response out of range, or of thousands of digits.

    The check must refuse it before it computes with it (InvalidShare).
    """
    ciphertexts, part = encrypted(1, [5]), part_by(1, 5)
    with pytest.raises(InvalidShare, match="challenge and response: expected"):
        check_partial(threshold_key(), 1, ciphertexts, replace(part, proof=Proof(*proof)), statement=STATEMENT)


def test_part_of_another_statement_member_key_or_vector_is_refused() -> None:
    """A member uses its part for another statement, vector, member or key.

    The proof's hash covers all of them and must stop it (InvalidShare).
    """
    ciphertexts, part = encrypted(1, [5, 6]), part_by(1, 5, 6)
    check_partial(threshold_key(), 1, ciphertexts, part, statement=STATEMENT)
    for statement in (b"", STATEMENT + b"\0", STATEMENT[:-1], b"session 8, sum of 10 clients"):
        with pytest.raises(InvalidShare, match="does not fit its proof"):
            check_partial(threshold_key(), 1, ciphertexts, part, statement=statement)
    for other in (ciphertexts[::-1], [ciphertexts[0], ciphertexts[0]], encrypted(1, [5, 7])[::-1]):
        with pytest.raises(InvalidShare, match="does not fit its proof"):
            check_partial(threshold_key(), 1, other, part, statement=STATEMENT)
    with pytest.raises(InvalidShare, match="by member 2 does not fit its proof"):
        check_partial(threshold_key(), 2, ciphertexts, part, statement=STATEMENT)
    keys = threshold_key(1, 3, 3), replace(threshold_key(), threshold=3), replace(threshold_key(), base=4)
    for key in keys:
        with pytest.raises(InvalidShare, match="by member 1 does not fit its proof"):
            check_partial(key, 1, ciphertexts, part, statement=STATEMENT)


def test_part_is_no_one_elses_even_where_two_members_have_one_share() -> None:
    """A member passes off another's part as its own, where both have the same verification key.

    The hash names the member and must stop it (InvalidShare).
    """
    first, _, third = threshold_key().verification_keys
    key = replace(threshold_key(), verification_keys=(first, first, third))
    ciphertexts = encrypted(1, [5])
    share = KeyShare(key, 1, key_shares()[0].reveal())
    part = decrypt_partially(share, ciphertexts, statement=STATEMENT)
    check_partial(key, 1, ciphertexts, part, statement=STATEMENT)
    with pytest.raises(InvalidShare, match="by member 2 does not fit its proof"):
        check_partial(key, 2, ciphertexts, part, statement=STATEMENT)


@pytest.mark.parametrize("index", [0, 4, -1, 2**70, True, None])
def test_part_by_no_member_is_refused(index: Any) -> None:
    """Somebody sends a part under an index that no member has.

    Both the check and the combination must refuse it (InvalidShare).
    """
    ciphertexts, part = encrypted(1, [5]), part_by(1, 5)
    with pytest.raises(InvalidShare, match="member: expected an index from 1 to 3"):
        check_partial(threshold_key(), index, ciphertexts, part, statement=STATEMENT)
    with pytest.raises(InvalidShare, match="member: expected an index from 1 to 3"):
        combine(threshold_key(), {index: part.values, 2: part.values})


@pytest.mark.parametrize("factor", [1 + N, (1 + N) ** 2, 4, pow(2, N, N**2)], ids=["one", "two", "4", "residue"])
def test_member_cannot_prove_a_wrong_value(factor: int) -> None:
    """A member does everything right except for one value, which shifts a message or makes it nonsense.

    The proof must not hold (InvalidShare).
    """
    share, ciphertexts, values = key_shares()[0], encrypted(1, [5, 6, 7]), list(part_by(1, 5, 6, 7).values)
    values[2] = values[2] * factor % N**2
    proof = prove(share, ciphertexts, values, statement=STATEMENT, entropy=stream("cheat"))
    with pytest.raises(InvalidShare, match="by member 1 does not fit its proof"):
        check_partial(threshold_key(), 1, ciphertexts, PartialDecryption(tuple(values), proof), statement=STATEMENT)


def test_member_cannot_prove_errors_that_cancel_in_an_unweighted_product() -> None:
    """A member makes two errors whose product is 1.

    The proof weights each value by a hash, and must not hold (InvalidShare).
    """
    share, ciphertexts, values = key_shares()[0], encrypted(1, [5, 6]), part_by(1, 5, 6).values
    values = (values[0] * (1 + N) % N**2, values[1] * (1 - N) % N**2)
    proof = prove(share, ciphertexts, values, statement=STATEMENT, entropy=stream("cancel"))
    with pytest.raises(InvalidShare, match="does not fit its proof"):
        check_partial(threshold_key(), 1, ciphertexts, PartialDecryption(values, proof), statement=STATEMENT)


def test_member_that_uses_another_exponent_is_refused() -> None:
    """A member decrypts with another share.

    The proof would hold for that share's verification key, which is not the dealer's, so the check must refuse it
    (InvalidShare).
    """
    share, ciphertexts = key_shares()[0], encrypted(1, [5])
    wrong = KeyShare(share.key, 1, share.reveal() + 1)
    part = decrypt_partially(wrong, ciphertexts, statement=STATEMENT)
    with pytest.raises(InvalidShare, match="by member 1 does not fit its proof"):
        check_partial(threshold_key(), 1, ciphertexts, part, statement=STATEMENT)


@pytest.mark.parametrize("s", [1, 2])
def test_signs_that_a_member_flips_itself_change_no_message(s: int) -> None:
    """A member multiplies values by roots of 1.

    That is accepted, as documented: they vanish in the squares, so no message changes.
    """
    key, shares = threshold_key(s), key_shares(s)
    big = N ** (s + 1)
    other = (1 + SAFE_P ** (s + 1) * (-2 * pow(SAFE_P ** (s + 1), -1, SAFE_Q ** (s + 1)))) % big
    assert other not in (1, big - 1)
    assert other**2 % big == 1
    messages = [N**s - 1, 6, 0]
    ciphertexts = encrypted(s, messages)
    values = list(decrypt_partially(shares[0], ciphertexts, statement=STATEMENT).values)
    values = [big - values[0], values[1], values[2] * other % big]
    proof = prove(shares[0], ciphertexts, values, statement=STATEMENT, entropy=stream("signs"))
    check_partial(key, 1, ciphertexts, PartialDecryption(tuple(values), proof), statement=STATEMENT)
    for index in (2, 3):
        right = decrypt_partially(shares[index - 1], ciphertexts, statement=STATEMENT).values
        assert combine(key, {1: values, index: right}) == messages


def test_nonce_hides_the_share() -> None:
    """An observer divides responses by challenges to learn the share.

    The nonce must be 256 bits longer than the modulus, and fresh for each proof.
    """
    asked: list[int] = []

    def zeros(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    share, ciphertexts = key_shares()[0], encrypted(1, [5])
    proof = decrypt_partially(share, ciphertexts, statement=STATEMENT, entropy=zeros).proof
    assert asked == [(4096 + 256) // 8]
    assert (proof.response - proof.challenge * share.reveal()).bit_length() > 4096 + 256 - 64
    fresh = [decrypt_partially(share, ciphertexts, statement=STATEMENT).proof for _ in range(2)]
    assert fresh[0].challenge != fresh[1].challenge
    assert fresh[0].response != fresh[1].response


def test_short_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes of entropy"):
        decrypt_partially(key_shares()[0], encrypted(1, [5]), statement=b"", entropy=lambda size: bytes(size - 1))


def test_parts_show_neither_share_nor_endless_digits() -> None:
    part = decrypt_partially(key_shares(3)[0], encrypted(3, [5]), statement=STATEMENT)
    assert repr(part) == "PartialDecryption(1 values)"


@pytest.mark.parametrize("bad", [0, N**2, -1, N, SAFE_P, True, None])
def test_bad_ciphertext_is_refused_by_both_sides(bad: Any) -> None:
    """A server asks a member to decrypt a number that is no ciphertext.

    The member must refuse it, and so must the check (InvalidCiphertext).
    """
    good, part = encrypted(1, [5]), part_by(1, 5, 5)
    with pytest.raises(InvalidCiphertext) as caught:
        decrypt_partially(key_shares()[0], [*good, bad], statement=STATEMENT)
    assert caught.value.index == 1
    with pytest.raises(InvalidCiphertext):
        check_partial(threshold_key(), 1, [*good, bad], part, statement=STATEMENT)


def test_empty_vector_is_refused() -> None:
    part = part_by(1, 5)
    with pytest.raises(InputError, match="ciphertexts: expected at least one"):
        decrypt_partially(key_shares()[0], [], statement=STATEMENT)
    with pytest.raises(InputError, match="ciphertexts: expected at least one"):
        check_partial(threshold_key(), 1, [], replace(part, values=()), statement=STATEMENT)


def test_parts_of_different_vectors_do_not_combine() -> None:
    """Parts of two vectors are combined. The combination must notice that they do not fit (InvalidShare)."""
    one, other = part_by(1, 5, 6), decrypt_partially(key_shares()[1], encrypted(1, [5, 6])[::-1], statement=b"")
    with pytest.raises(InvalidShare, match="partial decryptions: expected those of one ciphertext"):
        combine(threshold_key(), {1: one.values, 2: other.values})
    with pytest.raises(InvalidShare, match="values by member 2: expected 2, found 1"):
        combine(threshold_key(), {1: one.values, 2: other.values[:1]})


def test_bytes_of_another_length_are_refused() -> None:
    """A member sends bytes of another length, or a server expects another number of values.

    Reading must refuse them (InvalidShare).
    """
    key, data = threshold_key(), part_by(1, 5, 6).to_bytes(threshold_key())
    ends = [0, 16, proof_bytes(key), proof_bytes(key) + 512, len(data)]
    for length in {max(end + off, 0) for end in ends for off in (-1, 0, 1)} - {len(data)}:
        with pytest.raises(InvalidShare, match=r"expected \d+ bytes, found"):
            PartialDecryption.from_bytes(key, (data + data)[:length], 2)
    for count in (0, 1, 3, 2**40):
        with pytest.raises(InvalidShare, match=r"expected \d+ bytes, found"):
            PartialDecryption.from_bytes(key, data, count)


def test_flipped_bits_are_refused_by_reading_or_by_checking() -> None:
    """Somebody on the way flips one bit of a part. Reading or checking must refuse it (InvalidShare)."""
    key, ciphertexts = threshold_key(), encrypted(1, [5, 6])
    data = part_by(1, 5, 6).to_bytes(key)
    start = proof_bytes(key)
    for position in (0, 15, 16, start - 1, start, start + 300, start + 511, start + 512, len(data) - 1):
        for bit in (0, 7):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(InvalidShare):
                check_partial(
                    key, 1, ciphertexts, PartialDecryption.from_bytes(key, bytes(damaged), 2), statement=STATEMENT
                )


def test_numbers_out_of_range_are_not_read() -> None:
    """A member sends encoded numbers that are no ciphertexts. Reading must refuse them and say which (InvalidShare)."""
    key = threshold_key()
    part = part_by(1, 5, 6)
    for bad in (0, N**2, 2**4096 - 1, N, SAFE_P):
        with pytest.raises(InvalidShare, match="number 1 of a partial decryption is out of range"):
            PartialDecryption.from_bytes(key, changed(part, 1, bad).to_bytes(key), 2)
    with pytest.raises(InvalidShare, match="challenge and response: expected"):
        PartialDecryption.from_bytes(key, b"\xff" * partial_bytes(key, 2), 2)


def test_nonces_differ_where_entropy_comes_twice() -> None:
    """A member's randomness repeats, as after a restored virtual machine.

    Two responses with one nonce would show the share, (z - z') / (e - e'), so the nonce must depend on the statement
    too.
    """
    key, (share, *_) = threshold_key(), key_shares()
    ciphertexts = [key.public_key.encrypt_raw(5)]
    proofs = [
        decrypt_partially(share, ciphertexts, statement=statement, entropy=bytes).proof for statement in (b"1", b"2")
    ]
    rise, run = (proofs[0].response - proofs[1].response), (proofs[0].challenge - proofs[1].challenge)
    assert rise % run != 0 or rise // run != share.reveal()
    again = decrypt_partially(share, ciphertexts, statement=b"1", entropy=bytes).proof
    assert again == proofs[0]
