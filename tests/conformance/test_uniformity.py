"""Masked vectors are uniform, whatever the input, byte by byte; a sum in the clear shows that the test can fail.

Each check is a chi-square test of 100,000 entries at one position of the byte within an entry, against the exact
distribution of that byte in a uniform entry.  Its false-alarm rate is 1e-6, with one retry on fresh entropy.

The entries that are tested are those on the wire:

- of masked vectors, those of the vector, uniform below the modulus;
- of lattice pads, the words of 64 bits, some tens of thousands of them for as many entries of the vector;
- of ciphertexts, the words of their two numbers below n.  A number that is uniform below n is not uniform in its
  highest bytes as it stands.  But its lowest words are, and so is its quotient by n in 64 bits after the point, both
  within 2^-1000.  Vectors of 4,000 entries make a few thousand such words.
"""

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pytest
from scipy import stats

from protocols import (
    Adversary,
    OneShot,
    PaillierSum,
    SecAgg,
    SecAggPlus,
    SecureSum,
    SeedSum,
    Server,
    Transmission,
    available,
    load,
    packing,
)
from protocols.codec import Codec
from protocols.crypto.paillier.ciphertext_pairs import Pair
from protocols.encrypted.derived import threshold_key
from protocols.encrypted.messages import EncryptedInput
from protocols.encrypted.protocol import EncryptedSum
from protocols.session import Vector
from tests.conformance.cohorts import IDS, Setting, setting

ENTRIES: Final = 100_000
ENCRYPTED_ENTRIES: Final = 4_000
WORD: Final = 2**64
FALSE_ALARM: Final = 1e-6
CLIENTS: Final = 3
INSECURE: Final = "plain"


def cohorts() -> Iterator[Setting]:
    """Every protocol that hides something, three clients each, against every adversary that it protects from."""
    for name in available():
        if name != INSECURE:
            protocol, threshold = load(name).suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
            yield long(protocol, threshold)
    malicious: tuple[SecureSum, ...] = (
        SecAgg(adversary=Adversary.MALICIOUS),
        SecAggPlus(neighbours=2, share_threshold=3, adversary=Adversary.MALICIOUS),
        PaillierSum(adversary=Adversary.MALICIOUS),
        OneShot(adversary=Adversary.MALICIOUS),
        SeedSum(adversary=Adversary.MALICIOUS),
    )
    for each in malicious:
        yield long(each, CLIENTS)


def long(protocol: SecureSum, threshold: int) -> Setting:
    length = ENCRYPTED_ENTRIES if isinstance(protocol, PaillierSum) else ENTRIES
    return setting(protocol, IDS[:CLIENTS], threshold, length=length)


