"""Identities, rosters, the members' terms and records, and what is signed with them."""

import copy
import pickle
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols import (
    Client,
    ClientTerms,
    Identity,
    MemoryRecord,
    ParameterError,
    PlainSum,
    RemoteError,
    Roster,
    SecAgg,
    Secret,
    SecureSum,
    Session,
    SessionRecord,
    SessionReused,
    UnsafeSession,
)
from protocols.cohort import Adversary
from protocols.identity import Signatures

CLIENTS = (3, 0, 2**32 - 2, 8)


def identity(client: int) -> Identity:
    return Identity(Secret(client.to_bytes(32, "big")))


def roster(*clients: int) -> Roster:
    return Roster({client: identity(client).public for client in clients or CLIENTS})


def member(client: int, **changes: object) -> ClientTerms:
    terms: dict[str, object] = {
        "identity": identity(client),
        "roster": roster(*CLIENTS, 77),
        "sessions": MemoryRecord(),
        "adversarial": 0.0,
        "minimum_contributors": 3,
    }
    return ClientTerms(**(terms | changes))  # type: ignore[arg-type]  # tests pass what they like


# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "statement", "signature"), RFC_8032)
def test_identity_signs_as_the_standard_says(secret: str, public: str, statement: str, signature: str) -> None:
    own = Identity(Secret(bytes.fromhex(secret)))
    assert own.public.hex() == public
    assert own.sign(bytes.fromhex(statement)).hex() == signature


@pytest.mark.parametrize("secret", [Secret(b""), Secret(bytes(31)), Secret(bytes(33)), bytes(32), None, "0" * 32])
def test_identity_is_made_of_32_secret_bytes(secret: object) -> None:
    with pytest.raises(ParameterError):
        Identity(secret)  # type: ignore[arg-type]  # that is the test


def test_generated_identities_differ_and_can_be_kept() -> None:
    one, other = Identity.generate(), Identity.generate()
    assert one.public != other.public
    assert Identity(Secret(one.secret.reveal())).public == one.public


def test_identity_gives_its_secret_away_to_nobody() -> None:
    own = Identity(Secret(bytes(range(32))))
    forms = (bytes(range(32)).hex(), repr(bytes(range(32)))[2:-1])
    for text in (repr(own), str(own), repr(member(3, identity=own)), repr([own])):
        assert not any(form in text for form in forms)
    assert own.public.hex() in repr(own)
    assert not hasattr(own, "__dict__")


@pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy])
def test_identity_and_member_refuse_pickling_and_copying(attempt: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        attempt(identity(3))
    if attempt is not copy.copy:  # a shallow copy of a member holds the same identity
        with pytest.raises(TypeError):
            attempt(member(3))


@pytest.mark.parametrize(
    "keys",
    [
        {0: bytes(31)},
        {0: bytes(33)},
        {0: b""},
        {0: "0" * 32},
        {0: bytearray(32)},
        {0: None},
        {0: Secret(bytes(32))},
        {0: identity(0)},
        {-1: bytes(32)},
        {True: bytes(32)},
        {0.0: bytes(32)},
        {"0": bytes(32)},
        {None: bytes(32)},
        {0: bytes(32), 1: bytes(32)},
        {0: b"\x01" * 32, 1: b"\x02" * 32, 2: b"\x01" * 32},
    ],
)
def test_roster_with_a_key_or_an_id_that_is_none_is_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ParameterError):
        Roster(keys)


def test_roster_is_a_mapping_that_does_not_change() -> None:
    keys = {client: identity(client).public for client in CLIENTS}
    found = Roster(keys)
    assert dict(found) == keys
    assert list(found) == sorted(CLIENTS)
    assert len(found) == len(CLIENTS)
    assert 4 not in found
    keys[4] = bytes(32)
    assert 4 not in found
    with pytest.raises(TypeError):
        found[4] = bytes(32)  # type: ignore[index]  # that is the test
    same = Roster({client: found[client] for client in reversed(CLIENTS)})
    assert found == same
    assert hash(found) == hash(same)
    assert found != roster(*CLIENTS[1:])
    assert all(key.hex() not in repr(found) for key in found.values())


def test_part_of_a_roster_names_exactly_those_asked_for() -> None:
    part = roster().of([8, 3])
    assert type(part) is Roster
    assert dict(part) == {3: identity(3).public, 8: identity(8).public}
    assert dict(roster().of(iter(CLIENTS))) == dict(roster())
    assert len(roster().of([])) == 0


@pytest.mark.parametrize("clients", [[4], [3, 4], [-1], [2**32], ["3"]])
def test_part_of_a_roster_with_strangers_is_refused(clients: list[int]) -> None:
    with pytest.raises(ParameterError, match="not in the roster"):
        roster().of(clients)


def test_member_accepts_a_session_on_its_own_terms() -> None:
    for client in CLIENTS:
        member(client).accept(client=client, threshold=3, roster=roster())
        member(client).accept(client=client, threshold=4, roster=roster())


