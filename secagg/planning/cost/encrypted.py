"""The cost of sums that a committee opens, from their messages and from what each step computes.

It holds for sums with headroom, as `SecureMean` plans them, and for short random exponents.
"""

from dataclasses import dataclass
from typing import Final

from protocols.crypto.lattice.pad import LatticePad
from protocols.crypto.lattice.ring import DEGREE
from protocols.crypto.paillier import ciphertext_pairs, partial_decryption, plaintext_proof
from protocols.crypto.paillier.digits import Digits
from protocols.crypto.paillier.encryptor import Exponents
from protocols.crypto.paillier.slots import Slots
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.encrypted.derived import HASH_BYTES
from protocols.errors import ParameterError
from protocols.identity import SIGNATURE_BYTES
from secagg.planning.cost.operations import Counts, Operation
from secagg.planning.cost.sum_size import PartyCost, SumCost, SumSize
from secagg.planning.cost.wire import INVITATION, binary, ids, message

_WORD_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    """The encoding of a vector: words under a lattice mask, if there are any, and messages to encrypt."""

    words: int
    messages: int
    slots: int


def one_shot(size: SumSize) -> SumCost:
    """Return the cost of a sum with `OneShot`.

    Raises:
        ParameterError: The sum does not fit the lattice mask, or there is no committee.
    """
    pad = LatticePad(length=size.length, bound=size.modulus, clients=size.clients, sum_bits=_sum_bits(size))
    digits = Digits(
        reach=LatticePad.key_reach(size.clients), message_modulus=int(_key(size).public_key.message_modulus)
    )
    return _cost(size, _Payload(words=pad.words, messages=digits.messages(DEGREE), slots=0))


def paillier(size: SumSize) -> SumCost:
    """Return the cost of a sum with `PaillierSum`.

    Raises:
        ParameterError: The sum does not fit the slots, or there is no committee.
    """
    modulus, headroom = int(_key(size).public_key.message_modulus), _sum_bits(size)
    if headroom is None:
        slots = Slots(value_bits=size.bits, clients=size.clients, message_modulus=modulus)
    else:
        slots = Slots(value_bits=headroom, clients=1, guard_bits=0, message_modulus=modulus)
    return _cost(size, _Payload(words=0, messages=slots.messages(size.length), slots=size.length))


def _key(size: SumSize) -> ThresholdKey:
    if not isinstance(size.key, ThresholdKey):
        raise ParameterError("committee: expected one, found none. Give its number of members.")
    return size.key


def _sum_bits(size: SumSize) -> int | None:
    """Return the bits of a sum with headroom, as `EncryptedSum.sum_bits` does for a session."""
    return size.bits if size.bits < (size.clients * (size.modulus - 1)).bit_length() else None


def _cost(size: SumSize, payload: _Payload) -> SumCost:
    key, padded = _key(size), _WORD_BYTES * payload.words
    sealed = (
        payload.messages * ciphertext_pairs.pair_bytes(key.public_key)
        + plaintext_proof.proof_bytes(key.public_key, Exponents.SHORT, payload.messages)
        + SIGNATURE_BYTES * size.signed
    )
    joined = size.contributors * (HASH_BYTES + sealed)
    contribution = message(binary(padded), binary(sealed))
    contributions = message(ids(size.contributors, size.clients), binary(joined))
    opening = message(binary(partial_decryption.partial_bytes(key, payload.messages)))
    client = PartyCost(
        sent_bytes=contribution,
        received_bytes=INVITATION,
        counts={
            Operation.MESSAGE: 2,
            Operation.MESSAGE_BYTE: contribution,
            Operation.ENTRY: 2 * size.length,
            Operation.HASH_BYTE: padded + sealed,
            Operation.LATTICE_WORD: payload.words,
            Operation.SLOT: 2 * payload.slots,
            Operation.ENCRYPT: payload.messages,
            Operation.PROOF: 1,
            Operation.SIGN: size.signed,
        },
        starting={Operation.TABLE: 1},
    )
    return SumCost(
        client=client,
        server=_server(size, payload, contribution=contribution, contributions=contributions, opening=opening),
        member=PartyCost(
            sent_bytes=opening,
            received_bytes=contributions,
            counts=_member(size, payload, moved=contributions + opening),
            starting={Operation.TABLE: 1},
        ),
        server_bytes=contribution + 3 * joined + 3 * padded + 8 * size.length + _opened_bytes(payload),
        largest_field=max(padded, sealed, size.clients * (HASH_BYTES + sealed)),
        largest_reply=contribution,
    )


def _opened_bytes(payload: _Payload) -> int:
    """Return the memory in which a sum of slots is taken apart, 64 bytes and a few words a coordinate."""
    return 0 if not payload.slots else 96 * min(payload.slots, 2**16) + 16 * payload.slots


def _server(size: SumSize, payload: _Payload, *, contribution: float, contributions: float, opening: float) -> Counts:
    key, alive = _key(size), size.contributors
    return {
        Operation.MESSAGE: 2 * (size.clients + key.members),
        Operation.MESSAGE_BYTE: alive * (contribution + _WORD_BYTES * payload.words)
        + key.members * (contributions + opening),
        Operation.HASH_BYTE: alive * contribution + contributions,
        Operation.VERIFY: alive * size.signed,
        Operation.PROOF_CHECK: alive,
        Operation.PROOF_CHECK_TERM: alive * payload.messages,
        Operation.PARSE: alive * payload.messages,
        Operation.OPENING_CHECK: key.members,
        Operation.BATCH_TERM: 2 * key.members * payload.messages,
        Operation.OPEN_TERM: key.threshold * payload.messages,
        Operation.LATTICE_OPEN_WORD: payload.words,
        Operation.SLOT: payload.slots,
        Operation.SLOT_OPEN: payload.slots,
        Operation.ENTRY: size.length,
    }


def _member(size: SumSize, payload: _Payload, *, moved: float) -> Counts:
    alive = size.contributors
    return {
        Operation.MESSAGE: 2,
        Operation.MESSAGE_BYTE: moved,
        Operation.HASH_BYTE: 2 * moved,
        Operation.VERIFY: alive * size.signed,
        Operation.PARSE: alive * payload.messages,
        Operation.BATCH_TERM: alive * (payload.messages + 1) + payload.messages,
        Operation.POWER: payload.messages,
        Operation.OPENING_PROOF: 1,
    }
