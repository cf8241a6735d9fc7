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
from protocols.testing import party_of, repeatable_entropy
from tests.conformance.cohorts import COMMITTEE, IDS, SNAPSHOT_KEY, Setting, setting
from tests.support.committee_harness import (
    ENCRYPT,
    OPEN,
    CommitteeHarness,
    decrypted,
    field_positions,
    shown_to_committee,
)

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
    run: CommitteeHarness,
    party: int,
    request: bytes,
    kind: type[ProtocolError] = RemoteError,
    match: str = ".",
    label: str = "",
) -> None:
    """That a member closes on a request, for good, and notes no opening."""
    record = MemoryOpenings()
    machine = run.member(party, record)
    with pytest.raises(kind) as caught:
        machine.handle(request)
    assert re.search(match, str(caught.value)), (label, caught.value)
    assert machine.closed
    assert not record._sessions, label
    with pytest.raises(OrderError):
        machine.handle(run.request(run.honest_contributions()))


def bad_requests(run: CommitteeHarness) -> Iterator[tuple[str, str, bytes]]:
    """What no member opens, with what it says."""
    honest = run.honest_contributions()
    session = run.scenario.session
    first, second, third, fourth = sorted(session.clients)
    few = "contributors: expected at least 3"
    yield "none", few, run.request({})
    yield "one", few, run.request(run.honest_contributions(first))
    yield "one fewer than the threshold", few, run.request(run.honest_contributions(first, second))
    yield "descending", "clients of the session in ascending order", run.request(dict(reversed(honest.items())))
    swapped = {first: honest[first], third: honest[third], second: honest[second]}
    yield "two out of order", "clients of the session in ascending order", run.request(swapped)
    stranger = {**run.honest_contributions(first, second, third), 2**32 - 1: honest[fourth]}
    yield "a stranger", "clients of the session in ascending order", run.request(stranger)
    member_of_it = dict(
        sorted({**run.honest_contributions(first, second, third), COMMITTEE[0]: honest[fourth]}.items())
    )
    yield "a member as a contributor", "clients of the session in ascending order", run.request(member_of_it)
    for label, contributors in {
        "one repeated": (first, second, second, third),
        "one three times": (first, first, first),
        "negative": (-1, first, second, third),
    }.items():
        contributions = memoryview(b"".join(honest[client if client in honest else first] for client in contributors))
        yield (
            label,
            "clients of the session in ascending order",
            run.codec.encode(OPEN, Contributions(contributors, contributions)),
        )
    shuffled = honest | {first: honest[second], second: honest[first]}
    yield "contributions of two swapped", "not signed|proof of plaintext knowledge", run.request(shuffled)
    yield (
        "one contribution twice",
        "not signed|proof of plaintext knowledge",
        run.request(honest | {first: honest[second]}),
    )
    parts = list(honest.values())
    for label, some in {"one contribution fewer": parts[:-1], "one more": [*parts, parts[0]], "none": []}.items():
        yield (
            label,
            "contributions: expected|at most",
            run.codec.encode(OPEN, Contributions(tuple(honest), memoryview(b"".join(some)))),
        )
    for label, bad in {
        "empty": b"",
        "a hash alone": honest[first][:32],
        "cut": honest[first][:-1],
        "longer": honest[first] + b"\x00",
        "unsigned": honest[first][: field_positions(run.setup)["proof"][1]],
    }.items():
        if bad != honest[first]:
            yield label, "contributions: expected", run.request(honest | {first: bad})
    for name, (start, end) in field_positions(run.setup).items():
        for position in {start, (start + end) // 2, end - 1}:
            flipped = bytearray(honest[first])
            flipped[position] ^= 1
            yield (
                f"bit of {name} at {position}",
                "not signed|proof of plaintext knowledge|ciphertext",
                run.request(honest | {first: bytes(flipped)}),
            )


@pytest.mark.parametrize("where", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_member_opens_nothing_but_a_sum_of_enough_contributions_as_they_were_made(where: Setting) -> None:
    """The server asks a member to open too few, repeated, swapped, cut or altered contributions, or those of strangers.

    The member must refuse each, close, and note no opening.
    """
    run = CommitteeHarness(where)
    for label, match, request in bad_requests(run):
        refuses(run, COMMITTEE[1], request, match=match, label=label)
    sums = run.open_with(run.honest_contributions(), *COMMITTEE)
    everyone = [decrypted(run.pairs(client)) for client in CLIENTS]
    n = int(run.setup.key.public_key.message_modulus)
    assert sums == [sum(column) % n for column in zip(*everyone, strict=True)]


@pytest.mark.parametrize("where", [SIGNED, UNSIGNED, ONE_SHOT], ids=["signed", "unsigned", "one-shot"])
@pytest.mark.parametrize("change", [{"session_id": b"another session at all"}, {"context": b"another"}], ids=str)
def test_member_opens_no_contribution_of_another_session_or_context(where: Setting, change: dict[str, bytes]) -> None:
    """The server shows a member contributions that were made for another session or context, all or one of them.

    The session's digest, the signature or the proof must stop it.
    """
    here, there = CommitteeHarness(where), CommitteeHarness(renamed(where, **change))
    first = min(where.session.clients)
    refuses(here, COMMITTEE[1], there.request(there.honest_contributions()), MalformedMessage, "another session")
    request = here.request(here.honest_contributions() | {first: there.contribution(first)})
    refuses(here, COMMITTEE[1], request, match="not signed|proof of plaintext knowledge")
    everything_of_it = here.request(there.honest_contributions())
    refuses(here, COMMITTEE[1], everything_of_it, match="not signed|proof of plaintext knowledge")


def test_member_opens_no_contribution_with_another_clients_signature() -> None:
    """The server replaces a client's contribution by one with right ciphertexts and proof that another client signed.
    The signature must stop it (RemoteError).

    The same contribution, signed by its client, is opened.
    """
    run = CommitteeHarness(SIGNED)
    padded, values = bytes(run.sent[FIRST].padded), decrypted(run.pairs(FIRST))
    right = run.forged_input(FIRST, padded, values)
    assert len(run.open_with(run.honest_contributions() | {FIRST: shown_to_committee(right)}, *COMMITTEE)) == run.count
    for signer, whose in ((SECOND, FIRST), (SECOND, SECOND), (FIRST, SECOND)):
        made = run.forged_input(FIRST, padded, values, signer=signer, whose=whose)
        refuses(
            run,
            COMMITTEE[0],
            run.request(run.honest_contributions() | {FIRST: shown_to_committee(made)}),
            match=f"not signed by client {FIRST}",
        )
    for signature in (bytes(64), b"\xff" * 64, bytes(run.sent[FIRST].sealed[-64:])):
        made_up = shown_to_committee(right)[:-64] + signature
        request = run.request(run.honest_contributions() | {FIRST: made_up})
        refuses(run, COMMITTEE[0], request, match=f"not signed by client {FIRST}")


@pytest.mark.parametrize(("where", "opens"), [(UNSIGNED, True), (SIGNED, False)], ids=["unsigned", "signed"])
def test_clients_that_the_server_makes_up_are_noticed_by_their_signatures_alone(where: Setting, opens: bool) -> None:
    """The server makes up all clients but one, with zeros and right proofs, and reads that one.

    Only signatures by pinned identities stop it: without a roster the attack succeeds.
    """
    run = CommitteeHarness(where)
    nothing = [0] * run.count
    made_up = {
        client: shown_to_committee(run.forged_input(client, b"", nothing, signer=FIRST))
        for client in (SECOND, THIRD, FOURTH)
    }
    contributions = dict(sorted({FIRST: run.contribution(FIRST), **made_up}.items()))
    if not opens:
        for party in COMMITTEE:
            refuses(run, party, run.request(contributions), match="not signed")
        return
    sums = run.open_with(contributions, *COMMITTEE[:2])
    assert sums == decrypted(run.pairs(FIRST))
    assert run.vector_of_sums([], sums, 1).tolist() == run.inputs[FIRST].tolist()


# One sum a session, and no two of a context that differ in few.


def test_member_opens_one_sum_of_a_session() -> None:
    """The server asks a member for a second sum of a session, also after restoring it from before its answer.

    The member's record of openings must refuse (SessionReused).
    """
    run = CommitteeHarness(SIGNED)
    for party in (COMMITTEE[0], CLIENTS[0]):
        machine = run.member(party)
        kept = machine.snapshot(SNAPSHOT_KEY)
        machine.handle(run.request(run.honest_contributions()))
        for contributions in (run.honest_contributions(), run.honest_contributions(FIRST, SECOND, THIRD)):
            again = SIGNED.restored(party, kept, repeatable_entropy(b"again"), run.records[party], run.openings[party])
            with pytest.raises(SessionReused):
                again.handle(run.request(contributions))
            assert again.closed
            fresh = run.member(party)
            with pytest.raises(SessionReused):
                fresh.handle(run.request(contributions))
        # Without its record it would: that is what the record is for.
        assert run.member(party, MemoryOpenings()).handle(run.request(run.honest_contributions(FIRST, SECOND, THIRD)))


@pytest.mark.parametrize("protocol", [PaillierSum(), OneShot(), PaillierSum(adversary=MALICIOUS)])
def test_member_opens_no_sum_of_one_client_fewer_in_another_session_of_the_context(protocol: EncryptedSum) -> None:
    """The server asks for two sums of one context that differ in one client; their difference is its vector.

    The member's record must refuse the second one (UnsafeOpening).
    """
    where = setting(protocol, CLIENTS, 3, length=3)
    first = CommitteeHarness(where)
    later = CommitteeHarness(renamed(where, session_id=b"what failed once more"))
    elsewhere = CommitteeHarness(renamed(where, session_id=b"another model at last", context=b"another"))
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest_contributions()))
    for gone in CLIENTS:
        machine = later.member(COMMITTEE[0], record)
        some = later.request(later.honest_contributions(*(client for client in CLIENTS if client != gone)))
        with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
            machine.handle(some)
        assert machine.closed
    assert later.member(COMMITTEE[0], record).handle(later.request(later.honest_contributions()))
    assert elsewhere.member(COMMITTEE[0], record).handle(
        elsewhere.request(elsewhere.honest_contributions(FIRST, SECOND, THIRD))
    )
    # What both sums would give: the vector of the one that is in the first alone.
    if protocol.name == "paillier":
        both, fewer = (
            run.open_with(run.honest_contributions(*some), *COMMITTEE[1:], seed=b"twice")
            for run, some in ((first, CLIENTS), (later, CLIENTS[1:]))
        )
        difference = first.vector_of_sums([], both, 4) - later.vector_of_sums([], fewer, 3)
        assert (difference % where.session.modulus).tolist() == first.inputs[CLIENTS[0]].tolist()