def inputs(setting: Setting) -> dict[str, dict[int, Vector]]:
    """Inputs that are anything but uniform."""
    modulus, clients, length = setting.session.modulus, setting.session.clients, setting.session.length
    constants = {"zeros": 0, "largest": modulus - 1, "half": modulus // 2}
    ramp = np.arange(length, dtype=np.uint64) % np.uint64(256)
    return {
        "ramp": dict.fromkeys(clients, ramp),
        **{name: dict.fromkeys(clients, np.full(length, c, dtype=np.uint64)) for name, c in constants.items()},
    }


def masked_vectors(setting: Setting, vectors: dict[int, Vector]) -> dict[int, Vector]:
    """What the server sees of each client's vector: its first reply with that field, or all that it encrypted."""
    if isinstance(setting.protocol, EncryptedSum):
        return encrypted_words(setting, vectors)
    session, protocol = setting.session, setting.protocol
    codec = Codec(protocol.digest(session), protocol.message_limit(session), protocol.list_limit(session))
    field = "padded" if isinstance(protocol, SeedSum) else "packed"
    rows = {row.name: (number, row.reply) for number, row in enumerate(protocol.steps)}
    seen: dict[int, Vector] = {}

    def tap(transmission: Transmission) -> None:
        number, kind = rows[transmission.step]
        sender = transmission.sender
        if sender is not None and sender not in seen and field in kind.__struct_fields__:
            packed = getattr(codec.decode(number, kind, transmission.data), field)
            seen[sender] = packing.unpack(packed, ENTRIES, session.modulus)

    setting.simulate(vectors, tap=tap, entropy=os.urandom)
    assert seen.keys() == set(session.clients)
    return seen


def encrypted_words(setting: Setting, vectors: dict[int, Vector]) -> dict[int, Vector]:
    """The padded words of each client, or where nothing is padded those of its ciphertexts."""
    session, protocol = setting.session, setting.protocol
    key = threshold_key(session).public_key
    requests = Server(protocol, session).start().requests
    codec = Codec(protocol.digest(session), protocol.message_limit(session))
    setup = protocol._derived(session)  # type: ignore[attr-defined]  # of encrypted sums
    seen = {}
    for client, request in requests.items():
        reply = setting.client(client, vectors[client], os.urandom).handle(request)
        sent = codec.decode(0, EncryptedInput, reply)
        pairs, _ = setup.opened(client, hashlib.sha256(sent.padded).digest(), sent.sealed)
        seen[client] = np.frombuffer(sent.padded, dtype="<u8") if sent.padded else pair_words(pairs, int(key.n))
    return seen


def pair_words(pairs: Sequence[Pair], n: int) -> Vector:
    """The words of both numbers of each pair: all but the highest, and the number's quotient by n."""
    words: list[int] = []
    for number in (int(number) for pair in pairs for number in pair):
        words += (number >> 64 * place & WORD - 1 for place in range((n.bit_length() - 1) // 64 - 1))
        words.append(number * WORD // n)
    return np.array(words, dtype=np.uint64)


def entry_modulus(setting: Setting) -> int:
    """What the entries that the server sees are uniform below."""
    return WORD if isinstance(setting.protocol, EncryptedSum) else setting.session.modulus


def expected_counts(modulus: int, byte: int, entries: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return how often each value of a byte (0 the least significant) is expected among `entries` uniform entries."""
    block = 256**byte
    whole, rest = divmod(modulus, 256 * block)
    below = [whole * block + min(max(rest - value * block, 0), block) for value in range(256)]
    return np.array(below, dtype=np.float64) / modulus * entries


def least_p_value(vectors: dict[int, Vector], modulus: int) -> tuple[float, int]:
    """Over all clients and bytes, the smallest p-value of the chi-square test, and how many there were."""
    values = []
    for vector in vectors.values():
        for byte in range(-(-(modulus - 1).bit_length() // 8)):
            expected = expected_counts(modulus, byte, vector.size)
            found = np.bincount((vector >> np.uint64(8 * byte) & np.uint64(255)).astype(np.int64), minlength=256)
            possible = expected >= 5
            assert found[expected == 0].sum() == 0
            statistic = ((found - expected)[possible] ** 2 / expected[possible]).sum()
            values.append(float(stats.chi2.sf(statistic, int(possible.sum()) - 1)))
    return min(values), len(values)


def is_uniform(setting: Setting, vectors: dict[int, Vector]) -> bool:
    """Whether no byte is off; one retry."""
    for _ in range(2):
        least, checks = least_p_value(masked_vectors(setting, vectors), entry_modulus(setting))
        if least * checks >= FALSE_ALARM:
            return True
    return False


@pytest.mark.parametrize("cohort", list(cohorts()), ids=lambda cohort: cohort.label)
def test_masked_vectors_are_uniform_for_every_input(cohort: Setting) -> None:
    for name, vectors in inputs(cohort).items():
        assert is_uniform(cohort, vectors), name


def test_vectors_in_the_clear_are_found_not_to_be_uniform() -> None:
    """The control."""
    protocol, threshold = load(INSECURE).suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
    clear = long(protocol, threshold)
    assert not any(is_uniform(clear, vectors) for vectors in inputs(clear).values())
    uniform = {
        c: np.random.default_rng(c).integers(0, clear.session.modulus, ENTRIES, dtype=np.uint64) for c in IDS[:3]
    }
    assert is_uniform(clear, uniform)


def test_ciphertexts_that_nothing_hides_are_found_not_to_be_uniform() -> None:
    """The control for ciphertexts: encryptions with an exponent of 0, of messages that are like an input's."""
    protocol, threshold = PaillierSum.suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
    setup = protocol._derived(long(protocol, threshold).session)
    packed = setup.payload.wrap(np.arange(ENCRYPTED_ENTRIES, dtype=np.uint64) % np.uint64(256), os.urandom)[1]
    n = int(setup.key.public_key.n)
    for exponents, hidden in ((itertools.repeat(0), False), (iter(range(2**500, 2**501)), True)):
        drawn = [next(exponents) for _ in packed]
        words = pair_words(setup.encryptor.encrypt_pairs_with(packed, drawn), n)
        least, checks = least_p_value({0: words}, WORD)
        assert (least * checks >= FALSE_ALARM) == hidden


def test_two_sums_of_the_same_inputs_share_no_mask() -> None:
    for each in cohorts():
        vectors = inputs(each)["zeros"]
        first, second = masked_vectors(each, vectors), masked_vectors(each, vectors)
        seen = [*first.values(), *second.values()]
        # Two uniform vectors agree in each entry with a chance of 1 / modulus, at most 2^-15: 100 times, never.  For
        # words of 64 bits the chance of a single one, anywhere, is below 2^-43.
        most = 1 if entry_modulus(each) == WORD else 100
        agreeing = [int((one == other).sum()) for i, one in enumerate(seen) for other in seen[:i]]
        assert max(agreeing) < most, each.label


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_two_encryptions_of_the_same_input_share_no_number(kind: type[EncryptedSum]) -> None:
    """Neither padded words nor numbers of ciphertexts and proofs, of the same client or of two."""
    protocol, threshold = kind.suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
    each = setting(protocol, IDS[:CLIENTS], threshold)
    request = next(iter(Server(protocol, each.session).start().requests.values()))
    vector = inputs(each)["zeros"][IDS[0]]
    sent = [each.client(client, vector, os.urandom).handle(request)[40:] for client in (*IDS[:CLIENTS], IDS[0])]
    # Windows of 16 bytes that agree, somewhere in messages of 10,000 bytes: a chance of 2^-100.  What is in front of
    # them, and in front of what is sealed, are headers.
    windows = [{reply[at : at + 16] for at in range(len(reply) - 16)} for reply in sent]
    assert all(not one & other for i, one in enumerate(windows) for other in windows[:i])
