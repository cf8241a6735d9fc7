"""Committee members enforce their own rules, whatever the server asks them to open."""

import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final

import pytest

from protocols import (
    Adversary,
    Client,
    MalformedMessage,
    MemoryOpenings,
    OneShot,
    OrderError,
    PaillierSum,
    ProtocolError,
    RemoteError,
    SessionReused,
    UnsafeOpening,
)
from protocols.codec import Codec, Invitation
from protocols.crypto.paillier.partial_decryption import PartialDecryption
from protocols.encrypted.client import EncryptedClient
from protocols.encrypted.messages import Contributions, PartialOpening
from protocols.encrypted.protocol import EncryptedSum
from protocols.session import Participant
from protocols.testing import party_of
from tests.conformance.cohorts import COMMITTEE, IDS, SNAPSHOT_KEY, Setting, setting, stream
from tests.support.committee_harness import ENCRYPT, OPEN, Hall, decrypted, fields, shown

MALICIOUS: Final = Adversary.MALICIOUS
CLIENTS: Final = IDS[:4]
FIRST, SECOND, THIRD, FOURTH = sorted(CLIENTS)
SIGNED: Final = setting(PaillierSum(adversary=MALICIOUS), CLIENTS, 3, committee=(*COMMITTEE, CLIENTS[0], CLIENTS[1]))
UNSIGNED: Final = setting(PaillierSum(), CLIENTS, 3)
ONE_SHOT: Final = setting(OneShot(adversary=MALICIOUS), IDS[:3], 2)


def renamed(where: Setting, **changes: bytes) -> Setting:
    """Another session of the same parties."""
    return replace(where, session=replace(where.session, **changes))  # type: ignore[arg-type]  # ids and contexts


def refuses(
    hall: Hall, party: int, request: bytes, kind: type[ProtocolError] = RemoteError, match: str = ".", label: str = ""
) -> None:
    """That a member closes on a request, for good, and notes no opening."""
    record = MemoryOpenings()
    machine = hall.member(party, record)
    with pytest.raises(kind) as caught:
        machine.handle(request)
    assert re.search(match, str(caught.value)), (label, caught.value)
    assert machine.closed
    assert record._sessions == set(), label
    with pytest.raises(OrderError):
        machine.handle(hall.request(hall.honest()))


