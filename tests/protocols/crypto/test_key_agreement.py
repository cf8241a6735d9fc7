"""The masking protocols take whatever a key agreement says of its keys: lengths, encodings, weak keys.

That X25519 is right, is in test_primitives.
"""

import copy
import hashlib
import pickle
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from protocols import LightSecAgg, RemoteError, SecAgg, Secret, Server
from protocols.crypto.key_agreement import X25519, KeyAgreement, KeyPair, WeakKey
from protocols.testing import ProtocolRun
from tests.conformance.cohorts import IDS, setting

SECRET = Secret(b"s" * 32)
SALT_BYTES = 7


class SaltedPair:
    """X25519 whose public keys carry a hash of themselves, and whose private keys may be longer."""

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self._inner = X25519.from_secret(Secret(secret.reveal()[:32]))
        self.public = tagged(self._inner.public)

    def agree(self, public: bytes) -> Secret:
        return self._inner.agree(public[:32])


def tagged(public: bytes) -> bytes:
    return public + hashlib.sha256(public).digest()[:SALT_BYTES]


@dataclass(frozen=True)
class SaltedAgreement:
    """An agreement whose keys have other lengths than X25519's."""

    secret_bytes: int

    public_bytes = 32 + SALT_BYTES

    def from_secret(self, secret: Secret) -> KeyPair:
        assert len(secret.reveal()) == self.secret_bytes
        return SaltedPair(secret)

    def is_canonical(self, public: bytes) -> bool:
        return X25519.is_canonical(public[:32]) and public == tagged(public[:32])

    def check(self, public: bytes) -> None:
        X25519.check(public[:32])


class SaltedSecAgg(SecAgg):
    """SecAgg with that agreement; its private keys are as long as what can be shared."""

    def _derived(self, session: Any) -> Any:
        return replace(super()._derived(session), agreement=SaltedAgreement(32))  # as long as what can be shared


class SaltedLightSecAgg(LightSecAgg):
    """LightSecAgg with that agreement and longer private keys."""

    def _derived(self, session: Any) -> Any:
        return replace(super()._derived(session), agreement=SaltedAgreement(40))


SALTED = [
    setting(SaltedSecAgg(), IDS[:4], 2),
    setting(SaltedLightSecAgg(privacy=1, responders=2), IDS[:4], 3),
]


@pytest.mark.parametrize("where", SALTED, ids=lambda each: each.label)
def test_masking_protocols_sum_with_keys_of_other_lengths(where: Any) -> None:
    """Client 17 drops out before its masked input, so its private key is rebuilt from shares, where there are any."""
    outcome = where.simulate(where.inputs(), drops={"mask_input": [17]})
    assert outcome.contributors == tuple(sorted(set(IDS[:4]) - {17}))
    columns = zip(*(where.inputs()[client].tolist() for client in outcome.contributors), strict=True)
    assert outcome.total.tolist() == [sum(column) % where.session.modulus for column in columns]


@pytest.mark.parametrize("where", SALTED, ids=lambda each: each.label)
def test_servers_refuse_keys_that_the_agreement_refuses(where: Any) -> None:
    honest = ProtocolRun(where).replies()[5]
    codec = where.codec
    kind = where.protocol.steps[0].reply
    message = codec.decode(0, kind, honest)
    name = message.__struct_fields__[0]
    for public, text in ((bytes(32), "canonical"), (tagged(bytes(32)), "low order")):
        server = Server(where.protocol, where.session)
        server.start()
        with pytest.raises(RemoteError, match=text):
            server.receive(5, codec.encode(0, msgspec.structs.replace(message, **{name: public})))
        server.receive(5, honest)


def test_key_pairs_are_not_copied_or_shown() -> None:
    pair = X25519.from_secret(SECRET)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            attempt(pair)
    assert repr(pair) == f"KeyPair(public={pair.public.hex()})"


def test_lengths_of_x25519_are_those_of_its_keys() -> None:
    agreement: KeyAgreement = X25519
    pair = agreement.from_secret(SECRET)
    assert (len(pair.public), len(pair.secret.reveal())) == (agreement.public_bytes, agreement.secret_bytes) == (32, 32)
    assert pair.agree(agreement.from_secret(Secret(b"t" * 32)).public) != pair.secret
    assert issubclass(WeakKey, ValueError)
