"""Proofs of plaintext knowledge: honest ones hold, and nothing that is made of another's ciphertexts does."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from protocols.crypto.integers import Arithmetic, random_below, random_bits
from protocols.crypto.paillier import plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Pair, from_bytes, join, split, to_bytes
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from protocols.crypto.paillier.plaintext_proof import Claim, InvalidProof, Sealed, check, check_all, proof_bytes, seal
from protocols.crypto.paillier.public import PublicKey
from protocols.errors import InputError
from tests.support.paillier_keys import ARITHMETICS, encryptor, primes, private_key, stream

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])
every_s = pytest.mark.parametrize("s", [1, 2, 3])
HERE = b"session 1, client 1"


def messages(key: PublicKey, count: int) -> list[int]:
    """The smallest, the largest, and others."""
    last = int(key.message_modulus) - 1
    return [(0, last, 7, last // 3, 2**64 - 1)[index % 5] for index in range(count)]


def sealed(count: int = 2, s: int = 1, statement: bytes = HERE, seed: str | None = None) -> Sealed:
    chosen = messages(private_key(s).public_key, count)
    if seed is None:
        return seal(encryptor(s), chosen, statement=statement)
    return seal(encryptor(s), chosen, statement=statement, entropy=stream(seed))


def parts(key: PublicKey, proof: bytes) -> tuple[Pair, int, int]:
    """A, z and w."""
    size = int(key.n).bit_length() // 8
    head = size * (key.s + 1)
    return (
        from_bytes(key, proof[:head], 1)[0],
        int.from_bytes(proof[head : head + size * key.s], "big"),
        int.from_bytes(proof[head + size * key.s :], "big"),
    )


def written(key: PublicKey, commitment: Pair, z: int, w: int, length: int) -> bytes:
    """A proof of given parts, that fills `length` bytes."""
    size = int(key.n).bit_length() // 8
    head = to_bytes(key, [commitment]) + int(z).to_bytes(size * key.s, "big")
    return head + w.to_bytes(length - len(head), "big")


def hashed(pairs: Sequence[Pair], commitment: Pair, statement: bytes, encrypting: Encryptor) -> list[int]:
    """The challenges, as the module's docstring says."""
    key = encrypting.public_key
    size = int(key.n).bit_length() // 8
    data = b"secagg plaintext proof v1\n" + key.fingerprint + encrypting.base.to_bytes(size, "big")
    data += encrypting.exponent_bits.to_bytes(4, "big") + len(statement).to_bytes(8, "big") + statement
    data += len(pairs).to_bytes(8, "big")
    for pair in [*pairs, commitment]:
        data += int(pair.residue).to_bytes(size, "big") + int(pair.logarithm).to_bytes(size * key.s, "big")
    drawn = hashlib.shake_256(data).digest(16 * len(pairs))
    return [int.from_bytes(drawn[16 * at :][:16], "big") for at in range(len(pairs))]


def holds(key: PublicKey, base: int, pairs: Sequence[Pair], proof: bytes, challenges: Sequence[int]) -> bool:
    """The equation of the proof for any base in the place of H, by plain exponentiations."""
    commitment, z, w = parts(key, proof)
    modulus = key.modulus
    right = join(key, *commitment)
    for pair, challenge in zip(pairs, challenges, strict=True):
        right = right * pow(join(key, *pair), challenge, modulus) % modulus
    return pow(1 + key.n, z, modulus) * pow(base, w, modulus) % modulus == right


def residue(encrypting: Encryptor) -> int:
    """H."""
    key = encrypting.public_key
    return int(pow(key.arithmetic.integer(encrypting.base), key.message_modulus, key.modulus))


def negative(key: PublicKey, pair: Pair) -> Pair:
    """Minus a ciphertext."""
    return split(key, [int(key.modulus) - join(key, *pair)])[0]