def bad_requests(hall: Hall) -> Iterator[tuple[str, str, bytes]]:
    """What no member opens, with what it says."""
    honest = hall.honest()
    session = hall.setting.session
    first, second, third, fourth = sorted(session.clients)
    few = "contributors: expected at least 3"
    yield "none", few, hall.request({})
    yield "one", few, hall.request(hall.honest(first))
    yield "one fewer than the threshold", few, hall.request(hall.honest(first, second))
    yield "descending", "clients of the session in ascending order", hall.request(dict(reversed(honest.items())))
    swapped = {first: honest[first], third: honest[third], second: honest[second]}
    yield "two out of order", "clients of the session in ascending order", hall.request(swapped)
    stranger = {**hall.honest(first, second, third), 2**32 - 1: honest[fourth]}
    yield "a stranger", "clients of the session in ascending order", hall.request(stranger)
    member_of_it = dict(sorted({**hall.honest(first, second, third), COMMITTEE[0]: honest[fourth]}.items()))
    yield "a member as a contributor", "clients of the session in ascending order", hall.request(member_of_it)
    for label, contributors in {
        "one repeated": (first, second, second, third),
        "one three times": (first, first, first),
        "negative": (-1, first, second, third),
    }.items():
        contributions = memoryview(b"".join(honest[client if client in honest else first] for client in contributors))
        yield (
            label,
            "clients of the session in ascending order",
            hall.codec.encode(OPEN, Contributions(contributors, contributions)),
        )
    shuffled = honest | {first: honest[second], second: honest[first]}
    yield "contributions of two swapped", "not signed|proof of plaintext knowledge", hall.request(shuffled)
    yield (
        "one contribution twice",
        "not signed|proof of plaintext knowledge",
        hall.request(honest | {first: honest[second]}),
    )
    parts = list(honest.values())
    for label, some in {"one contribution fewer": parts[:-1], "one more": [*parts, parts[0]], "none": []}.items():
        yield (
            label,
            "contributions: expected|at most",
            hall.codec.encode(OPEN, Contributions(tuple(honest), memoryview(b"".join(some)))),
        )
    for label, bad in {
        "empty": b"",
        "a hash alone": honest[first][:32],
        "cut": honest[first][:-1],
        "longer": honest[first] + b"\x00",
        "unsigned": honest[first][: fields(hall.setup)["proof"][1]],
    }.items():
        if bad != honest[first]:
            yield label, "contributions: expected", hall.request(honest | {first: bad})
    for name, (start, end) in fields(hall.setup).items():
        for position in {start, (start + end) // 2, end - 1}:
            flipped = bytearray(honest[first])
            flipped[position] ^= 1
            yield (
                f"bit of {name} at {position}",
                "not signed|proof of plaintext knowledge|ciphertext",
                hall.request(honest | {first: bytes(flipped)}),
            )


@pytest.mark.parametrize("where", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_member_opens_nothing_but_a_sum_of_enough_contributions_as_they_were_made(where: Setting) -> None:
    hall = Hall(where)
    for label, match, request in bad_requests(hall):
        refuses(hall, COMMITTEE[1], request, match=match, label=label)
    sums = hall.open_with(hall.honest(), *COMMITTEE)
    everyone = [decrypted(hall.pairs(client)) for client in CLIENTS]
    n = int(hall.setup.key.public_key.message_modulus)
    assert sums == [sum(column) % n for column in zip(*everyone, strict=True)]


@pytest.mark.parametrize("where", [SIGNED, UNSIGNED, ONE_SHOT], ids=["signed", "unsigned", "one-shot"])
@pytest.mark.parametrize("change", [{"session_id": b"another session at all"}, {"context": b"another"}], ids=str)
def test_member_opens_no_contribution_of_another_session_or_context(where: Setting, change: dict[str, bytes]) -> None:
    here, there = Hall(where), Hall(renamed(where, **change))
    first = min(where.session.clients)
    refuses(here, COMMITTEE[1], there.request(there.honest()), MalformedMessage, "another session")
    request = here.request(here.honest() | {first: there.contribution(first)})
    refuses(here, COMMITTEE[1], request, match="not signed|proof of plaintext knowledge")
    everything_of_it = here.request(there.honest())
    refuses(here, COMMITTEE[1], everything_of_it, match="not signed|proof of plaintext knowledge")


def test_member_opens_no_contribution_with_another_clients_signature() -> None:
    """The ciphertexts and the proof are right, and stand for the first client; the signature is the second's."""
    hall = Hall(SIGNED)
    padded, values = bytes(hall.sent[FIRST].padded), decrypted(hall.pairs(FIRST))
    right = hall.made(FIRST, padded, values)
    assert len(hall.open_with(hall.honest() | {FIRST: shown(right)}, *COMMITTEE)) == hall.count
    for signer, whose in ((SECOND, FIRST), (SECOND, SECOND), (FIRST, SECOND)):
        made = hall.made(FIRST, padded, values, signer=signer, whose=whose)
        refuses(
            hall,
            COMMITTEE[0],
            hall.request(hall.honest() | {FIRST: shown(made)}),
            match=f"not signed by client {FIRST}",
        )
    for signature in (bytes(64), b"\xff" * 64, bytes(hall.sent[FIRST].sealed[-64:])):
        made_up = shown(right)[:-64] + signature
        request = hall.request(hall.honest() | {FIRST: made_up})
        refuses(hall, COMMITTEE[0], request, match=f"not signed by client {FIRST}")


@pytest.mark.parametrize(("where", "opens"), [(UNSIGNED, True), (SIGNED, False)], ids=["unsigned", "signed"])
def test_clients_that_the_server_makes_up_are_noticed_by_their_signatures_alone(where: Setting, opens: bool) -> None:
    """The server makes up all clients but one, and reads that one: why identities are pinned against such a server."""
    hall = Hall(where)
    nothing = [0] * hall.count
    made_up = {client: shown(hall.made(client, b"", nothing, signer=FIRST)) for client in (SECOND, THIRD, FOURTH)}
    contributions = dict(sorted({FIRST: hall.contribution(FIRST), **made_up}.items()))
    if not opens:
        for party in COMMITTEE:
            refuses(hall, party, hall.request(contributions), match="not signed")
        return
    sums = hall.open_with(contributions, *COMMITTEE[:2])
    assert sums == decrypted(hall.pairs(FIRST))
    assert hall.unwrapped([], sums, 1).tolist() == hall.inputs[FIRST].tolist()


# One sum a session, and no two of a context that differ in few.


def test_member_opens_one_sum_of_a_session() -> None:
    """Restored from before its answer, with its record, it opens neither another sum nor the same one again."""
    hall = Hall(SIGNED)
    for party in (COMMITTEE[0], CLIENTS[0]):
        machine = hall.member(party)
        kept = machine.snapshot(SNAPSHOT_KEY)
        machine.handle(hall.request(hall.honest()))
        for contributions in (hall.honest(), hall.honest(FIRST, SECOND, THIRD)):
            again = SIGNED.restored(party, kept, stream(b"again"), hall.records[party], hall.openings[party])
            with pytest.raises(SessionReused):
                again.handle(hall.request(contributions))
            assert again.closed
            fresh = hall.member(party)
            with pytest.raises(SessionReused):
                fresh.handle(hall.request(contributions))
        # Without its record it would: that is what the record is for.
        assert hall.member(party, MemoryOpenings()).handle(hall.request(hall.honest(FIRST, SECOND, THIRD)))


@pytest.mark.parametrize("protocol", [PaillierSum(), OneShot(), PaillierSum(adversary=MALICIOUS)])
def test_member_opens_no_sum_of_one_client_fewer_in_another_session_of_the_context(protocol: EncryptedSum) -> None:
    where = setting(protocol, CLIENTS, 3, length=3)
    first = Hall(where)
    later = Hall(renamed(where, session_id=b"what failed once more"))
    elsewhere = Hall(renamed(where, session_id=b"another model at last", context=b"another"))
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest()))
    for gone in CLIENTS:
        machine = later.member(COMMITTEE[0], record)
        some = later.request(later.honest(*(client for client in CLIENTS if client != gone)))
        with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
            machine.handle(some)
        assert machine.closed
    assert later.member(COMMITTEE[0], record).handle(later.request(later.honest()))
    assert elsewhere.member(COMMITTEE[0], record).handle(elsewhere.request(elsewhere.honest(FIRST, SECOND, THIRD)))
    # What both sums would give: the vector of the one that is in the first alone.
    if protocol.name == "paillier":
        both, fewer = (
            hall.open_with(hall.honest(*some), *COMMITTEE[1:], seed=b"twice")
            for hall, some in ((first, CLIENTS), (later, CLIENTS[1:]))
        )
        difference = first.unwrapped([], both, 4) - later.unwrapped([], fewer, 3)
        assert (difference % where.session.modulus).tolist() == first.inputs[CLIENTS[0]].tolist()


