"""The duration of each operation but those of Paillier's cryptosystem and those that only whole sums show."""

import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

from protocols import Identity, Secret, Session, packing
from protocols.codec import Codec, Message
from protocols.crypto import hpke, keystream, sealing, shamir
from protocols.crypto.field import Field, largest_prime
from protocols.crypto.hpke import HpkeKey
from protocols.crypto.key_agreement import X25519
from protocols.crypto.lattice.pad import LatticePad, draw_key, key_coefficients
from protocols.crypto.paillier.slots import Slots
from protocols.identity import Roster, Signatures
from protocols.pairwise import graph
from secagg.planning.calibration.timing import seconds
from secagg.planning.cost.operations import Operation
from secagg.planning.cost.timing_key import N, S

_BITS: Final = 24
_LENGTH: Final = 200_000
_CLIENTS: Final = 2_000
_HOLDERS: Final = 40
_THRESHOLD: Final = 20
_BYTES: Final = 1_000_000
_ROWS: Final = 40
_COLUMNS: Final = 5_000
_MASKS: Final = 4
_SEALED_BYTES: Final = 128  # The seeds of four sets, which each of five members gets if one may be corrupt.


class _Text(Message, frozen=True):
    data: memoryview


def durations() -> dict[Operation, float]:
    """Return the CPU seconds of each operation of this module."""
    return {
        operation: each for measured in (_vectors, _keys, _shares, _field, _lattice) for operation, each in measured()
    }


def _vectors() -> Iterator[tuple[Operation, float]]:
    vector = np.random.default_rng(1).integers(0, 2**_BITS - 3, _LENGTH, dtype=np.uint64).astype("<u4")
    prime = largest_prime(_BITS)
    session = Session(session_id=bytes(16), clients=(0, 1), threshold=2, length=_LENGTH, modulus=2**_BITS)
    yield Operation.ENTRY, seconds(lambda: session.checked(vector)) / _LENGTH
    yield Operation.PACK, seconds(lambda: packing.pack(vector, 2**_BITS)) / _LENGTH
    packed, total = packing.pack(vector, 2**_BITS), vector.copy()
    yield Operation.ADD_PACKED, seconds(lambda: packing.add_packed(total, packed, 2**_BITS)) / _LENGTH
    below, total = packing.pack(vector, prime), vector.copy()  # All entries are below the prime, 2^24 - 3.
    yield Operation.ADD_PACKED_PRIME, seconds(lambda: packing.add_packed(total, below, prime)) / _LENGTH
    masks: list[keystream.SignedMask] = [(np.add, Secret(bytes([number]) * 32)) for number in range(_MASKS)]
    yield Operation.MASK_BYTE, seconds(lambda: keystream.apply_masks(total, masks)) / (_MASKS * total.nbytes)
    codec = Codec(bytes(32), 2 * _BYTES)
    long = _Text(memoryview(bytes(_BYTES)))
    yield Operation.MESSAGE_BYTE, seconds(lambda: codec.decode(1, _Text, codec.encode(1, long))) / 2 / _BYTES


def _keys() -> Iterator[tuple[Operation, float]]:
    secret, data = Secret(os.urandom(32)), bytes(_BYTES)
    pair, other = X25519.from_secret(secret), X25519.from_secret(Secret(os.urandom(32))).public
    yield Operation.KEY_PAIR, seconds(lambda: X25519.from_secret(secret))
    yield Operation.AGREE, seconds(lambda: pair.agree(other))
    yield Operation.DERIVE, seconds(lambda: sealing.derive(secret, bytes(160)))
    yield Operation.SEAL, seconds(lambda: sealing.seal(secret, bytes(66)))
    yield Operation.SEAL_BYTE, seconds(lambda: sealing.seal(secret, data)) / _BYTES
    yield Operation.HASH, seconds(lambda: hashlib.sha256(bytes(128)).digest())
    yield Operation.HASH_BYTE, seconds(lambda: hashlib.sha256(data).digest()) / _BYTES
    yield Operation.MAC, seconds(lambda: hmac.digest(secret.reveal(), bytes(60), "sha256"))
    key, seeds = HpkeKey.generate(), bytes(_SEALED_BYTES)
    box = hpke.seal(key.public, info=bytes(32), plaintext=seeds)
    yield Operation.HPKE_SEAL, seconds(lambda: hpke.seal(key.public, info=bytes(32), plaintext=seeds))
    yield Operation.HPKE_OPEN, seconds(lambda: key.open(bytes(32), box))
    identity = Identity.generate()
    signatures = Signatures(bytes(32), Roster({0: identity.public}))
    signature = signatures.sign(identity, client=0, purpose=bytes(8), payload=bytes(64))
    yield Operation.SIGN, seconds(lambda: signatures.sign(identity, client=0, purpose=bytes(8), payload=bytes(64)))
    yield Operation.VERIFY, seconds(lambda: signatures.check(signature, client=0, purpose=bytes(8), payload=bytes(64)))


