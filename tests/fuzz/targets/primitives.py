"""Targets of what protocols put into their messages: vectors, shares, bitmaps, ciphertexts, proofs, signatures."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from protocols import packing
from protocols.crypto import hpke, sealing, shamir
from protocols.crypto.integers import random_below
from protocols.crypto.key_agreement import X25519, WeakKey
from protocols.crypto.keystream import word_dtype
from protocols.crypto.lattice import pad
from protocols.crypto.lattice.pad import LatticePad
from protocols.crypto.paillier import ciphertext_pairs, plaintext_proof
from protocols.crypto.paillier.decryption_proof import InvalidShare, proof_from_bytes
from protocols.crypto.paillier.encryptor import Encryptor
from protocols.crypto.paillier.partial_decryption import PartialDecryption, check_partial, decrypt_partially
from protocols.crypto.paillier.public import InvalidCiphertext
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, InputError, ParameterError, RefusedFrame, RemoteError
from protocols.frames import PAYLOAD_BYTES, FrameReader, cut
from protocols.identity import Roster, Signatures
from protocols.lanes import Lanes
from protocols.pairwise.messages import decode_clients, encode_clients
from protocols.testing import CLIENTS
from protocols.testing.repeatable import fixed_identity, fixed_roster, repeatable_entropy
from tests.fuzz.mutate import mutate_bytes, mutate_fields
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target
from tests.fuzz.targets.protocol_runs import scenarios
from tests.support import committee_keys

_MODULI = (2, 3, 2**16, 65_521, 2**31 - 1, 2**61 - 1, 2**64)
_LENGTH = 13
_STATEMENT = b"fuzz"


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        *(Entry(f"packing/{modulus}", 40, partial(_packing, modulus)) for modulus in _MODULI),
        *(Entry(f"lanes/{modulus}", 40, partial(_lanes, modulus)) for modulus in (2**5, 2**21)),
        Entry("shamir", 60, _shamir),
        Entry("frames", 60, _frames),
        Entry("bitmap", 200, _bitmap),
        Entry("roster", 60, _roster),
        Entry("signature", 20, _signature),
        Entry("public-key", 20, _public_key),
        Entry("sealed", 100, _sealed),
        Entry("hpke/public-key", 10, _hpke_public_key),
        Entry("hpke/box", 10, _hpke_box),
        Entry("lattice/key", 60, _lattice_key),
        Entry("lattice/sum", 2, _lattice_sum),
        Entry("paillier/ciphertexts", 60, _ciphertexts),
        Entry("paillier/pairs", 60, _pairs),
        Entry("paillier/plaintext-proof", 2, _plaintext_proof),
        Entry("paillier/partial-decryption", 20, _partial),
        Entry("paillier/partial-decryption-proof", 1, _partial_proof),
    ]


def _frames(folder: Path) -> Target:
    """Return the target of the last frame of a reply, after a first one that was taken."""
    first, last = cut([bytes(PAYLOAD_BYTES + 20)], digest=bytes(32), sender=7, step=2)

    def take(data: bytes) -> None:
        reader = FrameReader(digest=bytes(32), sender=7, step=2, limit=2 * PAYLOAD_BYTES)
        reader.take(first)
        reader.take(data)
        if data != last:
            raise Finding("a frame is taken that is not the next one")
        if not reader.complete:
            raise Finding("the last frame does not end the reply")

    return Target(
        seeds=(last,),
        run=take,
        mutate=mutate_bytes,
        refusals=(RefusedFrame,),
        covers=("protocols.frames:FrameReader.take",),
    )


def _packing(modulus: int, folder: Path) -> Target:
    drawn = repeatable_entropy(b"packing %d" % modulus)
    entries = [random_below(modulus, drawn) for _ in range(_LENGTH)]
    vector = np.array(entries, dtype=np.uint64)

    def unpack(data: bytes) -> None:
        found = packing.unpack(data, _LENGTH, modulus)
        if packing.pack(found, modulus) != data:
            raise Finding("a second encoding of one vector was accepted")
        total = np.zeros(_LENGTH, dtype=np.uint64)
        packing.add_packed(total, data, modulus)
        if not np.array_equal(total, found):
            raise Finding("`add_packed` and `unpack` differ")

    return Target(
        seeds=(packing.pack(vector, modulus), packing.pack(np.zeros(_LENGTH, dtype=np.uint64), modulus)),
        run=unpack,
        mutate=mutate_bytes,
        refusals=(ValueError,),
        covers=("protocols.packing:unpack", "protocols.packing:add_packed"),
    )


def _lanes(modulus: int, folder: Path) -> Target:
    lanes = Lanes(length=_LENGTH, modulus=modulus, headroom=True)
    drawn = repeatable_entropy(b"lanes %d" % modulus)
    entries = [random_below(modulus, drawn) for _ in range(_LENGTH)]
    vector = np.array(entries, dtype=word_dtype(modulus))

    def add(data: bytes) -> None:
        total = lanes.nothing()
        lanes.add_packed(total, data)
        found = lanes.unfold(total)
        if bytes(lanes.pack(lanes.fold(found.astype(vector.dtype)))) != data:
            raise Finding("a second encoding of one vector in lanes was accepted")

    return Target(
        seeds=(bytes(lanes.pack(lanes.fold(vector))), bytes(lanes.pack(lanes.nothing()))),
        run=add,
        mutate=mutate_bytes,
        refusals=(ValueError,),
        covers=("protocols.lanes:Lanes.add_packed",),
    )


def _shamir(folder: Path) -> Target:
    secret = Secret(bytes(range(32)))
    shares = shamir.share(secret, threshold=3, holders=(0, 1, 5, 9), entropy=repeatable_entropy(b"shamir"))
    size = shamir.SHARE_BYTES

    def combine(data: bytes) -> None:
        given = {holder: data[at * size : (at + 1) * size] for at, holder in enumerate((0, 1, 5))}
        for share in given.values():
            if shamir.is_share(share) and len(share) != size:
                raise Finding("a share of another length was accepted")
        found = shamir.combine(given, threshold=3)
        if len(found.reveal()) != shamir.SECRET_BYTES:
            raise Finding("a secret of another length was combined")

    return Target(
        seeds=(b"".join(shares[:3]),),
        run=combine,
        mutate=mutate_fields((size, size)),
        refusals=(ValueError,),
        covers=("protocols.crypto.shamir:combine", "protocols.crypto.shamir:is_share"),
        canaries=(secret.reveal().hex(), repr(secret.reveal()), str(int.from_bytes(secret.reveal(), "little"))),
    )


def _bitmap(folder: Path) -> Target:
    session = scenarios()["secagg-attached"].session

    def decode(data: bytes) -> None:
        if encode_clients(decode_clients(data, session), session) != data:
            raise Finding("a second bitmap of one set was accepted")

    return Target(
        seeds=(encode_clients(session.clients, session), encode_clients(session.clients[:2], session)),
        run=decode,
        mutate=mutate_bytes,
        refusals=(RemoteError,),
        covers=("protocols.pairwise.messages:decode_clients",),
    )


def _roster(folder: Path) -> Target:
    def make(data: bytes) -> None:
        try:
            pairs = {pair[0]: pair[1] for pair in msgspec.msgpack.decode(data)}
        except (msgspec.MsgspecError, TypeError, LookupError, ValueError, RecursionError):
            return  # No pairs: Python itself refuses these before a roster is made.
        hash(Roster(pairs).of(pairs))

    return Target(
        seeds=(msgspec.msgpack.encode([list(pair) for pair in fixed_roster(CLIENTS).items()]),),
        run=make,
        mutate=mutate_msgpack,
        refusals=(ParameterError,),
        covers=("protocols.identity:Roster.__init__", "protocols.identity:Roster.of"),
    )


def _signature(folder: Path) -> Target:
    signatures = Signatures(bytes(32), fixed_roster(CLIENTS))
    named: dict[str, Any] = {"client": CLIENTS[0], "purpose": b"fuzzing.", "payload": _STATEMENT}
    honest = signatures.sign(fixed_identity(CLIENTS[0]), **named)
    without = Signatures(bytes(32), None)

    def check(data: bytes) -> None:
        signatures.check(data, **named)
        if data != honest:
            raise Finding("another signature was accepted")
        try:
            without.check(data, **named)
        except RemoteError:
            return
        raise Finding("a signature was accepted in a session without a roster")

    return Target(
        seeds=(honest,),
        run=check,
        mutate=mutate_bytes,
        refusals=(RemoteError,),
        covers=("protocols.identity:Signatures.check",),
        canaries=(fixed_identity(CLIENTS[0]).secret.reveal().hex(),),
    )


def _public_key(folder: Path) -> Target:
    pair = X25519.from_secret(Secret(bytes(range(32))))

    def agree(data: bytes) -> None:
        if not X25519.is_canonical(data):
            raise WeakKey("not canonical")  # A protocol goes no further.
        X25519.check(data)
        pair.agree(data)

    return Target(
        seeds=(pair.public, bytes(32), b"\x01" + bytes(31)),
        run=agree,
        mutate=mutate_fields((16,)),
        refusals=(WeakKey,),
        covers=("protocols.crypto.key_agreement:_X25519.check", "protocols.crypto.key_agreement:_X25519KeyPair.agree"),
        canaries=(bytes(range(32)).hex(),),
    )


def _sealed(folder: Path) -> Target:
    key = Secret(bytes(range(32)))
    honest = sealing.seal(key, b"message")
    with_nonce = sealing.seal_with_nonce(key, b"message", nonce=bytes(12), bound=b"bound")

    def opened(data: bytes) -> None:
        try:
            sealing.open_sealed(key, data)
        except ValueError:
            sealing.open_with_nonce(key, data, bound=b"bound")

    return Target(
        seeds=(honest, with_nonce),
        run=opened,
        mutate=mutate_bytes,
        refusals=(ValueError,),
        covers=("protocols.crypto.sealing:open_sealed", "protocols.crypto.sealing:open_with_nonce"),
        canaries=(key.reveal().hex(), "message'"),
    )


def _hpke_public_key(folder: Path) -> Target:
    key = hpke.HpkeKey(Secret(bytes(range(32))))

    def seal(data: bytes) -> None:
        hpke.check(data)
        try:
            hpke.seal(data, b"info", b"message")
        except hpke.UnusableKey:
            raise Finding("nothing can be sealed to a key that was accepted") from None

    return Target(
        seeds=(key.public,),
        run=seal,
        mutate=mutate_fields((1184,)),
        refusals=(hpke.UnusableKey,),
        covers=("protocols.crypto.hpke:check", "protocols.crypto.hpke:seal"),
        others=(bytes(1216), b"\xff" * 1216),
        canaries=(bytes(range(32)).hex(), "message'"),
    )


def _hpke_box(folder: Path) -> Target:
    key = hpke.HpkeKey(Secret(bytes(range(32))))
    honest = hpke.seal(key.public, b"info", b"message")

    def opened(data: bytes) -> None:
        key.open(b"info", data)
        if data != honest:
            raise Finding("an altered box was opened")

    return Target(
        seeds=(honest,),
        run=opened,
        mutate=mutate_fields((1088, 32)),
        refusals=(hpke.BoxNotOpened,),
        covers=("protocols.crypto.hpke:HpkeKey.open",),
        canaries=(bytes(range(32)).hex(), "message'"),
    )


def _lattice_key(folder: Path) -> Target:
    def read(data: bytes) -> None:
        pad.key_coefficients(Secret(data))

    return Target(
        seeds=(pad.draw_key(repeatable_entropy(b"lattice")).reveal(),),
        run=read,
        mutate=mutate_bytes,
        refusals=(InputError,),
        covers=("protocols.crypto.lattice.pad:key_coefficients",),
    )


def _lattice_sum(folder: Path) -> Target:
    shape, seed = LatticePad(length=40, bound=2**16, clients=8), bytes(32)
    key = pad.draw_key(repeatable_entropy(b"lattice"))
    values = np.arange(40, dtype=np.uint64)
    sealed = shape.seal(values, keys=[key], seed=seed, entropy=repeatable_entropy(b"errors"))
    coefficients = pad.key_coefficients(key)

    def opened(data: bytes) -> None:
        whole = len(data) // 8 * 8
        words = np.frombuffer(data[:whole], dtype="<u8").astype(np.uint64)
        shape.open(
            words[:-1], key_sum=coefficients + int(words[-1] % 5), seed=seed, weights=(1,) * (1 + int(words[-1] % 2))
        )

    return Target(
        seeds=(sealed.astype("<u8").tobytes() + bytes(8),),
        run=opened,
        mutate=mutate_bytes,
        refusals=(InputError, DamagedSum, IndexError),  # An input of less than a word is no call at all.
        covers=("protocols.crypto.lattice.pad:LatticePad.open",),
        memory_base=2**24,
    )


def _ciphertexts(folder: Path) -> Target:
    key = committee_keys.threshold_key().public_key
    drawn = repeatable_entropy(b"ciphertexts")
    honest = key.to_bytes([random_below(int(key.modulus), drawn) for _ in range(3)])

    def read(data: bytes) -> None:
        if key.to_bytes(key.from_bytes(data, 3)) != data:
            raise Finding("a second encoding of one ciphertext was accepted")

    return Target(
        seeds=(honest,),
        run=read,
        mutate=mutate_fields((key.ciphertext_bytes,) * 2),
        refusals=(InvalidCiphertext,),
        covers=("protocols.crypto.paillier.public:PublicKey.from_bytes",),
    )


def _pairs(folder: Path) -> Target:
    key = committee_keys.threshold_key()
    verifier = Encryptor(key.public_key, base=key.base)
    honest = ciphertext_pairs.to_bytes(key.public_key, verifier.encrypt_pairs([1, 2], entropy=repeatable_entropy(b"p")))
    size = ciphertext_pairs.pair_bytes(key.public_key)

    def read(data: bytes) -> None:
        if ciphertext_pairs.to_bytes(key.public_key, ciphertext_pairs.from_bytes(key.public_key, data, 2)) != data:
            raise Finding("a second encoding of one ciphertext was accepted")

    return Target(
        seeds=(honest,),
        run=read,
        mutate=mutate_fields((size // 2, size // 2, size // 2)),
        refusals=(InvalidCiphertext,),
        covers=("protocols.crypto.paillier.ciphertext_pairs:from_bytes",),
    )


def _plaintext_proof(folder: Path) -> Target:
    key = committee_keys.threshold_key()
    verifier = Encryptor(key.public_key, base=key.base)
    sealed = plaintext_proof.seal(verifier, [1, 2], statement=_STATEMENT, entropy=repeatable_entropy(b"proof"))

    def check(data: bytes) -> None:
        claim = plaintext_proof.Claim(sealed.pairs, data, _STATEMENT)
        plaintext_proof.check_all(verifier, [claim], entropy=repeatable_entropy(b"weights"))
        if data != bytes(sealed.proof):
            raise Finding("another proof was accepted")

    third = len(sealed.proof) // 3
    return Target(
        seeds=(bytes(sealed.proof),),
        run=check,
        mutate=mutate_fields((third, third)),
        refusals=(plaintext_proof.InvalidProof,),
        covers=("protocols.crypto.paillier.plaintext_proof:check_all",),
    )


def _partial(folder: Path) -> Target:
    key, honest, _ = _decrypted()

    def read(data: bytes) -> None:
        if PartialDecryption.from_bytes(key, data, 2).to_bytes(key) != data:
            raise Finding("a second encoding of one partial decryption was accepted")

    return Target(
        seeds=(honest,),
        run=read,
        mutate=mutate_fields((16, 600, key.public_key.ciphertext_bytes)),
        refusals=(InvalidShare,),
        covers=("protocols.crypto.paillier.partial_decryption:PartialDecryption.from_bytes", _PROOF),
    )


_PROOF = "protocols.crypto.paillier.decryption_proof:proof_from_bytes"


def _partial_proof(folder: Path) -> Target:
    key, honest, ciphertexts = _decrypted()

    def check(data: bytes) -> None:
        proof_from_bytes(key, data[: len(honest) - 2 * key.public_key.ciphertext_bytes])
        found = PartialDecryption.from_bytes(key, data, 2)
        check_partial(key, 1, ciphertexts, found, statement=_STATEMENT)

    return Target(
        seeds=(honest,),
        run=check,
        mutate=mutate_fields((16, 600, key.public_key.ciphertext_bytes)),
        refusals=(InvalidShare,),
        covers=("protocols.crypto.paillier.partial_decryption:check_partial", _PROOF),
        canaries=(str(committee_keys.key_shares()[0].reveal()),),
    )


def _decrypted() -> tuple[Any, bytes, list[int]]:
    key, share = committee_keys.threshold_key(), committee_keys.key_shares()[0]
    ciphertexts = Encryptor(key.public_key, base=key.base).encrypt([1, 2], entropy=repeatable_entropy(b"c"))
    part = decrypt_partially(share, ciphertexts, statement=_STATEMENT, entropy=repeatable_entropy(b"nonce"))
    return key, part.to_bytes(key), ciphertexts