@pytest.mark.parametrize("other_protocol", [PaillierSum(), PaillierSum(adversary=MALICIOUS), OneShot()], ids=str)
def test_member_compares_sums_of_one_context_across_all_of_its_keys(other_protocol: EncryptedSum) -> None:
    """A second key, where it holds another share among other members, opens no sum of one client fewer."""
    second_members = (24, 25, *reversed(COMMITTEE))
    first = Hall(setting(PaillierSum(), CLIENTS, 3, length=3))
    later = Hall(
        renamed(
            setting(other_protocol, CLIENTS, 3, length=3, committee=second_members), session_id=b"under a second key"
        )
    )
    one, two = (hall.setting.keyholder(COMMITTEE[0]) for hall in (first, later))
    assert one is not None
    assert two is not None
    assert one.share.key.fingerprint != two.share.key.fingerprint
    assert one.share.index != two.share.index
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest()))
    with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
        later.member(COMMITTEE[0], record).handle(later.request(later.honest(FIRST, SECOND, THIRD)))
    assert later.member(COMMITTEE[0], record).handle(later.request(later.honest()))


def test_sums_under_two_keys_would_give_the_vector_of_one_client() -> None:
    """What members that forget the first key would do: both sums are opened, and their difference is one vector."""
    first = Hall(setting(PaillierSum(), CLIENTS, 3, length=3))
    later = Hall(
        renamed(
            setting(PaillierSum(), CLIENTS, 3, length=3, committee=(24, 25, *COMMITTEE)),
            session_id=b"under a second key",
        )
    )
    everyone = first.open_with(first.honest(), *COMMITTEE[:2], seed=b"first")
    fewer = later.open_with(later.honest(FIRST, SECOND, THIRD), *COMMITTEE, seed=b"later")
    difference = first.unwrapped([], everyone, 4) - later.unwrapped([], fewer, 3)
    assert (difference % first.setting.session.modulus).tolist() == first.inputs[FOURTH].tolist()