@pytest.mark.parametrize("count", [1, 2, 8, pytest.param(100, marks=pytest.mark.long)])
@every_s
@both
def test_honest_proofs_hold(count: int, s: int, arithmetic: Arithmetic) -> None:
    encrypting, key = encryptor(s, Exponents.SHORT, arithmetic), private_key(s, arithmetic)
    made = seal(encrypting, messages(key.public_key, count), statement=HERE)
    assert len(made.pairs) == count
    assert len(made.proof) == proof_bytes(key.public_key, Exponents.SHORT, count)
    pairs = from_bytes(key.public_key, to_bytes(key.public_key, made.pairs), count)
    check(encrypting, pairs, memoryview(made.proof), statement=HERE)
    check_all(encrypting, [Claim(pairs, made.proof, HERE)])
    if count == 8:
        assert key.decrypt([join(key.public_key, *pair) for pair in pairs]) == messages(key.public_key, count)


def test_honest_proofs_hold_with_strict_exponents() -> None:
    encrypting, key = encryptor(2, Exponents.STRICT), private_key(2).public_key
    made = seal(encrypting, messages(key, 3), statement=HERE)
    assert len(made.proof) == proof_bytes(key, Exponents.STRICT, 3) == len(sealed(3, 2).proof) + 64
    check(encrypting, made.pairs, made.proof, statement=HERE)


@every_s
def test_proof_is_the_formula(s: int) -> None:
    """A = (1+n)^x H^b, z = x + sum e m mod n^s and w = b + sum e a, with the a, x and b that it draws."""
    encrypting, key = encryptor(s), private_key(s).public_key
    n, draw = key.n, stream("formula")
    chosen = messages(key, 3)
    made = sealed(3, s, seed="formula")
    exponents = [int.from_bytes(draw(64), "little") for _ in chosen]
    x = random_below(int(n**s), draw)
    b = random_bits(512 + 256 + 2, draw)  # 2 for 3 ciphertexts
    base, modulus = residue(encrypting), n ** (s + 1)
    expected = [
        pow(1 + n, message, modulus) * pow(base, exponent, modulus) % modulus
        for message, exponent in zip([*chosen, x], [*exponents, b], strict=True)
    ]
    commitment, z, w = parts(key, made.proof)
    assert [join(key, *pair) for pair in [*made.pairs, commitment]] == expected
    challenges = hashed(made.pairs, commitment, HERE, encrypting)
    assert z == (x + sum(e * message for e, message in zip(challenges, chosen, strict=True))) % n**s
    assert w == b + sum(e * exponent for e, exponent in zip(challenges, exponents, strict=True))
    assert holds(key, base, made.pairs, made.proof, challenges)
    check(encrypting, made.pairs, made.proof, statement=HERE)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_extreme_entropy_proves(fill: bytes, count: int) -> None:
    """Also the largest answers fit, and are in range."""
    made = seal(encryptor(1), messages(private_key(1).public_key, count), statement=HERE, entropy=lambda k: fill * k)
    check(encryptor(1), made.pairs, made.proof, statement=HERE)


def test_every_altered_byte_is_refused() -> None:
    """Somebody on the way alters one byte of a proof, at every position. The check must refuse each (InvalidProof)."""
    made = sealed(1)
    for position in range(len(made.proof)):
        altered = bytearray(made.proof)
        altered[position] ^= 1 << position % 8
        with pytest.raises(InvalidProof):
            check(encryptor(1), made.pairs, bytes(altered), statement=HERE)


@pytest.mark.parametrize("length", [0, 1, -1, 10**6])
def test_other_length_is_refused(length: int) -> None:
    """A prover sends a proof of another length. The check must refuse it by its length (InvalidProof)."""
    made = sealed()
    proof = made.proof[:length] if length < 10**6 else made.proof + bytes(1)
    with pytest.raises(InvalidProof, match=f"expected {len(made.proof)} bytes, found {len(proof)}"):
        check(encryptor(1), made.pairs, proof, statement=HERE)


