"""What other systems get wrong with Paillier, each claim with a test that it is false of this one.

The claims were read from the systems' own code: phe 1.5, NVFlare, BatchCrypt, FATE, tcpaillier.  How much faster a
value is than phe's is measured in benchmarks/paillier.py.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from protocols import OneShot, PaillierSum, ProtocolError, SecureSum
from protocols.crypto.paillier import phe_exchange
from protocols.crypto.paillier.ciphertext_pairs import pair_bytes
from protocols.crypto.paillier.decryption_proof import Proof
from protocols.crypto.paillier.partial_decryption import (
    InvalidShare,
    PartialDecryption,
    check_partial,
    combine,
    decrypt_partially,
)
from protocols.crypto.paillier.private import InvalidCiphertext, InvalidKey, PrivateKey, PublicKey
from protocols.crypto.paillier.slots import Slots
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey, deal
from protocols.encrypted.messages import EncryptedInput
from protocols.errors import MalformedMessage
from protocols.testing import ProtocolRun, repeatable_entropy
from protocols.testing.suite.reachable import parts
from tests.conformance.cohorts import COMMITTEE, IDS, Setting, setting
from tests.support.committee_keys import SAFE_P, SAFE_Q, key_shares, threshold_key

ENCRYPTED: Final = pytest.mark.parametrize("protocol", [PaillierSum(), OneShot()], ids=["paillier", "oneshot"])
KEY: Final = threshold_key()
N: Final = int(KEY.public_key.n)


def cohort(protocol: SecureSum, *, length: int = 40) -> Setting:
    return setting(protocol, IDS[:4], 3, length=length)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Processor time, which a busy machine hardly changes."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < seconds


# phe: an exponent in clear tells how large each value is.


@ENCRYPTED
def test_no_message_tells_how_large_a_value_is(protocol: SecureSum) -> None:
    """Zeros, ones, the largest values and random ones make replies of one length, of ciphertexts and a proof alone."""
    where = cohort(protocol)
    largest = where.session.modulus - 1
    vectors = [np.full(40, value, dtype=np.uint64) for value in (0, 1, largest)] + [where.inputs()[IDS[0]]]
    invitation = ProtocolRun(where).requests[IDS[0]]
    replies = [where.client(IDS[0], vector, repeatable_entropy(b"client")).handle(invitation) for vector in vectors]
    assert len({len(reply) for reply in replies}) == 1
    assert EncryptedInput.__struct_fields__ == ("padded", "sealed")
    assert len(set(replies)) == 4


@ENCRYPTED
def test_equal_vectors_are_encrypted_to_nothing_in_common(protocol: SecureSum) -> None:
    """By two clients, in two runs: no 16 bytes of what one of them pads or encrypts are in another's."""
    where, seen = cohort(protocol), list[bytes]()
    for run in (ProtocolRun(where, seed=b"one"), ProtocolRun(where, seed=b"two")):
        for party in IDS[:2]:
            machine = where.client(
                party, np.zeros(40, dtype=np.uint64), repeatable_entropy(b"%d %d" % (len(seen), party))
            )
            message: Any = where.codec.decode(0, EncryptedInput, machine.handle(run.requests[party]))
            seen.append(bytes(message.padded) + bytes(message.sealed))
    assert len(seen) == 4
    windows = [{data[start : start + 16] for start in range(len(data) - 15)} for data in seen]
    for index, one in enumerate(windows):
        assert all(one.isdisjoint(other) for other in windows[:index])


# phe: no packing, a ciphertext for each value; 32 ms for each.