def test_member_compares_sums_of_one_context_whatever_their_length_and_modulus() -> None:
    """Neither changes whose inputs are in a sum; the record does not even know them."""
    first = Hall(setting(PaillierSum(), CLIENTS, 3, length=3))
    wider = setting(PaillierSum(), CLIENTS, 3, length=4)
    later = Hall(replace(wider, session=replace(wider.session, session_id=b"of other sizes!!", modulus=2**20)))
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest()))
    with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
        later.member(COMMITTEE[0], record).handle(later.request(later.honest(FIRST, SECOND, THIRD)))


def test_sums_that_differ_in_fewer_than_the_sessions_threshold_stay_closed_whatever_the_member_allows() -> None:
    """Else a corrupt client in place of an honest one gives the honest one's vector: their difference is known."""
    where = setting(PaillierSum(adversary=MALICIOUS), CLIENTS, 3, length=3)
    first, later = Hall(where), Hall(renamed(where, session_id=b"what failed once more"))
    record = MemoryOpenings()

    def lax(hall: Hall) -> Client:
        keyholder = hall.setting.keyholder(COMMITTEE[0], record)
        assert keyholder is not None
        keyholder = replace(keyholder, minimum_contributors=2)
        return Client(
            where.protocol, hall.setting.session, COMMITTEE[0], None, entropy=stream(b"lax"), keyholder=keyholder
        )

    assert lax(first).handle(first.request(first.honest(FIRST, SECOND, THIRD)))
    with pytest.raises(UnsafeOpening, match="at least 3 clients, found a difference of 2"):
        lax(later).handle(later.request(later.honest(FIRST, SECOND, FOURTH)))


def test_member_refuses_much_in_little() -> None:
    """What costs a server few bytes costs a member little: nothing is built before lengths are right."""
    hall = Hall(UNSIGNED)
    limit = UNSIGNED.protocol.message_limit(UNSIGNED.session)
    absurd = replace(UNSIGNED, session=replace(UNSIGNED.session, length=10**12))
    member = Client(
        absurd.protocol, absurd.session, COMMITTEE[0], None,
        entropy=stream(b"x"), keyholder=absurd.keyholder(COMMITTEE[0]),
    )  # fmt: skip
    small = Codec(absurd.protocol.digest(absurd.session), 1000).encode(
        OPEN, Contributions(tuple(sorted(CLIENTS)), memoryview(b""))
    )
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="contributions: expected"):
            member.handle(small)
        for filler in (b"\xc4\x00", b"\x00", b"\xc0", b"\x90"):
            count = (limit - 100) // len(filler)
            header = hall.request({})[:37]
            body = b"\x92\x90\xdd" + count.to_bytes(4, "big") + filler * count
            with pytest.raises(MalformedMessage):
                hall.member(COMMITTEE[0]).handle(header + body)
        assert tracemalloc.get_traced_memory()[1] < 2**21 + 4 * limit
    finally:
        tracemalloc.stop()