def swapped() -> Roster:
    keys: dict[int, bytes] = {**roster(), 3: identity(0).public, 0: identity(3).public}
    return Roster(keys)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"roster": roster(*CLIENTS[1:])}, "own roster"),  # it has not pinned itself
        ({"roster": roster(3, 0, 8)}, "own roster"),  # nor another of them
        ({"roster": Roster({})}, "own roster"),
        ({"roster": swapped()}, "own roster"),
        ({"identity": identity(0)}, "not this client's own identity"),
        ({"identity": identity(77)}, "not this client's own identity"),
        ({"minimum_contributors": 4}, "minimum of 4,"),
    ],
)
def test_member_refuses_a_session_on_other_terms(changes: dict[str, object], found: str) -> None:
    """A server proposes a session whose roster, identity or minimum is not this client's.

    The client must refuse (UnsafeSession).
    """
    with pytest.raises(UnsafeSession, match=found):
        member(3, **changes).accept(client=3, threshold=3, roster=roster())


def test_member_refuses_another_identity_for_any_one_client() -> None:
    """A server replaces one client's identity, of each client in turn.

    The client compares the roster with its own and must refuse (UnsafeSession).
    """
    for client in CLIENTS:
        offered = Roster({**roster(), client: identity(1000).public})
        with pytest.raises(UnsafeSession):
            member(3).accept(client=3, threshold=3, roster=offered)


def session(**changes: object) -> Session:
    fields: dict[str, object] = {
        "session_id": bytes(16),
        "clients": CLIENTS,
        "threshold": 3,
        "length": 2,
        "modulus": 256,
        "roster": roster(),
    }
    return Session(**(fields | changes))  # type: ignore[arg-type]  # tests pass what they like


@pytest.mark.parametrize("clients", [CLIENTS[1:], (*CLIENTS, 9)])
def test_session_whose_roster_is_of_other_clients_is_refused(clients: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="roster"):
        session(roster=roster(*clients))
    others: tuple[object, ...] = (dict(roster()), [], 7)
    for keys in others:
        with pytest.raises(ParameterError, match="roster"):
            session(roster=keys)


def join(own: ClientTerms | None, agreed: Session, protocol: SecureSum) -> Client:
    return Client(protocol, agreed, 3, [1, 2], entropy=bytes, terms=own)


def test_client_joins_only_where_member_session_and_protocol_agree() -> None:
    against = SecAgg(adversary=Adversary.MALICIOUS)
    assert not join(member(3), session(), against).closed
    with pytest.raises(ParameterError, match="ClientTerms"):
        join(None, session(), against)
    with pytest.raises(UnsafeSession, match="found a session without a roster"):
        join(member(3), session(roster=None), SecAgg())
    with pytest.raises(UnsafeSession, match="found a session without a roster"):
        join(member(3), session(roster=None), PlainSum())
    with pytest.raises(ParameterError, match="roster"):
        join(member(3), session(roster=None), against)
    for trusting in (SecAgg(), PlainSum()):
        with pytest.raises(ParameterError, match="roster"):
            join(member(3), session(), trusting)


@pytest.mark.parametrize("adversarial", [0.5, 0.9, 1.0, -0.1, float("nan"), float("inf"), None, "0.1", True])
def test_client_that_fears_more_than_the_parameters_bear_does_not_join(adversarial: object) -> None:
    """Three of four clients are no safe threshold with two corrupt ones, and with no number that is none."""
    with pytest.raises(ParameterError):
        join(member(3, adversarial=adversarial), session(), SecAgg(adversary=Adversary.MALICIOUS))
    assert not join(member(3, adversarial=0.25), session(), SecAgg(adversary=Adversary.MALICIOUS)).closed


def test_record_takes_each_round_once_and_in_order() -> None:
    """A server asks a client for a step a second time, or for an earlier one.

    The record must refuse (SessionReused).
    """
    record: SessionRecord = MemoryRecord()
    for number in range(5):
        record.record(b"identity", b"session", number)
        for again in range(number + 1):
            with pytest.raises(SessionReused):
                record.record(b"identity", b"session", again)
    record.record(b"another identity", b"session", 0)
    record.record(b"identity", b"another session", 0)


def test_record_that_knows_nothing_of_the_beginning_takes_no_later_round() -> None:
    """A client lost its record in the middle of a session.

    The new record must refuse every later step (SessionReused).
    """
    for number in (1, 2, 7):
        with pytest.raises(SessionReused):
            MemoryRecord().record(b"identity", b"session", number)


def test_record_does_not_confuse_identity_and_session() -> None:
    record = MemoryRecord()
    record.record(b"ab", b"c", 0)
    record.record(b"a", b"bc", 0, vector=True, cap=1)
    assert [record.participations(identity) for identity in (b"ab", b"a", b"abc")] == [0, 1, 0]


@pytest.mark.parametrize("cap", [0, -1, 1.0, True, "3", 2**70 * -1])
def test_terms_with_a_cap_that_is_none_are_refused(cap: object) -> None:
    with pytest.raises(ParameterError, match="cap: expected an int of at least 1, or None for no cap"):
        member(0, cap=cap)
    assert [member(0, cap=each).cap for each in (None, 1, 2**70)] == [None, 1, 2**70]