@pytest.mark.parametrize("other", [b"session 2, client 1", b"session 1, client 2", b"", HERE + b"\x00", HERE[:-1]])
def test_other_statement_is_refused(other: bytes) -> None:
    """A client uses a proof that was made for another session or client.

    The hash over the statement must stop it (InvalidProof).
    """
    made = sealed()
    with pytest.raises(InvalidProof, match="does not hold") as caught:
        check(encryptor(1), made.pairs, made.proof, statement=other)
    assert caught.value.indices == (0,)


def test_other_ciphertexts_are_refused() -> None:
    """A client uses a proof for other ciphertexts: swapped, repeated, fresh, negated or fewer.

    The hash over all ciphertexts must stop it (InvalidProof).
    """
    key, made, others = private_key(1).public_key, sealed(3), sealed(3)
    first, second, third = made.pairs
    again = encryptor(1).encrypt_pairs(messages(key, 3))  # the same messages
    cases = [
        [second, first, third],
        [first, third, second],
        [first, second, others.pairs[2]],
        [first, first, third],
        again,
        others.pairs,
        [first, second, Pair(third.residue, (third.logarithm + 1) % key.message_modulus)],
        [first, Pair(second.residue + 1, second.logarithm), third],
        [negative(key, first), second, third],  # of the same messages
    ]
    for pairs in cases:
        with pytest.raises(InvalidProof):
            check(encryptor(1), pairs, made.proof, statement=HERE)
    for count in (1, 2):  # of which two have proofs of the same length as three
        with pytest.raises(InvalidProof):
            check(encryptor(1), made.pairs[:count], made.proof, statement=HERE)
    with pytest.raises(InvalidProof):
        check(encryptor(1), [*made.pairs, *made.pairs], made.proof, statement=HERE)


def test_proof_for_fewer_ciphertexts_is_none_for_more() -> None:
    """A client adds or leaves out a ciphertext where the proof's length stays the same.

    The hash over all ciphertexts must stop it (InvalidProof).
    """
    key, made, four = private_key(1).public_key, sealed(3), sealed(4)
    assert len(made.proof) == len(four.proof)
    with pytest.raises(InvalidProof):
        check(encryptor(1), four.pairs[:3], four.proof, statement=HERE)
    with pytest.raises(InvalidProof):
        check(encryptor(1), [*made.pairs, negative(key, Pair(1, 0))], made.proof, statement=HERE)


@pytest.mark.parametrize("factor", [2, 3, 2**20, -1])
def test_power_of_anothers_ciphertexts_is_refused(factor: int) -> None:
    """A client sends powers of another's ciphertexts, with the proof copied, raised as well, or partly raised.

    The hash over the ciphertexts and the commitment must stop it (InvalidProof).
    """
    key, encrypting = private_key(1).public_key, encryptor(1)
    made = sealed()
    n, modulus = int(key.n), int(key.modulus)
    powers = split(key, [pow(join(key, *pair), factor, modulus) for pair in made.pairs])
    commitment, z, w = parts(key, made.proof)
    raised = split(key, [pow(join(key, *commitment), factor, modulus)])[0]
    length = len(made.proof)
    mauled = [
        made.proof,
        written(key, raised, z * factor % n, max(w * factor % 2**768, 0), length),
        written(key, commitment, z * factor % n, w, length),
        written(key, raised, z, w, length),
    ]
    for proof in mauled:
        with pytest.raises(InvalidProof):
            check(encrypting, powers, proof, statement=HERE)
    # With the old challenges the raised proof is right: it is the hash over A and the c_j that stops this.
    if factor == 2:
        old = hashed(made.pairs, commitment, HERE, encrypting)
        assert holds(key, residue(encrypting), powers, written(key, raised, z * 2 % n, w * 2, length), old)