@pytest.mark.parametrize("other_protocol", [PaillierSum(), PaillierSum(adversary=MALICIOUS), OneShot()], ids=str)
def test_member_compares_sums_of_one_context_across_all_of_its_keys(other_protocol: EncryptedSum) -> None:
    """The server asks for the second sum under another key, of which the member holds a share too.

    The record counts all keys of a member, and must refuse (UnsafeOpening).
    """
    second_members = (24, 25, *reversed(COMMITTEE))
    first = CommitteeHarness(setting(PaillierSum(), CLIENTS, 3, length=3))
    later = CommitteeHarness(
        renamed(
            setting(other_protocol, CLIENTS, 3, length=3, committee=second_members), session_id=b"under a second key"
        )
    )
    one, two = (run.scenario.keyholder(COMMITTEE[0]) for run in (first, later))
    assert one is not None
    assert two is not None
    assert one.share.key.fingerprint != two.share.key.fingerprint
    assert one.share.index != two.share.index
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest_contributions()))
    with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
        later.member(COMMITTEE[0], record).handle(later.request(later.honest_contributions(FIRST, SECOND, THIRD)))
    assert later.member(COMMITTEE[0], record).handle(later.request(later.honest_contributions()))


def test_sums_under_two_keys_would_give_the_vector_of_one_client() -> None:
    """The same attack against members that forget what they opened under the first key.

    It succeeds: the difference of the two sums is one client's vector.
    """
    first = CommitteeHarness(setting(PaillierSum(), CLIENTS, 3, length=3))
    later = CommitteeHarness(
        renamed(
            setting(PaillierSum(), CLIENTS, 3, length=3, committee=(24, 25, *COMMITTEE)),
            session_id=b"under a second key",
        )
    )
    everyone = first.open_with(first.honest_contributions(), *COMMITTEE[:2], seed=b"first")
    fewer = later.open_with(later.honest_contributions(FIRST, SECOND, THIRD), *COMMITTEE, seed=b"later")
    difference = first.vector_of_sums([], everyone, 4) - later.vector_of_sums([], fewer, 3)
    assert (difference % first.scenario.session.modulus).tolist() == first.inputs[FOURTH].tolist()