def _shares() -> Iterator[tuple[Operation, float]]:
    secret, holders = Secret(bytes(32)), range(_HOLDERS)

    def share() -> list[bytes]:
        return shamir.share(secret, threshold=_THRESHOLD, holders=holders, entropy=os.urandom)

    yield Operation.SHARE_TERM, seconds(share) / (_THRESHOLD * _HOLDERS)
    shares = dict(zip(holders, share(), strict=True))
    known = seconds(lambda: shamir.combine(shares, threshold=_THRESHOLD))
    yield Operation.COMBINE_TERM, known / _THRESHOLD
    fresh = iter(range(1, 10**9))

    def combine_for_other_holders() -> None:
        start = next(fresh)
        shamir.combine({holder + start: share for holder, share in shares.items()}, threshold=_THRESHOLD)

    # Shares of other holders give no secret of 32 bytes; that is found out at the end, after all of the work.
    yield Operation.WEIGHT_TERM, max(seconds(_ignoring(combine_for_other_holders)) - known, known) / _THRESHOLD**2
    clients = tuple(range(_CLIENTS))
    yield Operation.DIRECTORY_ENTRY, 2 * seconds(lambda: graph.order(bytes(32), clients)) / _CLIENTS


def _field() -> Iterator[tuple[Operation, float]]:
    field, seed = Field(largest_prime(_BITS)), Secret(bytes(32))
    yield Operation.UNIFORM_ENTRY, seconds(lambda: field.uniform(seed, _LENGTH)) / _LENGTH
    vectors = {k: field.uniform(seed, k * _COLUMNS).reshape(k, _COLUMNS) for k in (2, _ROWS)}
    matrix = {k: field.interpolation(range(k), range(k, k + _ROWS)) for k in vectors}
    short, long = (seconds(partial(field.product, matrix[k], vectors[k])) / (_ROWS * _COLUMNS) for k in vectors)
    term = max((long - short) / (_ROWS - 2), short / 1000)
    yield Operation.FIELD_TERM, term
    yield Operation.FIELD_ENTRY, max(short - 2 * term, term)
    knots, targets = range(_ROWS), range(_ROWS, 2 * _ROWS)
    yield Operation.KNOT_TERM, seconds(lambda: field.interpolation(knots, targets)) / (3 * _ROWS**2)
    members = dict.fromkeys(range(_CLIENTS))

    def seeded() -> frozenset[int]:
        circle = sorted(members)
        start = circle.index(_CLIENTS // 2) + 1
        return frozenset((circle + circle)[start : start + _THRESHOLD])

    yield Operation.CIRCLE_ENTRY, seconds(seeded) / _CLIENTS


def _lattice() -> Iterator[tuple[Operation, float]]:
    pad = LatticePad(length=_LENGTH, bound=2**_BITS, clients=100, sum_bits=_BITS)
    values, key = np.zeros(_LENGTH, dtype=np.uint32), draw_key(os.urandom)
    sealed = pad.seal(values, keys=[key], seed=bytes(32), entropy=os.urandom)
    yield (
        Operation.LATTICE_WORD,
        seconds(lambda: pad.seal(values, keys=[key], seed=bytes(32), entropy=os.urandom)) / pad.words,
    )
    coefficients = key_coefficients(key)
    yield (
        Operation.LATTICE_OPEN_WORD,
        seconds(lambda: pad.open(sealed, key_sum=coefficients, seed=bytes(32), weights=(1,))) / pad.words,
    )
    slots = Slots(value_bits=_BITS, clients=1, guard_bits=0, message_modulus=N**S)
    small = np.zeros(_LENGTH, dtype=np.int64)
    packed = slots.pack(small)
    yield Operation.SLOT, seconds(lambda: slots.pack(small)) / _LENGTH
    yield Operation.SLOT_OPEN, seconds(lambda: slots.unpack(packed, _LENGTH, clients=1)) / _LENGTH


def _ignoring(work: Callable[[], object]) -> Callable[[], None]:
    """Return a call whose `ValueError` is left aside."""

    def run() -> None:
        with contextlib.suppress(ValueError):
            work()

    return run