def test_products_with_anothers_ciphertexts_are_refused() -> None:
    """A client multiplies its own ciphertexts, and its own proof, with another's.

    The hash over the ciphertexts and the commitment must stop it (InvalidProof).
    """
    key, encrypting = private_key(1).public_key, encryptor(1)
    theirs, own = sealed(2), sealed(2, statement=b"session 1, client 2")
    products = split(key, key.add(*([join(key, *pair) for pair in made.pairs] for made in (theirs, own))))
    commitments, answers, exponents = zip(*(parts(key, made.proof) for made in (theirs, own)), strict=True)
    product = split(key, key.add(*([join(key, *one)] for one in commitments)))[0]
    length = len(own.proof)
    combined = written(key, product, sum(answers) % int(key.n), sum(exponents), length)
    for proof in (theirs.proof, own.proof, combined):
        for statement in (HERE, b"session 1, client 2"):
            with pytest.raises(InvalidProof):
                check(encrypting, products, proof, statement=statement)


def test_anothers_whole_contribution_is_refused() -> None:
    """A client sends another client's ciphertexts and proof as its own.

    The statement names the client, and must stop it (InvalidProof); checked together, the right one is named.
    """
    made = sealed()
    with pytest.raises(InvalidProof):
        check(encryptor(1), made.pairs, made.proof, statement=b"session 1, client 2")
    claims = [Claim(made.pairs, made.proof, HERE), Claim(made.pairs, made.proof, b"session 1, client 2")]
    with pytest.raises(InvalidProof) as caught:
        check_all(encryptor(1), claims)
    assert caught.value.indices == (1,)


def test_base_of_the_provers_choice_proves_nothing() -> None:
    """A prover chooses another's ciphertext as the base H, and so seems to know its plaintext: 0, with the exponent 1.

    An encryptor takes an h and raises it itself, and a proof names its h; neither leaves room for that H.
    """
    key, encrypting = private_key(1).public_key, encryptor(1)
    n, modulus = int(key.n), int(key.modulus)
    target = encrypting.encrypt_pairs([123])[0]
    wished = join(key, *target)
    x, b = 5, 2**700 + 1
    commitment = split(key, [pow(1 + n, x, modulus) * pow(wished, b, modulus) % modulus])[0]
    challenges = hashed([target], commitment, HERE, encrypting)
    length = proof_bytes(key, Exponents.SHORT, 1)
    forged = written(key, commitment, x, b + challenges[0], length)
    assert holds(key, wished, [target], forged, challenges)
    with pytest.raises(InvalidProof):
        check(encrypting, [target], forged, statement=HERE)
    # An encryptor of the forger's, with that ciphertext for h, raises it to n, so that it encrypts 0.
    other = Encryptor(key, window_bits=1, base=wished % n)
    assert private_key(1).decrypt([residue(other)]) == [0]
    assert residue(other) != wished
    with pytest.raises(InvalidProof):
        check(other, [target], forged, statement=HERE)


def test_proof_is_for_one_key_base_and_length_of_exponents() -> None:
    """A prover uses a proof under another key, base or length of exponents.

    All of them are hashed, and must stop it (InvalidProof).
    """
    made = sealed(2, 1)
    key = private_key(1).public_key
    for other in (
        Encryptor(key, window_bits=1, base=pow(encryptor(1).base, 3, int(key.n))),
        Encryptor(key, exponents=Exponents.STRICT, window_bits=1, base=encryptor(1).base),
    ):
        with pytest.raises(InvalidProof):
            check(other, made.pairs, made.proof, statement=HERE)
    with pytest.raises(InvalidProof):
        check(encryptor(2), made.pairs, made.proof, statement=HERE)
    check(Encryptor(key, window_bits=1, base=encryptor(1).base), made.pairs, made.proof, statement=HERE)