def test_member_compares_sums_of_one_context_whatever_their_length_and_modulus() -> None:
    """The server changes length and modulus between two sums that differ in one client.

    The record compares whose inputs are in them and nothing else, and must refuse (UnsafeOpening).
    """
    first = CommitteeHarness(setting(PaillierSum(), CLIENTS, 3, length=3))
    wider = setting(PaillierSum(), CLIENTS, 3, length=4)
    later = CommitteeHarness(
        replace(wider, session=replace(wider.session, session_id=b"of other sizes!!", modulus=2**20))
    )
    record = MemoryOpenings()
    assert first.member(COMMITTEE[0], record).handle(first.request(first.honest_contributions()))
    with pytest.raises(UnsafeOpening, match=r"found a difference of 1\."):
        later.member(COMMITTEE[0], record).handle(later.request(later.honest_contributions(FIRST, SECOND, THIRD)))


def test_sums_that_differ_in_fewer_than_the_sessions_threshold_stay_closed_whatever_the_member_allows() -> None:
    """The server asks a member that allows differences of two for a sum in which a corrupt client replaces an honest
    one. The session's threshold counts as well and must stop it (UnsafeOpening).
    """
    where = setting(PaillierSum(adversary=MALICIOUS), CLIENTS, 3, length=3)
    first, later = CommitteeHarness(where), CommitteeHarness(renamed(where, session_id=b"what failed once more"))
    record = MemoryOpenings()

    def lax(run: CommitteeHarness) -> Client:
        keyholder = run.scenario.keyholder(COMMITTEE[0], record)
        assert keyholder is not None
        keyholder = replace(keyholder, minimum_contributors=2)
        return Client(
            where.protocol,
            run.scenario.session,
            COMMITTEE[0],
            None,
            entropy=repeatable_entropy(b"lax"),
            keyholder=keyholder,
        )

    assert lax(first).handle(first.request(first.honest_contributions(FIRST, SECOND, THIRD)))
    with pytest.raises(UnsafeOpening, match="at least 3 clients, found a difference of 2"):
        lax(later).handle(later.request(later.honest_contributions(FIRST, SECOND, FOURTH)))


