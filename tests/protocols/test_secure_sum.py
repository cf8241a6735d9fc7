"""What a protocol declares of itself, and that no field of a session passes unseen."""

import os
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

import pytest

import protocols.session
from protocols import (
    Adversary,
    Client,
    Committee,
    Extra,
    LightSecAgg,
    OneShot,
    Opening,
    PaillierSum,
    ParameterError,
    PlainSum,
    Roster,
    SecAgg,
    SecAggPlus,
    SecureSum,
    SeedSum,
    Server,
    Session,
)
from protocols.session import check_entries
from protocols.testing import fixed_identity
from tests.conformance.cohorts import committee_of
from tests.support.seed_members import ENDS
from tests.support.seed_world import seed_committee_of

CLIENTS = (0, 1, 2, 3)
WITH: dict[Extra, dict[str, Any]] = {
    Extra.ROSTER: {"roster": Roster({client: fixed_identity(client).public for client in CLIENTS})},
    Extra.ATTACHED: {"attached": (Opening(least_dropped=1, most_dropped=1),)},
    Extra.COMMITTEE: {"committee": committee_of((7, 8, 9))},
    Extra.EXPIRES: {"expires": 7},
    Extra.WEIGHTS: {"weights": (1, 2)},
    Extra.BATCHES: {"batches": True},
}
PROTOCOLS: dict[str, SecureSum] = {
    "secagg": SecAgg(),
    "secagg-plus": SecAggPlus(neighbours=2, share_threshold=2),
    "lightsecagg": LightSecAgg(privacy=1, responders=2),
    "paillier": PaillierSum(),
    "oneshot": OneShot(),
    "seeds": SeedSum(),
    "plain": PlainSum(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterSession(Session):
    """A session with a field that no protocol knows yet."""

    later: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncheckedSession(LaterSession):
    """One that leaves out the checks of `Session`, so that it can be made although its field has no entry."""

    def __post_init__(self) -> None:
        pass


def session(**changes: Any) -> Session:
    given: dict[str, Any] = {"session_id": bytes(16), "clients": CLIENTS, "threshold": 3, "length": 4, "modulus": 2**16}
    return Session(**(given | changes))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize("extra", list(Extra))
def test_extra_that_a_protocol_does_not_accept_is_refused_by_its_name(protocol: SecureSum, extra: Extra) -> None:
    assert set(session(**WITH[extra]).extras()) == {extra}
    if extra not in protocol.accepts:
        with pytest.raises(
            ParameterError, match=f"{extra}: expected a session without .*, which {protocol.name} does not"
        ):
            protocol.validate(session(**WITH[extra]))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_new_field_of_a_session_is_refused_by_every_protocol_until_it_opts_in(protocol: SecureSum) -> None:
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    if protocol.needs_committee:
        given |= WITH[Extra.COMMITTEE]
    with pytest.raises(ParameterError, match=f"later: expected a session without later, which {protocol.name}"):
        protocol.validate(UncheckedSession(**given, later=b"something"))


def test_session_with_a_field_without_an_entry_in_the_transcript_cannot_be_made() -> None:
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    with pytest.raises(TypeError, match=r"LaterSession: expected one entry .*, found no entry for later\. Add a field"):
        LaterSession(**given)


def test_field_without_an_entry_in_the_transcript_gives_no_digest() -> None:
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    with pytest.raises(TypeError, match=r"UncheckedSession: expected one entry .*, found no entry for later"):
        PlainSum().digest(UncheckedSession(**given))


def test_transcript_that_names_a_field_twice_or_no_field_is_refused() -> None:
    entries = tuple(each.name for each in fields(Session))
    check_entries(Session, entries)
    with pytest.raises(TypeError, match=r"Session: .* found more than one entry for clients, length\."):
        check_entries(Session, (*entries, "length", "clients"))
    with pytest.raises(TypeError, match=r"Session: .* found an entry without a field for later\."):
        check_entries(Session, (*entries, "later"))


def test_fields_that_hold_equal_bytes_give_different_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    monkeypatch.setitem(protocols.session._LATER, "later", lambda session: session.later)
    plain = PlainSum()
    digests = {
        plain.digest(LaterSession(**given | changes))
        for changes in ({"context": b"x"}, {"parameters": b"x"}, {"later": b"x"}, {"later": b"y"})
    }
    assert len(digests) == 4
    committees = WITH[Extra.COMMITTEE], WITH[Extra.COMMITTEE] | {"parameters": b"x"}
    assert len(digests | {plain.digest(LaterSession(**given | each)) for each in committees}) == 6


def test_later_field_that_is_not_set_changes_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    before = PlainSum().digest(session())
    monkeypatch.setitem(protocols.session._LATER, "later", lambda session: session.later)
    assert PlainSum().digest(LaterSession(**given)) == before


def test_class_variable_that_is_not_listed_changes_no_digest_and_a_parameter_does() -> None:
    @dataclass(frozen=True, slots=True)
    class Described(PlainSum):
        described: ClassVar[str] = "not hashed"

    @dataclass(frozen=True, slots=True)
    class Tuned(PlainSum):
        tuned: int = 0

    before = PlainSum().digest(session())
    assert Described().digest(session()) == before
    assert len({before, Tuned().digest(session()), Tuned(tuned=1).digest(session())}) == 3


def test_protocol_without_a_wire_number_cannot_be_made() -> None:
    with pytest.raises(TypeError, match=r"Numberless.wire: expected the version of its bytes, an int, found none"):
        type("Numberless", (SecureSum,), {"name": "numberless"})
    assert not hasattr(SecureSum, "wire")


def test_transcript_names_every_field_once() -> None:
    """A field that is younger than the digest's first version is named if it is set."""
    fields_of = {each.name for each in fields(Session)}
    younger = (Extra.EXPIRES, Extra.WEIGHTS, Extra.BATCHES)
    whole = session(**WITH[Extra.EXPIRES] | WITH[Extra.WEIGHTS] | WITH[Extra.BATCHES])
    for given, expected in ((whole, fields_of), (session(), fields_of - set(younger))):
        names = ", ".join(name for name, _ in given.transcript()).split(", ")
        assert sorted(names) == sorted(expected)


def test_protocol_cannot_replace_the_check_of_what_it_accepts() -> None:
    with pytest.raises(TypeError, match="expected its checks in `_validate`, found a `validate` of its own"):
        type("Lax", (PlainSum,), {"validate": lambda self, session: None})


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_protocols_protect_if_they_name_an_adversary(protocol: SecureSum) -> None:
    assert protocol.protects == (protocol.name != "plain") == bool(protocol.adversaries)
    assert type(protocol).protects is protocol.protects
    assert protocol.wire == 1
    assert (Extra.ROSTER in protocol.accepts) == (Adversary.MALICIOUS in protocol.adversaries)


def test_protects_is_computed_anew_for_every_class() -> None:
    @dataclass(frozen=True)
    class Unmasked(LightSecAgg):
        adversaries: ClassVar[tuple[Adversary, ...]] = ()

    @dataclass(frozen=True, slots=True)
    class Masked(PlainSum):
        adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS,)

    assert Unmasked.protects is Unmasked(privacy=1, responders=2).protects is False
    assert Masked.protects is Masked().protects is True
    assert SecureSum.protects is False


@pytest.mark.parametrize("value", [True, property(lambda self: True)])
def test_baseline_cannot_claim_that_it_protects(value: object) -> None:
    with pytest.raises(TypeError, match=r"Boastful.protects: expected False, since `adversaries` names no server"):
        type("Boastful", (PlainSum,), {"protects": value})


def test_committee_of_another_kind_of_key_is_refused() -> None:
    class OtherKey:
        members, threshold, colluding, bits, fingerprint, pin = 3, 2, 1, 256, bytes(32), bytes(32)
        expires = None

        def to_bytes(self) -> bytes:
            return b"other"

    other = session(committee=type(committee_of((7, 8, 9)))(key=cast("Any", OtherKey()), members=(7, 8, 9)))
    for kind in (PaillierSum, OneShot):
        with pytest.raises(ParameterError, match=r"expected one with a ThresholdKey .* found OtherKey"):
            kind().validate(other)
    with pytest.raises(ParameterError, match=r"expected one with a SeedCommittee, found OtherKey"):
        SeedSum().validate(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class LyingSession(Session):
    """A session that says that it sets no extra field, and that nothing is to be hashed."""

    def extras(self) -> tuple[str, ...]:  # type: ignore[misc]
        return ()

    def transcript(self) -> tuple[tuple[str, tuple[object, ...]], ...]:  # type: ignore[misc]
        return ()


@pytest.mark.parametrize("extra", list(Extra))
def test_session_that_hides_its_fields_is_refused_all_the_same(extra: Extra) -> None:
    """A subclass of the session overrides what says which fields are set; the protocol must not ask it."""
    given = {each.name: getattr(session(**WITH[extra]), each.name) for each in fields(Session)}
    refusing = [protocol for protocol in PROTOCOLS.values() if extra not in protocol.accepts]
    assert refusing
    for protocol in refusing:
        with pytest.raises(ParameterError, match=f"{extra}: expected a session without"):
            protocol.validate(LyingSession(**given))


def test_session_that_hides_its_transcript_has_the_digest_of_its_fields() -> None:
    """A subclass of the session hashes nothing, so that two sessions would have one digest."""
    given = {each.name: getattr(session(), each.name) for each in fields(Session)}
    assert PlainSum().digest(LyingSession(**given)) == PlainSum().digest(session())
    assert PlainSum().digest(LyingSession(**given | {"length": 5})) == PlainSum().digest(session(length=5))


def test_parties_check_a_session_by_the_rules_of_secure_sum_and_not_of_an_object() -> None:
    """A protocol's object replaces `validate`, so that it would accept attached secrets that it does not list."""
    protocol = LightSecAgg(privacy=1, responders=2)
    object.__setattr__(protocol, "validate", lambda _: None)
    refused = session(**WITH[Extra.COMMITTEE])
    with pytest.raises(ParameterError, match="committee: expected a session without"):
        Server(protocol, refused)
    with pytest.raises(ParameterError, match="committee: expected a session without"):
        Client(protocol, refused, 0, [0] * 4, entropy=os.urandom)


LONG: dict[str, tuple[int, int, int, str]] = {
    "secagg": (4, 1_500_000_000, 2**24, "longest message of secagg: .*found 4500006144"),
    "secagg-plus": (4, 1_100_000_000, 2**24, "longest vector in memory of secagg-plus: .*found 4400000000"),
    "plain": (4, 1_500_000_000, 2**24, "longest message of plain"),
    "lightsecagg": (4, 1_200_000_000, 2**31 - 1, "longest message of lightsecagg"),
    "oneshot": (4, 1_100_000_000, 2**24, "longest message of oneshot"),
    "seeds": (4, 1_100_000_000, 2**24, "longest message of seeds"),
    "paillier": (200_000, 100_000, 2**24, "longest message of paillier: .*for 200000 clients and 100000 coord"),
}
"""For each protocol: clients, coordinates, modulus, and what is too long."""


@pytest.mark.parametrize("name", sorted(LONG))
def test_session_whose_messages_cannot_be_encoded_is_refused(name: str) -> None:
    """Refused in a moment: nothing of such a length is made. The joined contributions of many clients count too."""
    clients, length, modulus, match = LONG[name]
    committee = committee_of((300_007, 300_008, 300_009)) if PROTOCOLS[name].needs_committee else None
    if name == "seeds":
        committee = Committee(key=seed_committee_of(3, 1, 2), members=(300_007, 300_008, 300_009))
    session = Session(
        session_id=bytes(16),
        clients=tuple(range(clients)),
        threshold=clients,
        length=length,
        modulus=modulus,
        committee=committee,
        expires=ENDS if name == "seeds" else None,
    )
    with pytest.raises(ParameterError, match=f"{match}.*slices of fewer coordinates, or split the clients into more"):
        PROTOCOLS[name].validate(session)