def test_answers_out_of_range_are_refused() -> None:
    """A prover sends answers out of range, among them z + n, which solves the equation as well as z.

    The check of ranges must stop it, so that nobody can make a second proof out of one.
    """
    key, encrypting = private_key(1).public_key, encryptor(1)
    n = int(key.n)
    made, z = sealed(), n
    while z + n >= 2**2048:
        made = sealed()
        commitment, z, w = parts(key, made.proof)
    length = len(made.proof)
    again = written(key, commitment, z + n, w, length)
    assert holds(key, residue(encrypting), made.pairs, again, hashed(made.pairs, commitment, HERE, encrypting))
    room = 8 * (length - 3 * 256)
    largest = (2**769 - 1) + 2 * (2**128 - 1) * (2**512 - 1)
    for proof in (
        again,
        written(key, commitment, z, 2**room - 1, length),
        written(key, commitment, z, largest + 1, length),
    ):
        with pytest.raises(InvalidProof, match="expected a response in range"):
            check(encrypting, made.pairs, proof, statement=HERE)
    with pytest.raises(InvalidProof, match="does not hold"):
        check(encrypting, made.pairs, written(key, commitment, z, largest, length), statement=HERE)


@pytest.mark.parametrize("value", ["zero", "p", "n"])
def test_commitment_that_is_no_ciphertext_is_refused(value: str) -> None:
    """A prover commits to a number that shares a factor with n. The check must refuse it (InvalidProof)."""
    made = sealed()
    number = {"zero": 0, "p": primes()[0], "n": int(private_key(1).public_key.n)}[value]
    with pytest.raises(InvalidProof, match="commitment is not a ciphertext"):
        check(encryptor(1), made.pairs, number.to_bytes(256, "big") + made.proof[256:], statement=HERE)


def test_sign_changes_no_message_and_is_judged_alike_alone_and_together() -> None:
    """A sender that makes minus a ciphertext, and the proof for it, still knows its message."""
    key, encrypting = private_key(1), encryptor(1)
    n = int(key.public_key.n)
    draw = stream("sign")
    exponent = int.from_bytes(draw(64), "little")
    (plain,) = encrypting.encrypt_pairs_with([99], [exponent])
    minus = negative(key.public_key, plain)
    assert key.decrypt([join(key.public_key, *minus)]) == [99]
    odd = False
    while not odd:
        x, b = int.from_bytes(draw(250), "little"), int.from_bytes(draw(90), "little")
        (commitment,) = encrypting.encrypt_pairs_with([x], [b])
        (challenge,) = hashed([minus], commitment, HERE, encrypting)
        odd = challenge % 2 == 1
    length = proof_bytes(key.public_key, Exponents.SHORT, 1)
    proof = written(key.public_key, commitment, (x + challenge * 99) % n, b + challenge * exponent, length)
    assert not holds(key.public_key, residue(encrypting), [minus], proof, [challenge])
    check(encrypting, [minus], proof, statement=HERE)
    others = [Claim(made.pairs, made.proof, HERE) for made in (sealed(), sealed())]
    check_all(encrypting, [*others, Claim([minus], proof, HERE)])


def claims(count: int, s: int = 1) -> list[Claim]:
    """Honest ones, of different numbers of ciphertexts."""
    made = []
    for index in range(count):
        statement = b"client %d" % index
        one = sealed(1 + index % 4, s, statement)
        made.append(Claim(one.pairs, one.proof, statement))
    return made


@every_s
@both
def test_honest_proofs_hold_together(s: int, arithmetic: Arithmetic) -> None:
    check_all(encryptor(s, Exponents.SHORT, arithmetic), claims(12, s))


def test_no_claims_hold() -> None:
    check_all(encryptor(1), [])


