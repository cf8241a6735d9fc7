"""The server of `SeedSum`: complaints, members that are silent or lie, and sums that it asks others for again."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import pytest

from protocols.errors import MalformedMessage, NotSigned, RemoteError, TooFewSurvivors
from protocols.machine import Continue, Server
from protocols.secure_sum import Complaint, Finish
from protocols.seeds import complaints
from protocols.seeds.derived import hash_of
from protocols.seeds.messages import (
    Agreement,
    Certificate,
    Complaints,
    Entries,
    Proposal,
    SeedInput,
    SumShares,
)
from protocols.seeds.party import AGREEMENT, CLAIMS, COMPLAINT, Reason
from protocols.testing import SNAPSHOT_KEY, ProtocolRun, Scenario
from protocols.testing.repeatable import fixed_identity, repeatable_entropy
from tests.support.seed_world import (
    AGREE,
    CHECK,
    CLIENTS,
    CURIOUS,
    MALICIOUS,
    MASK,
    MEMBERS,
    OPEN,
    derived_of,
    seed_scenario,
)

TWENTY: Final = tuple(range(20))


def lies(run: ProtocolRun, member: int, reply: bytes, sets: Collection[int]) -> bytes:
    """Return a member's reply to `open_sum` with other sums for these sets, which it claims and signs.

    Members that lie about one set tell the same lie: its sum is zero.
    """
    scenario, state = run.scenario, run.clients[member]._party.state
    derived, codec = derived_of(scenario), scenario.codec
    message = codec.decode(OPEN, SumShares, reply)
    place = MEMBERS.index(member)
    own, root, size = derived.sets.of(place), state.root, derived.pads.opening_bytes(len(state.contributors))
    asked = scenario.codec.decode(OPEN, Certificate, run.requests[member]).sets
    claims, sums = bytearray(message.claims), bytearray(message.sums)
    for number in sets:
        false = bytes(size)
        claims[32 * own.index(number) : 32 * own.index(number) + 32] = derived.claim(root, number, false)
        if number in asked:
            at = asked.index(number) * size
            sums[at : at + size] = false
    signature = derived.member_signatures.sign(
        fixed_identity(place), client=member, purpose=CLAIMS, payload=root + hash_of(bytes(claims))
    )
    return codec.encode(OPEN, SumShares(memoryview(bytes(claims)), memoryview(signature), memoryview(bytes(sums))))


class Play:
    """A sum in which members are silent, lie or withhold in the last step.

    Args:
        scenario: The scenario.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.run = ProtocolRun(scenario).to_step(OPEN)
        self.rounds: list[dict[int, tuple[int, ...]]] = []

    def finish(
        self,
        *,
        silent: Collection[int] = (),
        later: Collection[int] = (),
        slow: Collection[int] = (),
        liars: Mapping[int, Collection[int]] | None = None,
        altered: Mapping[int, Callable[[bytes], bytes]] | None = None,
    ) -> Finish:
        """Run the last step as often as the server asks for it.

        Args:
            silent: Members that do not answer.
            later: Members that answer the first request alone.
            slow: Members that do not answer the first request.
            liars: For a member, the sets about which it lies.
            altered: For a member, what it makes of its reply.
        """
        run, server = self.run, self.run.server
        while isinstance(run.progress, Continue):
            assert run.progress.step == "open_sum"
            requests = run.progress.requests
            decoded = {
                member: self.scenario.codec.decode(OPEN, Certificate, request) for member, request in requests.items()
            }
            self.rounds.append({member: certificate.sets for member, certificate in decoded.items()})
            assert len(self.rounds) <= 1 + len(MEMBERS), "the server asks without end"
            for member, request in requests.items():
                answered_once = len(self.rounds) > 1
                if member in silent or (member in later and answered_once) or (member in slow and not answered_once):
                    continue
                reply = run.clients[member].handle(request)
                if member in (liars or {}):
                    reply = lies(run, member, reply, (liars or {})[member])
                if member in (altered or {}):
                    reply = (altered or {})[member](reply)
                    with pytest.raises(RemoteError) as caught:
                        server.receive(member, reply)
                    assert caught.value.culprits == {member}
                    continue
                server.receive(member, reply)
            run.progress = server.advance()
        return run.progress


