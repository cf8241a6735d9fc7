"""Certificates of members: what is signed, what is refused and why, and that private keys stay private."""

import copy
import pickle
from dataclasses import replace
from typing import Any, Final

import pytest

from protocols.crypto import hpke
from protocols.crypto.hpke import HpkeKey
from protocols.errors import ParameterError
from protocols.identity import Identity
from protocols.seeds.member_key import (
    CERTIFICATE_BYTES,
    EPOCH_KEY_BYTES,
    CertificateExpired,
    CertificateKeyUnusable,
    CertificateNotSigned,
    CertificateNotYetValid,
    EpochKey,
    InvalidCertificate,
    MemberCertificate,
)
from protocols.testing.repeatable import fixed_identity
from tests.support.seed_members import BEGINS, ENDS, NOW, issued

CERTIFICATE, EPOCH_KEY = issued(0)
IDENTITY: Final = fixed_identity(0)
LABEL: Final = b"secagg seeds member key v1"


def resigned(identity: Identity, **changes: Any) -> MemberCertificate:
    """Return a certificate with these changes that its identity has signed."""
    changed = replace(CERTIFICATE, identity=identity.public, **changes)
    return replace(changed, signature=identity.sign(changed.to_bytes()[:-64]))


def test_certificate_of_a_member_is_valid_and_its_key_opens_what_is_sealed_to_it() -> None:
    CERTIFICATE.check(NOW)
    assert (CERTIFICATE.identity, CERTIFICATE.epoch) == (IDENTITY.public, 0)
    assert (CERTIFICATE.not_before, CERTIFICATE.not_after) == (BEGINS, ENDS)
    assert EPOCH_KEY.key.open(b"info", hpke.seal(CERTIFICATE.public_key, b"info", b"seeds")) == b"seeds"


def test_every_epoch_has_a_key_of_its_own() -> None:
    certificates = [MemberCertificate.issue(IDENTITY, epoch, BEGINS, ENDS)[0] for epoch in (1, 1, 2)]
    assert len({certificate.public_key for certificate in certificates}) == 3
    assert len({certificate.fingerprint for certificate in certificates}) == 3
    assert {len(certificate.fingerprint) for certificate in certificates} == {32}


def test_signed_statement_has_a_label_and_every_field_at_a_fixed_place() -> None:
    certificate, _ = MemberCertificate.issue(IDENTITY, 258, 3, 2**63 - 1)
    numbers = (258).to_bytes(8, "big") + (3).to_bytes(8, "big") + (2**63 - 1).to_bytes(8, "big")
    signed = LABEL + IDENTITY.public + numbers + certificate.public_key
    assert certificate.to_bytes() == signed + certificate.signature
    assert certificate.signature == IDENTITY.sign(signed)
    assert len(certificate.to_bytes()) == CERTIFICATE_BYTES == 1362


def test_certificate_is_read_as_it_was_written() -> None:
    assert MemberCertificate.from_bytes(CERTIFICATE.to_bytes()) == CERTIFICATE


@pytest.mark.parametrize(
    "change",
    [
        {"identity": fixed_identity(1).public},
        {"identity": b"\xff" * 32},
        {"epoch": 1},
        {"not_before": BEGINS - 1},
        {"not_after": ENDS + 1},
        {"public_key": issued(1)[0].public_key},
        {"signature": issued(1)[0].signature},
        {"signature": bytes(64)},
    ],
)
def test_certificate_changed_on_its_way_is_not_signed(change: dict[str, Any]) -> None:
    """A server changes a field, or exchanges keys between members.

    The signature must not fit (CertificateNotSigned).
    """
    with pytest.raises(CertificateNotSigned, match="Ask the member"):
        replace(CERTIFICATE, **change).check(NOW)


def test_signature_for_another_purpose_is_none_of_a_certificate() -> None:
    """An attacker has an identity sign the same bytes under another label: it must not be a certificate's signature."""
    other = IDENTITY.sign(b"secagg seeds agree v1" + CERTIFICATE.to_bytes()[len(LABEL) : -64])
    with pytest.raises(CertificateNotSigned):
        replace(CERTIFICATE, signature=other).check(NOW)


@pytest.mark.parametrize("now", [0, BEGINS - 1, BEGINS - 0.001, float("nan"), float("-inf")])
def test_certificate_before_its_epoch_is_refused(now: float) -> None:
    with pytest.raises(CertificateNotYetValid, match="begins at 2027-01-15 08:00:00 UTC"):
        CERTIFICATE.check(now)