DIGEST = b"d" * 32
PURPOSE = b"purpose."


def signatures(digest: bytes = DIGEST, known: Roster | None = None) -> Signatures:
    return Signatures(digest, known or roster())


def test_signature_is_taken_for_what_it_says_and_nothing_else() -> None:
    """A server presents a signature for another session, client, purpose, payload or roster.

    Verifying it must fail (RemoteError), blaming nobody here.
    """
    signed = signatures().sign(member(3).identity, client=3, purpose=PURPOSE, payload=b"payload")
    signatures().check(signed, client=3, purpose=PURPOSE, payload=b"payload")
    checks: dict[str, Callable[[], None]] = {
        "another session": lambda: signatures(b"e" * 32).check(signed, client=3, purpose=PURPOSE, payload=b"payload"),
        "another client": lambda: signatures().check(signed, client=0, purpose=PURPOSE, payload=b"payload"),
        "another purpose": lambda: signatures().check(signed, client=3, purpose=b"purpose,", payload=b"payload"),
        "another payload": lambda: signatures().check(signed, client=3, purpose=PURPOSE, payload=b"payloae"),
        "longer payload": lambda: signatures().check(signed, client=3, purpose=PURPOSE, payload=b"payload\x00"),
        "empty payload": lambda: signatures().check(signed, client=3, purpose=PURPOSE, payload=b""),
        "another roster": lambda: signatures(known=swapped()).check(
            signed, client=3, purpose=PURPOSE, payload=b"payload"
        ),
    }
    for label, check in checks.items():
        with pytest.raises(RemoteError) as caught:
            check()
        assert caught.value.culprits == frozenset(), label  # who brought it is to blame, and only its receiver knows


def test_altered_signature_is_refused() -> None:
    """Somebody cuts a signature, or flips any one of its bits. Verifying it must fail (RemoteError)."""
    signed = signatures().sign(member(3).identity, client=3, purpose=PURPOSE, payload=b"payload")
    altered = [signed[:-1], signed + b"\x00", b"", bytes(64), bytes(63), signed[32:] + signed[:32]]
    for position in range(len(signed)):
        flipped = bytearray(signed)
        flipped[position] ^= 1 << position % 8
        altered.append(bytes(flipped))
    for bad in altered:
        with pytest.raises(RemoteError):
            signatures().check(bad, client=3, purpose=PURPOSE, payload=b"payload")


def test_signature_under_another_clients_identity_is_refused() -> None:
    """A client that helps the server signs as another client.

    Verifying it under the other's identity must fail (RemoteError).
    """
    forged = signatures().sign(member(0).identity, client=3, purpose=PURPOSE, payload=b"payload")
    with pytest.raises(RemoteError):
        signatures().check(forged, client=3, purpose=PURPOSE, payload=b"payload")


def test_same_key_for_two_clients_does_not_make_their_statements_the_same() -> None:
    """A server lists one identity in two rosters under two ids.

    The id is part of what is signed, so a signature as the one must not hold as the other.
    """
    signed = signatures().sign(member(3).identity, client=3, purpose=PURPOSE, payload=b"payload")
    other = Roster({8: identity(3).public})
    with pytest.raises(RemoteError):
        signatures(known=other).check(signed, client=8, purpose=PURPOSE, payload=b"payload")


def test_statement_cannot_be_split_in_another_way() -> None:
    """An attacker moves bytes from the payload to the purpose.

    Purpose and client have fixed lengths, so no two statements are the same bytes.
    """
    with pytest.raises(ParameterError):
        signatures().sign(member(3).identity, client=3, purpose=b"short", payload=b"payload")
    with pytest.raises(ParameterError):
        signatures().check(bytes(64), client=3, purpose=b"much too long", payload=b"payload")


def test_what_is_signed_is_under_a_domain_of_its_own() -> None:
    signed = signatures().sign(member(3).identity, client=3, purpose=PURPOSE, payload=b"payload")
    key = Ed25519PublicKey.from_public_bytes(identity(3).public)
    key.verify(signed, b"secagg signature v1" + DIGEST + PURPOSE + (3).to_bytes(4, "big") + b"payload")
    with pytest.raises(InvalidSignature):
        key.verify(signed, b"payload")


def test_without_a_roster_signatures_are_empty_and_must_be() -> None:
    """A sender adds bytes where a session without a roster has no signature.

    They must be refused (RemoteError), and so must an empty signature in one with a roster.
    """
    trusting = Signatures(DIGEST, None)
    assert trusting.sign(None, client=3, purpose=PURPOSE, payload=b"payload") == b""
    trusting.check(b"", client=3, purpose=PURPOSE, payload=b"payload")
    for signed in (
        b"\x00",
        bytes(64),
        signatures().sign(member(3).identity, client=3, purpose=PURPOSE, payload=b"payload"),
    ):
        with pytest.raises(RemoteError, match="in a session without a roster"):
            trusting.check(signed, client=3, purpose=PURPOSE, payload=b"payload")
    with pytest.raises(RemoteError):
        signatures().check(b"", client=3, purpose=PURPOSE, payload=b"payload")