def is_exact(play: Play, outcome: Finish) -> bool:
    return play.run.is_exact(outcome)


# The first step.


@pytest.mark.parametrize("name", ["padded", "sealed"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_client_whose_message_has_another_length_is_refused(name: str, change: Callable[[bytes], bytes]) -> None:
    scenario = seed_scenario(4, 1)
    run = ProtocolRun(scenario)
    client = CLIENTS[0]
    message = scenario.codec.decode(MASK, SeedInput, run.clients[client].handle(run.requests[client]))
    parts = {"padded": bytes(message.padded), "sealed": bytes(message.sealed)}
    parts[name] = change(parts[name])
    wrong = SeedInput(memoryview(parts["padded"]), memoryview(parts["sealed"]))
    with pytest.raises(MalformedMessage):
        run.server.receive(client, scenario.codec.encode(MASK, wrong))
    assert client in run.server.missing


def test_message_of_one_client_is_none_of_another_one() -> None:
    run = ProtocolRun(seed_scenario(4, 1))
    replies = run.replies()
    with pytest.raises(NotSigned):
        run.server.receive(CLIENTS[0], replies[CLIENTS[1]])


def test_servers_that_share_the_clients_merge_to_one() -> None:
    scenario = seed_scenario(4, 1)
    run, half = ProtocolRun(scenario), Server(scenario.protocol, scenario.session)
    half.start()
    for place, (client, reply) in enumerate(run.replies().items()):
        (run.server if place % 2 else half).receive(client, reply)
    run.server.merge(half.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"half")), key=SNAPSHOT_KEY)
    run.progress = run.server.advance()
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == tuple(sorted(CLIENTS))


# Complaints.


def complaining(
    scenario: Scenario, told: Mapping[int, Mapping[int, Reason]], *, silent: Collection[int] = ()
) -> ProtocolRun:
    """Return a run in which members complain of these clients, with valid signatures."""
    run, derived = ProtocolRun(scenario).to_step(CHECK), derived_of(scenario)
    replies = run.replies()
    for member, reasons in told.items():
        place, clients = MEMBERS.index(member), tuple(sorted(reasons))
        request = scenario.codec.decode(CHECK, Entries, run.requests[member])
        signatures = []
        for client in clients:
            at = request.clients.index(client) * derived.entry_bytes
            entry = derived.split_entry(request.entries[at : at + derived.entry_bytes])
            hashed = derived.entry(client, entry.padded_hash, entry.seed_hashes, entry.box_hashes)
            payload = hashed + bytes([reasons[client]])
            own = fixed_identity(place)
            signatures.append(derived.member_signatures.sign(own, client=member, purpose=COMPLAINT, payload=payload))
        message = Complaints(clients, memoryview(bytes(reasons[c] for c in clients)), memoryview(b"".join(signatures)))
        replies[member] = scenario.codec.encode(CHECK, message)
    run.deliver({member: reply for member, reply in replies.items() if member not in silent})
    return run


def proposed(run: ProtocolRun) -> dict[int, Proposal]:
    return {member: run.scenario.codec.decode(AGREE, Proposal, data) for member, data in run.requests.items()}


