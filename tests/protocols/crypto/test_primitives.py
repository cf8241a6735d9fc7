"""Primitives against published vectors.

X25519: RFC 7748, sections 5.2 and 6.1.  HKDF-SHA256: RFC 5869, A.3, cut to its first 32 bytes.  AES-256-GCM: McGrew and
Viega, The Galois/Counter Mode of Operation, test case 14.
"""

import hashlib
import hmac

import pytest

from protocols.crypto import sealing
from protocols.crypto.key_agreement import X25519, WeakKey
from protocols.crypto.secret import Secret
from protocols.pairwise import schedule
from protocols.pairwise.schedule import Schedule

SEED = bytes(range(32))
LOW_ORDER = (  # u = 0, 1 and -1, then 0 and 1 unreduced, the two of order 8, and 0 with the ignored top bit
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)


@pytest.mark.parametrize(
    ("scalar", "point", "shared"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_key_agreement_matches_rfc_7748(scalar: str, point: str, shared: str) -> None:
    pair = X25519.from_secret(Secret(bytes.fromhex(scalar)))
    assert pair.agree(bytes.fromhex(point)).reveal().hex() == shared


def test_key_pairs_of_rfc_7748_agree() -> None:
    alice, bob = (
        X25519.from_secret(Secret(bytes.fromhex(secret)))
        for secret in (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        )
    )
    assert alice.public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert alice.agree(bob.public).reveal().hex() == bob.agree(alice.public).reveal().hex() == shared


@pytest.mark.parametrize("public", LOW_ORDER)
def test_key_of_low_order_is_refused(public: str) -> None:
    with pytest.raises(WeakKey, match="low order"):
        X25519.check(bytes.fromhex(public))
    with pytest.raises(WeakKey, match="low order"):
        X25519.from_secret(Secret(SEED)).agree(bytes.fromhex(public))


def test_honest_keys_are_not_of_low_order() -> None:
    for index in range(50):
        X25519.check(X25519.from_secret(Secret(hashlib.sha256(bytes([index])).digest())).public)


def test_derivation_matches_rfc_5869() -> None:
    derived = sealing.derive(Secret(b"\x0b" * 22), b"").reveal()
    assert derived.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


def test_sealing_matches_the_published_vector() -> None:
    sealed = sealing.seal(Secret(bytes(32)), bytes(16))
    assert sealed.hex() == "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
    assert len(sealed) == 16 + sealing.SEAL_OVERHEAD_BYTES
    assert sealing.open_sealed(Secret(bytes(32)), sealed) == bytes(16)


def test_sealed_message_that_was_altered_is_refused() -> None:
    sealed = sealing.seal(Secret(SEED), b"share" * 5)
    altered = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for bad in (*altered, b"", sealed[:5], sealed[:-1], sealed + b"\x00"):
        with pytest.raises(ValueError, match="authenticate"):
            sealing.open_sealed(Secret(SEED), bad)
    with pytest.raises(ValueError, match="authenticate"):
        sealing.open_sealed(Secret(bytes(32)), sealed)


def test_sealing_with_a_nonce_matches_the_published_vector() -> None:
    """Test case 16 of McGrew and Viega, The Galois/Counter Mode of Operation, appendix B."""
    key = Secret(bytes.fromhex("feffe9928665731c6d6a8f9467308308") * 2)
    nonce, bound = bytes.fromhex("cafebabefacedbaddecaf888"), bytes.fromhex("feedfacedeadbeef" * 2 + "abaddad2")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = sealing.seal_with_nonce(key, plaintext, nonce=nonce, bound=bound)
    assert sealed.startswith(nonce)
    assert sealed.hex().endswith("76fc6ece0f4e1768cddf8853bb2d551b")
    assert sealing.open_with_nonce(key, sealed, bound=bound) == plaintext
    altered = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for bad in (*altered, b"", sealed[:5], sealed[:-1], sealed + b"\x00"):
        with pytest.raises(ValueError, match=r"."):
            sealing.open_with_nonce(key, bad, bound=bound)
    with pytest.raises(ValueError, match="authenticate"):
        sealing.open_with_nonce(key, sealed, bound=b"")


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output, no salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_schedule_binds_purpose_session_directory_and_ids() -> None:
    digest, root, secret = b"d" * 32, b"r" * 32, Secret(SEED)
    derive, ids = Schedule(digest, root), (5).to_bytes(4, "big") + (2**32 - 2).to_bytes(4, "big")
    prefix = b"secagg pairwise v2" + digest + root
    mask = derive.pair_mask(secret, one=2**32 - 2, other=5)
    assert mask.reveal() == hkdf(SEED, prefix + b"pairs" + ids)
    assert mask == derive.pair_mask(secret, one=5, other=2**32 - 2)
    assert derive.self_mask(secret, owner=5).reveal() == hkdf(SEED, prefix + b"alone" + 2 * ids[:4])
    assert derive.share_key(secret, sender=5, receiver=2**32 - 2, fingerprints=b"f" * 64).reveal() == hkdf(
        SEED, prefix + b"share" + ids + b"f" * 64
    )
    assert derive.share_key(secret, sender=2**32 - 2, receiver=5, fingerprints=b"").reveal() == hkdf(
        SEED, prefix + b"share" + ids[4:] + ids[:4]
    )
    derived = [
        each
        for schedule in (derive, Schedule(b"e" * 32, root), Schedule(digest, b"q" * 32))
        for each in (
            schedule.share_key(secret, sender=5, receiver=6, fingerprints=bytes(64)),
            schedule.share_key(secret, sender=6, receiver=5, fingerprints=bytes(64)),
            schedule.share_key(secret, sender=5, receiver=7, fingerprints=bytes(64)),
            schedule.share_key(secret, sender=5, receiver=6, fingerprints=bytes(63) + b"1"),
            schedule.pair_mask(secret, one=5, other=6),
            schedule.pair_mask(secret, one=5, other=7),
            schedule.self_mask(secret, owner=5),
            schedule.self_mask(secret, owner=6),
        )
    ]
    assert len({each.reveal() for each in derived}) == len(derived)


def test_commitments_and_fingerprints_are_hashes_bound_to_everything() -> None:
    digest, root, secret, share = b"d" * 32, b"r" * 32, Secret(SEED), b"s" * 33
    derive, owner, holder = Schedule(digest, root), (5).to_bytes(4, "big"), (6).to_bytes(4, "big")
    prefix = b"secagg pairwise v2" + digest + root
    assert (
        derive.commitment(secret, owner=5, index=6)
        == hashlib.sha256(prefix + b"bound" + owner + holder + SEED).digest()
    )
    assert (
        derive.fingerprint(share, owner=5, holder=6, index=1)
        == hashlib.sha256(prefix + b"piece" + owner + holder + b"\x01" + share).digest()
    )
    both = derive.fingerprints(share + bytes(33), owner=5, holder=6)
    assert both == derive.fingerprint(share, owner=5, holder=6, index=0) + derive.fingerprint(
        bytes(33), owner=5, holder=6, index=1
    )
    made = [
        each
        for schedule in (derive, Schedule(b"e" * 32, root), Schedule(digest, b"q" * 32))
        for each in (
            schedule.commitment(secret, owner=5, index=0),
            schedule.commitment(secret, owner=5, index=1),
            schedule.commitment(secret, owner=6, index=0),
            schedule.commitment(Secret(bytes(32)), owner=5, index=0),
            schedule.fingerprint(share, owner=5, holder=6, index=0),
            schedule.fingerprint(share, owner=6, holder=5, index=0),
            schedule.fingerprint(share, owner=5, holder=6, index=1),
            schedule.fingerprint(bytes(33), owner=5, holder=6, index=0),
        )
    ]
    assert len(set(made)) == len(made)


def test_directory_is_a_hash_of_everyones_keys() -> None:
    digest, prefix, who = b"d" * 32, b"secagg pairwise v2" + b"d" * 32, (7).to_bytes(4, "big")
    leaf = schedule.leaf(digest, client=7, advertised=b"keys")
    assert leaf == hashlib.sha256(prefix + b"leaf." + who + b"keys").digest()
    assert schedule.root(digest, leaf + bytes(32)) == hashlib.sha256(prefix + b"root." + leaf + bytes(32)).digest()
    leaves = {
        leaf,
        schedule.leaf(digest, client=8, advertised=b"keys"),
        schedule.leaf(b"e" * 32, client=7, advertised=b"keys"),
        schedule.leaf(digest, client=7, advertised=b"keyz"),
        schedule.ABSENT,
    }
    assert len(leaves) == 5
    roots = {schedule.root(digest, leaf), schedule.root(digest, leaf + leaf), schedule.root(b"e" * 32, leaf)}
    assert len(roots) == 3


def test_secret_is_redacted_and_stays_where_it_is() -> None:
    secret = Secret(SEED)
    assert repr(secret) == str(secret) == f"{secret}" == "Secret(<32 bytes>)"
    assert SEED.hex() not in repr(X25519.from_secret(secret))
    assert secret == Secret(SEED)
    assert secret != Secret(bytes(32))
    assert secret != SEED
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(AttributeError):
        secret.note = 1  # type: ignore[attr-defined]  # that is the test
