"""Offers: each party makes the very session that the coordinator has, from the offer and from its own keys."""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from dp.events import Trust
from protocols import Adversary, Committee, PlainSum, Roster, Secret, SeedSum
from protocols.errors import MalformedMessage, ParameterError
from protocols.registry import parameters_of
from secagg.engines.wire.noise_law import Law
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.errors import ConfigurationError
from secagg.privacy.noise import NoiseTerms
from tests.support import committee_keys
from tests.support.offers import CLIENTS, INPUTS, MEMBERS, NOISES, SERIAL, Offered, every_kind, made, offered, pinned

KINDS: Final = dict(every_kind())


def seeded(label: bytes) -> Callable[[int], bytes]:
    """Return a source of entropy that gives the same bytes to whoever begins with the same label."""
    drawn = 0

    def entropy(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(label + drawn.to_bytes(4, "big")).digest(size)

    return entropy


def through_the_wire(case: Offered) -> Offer:
    offer = case.offer
    again = Offer.from_bytes(offer.to_bytes())
    assert again == offer
    return again


@pytest.mark.parametrize("label", KINDS)
def test_offer_builds_the_session_of_the_coordinator(label: str) -> None:
    case = KINDS[label]
    mean, session = through_the_wire(case).build(case.roster, case.committee_key)
    assert mean.protocol.digest(session) == case.digest
    assert session == case.session
    assert replace(mean, target=case.mean.target) == case.mean
    terms = case.mean.target
    assert mean.target == (None if terms is None else NoiseTerms(colluding=terms.colluding, trust=terms.trust))
    for contributors in (mean.minimum_contributors, len(CLIENTS)):
        assert mean.realised(contributors) == case.mean.realised(contributors)


@pytest.mark.parametrize("noise", ["none", "gaussian-local", "skellam-central", "skellam-removable"])
def test_clients_of_both_means_send_the_same_bytes(noise: str) -> None:
    case = offered("secagg-plus", Adversary.MALICIOUS, noise, weighting="weighted", max_weight=100.0)
    mean, session = through_the_wire(case).build(case.roster, case.committee_key)
    update = [np.linspace(-1, 1, 20).reshape(4, 5), np.ones(5), np.array(0.25)]
    first, second = (
        each.contribution(update, rotation=each.rotation(its_session), weight=30.0, entropy=seeded(b"client"))
        for each, its_session in ((case.mean, case.session), (mean, session))
    )
    assert first.vector.tobytes() == second.vector.tobytes()
    assert [secret.reveal() for secret in first.attached] == [secret.reveal() for secret in second.attached]


@given(
    clients=st.lists(st.integers(0, 2**32 - 2), min_size=2, max_size=40, unique=True),
    sides=st.lists(st.lists(st.integers(1, 30), max_size=3), min_size=1, max_size=5),
    clip=st.floats(1e-200, 1e200),
    bits=st.integers(16, 62),
    weighting=st.sampled_from(("uniform", "weighted")),
    max_weight=st.floats(1e-200, 1e200),
    serial=st.integers(0, 2**64 - 1),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_any_plan_without_noise_is_built_again(
    clients: list[int], sides: list[list[int]], serial: int, data: st.DataObject, clip: float, bits: int, **chosen: Any
) -> None:
    threshold = data.draw(st.integers(2, len(clients)))
    case = made(
        PlainSum(),
        threshold,
        Adversary.CURIOUS,
        serial=serial,
        clients=clients,
        shapes=sides,
        clip_l2=clip,
        modulus_bits=bits,
        **chosen,
    )
    offer = Offer.from_bytes(Offer.of(case.mean, case.session, serial, INPUTS).to_bytes())
    mean, session = offer.build(None, None)
    assert (mean, session) == (case.mean, case.session)
    assert offer.serial == serial


@given(
    noise=st.sampled_from([name for name in NOISES if name != "none"]),
    bits=st.integers(30, 60),
    clip=st.floats(1e-3, 1e3),
    side=st.integers(1, 200),
    threshold=st.integers(3, len(CLIENTS)),
)
@settings(max_examples=15, deadline=None)
def test_any_plan_with_noise_is_built_again(noise: str, bits: int, clip: float, side: int, threshold: int) -> None:
    case = made(
        offered("secagg").mean.protocol,
        threshold,
        Adversary.CURIOUS,
        noise,
        serial=SERIAL,
        clip_l2=clip,
        modulus_bits=bits,
        shapes=[(side,)],
    )
    mean, session = through_the_wire(case).build(None, None)
    assert mean.protocol.digest(session) == case.digest


@pytest.mark.parametrize("noise", NOISES)
def test_offer_tells_nodes_the_bits_that_a_plan_has_chosen(noise: str) -> None:
    """A node cannot choose them itself, since it does not know the target; it checks that the modulus is possible."""
    case = made(offered("secagg").mean.protocol, 5, Adversary.CURIOUS, noise, serial=SERIAL, modulus_bits="auto")
    mean, session = through_the_wire(case).build(None, None)
    assert session.modulus == case.mean.encoding.modulus
    assert mean.encoding == case.mean.encoding
    assert mean.rounding_factor == case.mean.rounding_factor
    assert (mean.encoding.modulus_bits == 24) is (noise == "none")


@pytest.mark.parametrize("noise", NOISES)
def test_compressed_offer_builds_the_session_of_the_coordinator_with_the_same_rows(noise: str) -> None:
    case = offered("secagg", noise=noise, shapes=[(64, 64)], compression=0.3)
    assert case.offer.kept == 1229
    mean, session = through_the_wire(case).build(case.roster, case.committee_key)
    assert mean.protocol.digest(session) == case.digest
    vector = np.random.default_rng(1).normal(size=4096)
    made_again = mean.rotation(session).rotate(vector)
    np.testing.assert_array_equal(made_again, case.mean.rotation(case.session).rotate(vector))


@pytest.mark.parametrize(("kept", "words"), [(0, "kept"), (4096, "kept"), (5000, "kept"), (100, "compression")])
def test_offer_with_kept_rows_that_no_plan_has_is_refused(kept: int, words: str) -> None:
    case = offered("secagg", shapes=[(64, 64)], compression=0.3)
    with pytest.raises(MalformedMessage, match=words):
        msgspec.structs.replace(case.offer, kept=kept).build(None, None)


def test_offer_with_other_kept_rows_is_a_session_of_another_digest() -> None:
    """A server tells one client another number of rows; its session's digest must differ."""
    case = offered("secagg", shapes=[(64, 64)], compression=0.3)
    other = offered("secagg", shapes=[(64, 64)], compression=0.31)
    assert case.digest != other.digest
    with pytest.raises(MalformedMessage, match="granularity"):
        msgspec.structs.replace(case.offer, kept=None, granularity=case.offer.granularity / 2).build(None, None)


def test_offer_holds_no_key_and_no_epsilon() -> None:
    case = offered("oneshot", Adversary.MALICIOUS, "skellam-distributed")
    data = case.offer.to_bytes()
    assert struct.pack(">d", 4.0) not in data
    assert struct.pack(">d", 1e-5) not in data
    for key in (*case.roster.values(), case.committee_key.fingerprint, case.committee_key.to_bytes()[-32:]):
        assert key not in data
    assert len(data) < 300


def test_offer_has_no_field_that_follows_from_others() -> None:
    assert Offer.__struct_fields__ == (
        *("session_id", "protocol", "parameters", "clients", "threshold"),
        *("shapes", "clip_l2", "granularity", "kept", "highest", "weighting", "max_weight"),
        *("law", "scale", "trust", "colluding", "signed", "inputs", "members", "epoch"),
    )


def test_party_uses_the_identities_that_it_has_pinned() -> None:
    case = offered("secagg", Adversary.MALICIOUS)
    lying = Roster({each: hashlib.sha256(b"lie%d" % each).digest() for each in case.roster})
    mean, session = case.offer.build(lying, None)
    assert mean.roster == lying.of(CLIENTS)
    assert mean.protocol.digest(session) != case.digest


def test_party_uses_the_committee_key_that_it_has_pinned() -> None:
    case = offered("paillier")
    other = committee_keys.threshold_key(threshold=3)
    mean, session = case.offer.build(None, other)
    assert mean.committee == Committee(key=other, members=MEMBERS)
    assert mean.protocol.digest(session) != case.digest


@pytest.mark.parametrize(
    ("protocol", "adversary", "roster", "key", "match"),
    [
        ("secagg", Adversary.MALICIOUS, None, None, "no roster"),
        ("secagg", Adversary.MALICIOUS, pinned().of(CLIENTS[1:]), None, "not in the roster"),
        ("oneshot", Adversary.CURIOUS, None, None, "no committee's key"),
        ("oneshot", Adversary.CURIOUS, None, committee_keys.threshold_key(members=4, threshold=3), "expected 4"),
    ],
)
def test_party_that_lacks_a_key_refuses(
    protocol: str, adversary: Adversary, roster: Roster | None, key: Any, match: str
) -> None:
    offer = offered(protocol, adversary).offer
    with pytest.raises(MalformedMessage, match=match):
        offer.build(roster, key)


def test_offer_of_a_protocol_whose_committee_nodes_cannot_read_is_refused() -> None:
    """A coordinator names `SeedSum`, and this party has another kind of committee. It must not join the session."""
    case = offered("oneshot")
    offer = with_fields(case.offer, protocol="seeds", parameters=parameters_of(SeedSum()))
    with pytest.raises(MalformedMessage, match="expected one with a SeedCommittee, found ThresholdKey"):
        offer.build(None, committee_keys.threshold_key())


@pytest.mark.parametrize("noise", NOISES)
def test_context_has_the_serial_only_if_clients_add_noise(noise: str) -> None:
    contexts = {
        serial: Offer.of(case.mean, case.session, serial, INPUTS).context()
        for serial in (5, 6)
        for case in [offered(noise=noise, serial=serial)]
    }
    if noise == "none" or noise.endswith("central"):
        assert contexts == {5: INPUTS, 6: INPUTS}
    else:
        assert contexts == {serial: INPUTS + serial.to_bytes(8, "big") for serial in (5, 6)}


def test_fresh_session_id_begins_with_the_serial_and_is_random() -> None:
    drawn = fresh_session_id(7, lambda size: b"r" * size)
    assert drawn == (7).to_bytes(8, "big") + b"r" * 24
    for serial in (-1, 2**64, True, 1.0):
        with pytest.raises(ParameterError, match="serial"):
            fresh_session_id(serial, lambda size: bytes(size))  # type: ignore[arg-type]  # Some are no ints.
    with pytest.raises(ParameterError, match="entropy"):
        fresh_session_id(7, lambda size: bytes(size - 1))
    with pytest.raises(ParameterError, match="serial"):
        session_context(INPUTS, serial=-1, trust=Trust.LOCAL)


@pytest.mark.parametrize("law", Law)
def test_offer_names_the_law_of_the_noise(law: Law) -> None:
    noise = {"discrete-gaussian": "gaussian-local", "skellam": "skellam-central"}.get(law, "skellam-removable")
    assert offered(noise=noise).offer.law is law


class _Unregistered(PlainSum):
    name = "unregistered"


class _OtherOfTheName(PlainSum):
    """A protocol under the name of a registered one, with other steps."""

    wire = 2


def test_session_that_no_party_can_make_again_is_not_offered() -> None:
    case = offered()
    for wrong in (_Unregistered(), _OtherOfTheName()):
        other = made(wrong, 5, Adversary.CURIOUS, serial=SERIAL)
        with pytest.raises(ConfigurationError, match="offer"):
            Offer.of(other.mean, other.session, SERIAL, INPUTS)
    with pytest.raises(ConfigurationError, match="session_context"):
        Offer.of(case.mean, replace(case.session, context=b"another"), SERIAL, INPUTS)
    with pytest.raises(ConfigurationError, match="fresh_session_id"):
        Offer.of(case.mean, case.session, SERIAL + 1, INPUTS)
    with pytest.raises(ConfigurationError, match="offer"):
        Offer.of(case.mean, replace(case.session, session_id=bytes(16)), SERIAL, INPUTS)
    with pytest.raises(ConfigurationError, match="offer"):
        Offer.of(case.mean, case.session, SERIAL, INPUTS + b"0")


def test_protocol_with_a_parameter_that_is_no_plain_value_is_not_offered() -> None:
    case = offered("paillier")
    mean = replace(case.mean, protocol=replace(case.mean.protocol, value_bits=Secret(bytes(32))))  # type: ignore[type-var]  # It is a dataclass.
    with pytest.raises(ConfigurationError, match="value_bits of type Secret"):
        Offer.of(mean, case.session, SERIAL, INPUTS)


def test_cohort_whose_offer_is_too_long_is_not_offered() -> None:
    clients = range(2**32 - 2 - 220_000, 2**32 - 2)
    case = made(PlainSum(), 2, Adversary.CURIOUS, serial=SERIAL, clients=clients, modulus_bits=62)
    with pytest.raises(ConfigurationError, match="at most 1048576 bytes"):
        Offer.of(case.mean, case.session, SERIAL, INPUTS)