def test_clients_of_whom_members_complain_are_left_out() -> None:
    """Each complaint counts, also more than a tenth of the clients for one member, while enough contributors stay."""
    scenario = seed_scenario(4, 1, clients=TWENTY, threshold=17)
    told = {
        MEMBERS[0]: {3: Reason.DOES_NOT_OPEN, 5: Reason.SEED_DIFFERS, 7: Reason.DOES_NOT_OPEN},
        MEMBERS[2]: {5: Reason.SEED_DIFFERS},
    }
    run = complaining(scenario, told)
    expected = tuple(client for client in TWENTY if client not in (3, 5, 7))
    assert {each.contributors for each in proposed(run).values()} == {expected}
    assert set(proposed(run)) == set(MEMBERS[:4])
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == expected
    assert not outcome.culprits
    assert outcome.complaints == (
        Complaint(MEMBERS[0], 3, "does not open"),
        Complaint(MEMBERS[0], 5, "seed differs"),
        Complaint(MEMBERS[0], 7, "does not open"),
        Complaint(MEMBERS[2], 5, "seed differs"),
    )


def test_member_without_whose_complaints_enough_contribute_is_left_out_and_its_clients_are_not() -> None:
    scenario = seed_scenario(4, 1, clients=TWENTY, threshold=18)
    run = complaining(scenario, {MEMBERS[1]: dict.fromkeys((3, 5, 7), Reason.DOES_NOT_OPEN)})
    found = proposed(run)
    assert set(found) == {MEMBERS[0], MEMBERS[2], MEMBERS[3]}
    assert found[MEMBERS[0]].contributors == TWENTY
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == TWENTY
    assert [(each.member, each.client) for each in outcome.complaints] == [(MEMBERS[1], client) for client in (3, 5, 7)]


def test_member_whose_complaints_make_a_weight_rare_is_left_out() -> None:
    """One lie would otherwise end every sum in which a weight has no more clients than the threshold."""
    told: dict[int, dict[int, int]] = {MEMBERS[1]: {0: Reason.SEED_DIFFERS}}
    told |= {member: {} for member in MEMBERS[2:5]}
    found = complaints.judged(told, {0: 1, 1: 1, 2: 2, 3: 2}, threshold=2, needed=3)
    assert found.contributors == (0, 1, 2, 3)
    assert found.left_out == {MEMBERS[1]}
    more = complaints.judged(told, {0: 1, 1: 1, 2: 2, 3: 2, 4: 1}, threshold=2, needed=3)
    assert more.contributors == (1, 2, 3, 4)