def test_a_ciphertext_carries_many_values() -> None:
    """At 3072 bits and s = 2, 191 values of 21 bits, of 1,000 clients, take 1152 bytes; phe takes 768 for each."""
    slots = Slots(value_bits=21, clients=1000, message_modulus=2**6143 + 1)
    assert slots.width == 32
    assert slots.messages(10**6) == -(-(10**6) // 191)
    assert slots.messages(10**6) * 1152 / 10**6 <= 6.1
    where = cohort(PaillierSum(), length=2000)
    reply = where.client(IDS[0], where.inputs()[IDS[0]], repeatable_entropy(b"client")).handle(
        ProtocolRun(where).requests[IDS[0]]
    )
    assert len(reply) / 2000 < 8  # With 2048 bits and s = 1, where phe takes 512 each.


def test_oneshot_encrypts_as_many_messages_whatever_the_length() -> None:
    """So what is done by value is done on words alone; the committee is sent as much for 40 values as for 4,000."""
    protocol, counts, sizes = OneShot(), set(), set()
    for length in (1, 40, 4_000, 10**6, 10**7):
        counts.add(protocol.payload(cohort(protocol, length=length).session).messages)
    for length in (40, 4_000):
        run = ProtocolRun(cohort(protocol, length=length)).to_step(1)
        requests = dict(run.requests)
        assert set(requests) <= set(COMMITTEE)
        sizes.add((*map(len, requests.values()), *map(len, run.replies().values())))
    assert len(counts) == len(sizes) == 1


# phe: no range or gcd check on ciphertexts.


@pytest.mark.parametrize("bad", [0, -1, N, N**2, N**2 + 1, SAFE_P, 7 * SAFE_Q])
def test_numbers_that_are_no_ciphertexts_are_refused(bad: int) -> None:
    """An attacker sends numbers out of range, or sharing a factor with n, whose decryption may show the key.

    `check` and the members must refuse them (InvalidCiphertext).
    """
    with pytest.raises(InvalidCiphertext):
        KEY.public_key.check([1, bad])
    with pytest.raises(InvalidCiphertext):
        decrypt_partially(key_shares()[0], [bad], statement=b"")


@ENCRYPTED
@pytest.mark.parametrize(
    ("residue", "logarithm"),
    [(0, 1), (N, 1), (N + 1, 1), (SAFE_P, 1), (5 * SAFE_Q, 1), (2, N), (2, 2**2048 - 1)],
    ids=["zero", "n", "above n", "p", "multiple of q", "logarithm n", "largest logarithm"],
)
def test_server_and_committee_refuse_them_on_the_wire(protocol: SecureSum, residue: int, logarithm: int) -> None:
    """A client sends such numbers as a ciphertext in its message.

    The server must refuse the message (MalformedMessage) and name the sender.
    """
    run = ProtocolRun(cohort(protocol))
    where, sender = run.scenario.codec, IDS[0]
    message: Any = where.decode(0, EncryptedInput, run.replies()[sender])
    size = -(-N.bit_length() // 8)
    assert pair_bytes(KEY.public_key) == 2 * size
    forged = residue.to_bytes(size, "big") + logarithm.to_bytes(size, "big") + bytes(message.sealed)[2 * size :]
    error = run.refusal(sender, where.encode(0, EncryptedInput(message.padded, memoryview(forged))))
    assert isinstance(error, MalformedMessage)


# phe: keys of 64 bits, and with p = q.


@pytest.mark.parametrize("bits", [16, 64, 512, 1024, 2047])
def test_short_keys_are_refused(bits: int) -> None:
    """Someone makes or sends a key that can be factored.

    Keys below 2048 bits must be refused, and those below 3072 unless they are allowed explicitly (InvalidKey).
    """
    with pytest.raises(InvalidKey, match="2048"):
        PublicKey(2 ** (bits - 1) + 1)
    with pytest.raises(InvalidKey, match="3072"):
        PrivateKey.generate(bits)
    with pytest.raises(InvalidKey, match="2048"):
        PrivateKey.generate(bits, allow_only_112_bits_of_security=True)


def test_equal_factors_are_refused() -> None:
    """Someone makes a key of two equal primes, which anyone can factor. It must be refused (InvalidKey)."""
    with pytest.raises(InvalidKey, match="equal"):
        PrivateKey.from_primes(SAFE_P, SAFE_P)
    with pytest.raises(InvalidKey, match="square"):
        PublicKey(SAFE_P**2)
    with pytest.raises(InvalidKey, match="equal"):
        deal(SAFE_P, SAFE_P, members=3, threshold=2)


# phe: an exponent of -1e9 burns a processor for minutes.


def test_exponent_of_a_billion_costs_nothing() -> None:
    """A peer that uses phe sends a number with a huge exponent, to burn processor time.

    It must be refused at once (InvalidCiphertext).
    """
    phe: Any = pytest.importorskip("phe")
    public = PrivateKey.from_primes(SAFE_P, SAFE_Q).public_key
    theirs = phe_exchange.public_key_to_phe(public)
    for exponent in (-(10**9), 10**9, -(2**5000)):
        number = phe.EncryptedNumber(theirs, public.encrypt_raw(3), exponent)
        with within(0.5), pytest.raises(InvalidCiphertext, match="exponent"):
            phe_exchange.ciphertext_from_phe(number, public)


def test_exponents_that_a_peer_chooses_are_bounded_before_they_are_used() -> None:
    """A member sends a proof with numbers of a million bits, to burn processor time.

    The check must bound them before it computes (InvalidShare).
    """
    ciphertexts = [KEY.public_key.encrypt_raw(3, entropy=repeatable_entropy(b"one"))]
    partial = decrypt_partially(key_shares()[0], ciphertexts, statement=b"")
    for number in (2 ** (10**6), -1, -(2 ** (10**6))):
        for proof in (Proof(partial.proof.challenge, number), Proof(number, partial.proof.response)):
            with within(0.5), pytest.raises(InvalidShare):
                check_partial(KEY, 1, ciphertexts, PartialDecryption(partial.values, proof), statement=b"")


# NVFlare, BatchCrypt: every client has the same secret key.  FATE: an arbiter has it.


@ENCRYPTED
def test_no_party_holds_the_key_and_no_client_a_share(protocol: SecureSum) -> None:
    """Whoever takes over one party finds all that it holds.

    No party may hold the private key, and only members may hold a share.
    """
    run = ProtocolRun(cohort(protocol))
    while hasattr(run.progress, "requests"):
        for party, machine in (*run.clients.items(), (None, run.server)):
            held = [type(each) for each in parts(machine, set()) if isinstance(each, KeyShare | PrivateKey)]
            assert held == ([KeyShare] if party in COMMITTEE else [])
        run.deliver(run.replies())


@pytest.mark.parametrize(("members", "threshold"), [(3, 2), (5, 3), (5, 5)])
def test_fewer_members_than_the_threshold_decrypt_nothing(members: int, threshold: int) -> None:
    """Members fewer than the threshold combine what they have, also as if they were enough.

    Both must fail (ProtocolError, InvalidShare).
    """
    key, shares = threshold_key(1, members, threshold), key_shares(1, members, threshold)
    ciphertexts = [key.public_key.encrypt_raw(12345, entropy=repeatable_entropy(b"one"))]
    values = {each.index: decrypt_partially(each, ciphertexts, statement=b"").values for each in shares}
    assert combine(key, dict(list(values.items())[:threshold])) == [12345]
    few = dict(list(values.items())[: threshold - 1])
    with pytest.raises(ProtocolError, match=f"expected {threshold} members or more"):
        combine(key, few)
    if threshold > 2:
        with pytest.raises(InvalidShare):
            combine(replace(key, threshold=threshold - 1), few)


# tcpaillier: the proof's nonce is too short to hide the share.


def test_proof_does_not_give_its_share_away() -> None:
    """An observer divides a proof's response by its challenge, which shows the share if the nonce is short. Here the
    quotient must be 2^100 times as large, and more.

    The nonce exceeds all shares by 256 bits; 20 of them are shorter by 28 bits with a probability of 20 * 2^-28.
    """
    share = key_shares()[0]
    ciphertexts = [KEY.public_key.encrypt_raw(3, entropy=repeatable_entropy(b"one"))]
    sizes: list[int] = []

    def entropy(size: int) -> bytes:
        sizes.append(size)
        return fresh(size)

    fresh, seen = repeatable_entropy(b"nonces"), set()
    for _ in range(20):
        proof = decrypt_partially(share, ciphertexts, statement=b"", entropy=entropy).proof
        assert (proof.response // proof.challenge).bit_length() > share.reveal().bit_length() + 100
        seen.add(proof.response)
    assert len(seen) == 20
    assert min(sizes) * 8 >= KEY.public_key.modulus.bit_length() + 256


# tcpaillier: the verifier trusts the verification keys that the prover sends.


def test_wrong_share_with_verification_keys_of_its_own_is_refused() -> None:
    """A member uses a wrong share and brings verification keys under which its proof is right.

    The verifier uses the dealer's keys and must refuse (InvalidShare).
    """
    ciphertexts = [KEY.public_key.encrypt_raw(3, entropy=repeatable_entropy(b"one"))]
    wrong = key_shares()[0].reveal() + 1
    own = int(pow(KEY.verification_base, wrong, int(KEY.public_key.modulus)))
    forged_key = replace(KEY, verification_keys=(own, *KEY.verification_keys[1:]))
    forged = decrypt_partially(KeyShare(forged_key, 1, wrong), ciphertexts, statement=b"")
    check_partial(forged_key, 1, ciphertexts, forged, statement=b"")
    with pytest.raises(InvalidShare):
        check_partial(KEY, 1, ciphertexts, forged, statement=b"")
    assert set(PartialDecryption.__dataclass_fields__) == {"values", "proof"}
    assert Proof._fields == ("challenge", "response")
    with pytest.raises(InvalidKey):
        KeyShare.from_bytes(KeyShare(KEY, 1, wrong).to_bytes(), KEY)
    assert ThresholdKey.from_bytes(KEY.to_bytes()) == KEY