@pytest.mark.parametrize(
    "guilty", [[0], [7], [19], [3, 4], [0, 19], list(range(0, 20, 2)), list(range(1, 20)), list(range(20))]
)
def test_exactly_the_guilty_are_named(guilty: list[int]) -> None:
    """Some of twenty provers cheat, each in another way: a false answer, another's statement, a cut proof, a bad
    commitment, a false ciphertext. Checked together, exactly those must be named.
    """
    honest = claims(20)
    given = list(honest)
    for at, index in enumerate(guilty):
        pairs, proof, statement = honest[index]
        proof = bytes(proof)
        given[index] = (
            Claim(pairs, proof[:-1] + bytes([proof[-1] ^ 1]), statement),
            Claim(pairs, proof, statement + b"!"),
            Claim(pairs, proof[:-1], statement),
            Claim(pairs, bytes(256) + proof[256:], statement),
            Claim([*pairs[:-1], Pair(pairs[-1].residue, pairs[-1].logarithm ^ 1)], proof, statement),
        )[at % 5]
    with pytest.raises(InvalidProof) as caught:
        check_all(encryptor(1), given)
    assert caught.value.indices == tuple(guilty)
    assert f"at {guilty[0]}" in str(caught.value)
    assert len(str(caught.value)) < 100


def test_errors_that_cancel_each_other_are_caught() -> None:
    """Two provers make errors that cancel: one claim's z is too large by 1, the other's too small by 1.

    Random weights must stop it when claims are checked together.
    """
    key, encrypting = private_key(1).public_key, encryptor(1)
    given = []
    for step in (1, -1):
        made = sealed()
        commitment, z, w = parts(key, made.proof)
        given.append(Claim(made.pairs, written(key, commitment, (z + step) % int(key.n), w, len(made.proof)), HERE))
    proofs = [plaintext_proof._read(encrypting, claim, 0) for claim in given]
    assert plaintext_proof._holds(encrypting, proofs, [1, 1])
    for around in ([], claims(3)):
        with pytest.raises(InvalidProof) as caught:
            check_all(encrypting, [*around, *given])
        assert caught.value.indices == (len(around), len(around) + 1)


def test_weights_are_fresh_and_of_80_bits() -> None:
    """A prover that knew the weights could make errors that cancel.

    They must be drawn afresh for each check, 80 bits each.
    """
    given, drawn = claims(5), []

    def watched(size: int) -> bytes:
        drawn.append(size)
        return stream("weights")(size)

    check_all(encryptor(1), given, entropy=watched)
    assert drawn == [10] * 4


@pytest.mark.parametrize("bad", [-1, None, True, 1.0, "n"])
def test_bad_message_stops_the_proof(bad: Any) -> None:
    calls: list[int] = []

    def watched(size: int) -> bytes:
        calls.append(size)
        return bytes(size)

    value = int(private_key(1).public_key.message_modulus) if bad == "n" else bad
    with pytest.raises(InputError, match="a message: expected"):
        seal(encryptor(1), [1, value], statement=HERE, entropy=watched)
    assert not calls


def test_nothing_is_no_statement_of_knowledge() -> None:
    made = sealed()
    with pytest.raises(InputError, match="messages: expected at least one"):
        seal(encryptor(1), [], statement=HERE)
    with pytest.raises(InputError, match="ciphertexts: expected at least one"):
        check(encryptor(1), [], made.proof, statement=HERE)
    with pytest.raises(InputError, match="ciphertexts: expected at least one"):
        check_all(encryptor(1), [Claim([], made.proof, HERE)])


def test_entropy_is_drawn_for_each_exponent() -> None:
    sizes: list[int] = []

    def watched(size: int) -> bytes:
        sizes.append(size)
        return stream("sizes")(size)

    seal(encryptor(2), [1, 2, 3, 4, 5], statement=HERE, entropy=watched)
    assert sizes == [64] * 5 + [512 + 16, -(-(512 + 256 + 3) // 8)]
    one, other = sealed(), sealed()
    assert not set(one.pairs) & set(other.pairs)
    assert one.proof[:256] != other.proof[:256]


def test_short_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes of entropy"):
        seal(encryptor(1), [1], statement=HERE, entropy=lambda size: bytes(size - 1))