@pytest.mark.parametrize("now", [ENDS, ENDS + 0.001, 2**70, float("inf")])
def test_certificate_after_its_epoch_is_refused(now: float) -> None:
    with pytest.raises(CertificateExpired, match="ended at 2027-02-14 08:00:00 UTC"):
        CERTIFICATE.check(now)


@pytest.mark.parametrize("now", [BEGINS, BEGINS + 0.5, ENDS - 1, ENDS - 0.001])
def test_certificate_is_valid_from_its_first_second_to_before_its_end(now: float) -> None:
    CERTIFICATE.check(now)


@pytest.mark.parametrize(
    "public_key",
    [
        CERTIFICATE.public_key[:1184] + bytes(32),
        CERTIFICATE.public_key[:1184] + b"\x01" + bytes(31),
        CERTIFICATE.public_key[:1184] + (2**255 - 19 + 9).to_bytes(32, "little"),
        b"\xff" * 1184 + CERTIFICATE.public_key[1184:],
    ],
    ids=["zero", "one", "not-canonical", "modulus-check"],
)
def test_certificate_of_an_unusable_key_is_refused_although_signed(public_key: bytes) -> None:
    """A member signs a key to which nobody can encrypt safely: clients must refuse it (CertificateKeyUnusable)."""
    with pytest.raises(CertificateKeyUnusable, match="HPKE public key"):
        resigned(IDENTITY, public_key=public_key).check(NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": bytes(31)},
        {"identity": IDENTITY.public.hex()},
        {"public_key": CERTIFICATE.public_key[:-1]},
        {"public_key": None},
        {"signature": bytes(65)},
        {"epoch": -1},
        {"epoch": 2**63},
        {"epoch": 1.0},
        {"epoch": True},
        {"not_before": -1},
        {"not_before": ENDS},
        {"not_after": BEGINS},
        {"not_after": 2**63},
        {"not_after": float(ENDS)},
        {"not_before": None},
    ],
)
def test_certificate_of_other_fields_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidCertificate):
        replace(CERTIFICATE, **change)


@pytest.mark.parametrize(("epoch", "begins", "ends"), [(-1, 0, 1), (0, 1, 1), (0, 2, 1), (2**63, 0, 1), (0, 0, 2**63)])
def test_nothing_is_issued_for_numbers_out_of_range(epoch: int, begins: int, ends: int) -> None:
    with pytest.raises(InvalidCertificate):
        MemberCertificate.issue(IDENTITY, epoch, begins, ends)


@pytest.mark.parametrize("reader", [MemberCertificate.from_bytes, EpochKey.from_bytes])
def test_other_bytes_are_neither_a_certificate_nor_a_key(reader: Any) -> None:
    right = CERTIFICATE.to_bytes() if reader == MemberCertificate.from_bytes else EPOCH_KEY.to_bytes()
    reader(right)
    for wrong in (b"", right[:-1], right + b"\0", b"S" + right[1:], bytes(len(right))):
        with pytest.raises(InvalidCertificate, match="label"):
            reader(wrong)


def test_certificate_with_impossible_numbers_is_not_read() -> None:
    data = CERTIFICATE.to_bytes()
    start = len(LABEL) + 32
    for at in (start, start + 8, start + 16):
        with pytest.raises(InvalidCertificate):
            MemberCertificate.from_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])


def test_epoch_key_is_read_as_it_was_written() -> None:
    again = EpochKey.from_bytes(EPOCH_KEY.to_bytes())
    assert again.certificate == CERTIFICATE
    assert again.key.secret == EPOCH_KEY.key.secret
    assert len(EPOCH_KEY.to_bytes()) == EPOCH_KEY_BYTES


def test_epoch_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(InvalidCertificate, match="another key"):
        EpochKey(CERTIFICATE, HpkeKey.generate())
    data = bytearray(EPOCH_KEY.to_bytes())
    data[30] ^= 1
    with pytest.raises(InvalidCertificate, match="another key"):
        EpochKey.from_bytes(bytes(data))


def test_epoch_key_shows_nothing_of_itself_and_cannot_be_copied() -> None:
    assert EPOCH_KEY.key.secret.reveal().hex() not in repr(EPOCH_KEY)
    assert "secret" in repr(EPOCH_KEY)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(EPOCH_KEY)


def test_errors_are_parameter_errors_of_four_kinds() -> None:
    kinds = (CertificateNotSigned, CertificateExpired, CertificateNotYetValid, CertificateKeyUnusable)
    assert all(issubclass(kind, InvalidCertificate) and issubclass(kind, ParameterError) for kind in kinds)