def test_party_in_both_roles_that_was_never_invited_still_opens() -> None:
    """Its invitation was lost, so it is no contributor; its share is as good as any other."""
    hall = Hall(SIGNED)
    party = CLIENTS[0]
    others = hall.honest(*(client for client in CLIENTS if client != party))
    machine = SIGNED.client(party, hall.inputs[party], stream(b"never invited"), None, MemoryOpenings())
    assert machine.step == "encrypt_input"
    one, other = machine.handle(hall.request(others)), hall.member(party, MemoryOpenings()).handle(hall.request(others))
    replies = [hall.codec.decode(OPEN, PartialOpening, reply).opening for reply in (one, other)]
    values = [PartialDecryption.from_bytes(hall.setup.key, reply, hall.count).values for reply in replies]
    assert values[0] == values[1]
    assert machine.closed
    with pytest.raises(OrderError):
        machine.handle(hall.codec.encode(ENCRYPT, Invitation()))


def test_every_two_quorums_of_a_committee_have_a_member_in_common() -> None:
    """So one member's record is enough to keep the server from two sums."""
    hall = Hall(SIGNED)
    committee = SIGNED.session.committee_members
    one, two = hall.request(hall.honest()), hall.request(hall.honest(FIRST, SECOND, THIRD))
    for quorum in list(combinations(committee, 3))[::3]:
        openings = {party: MemoryOpenings() for party in committee}
        for party in quorum:
            assert hall.member(party, openings[party]).handle(one)
        willing = []
        for party in committee:
            try:
                hall.member(party, openings[party]).handle(two)
            except SessionReused:
                continue
            willing.append(party)
        assert set(willing) == set(committee) - set(quorum)
        assert len(willing) < 3


# Requests for those who are not asked.


def test_client_that_is_no_member_opens_nothing() -> None:
    hall = Hall(SIGNED)
    request = hall.request(hall.honest())
    outsider = CLIENTS[3]
    before = SIGNED.client(outsider, hall.inputs[outsider], stream(b"before"))
    with pytest.raises(MalformedMessage, match="step: expected 0, found a message of step 1"):
        before.handle(request)
    assert before.closed
    after = hall.clients[outsider]
    assert after.closed
    with pytest.raises(OrderError):
        after.handle(request)
    assert after.step is None


def test_member_that_is_no_client_encrypts_nothing() -> None:
    hall = Hall(SIGNED)
    machine = hall.member(COMMITTEE[0])
    with pytest.raises(MalformedMessage, match="step: expected 1, found a message of step 0"):
        machine.handle(hall.codec.encode(ENCRYPT, Invitation()))
    assert machine.closed


def test_party_without_a_share_opens_nothing_even_if_it_is_asked() -> None:
    """Below the machine, which would never let it come to this."""
    hall = Hall(SIGNED)
    vector = SIGNED.session.checked(hall.inputs[FOURTH])
    participant = Participant(
        client=FOURTH, vector=vector, attached=(), terms=SIGNED.terms(FOURTH), keyholder=None, entropy=stream(b"x")
    )
    party = EncryptedClient(hall.setup, participant)
    honest = hall.honest()
    with pytest.raises(OrderError, match="not a member"):
        party.open_sum(Contributions(tuple(honest), memoryview(b"".join(honest.values()))))


def test_members_own_minimum_counts_above_the_sessions_threshold() -> None:
    """A session below a member's minimum is refused as a whole; see `test_committee`."""
    hall = Hall(UNSIGNED)
    own = UNSIGNED.keyholder(COMMITTEE[0])
    assert own is not None
    stricter = replace(own, minimum_contributors=4)
    machine = hall.member(COMMITTEE[0])
    party_of(machine)._keyholder = stricter
    with pytest.raises(RemoteError, match="contributors: expected at least 4"):
        machine.handle(hall.request(hall.honest(FIRST, SECOND, THIRD)))
