"""The duration of each operation of Paillier's cryptosystem, under a key of 3072 bits."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Final

from protocols.crypto.integers import random_below
from protocols.crypto.paillier import ciphertext_pairs, plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Total
from protocols.crypto.paillier.encryptor import Encryptor
from protocols.crypto.paillier.partial_decryption import check_partial, combine, decrypt_partially
from protocols.crypto.paillier.plaintext_proof import Claim
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from secagg.planning.calibration.timing import once, seconds
from secagg.planning.cost.operations import Operation

_WINDOW_BITS: Final = 6  # As the protocols use it for short vectors of ciphertexts.
_MANY: Final = 4
_CLAIMS: Final = 8


def durations(key: ThresholdKey, shares: tuple[KeyShare, ...]) -> dict[Operation, float]:
    """Return the CPU seconds of each operation of this module, under a committee's key."""
    made: list[Encryptor] = []
    table = once(lambda: made.append(Encryptor(key.public_key, base=key.base, window_bits=_WINDOW_BITS)))
    return {Operation.TABLE: table} | dict(_proofs(made[0], key)) | dict(_openings(made[0], key, shares))


def _proofs(encryptor: Encryptor, key: ThresholdKey) -> Iterator[tuple[Operation, float]]:
    messages = [random_below(int(key.public_key.message_modulus), os.urandom) for _ in range(_MANY)]
    encrypting = seconds(lambda: encryptor.encrypt_pairs(messages)) / _MANY
    yield Operation.ENCRYPT, encrypting
    proving = seconds(lambda: plaintext_proof.seal(encryptor, messages, statement=b"")) - _MANY * encrypting
    yield Operation.PROOF, max(proving, encrypting)
    sealed = [plaintext_proof.seal(encryptor, messages[:count], statement=b"") for count in (1, _MANY)]
    one, many = (
        seconds(partial(plaintext_proof.check, encryptor, each.pairs, each.proof, statement=b"")) for each in sealed
    )
    term = max((many - one) / (_MANY - 1), one / 1000)
    yield Operation.PROOF_CHECK_TERM, term
    yield Operation.PROOF_CHECK, max(one - term, term)
    claims = [Claim(sealed[1].pairs, sealed[1].proof, b"")] * _CLAIMS
    yield (
        Operation.BATCH_TERM,
        seconds(lambda: plaintext_proof.check_all(encryptor, claims)) / (_CLAIMS * (_MANY + 1)),
    )
    data, total = ciphertext_pairs.to_bytes(key.public_key, sealed[1].pairs), Total(key.public_key, _MANY)
    yield (
        Operation.PARSE,
        seconds(lambda: total.add(ciphertext_pairs.from_bytes(key.public_key, data, _MANY))) / _MANY,
    )


def _openings(
    encryptor: Encryptor, key: ThresholdKey, shares: tuple[KeyShare, ...]
) -> Iterator[tuple[Operation, float]]:
    ciphertexts = encryptor.encrypt(list(range(1, _MANY + 1)))
    one, many = (
        seconds(partial(decrypt_partially, shares[0], ciphertexts[:count], statement=b"")) for count in (1, _MANY)
    )
    power = (many - one) / (_MANY - 1)
    yield Operation.POWER, max(power, one / 1000)
    yield Operation.OPENING_PROOF, max(one - power, power)
    partials = {share.index: decrypt_partially(share, ciphertexts, statement=b"") for share in shares[: key.threshold]}
    checked = partials[1]
    yield Operation.OPENING_CHECK, seconds(lambda: check_partial(key, 1, ciphertexts, checked, statement=b""))
    values = {index: each.values for index, each in partials.items()}
    yield Operation.OPEN_TERM, seconds(lambda: combine(key, values)) / (_MANY * key.threshold)