@pytest.mark.parametrize("clients", [4, 5, 9])
def test_member_that_complains_of_one_of_few_clients_is_heard(clients: int) -> None:
    """A corrupt client sends one honest member a bad box. The member must not lose its place by saying so."""
    scenario = seed_scenario(4, 1, clients=TWENTY[:clients], threshold=3)
    run = complaining(scenario, {MEMBERS[1]: {2: Reason.DOES_NOT_OPEN}})
    assert set(proposed(run)) == set(MEMBERS[:4])
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == tuple(client for client in TWENTY[:clients] if client != 2)


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_member_that_says_of_a_checked_message_that_it_is_not_as_signed_is_named_and_excludes_nobody(
    adversary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corrupt member wants a client out of the sum. The server has checked the message, so it knows of the lie.

    If the reason were like the others, the client would be out and the member in.
    """
    scenario = seed_scenario(4, 1, adversary, clients=TWENTY, threshold=4)
    told = {MEMBERS[1]: {3: Reason.NOT_AS_SIGNED, 4: Reason.DOES_NOT_OPEN}, MEMBERS[2]: {5: Reason.DOES_NOT_OPEN}}
    run = complaining(scenario, told)
    assert set(proposed(run)) == {MEMBERS[0], MEMBERS[2], MEMBERS[3]}
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == tuple(client for client in TWENTY if client != 5)
    assert outcome.culprits == {MEMBERS[1]}
    assert [(each.member, each.client) for each in outcome.complaints] == [
        (MEMBERS[1], 3),
        (MEMBERS[1], 4),
        (MEMBERS[2], 5),
    ]
    monkeypatch.setattr(complaints, "liars", lambda _: frozenset())
    fooled = complaining(scenario, told)
    assert {each.contributors for each in proposed(fooled).values()} == {
        tuple(client for client in TWENTY if client not in (3, 4, 5))
    }
    assert set(proposed(fooled)) == set(MEMBERS[:4])


def test_liars_without_whom_too_few_members_are_left_end_the_session_and_are_named() -> None:
    with pytest.raises(RemoteError, match="fewer than the 3 members that must answer") as caught:
        complaining(seed_scenario(3, 1, threshold=3), {MEMBERS[0]: {CLIENTS[0]: Reason.NOT_AS_SIGNED}})
    assert caught.value.culprits == {MEMBERS[0]}


def test_loudest_member_is_left_out_and_no_more_than_the_others_can_do_without() -> None:
    """Two of four members complain. Three must answer, so that one alone can be left out: the one with more."""
    scenario = seed_scenario(4, 1, clients=TWENTY, threshold=17)
    told = {
        MEMBERS[0]: dict.fromkeys((1, 2, 3), Reason.DOES_NOT_OPEN),
        MEMBERS[3]: dict.fromkeys((4, 5, 6, 7), Reason.DOES_NOT_OPEN),
    }
    run = complaining(scenario, told)
    assert set(proposed(run)) == set(MEMBERS[:3])
    assert proposed(run)[MEMBERS[1]].contributors == tuple(client for client in TWENTY if client not in (1, 2, 3))


@pytest.mark.parametrize(("members", "colluding", "adversary"), [(3, 1, CURIOUS), (3, 2, CURIOUS), (5, 2, MALICIOUS)])
def test_member_without_which_no_sum_could_be_decided_is_not_left_out(
    members: int, colluding: int, adversary: Any
) -> None:
    """The quorum would be there without it, but all members must answer: its clients are left out instead.

    Left out, it would end the session: too few members would be asked.
    """
    scenario = seed_scenario(members, colluding, adversary, clients=TWENTY, threshold=4)
    run = complaining(scenario, {MEMBERS[1]: dict.fromkeys((3, 5, 7), Reason.DOES_NOT_OPEN)})
    assert set(proposed(run)) == set(MEMBERS[:members])
    outcome = run.finish()
    assert run.is_exact(outcome)
    assert outcome.contributors == tuple(client for client in TWENTY if client not in (3, 5, 7))


def test_silent_member_leaves_no_room_to_leave_out_another_one() -> None:
    scenario = seed_scenario(4, 1, clients=TWENTY, threshold=4)
    told = {MEMBERS[1]: dict.fromkeys((3, 5, 7), Reason.DOES_NOT_OPEN)}
    run = complaining(scenario, told, silent=(MEMBERS[3],))
    assert set(proposed(run)) == set(MEMBERS[:3])
    assert set(proposed(run)[MEMBERS[0]].contributors) == set(TWENTY) - {3, 5, 7}


def test_too_few_contributors_after_complaints_end_the_session() -> None:
    scenario = seed_scenario(3, 1, clients=TWENTY, threshold=18)
    told = {MEMBERS[1]: dict.fromkeys((3, 5, 7), Reason.DOES_NOT_OPEN)}
    with pytest.raises(TooFewSurvivors, match=r"expected at least 18 .* found 17, since members complain of 3 clients"):
        complaining(scenario, told)


def test_complaint_that_is_not_as_it_must_be_is_refused() -> None:
    scenario = seed_scenario(4, 1)
    derived, member = derived_of(scenario), MEMBERS[0]
    run = ProtocolRun(scenario).to_step(CHECK)
    entry = run.server._party.state.entries[0]

    def sign(reason: int, hashed: bytes = entry, place: int = 0) -> bytes:
        own = fixed_identity(place)
        return derived.member_signatures.sign(
            own, client=MEMBERS[place], purpose=COMPLAINT, payload=hashed + bytes([reason])
        )

    wrong: list[tuple[tuple[int, ...], bytes, bytes]] = [
        ((6,), b"\2", sign(2)),
        ((0, 0), b"\2\2", sign(2) * 2),
        ((3, 0), b"\2\2", sign(2) * 2),
        ((0,), b"\0", sign(0)),
        ((0,), b"\4", sign(4)),
        ((0,), b"", sign(2)),
        ((0,), b"\2\2", sign(2)),
        ((0,), b"\2", b""),
        ((0,), b"\2", sign(2) + b"\0"),
        ((0,), b"\2", sign(1)),
        ((0,), b"\2", sign(2, bytes(32))),
        ((0,), b"\2", sign(2, place=1)),
        ((3,), b"\2", sign(2)),
    ]
    for clients, reasons, signatures in wrong:
        message = Complaints(clients, memoryview(reasons), memoryview(signatures))
        assert run.refusal(member, scenario.codec.encode(CHECK, message)) is not None
    right = Complaints((0,), memoryview(b"\2"), memoryview(sign(2)))
    assert run.refusal(member, scenario.codec.encode(CHECK, right)) is None


# Agreement.


def test_agreement_over_another_root_or_by_another_member_is_refused() -> None:
    scenario = seed_scenario(4, 1)
    derived, run = derived_of(scenario), ProtocolRun(scenario).to_step(AGREE)
    root = run.server._party.state.root
    for place, payload in ((0, bytes(32)), (1, root)):
        own = fixed_identity(place)
        signature = derived.member_signatures.sign(own, client=MEMBERS[place], purpose=AGREEMENT, payload=payload)
        reply = scenario.codec.encode(AGREE, Agreement(memoryview(signature)))
        assert isinstance(run.refusal(MEMBERS[0], reply), NotSigned)


@pytest.mark.parametrize(("members", "colluding"), [(3, 2), (4, 3), (5, 4)])
def test_fewer_members_than_cover_all_sets_end_the_session(members: int, colluding: int) -> None:
    """A curious server's quorum may be t or fewer, which is not enough to open: it must say so before it asks."""
    scenario = seed_scenario(members, colluding, CURIOUS)
    run = ProtocolRun(scenario).to_step(AGREE)
    replies = run.replies()
    del replies[MEMBERS[0]]
    if members - 1 >= colluding + 1:
        return
    with pytest.raises(TooFewSurvivors, match=f"expected at least {colluding + 1}"):
        run.deliver(replies)


def test_each_set_is_asked_of_one_member_and_evenly() -> None:
    play = Play(seed_scenario(7, 2))
    outcome = play.finish()
    assert is_exact(play, outcome)
    (asked,) = play.rounds
    assert sorted(number for numbers in asked.values() for number in numbers) == list(range(21))
    assert {len(numbers) for numbers in asked.values()} == {3}


# Members that are silent, lie or withhold.


@pytest.mark.parametrize(("members", "colluding", "silent"), [(4, 1, 1), (5, 1, 1), (7, 2, 2)])
def test_server_finishes_exactly_without_members_that_are_silent_at_the_end(
    members: int, colluding: int, silent: int
) -> None:
    for first in range(members):
        gone = [MEMBERS[(first + each) % members] for each in range(silent)]
        play = Play(seed_scenario(members, colluding))
        outcome = play.finish(silent=gone)
        assert is_exact(play, outcome)
        assert (outcome.verified, outcome.culprits) == (True, frozenset())
        again = play.rounds[1]
        assert not set(again) & set(gone)
        lacking = {number for member in gone for number in play.rounds[0][member]}
        assert {number for numbers in again.values() for number in numbers} == lacking


def test_silent_members_that_leave_too_few_claims_are_asked_once_more_and_then_end_the_session() -> None:
    play = Play(seed_scenario(4, 1))
    with pytest.raises(TooFewSurvivors, match="claims: expected those of at least 3 members, found 2"):
        play.finish(silent=MEMBERS[:2])
    first, again = play.rounds
    assert again == {member: first[member] for member in MEMBERS[:2]}


@pytest.mark.parametrize(("members", "colluding", "silent"), [(5, 1, 2), (6, 1, 3), (7, 1, 4)])
def test_sum_needs_no_more_answers_at_the_end_than_decide_it(members: int, colluding: int, silent: int) -> None:
    """The quorum has agreed before, so 2t + 1 answers are enough, which are fewer than the quorum."""
    play = Play(seed_scenario(members, colluding))
    outcome = play.finish(silent=MEMBERS[:silent])
    assert members - silent == 2 * colluding + 1
    assert is_exact(play, outcome)
    assert outcome.verified


@pytest.mark.parametrize(
    ("members", "colluding", "slow"), [(3, 1, 1), (3, 1, 3), (4, 1, 2), (5, 2, 1), (2, 1, 1), (4, 2, 2), (4, 3, 4)]
)
def test_members_that_answer_when_they_are_asked_once_more_save_the_sum(
    members: int, colluding: int, slow: int
) -> None:
    play = Play(seed_scenario(members, colluding))
    outcome = play.finish(slow=MEMBERS[:slow])
    assert is_exact(play, outcome)
    assert play.rounds[1] == {member: play.rounds[0][member] for member in MEMBERS[:slow]}


def test_liar_is_found_by_the_answer_of_a_member_that_is_asked_once_more() -> None:
    """One member lies and another one is slow: the claims of a set differ until the slow one answers."""
    scenario = seed_scenario(4, 1)
    play = Play(scenario)
    outcome = play.finish(liars={MEMBERS[0]: derived_of(scenario).sets.of(0)}, slow=MEMBERS[1:2])
    assert is_exact(play, outcome)
    assert (outcome.verified, outcome.culprits) == (True, frozenset({MEMBERS[0]}))


def test_member_whose_sum_is_not_what_it_claims_is_refused_and_others_are_asked() -> None:
    """It claims the truth and sends another sum. It must be named, and the sum must still be exact."""

    def other_sum(reply: bytes) -> bytes:
        message = scenario.codec.decode(OPEN, SumShares, reply)
        sums = bytearray(message.sums)
        sums[0] ^= 1
        return scenario.codec.encode(OPEN, SumShares(message.claims, message.signature, memoryview(bytes(sums))))

    def nothing(reply: bytes) -> bytes:
        message = scenario.codec.decode(OPEN, SumShares, reply)
        return scenario.codec.encode(OPEN, SumShares(message.claims, message.signature, memoryview(b"")))

    def other_signature(reply: bytes) -> bytes:
        message = scenario.codec.decode(OPEN, SumShares, reply)
        return scenario.codec.encode(OPEN, SumShares(message.claims, memoryview(bytes(64)), message.sums))

    def fewer_claims(reply: bytes) -> bytes:
        message = scenario.codec.decode(OPEN, SumShares, reply)
        return scenario.codec.encode(OPEN, SumShares(message.claims[32:], message.signature, message.sums))

    for alter in (other_sum, nothing, other_signature, fewer_claims):
        scenario = seed_scenario(4, 1)
        play = Play(scenario)
        outcome = play.finish(altered={MEMBERS[0]: alter})
        assert is_exact(play, outcome)
        assert outcome.verified
        assert len(play.rounds) == 2


@pytest.mark.parametrize("liar", range(4))
def test_liar_is_named_and_the_sum_is_exact(liar: int) -> None:
    """It lies about all of its sets, of some of which it is asked for the sum."""
    scenario = seed_scenario(4, 1)
    play = Play(scenario)
    outcome = play.finish(liars={MEMBERS[liar]: derived_of(scenario).sets.of(liar)})
    assert is_exact(play, outcome)
    assert (outcome.verified, outcome.culprits) == (True, frozenset({MEMBERS[liar]}))


def test_two_liars_of_seven_with_one_lie_are_named_and_the_sum_is_exact() -> None:
    scenario = seed_scenario(7, 2)
    sets = derived_of(scenario).sets
    play = Play(scenario)
    outcome = play.finish(liars={MEMBERS[place]: sets.of(place) for place in (0, 1)})
    assert is_exact(play, outcome)
    assert (outcome.verified, outcome.culprits) == (True, frozenset(MEMBERS[:2]))


def test_liar_is_refused_if_nothing_shows_who_lies() -> None:
    """Three members, one of them corrupt: in a set of two, one of them lies. The sum must be refused."""
    scenario = seed_scenario(3, 1)
    play = Play(scenario)
    with pytest.raises(RemoteError, match=r"expected at least 2 equal ones, found 1 of 2\. .* The sum is refused"):
        play.finish(liars={MEMBERS[0]: derived_of(scenario).sets.of(0)})


@pytest.mark.parametrize(("members", "colluding"), [(2, 1), (4, 2), (4, 3)])
def test_sum_of_a_small_committee_is_not_verified(members: int, colluding: int) -> None:
    play = Play(seed_scenario(members, colluding))
    outcome = play.finish()
    assert is_exact(play, outcome)
    assert not outcome.verified


def test_liar_of_a_small_committee_makes_a_wrong_sum_that_is_not_verified() -> None:
    scenario = seed_scenario(2, 1)
    play = Play(scenario)
    outcome = play.finish(liars={MEMBERS[0]: derived_of(scenario).sets.of(0)})
    assert not is_exact(play, outcome)
    assert not outcome.verified


def test_two_members_of_a_small_committee_that_differ_are_refused() -> None:
    scenario = seed_scenario(4, 2)
    play = Play(scenario)
    with pytest.raises(RemoteError, match="The sum is refused"):
        play.finish(liars={MEMBERS[0]: derived_of(scenario).sets.of(0)})


@pytest.mark.parametrize("withholding", MEMBERS[1:4])
def test_member_that_answers_once_and_then_withholds_is_passed_over(withholding: int) -> None:
    """One member is silent, so its sets are asked of others, of whom one withholds. The sum must still be exact."""
    play = Play(seed_scenario(4, 1))
    outcome = play.finish(silent=MEMBERS[:1], later=[withholding])
    assert is_exact(play, outcome)
    assert len(play.rounds) == 2


def test_sum_that_every_member_withholds_is_refused_after_each_was_asked_once() -> None:
    play = Play(seed_scenario(4, 1))
    with pytest.raises(RemoteError, match=r"found none\. They withhold it"):
        play.finish(silent=MEMBERS[:1], later=MEMBERS[1:4])
    asked = [(number, member) for each in play.rounds for member, numbers in each.items() for number in numbers]
    assert len(set(asked)) == len(asked)


def test_member_that_claims_otherwise_when_it_is_asked_again_is_refused() -> None:
    """It signs two claims for one root. The second must be refused, and the first one stays."""
    scenario = seed_scenario(4, 1)
    play = Play(scenario)
    run = play.run
    requests = dict(run.requests)
    for member in MEMBERS[1:4]:
        run.server.receive(member, run.clients[member].handle(requests[member]))
    run.progress = run.server.advance()
    (member, request), *_ = run.requests.items()
    own = derived_of(scenario).sets.of(MEMBERS.index(member))
    second = lies(run, member, run.clients[member].handle(request), own)
    refused = run.refusal(member, second)
    assert refused is not None
    assert "expected the same as before" in str(refused)
    assert run.refusal(member, run.clients[member].handle(request)) is None
    outcome = run.server.advance()
    assert isinstance(outcome, Finish | Continue)


def test_server_restored_between_two_requests_for_sums_goes_on() -> None:
    play = Play(seed_scenario(4, 1))
    run = play.run
    for member in MEMBERS[1:4]:
        run.server.receive(member, run.clients[member].handle(run.requests[member]))
    run.progress = run.server.advance()
    data = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server"))
    run.server = Server.restore(play.scenario.protocol, play.scenario.session, data, key=SNAPSHOT_KEY)
    outcome = run.finish()
    assert run.is_exact(outcome)