def test_member_refuses_much_in_little() -> None:
    """The server sends little that asks for much: huge lengths, nested or repeated values.

    The member must refuse before it allocates memory (MalformedMessage).
    """
    run = CommitteeHarness(UNSIGNED)
    limit = UNSIGNED.protocol.message_limit(UNSIGNED.session)
    absurd = replace(UNSIGNED, session=replace(UNSIGNED.session, length=2 * 10**8))
    member = Client(
        absurd.protocol, absurd.session, COMMITTEE[0], None,
        entropy=repeatable_entropy(b"x"), keyholder=absurd.keyholder(COMMITTEE[0]),
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
            header = run.request({})[:37]
            body = b"\x92\x90\xdd" + count.to_bytes(4, "big") + filler * count
            with pytest.raises(MalformedMessage):
                run.member(COMMITTEE[0]).handle(header + body)
        assert tracemalloc.get_traced_memory()[1] < 2**21 + 4 * limit
    finally:
        tracemalloc.stop()


def test_party_in_both_roles_that_was_never_invited_still_opens() -> None:
    """Its invitation was lost, so it is no contributor; its share is as good as any other."""
    run = CommitteeHarness(SIGNED)
    party = CLIENTS[0]
    others = run.honest_contributions(*(client for client in CLIENTS if client != party))
    machine = SIGNED.client(party, run.inputs[party], repeatable_entropy(b"never invited"), None, MemoryOpenings())
    assert machine.step == "encrypt_input"
    one, other = machine.handle(run.request(others)), run.member(party, MemoryOpenings()).handle(run.request(others))
    replies = [run.codec.decode(OPEN, PartialOpening, reply).opening for reply in (one, other)]
    values = [PartialDecryption.from_bytes(run.setup.key, reply, run.count).values for reply in replies]
    assert values[0] == values[1]
    assert machine.closed
    with pytest.raises(OrderError):
        machine.handle(run.codec.encode(ENCRYPT, Invitation()))


def test_every_two_quorums_of_a_committee_have_a_member_in_common() -> None:
    """The server asks one quorum for one sum and another quorum for another.

    Every two quorums share a member, whose record must stop the second sum.
    """
    run = CommitteeHarness(SIGNED)
    committee = SIGNED.session.committee_members
    one, two = run.request(run.honest_contributions()), run.request(run.honest_contributions(FIRST, SECOND, THIRD))
    for quorum in list(combinations(committee, 3))[::3]:
        openings = {party: MemoryOpenings() for party in committee}
        for party in quorum:
            assert run.member(party, openings[party]).handle(one)
        willing = []
        for party in committee:
            try:
                run.member(party, openings[party]).handle(two)
            except SessionReused:
                continue
            willing.append(party)
        assert set(willing) == set(committee) - set(quorum)
        assert len(willing) < 3


# Requests for those who are not asked.


def test_client_that_is_no_member_opens_nothing() -> None:
    """The server sends a client that is no member a request to open, before and after its input.

    The step number must stop it (MalformedMessage), or the client has closed.
    """
    run = CommitteeHarness(SIGNED)
    request = run.request(run.honest_contributions())
    outsider = CLIENTS[3]
    before = SIGNED.client(outsider, run.inputs[outsider], repeatable_entropy(b"before"))
    with pytest.raises(MalformedMessage, match="step: expected 0, found a message of step 1"):
        before.handle(request)
    assert before.closed
    after = run.clients[outsider]
    assert after.closed
    with pytest.raises(OrderError):
        after.handle(request)
    assert after.step is None


def test_member_that_is_no_client_encrypts_nothing() -> None:
    """The server invites a member that is no client to contribute. The step number must stop it (MalformedMessage)."""
    run = CommitteeHarness(SIGNED)
    machine = run.member(COMMITTEE[0])
    with pytest.raises(MalformedMessage, match="step: expected 1, found a message of step 0"):
        machine.handle(run.codec.encode(ENCRYPT, Invitation()))
    assert machine.closed


def test_party_without_a_share_opens_nothing_even_if_it_is_asked() -> None:
    """A request to open reaches a party without a key share, below the machine that would stop it.

    The party itself must refuse (OrderError).
    """
    run = CommitteeHarness(SIGNED)
    vector = SIGNED.session.checked(run.inputs[FOURTH])
    participant = Participant(
        client=FOURTH,
        vector=vector,
        attached=(),
        terms=SIGNED.terms(FOURTH),
        keyholder=None,
        entropy=repeatable_entropy(b"x"),
    )
    party = EncryptedClient(run.setup, participant)
    honest = run.honest_contributions()
    with pytest.raises(OrderError, match="not a member of the committee"):
        party.open_sum(Contributions(tuple(honest), memoryview(b"".join(honest.values()))))


def test_members_own_minimum_counts_above_the_sessions_threshold() -> None:
    """The server asks for a sum of fewer contributors than a member's own minimum.

    The member must refuse (RemoteError), although the session's threshold is met.
    """
    run = CommitteeHarness(UNSIGNED)
    own = UNSIGNED.keyholder(COMMITTEE[0])
    assert own is not None
    stricter = replace(own, minimum_contributors=4)
    machine = run.member(COMMITTEE[0])
    party_of(machine)._keyholder = stricter
    with pytest.raises(RemoteError, match="contributors: expected at least 4"):
        machine.handle(run.request(run.honest_contributions(FIRST, SECOND, THIRD)))
