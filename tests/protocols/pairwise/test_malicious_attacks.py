"""Attacks by a malicious server from end to end, with everything computed that the server can learn.

`AttackState` holds what the server learns: from the shares that clients reveal, and those of clients that help it, it
rebuilds secrets and removes masks from the inputs that it got. Beside each attack a test shows that it is real: without
the defence it succeeds, and gives the server the sum of a few clients or of one.
"""

import dataclasses
import random
from collections.abc import Callable, Collection
from itertools import combinations
from typing import Final

import pytest
from msgspec.structs import replace

from protocols import Adversary, ClientTerms, SecAgg, SecAggPlus, Secret
from protocols.codec import Message
from protocols.crypto import sealing, shamir
from protocols.crypto.key_agreement import X25519
from protocols.identity import Signatures
from protocols.pairwise import graph
from protocols.pairwise.derived import KEYS
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    SealedShares,
    Survivors,
)
from protocols.replay import SessionRecord
from protocols.testing import fixed_identity, state_of
from tests.conformance.cohorts import Setting, member, setting
from tests.support.share_collector import AttackState, ShareCollector, collect_masked_inputs

pytestmark = pytest.mark.slow

SHARE, MASK, CONFIRM, REVEAL = 1, 2, 3, 4
SEED, MASKING = 0, 1
SIX: Final = tuple(range(6))
MALICIOUS: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), SIX, 4)
CURIOUS: Final = setting(SecAgg(), SIX, 3)


@pytest.mark.parametrize("where", [CURIOUS, MALICIOUS], ids=["curious", "malicious"])
def test_honest_server_learns_the_sum_of_all_survivors_and_no_other(where: Setting) -> None:
    """A curious server computes all that it can from an honest run.

    It must learn the sum of all survivors and of no smaller set.
    """
    for survivors in (SIX, (0, 1, 3, 5)):
        run, attack = collect_masked_inputs(where)
        assert run.show_survivors(attack, dict.fromkeys(survivors, survivors)) == set(survivors)
        attack.masked = {client: attack.masked[client] for client in survivors}
        assert attack.groups_with_computable_sum() == [set(survivors)]


# One client both active and dead.


def both_alive_and_dead(
    run: ShareCollector, attack: AttackState, victim: int, corrupt: Collection[int] = ()
) -> list[set[int]]:
    """The others in two halves: one hears that the victim is alive, the other that it is dead."""
    everyone = run.scenario.session.clients
    others = [client for client in everyone if client != victim and client not in corrupt]
    half = -(-len(others) // 2)
    alive = dict.fromkeys((victim, *others[half:]), everyone)
    dead = dict.fromkeys(others[:half], tuple(client for client in everyone if client != victim))
    run.show_survivors(attack, alive | dead, corrupt)
    return [group for group in attack.groups_with_computable_sum() if len(group) < run.scenario.session.threshold]


def test_node_active_and_dead_exposes_one_client_to_a_server_that_lies_in_curious_mode() -> None:
    """The server tells half of the clients that client 2 survives, and the others that it dropped.

    In curious mode nothing stops it: it gets shares of both secrets of client 2, and so its input. That mode is for
    servers that follow the protocol.
    """
    run, attack = collect_masked_inputs(CURIOUS)
    assert both_alive_and_dead(run, attack, 2) == [{2}]


def test_node_active_and_dead_exposes_nobody_in_malicious_mode() -> None:
    """The server tells half of the clients that one client survives, and the others that it dropped.

    In malicious mode clients reveal shares only for a set that a threshold of clients has signed, and no two sets have
    that number of signatures.
    """
    for victim in SIX:
        run, attack = collect_masked_inputs(MALICIOUS)
        assert both_alive_and_dead(run, attack, victim) == []
        assert run.clients_that_leaked() == set()


def seven(threshold: int) -> Setting:
    return setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(7)), threshold)


def test_node_active_and_dead_exposes_nobody_with_a_corrupt_client_at_the_threshold_asked_for() -> None:
    """The same attack, with a corrupt client that signs both survivor sets and gives its shares away.

    The threshold must stop it: with 2 * 5 > 7 + 1 at most one of the sets gets enough signatures.
    """
    for victim in range(6):
        run, attack = collect_masked_inputs(seven(5))
        assert both_alive_and_dead(run, attack, victim, corrupt=[6]) == []
        assert run.clients_that_leaked() == set()


def test_node_active_and_dead_exposes_one_client_one_below_the_threshold_asked_for() -> None:
    """The same attack where clients assume no corrupt client, and there is one: 2 * 4 > 7 + 0, but not 7 + 1.

    It succeeds, so the threshold that clients ask for is the least that is safe.
    """
    run, attack = collect_masked_inputs(seven(4))
    assert both_alive_and_dead(run, attack, 2, corrupt=[6]) == [{2}]


def test_server_gets_both_secrets_of_nobody_however_it_splits_the_clients() -> None:
    """The server shows each of six clients one of two survivor sets, in every possible way.

    The signatures of the confirmation step must stop it: at most one set is continued with, and nobody's two secrets
    are both rebuilt.
    """
    one, two = SIX, (0, 1, 2, 3, 4)
    for split in range(2**6):
        shown = {client: two if split >> client & 1 else one for client in SIX}
        run, attack = collect_masked_inputs(MALICIOUS)
        revealing = run.show_survivors(attack, shown)
        assert len({shown[client] for client in revealing}) <= 1
        assert bool(revealing) == any(
            sum(shown[client] == story and client in story for client in SIX) >= 4 for story in (one, two)
        )
        for owner in SIX:
            assert attack.secret(owner, SEED) is None or attack.secret(owner, MASKING) is None
        assert all(len(group) >= 5 for group in attack.groups_with_computable_sum())
        if not revealing:
            assert run.clients_that_leaked() == set()


# Two runs of neighbours on the circle, declared dropped: what is left falls apart, where the threshold allows it.


def circle(run: ShareCollector) -> tuple[int, ...]:
    return graph.order(state_of(run.server).root, run.scenario.session.clients)


def two_arcs(run: ShareCollector, attack: AttackState, apart: int, corrupt: Collection[int] = ()) -> list[set[int]]:
    """Declare two runs of half the degree dropped, `apart` clients between them; what is exposed then."""
    order, side = circle(run), run.setup.degree // 2
    gaps = {*order[:side], *order[side + apart : 2 * side + apart]}
    survivors = [client for client in run.scenario.session.clients if client not in gaps]
    run.show_survivors(
        attack, dict.fromkeys(survivors, survivors), [client for client in corrupt if client in survivors]
    )
    for client in set(corrupt) & gaps:
        attack.add_corrupt(client)
    return attack.groups_with_computable_sum()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SettingWithCorruptionAssumed(Setting):
    """A setting whose clients assume a fraction of corrupt clients that the test chooses."""

    adversarial: float

    def terms(self, client: int, record: SessionRecord | None = None) -> ClientTerms | None:
        found = Setting.terms(self, client, record)
        return found and dataclasses.replace(found, adversarial=self.adversarial)


def sparse(
    clients: int,
    threshold: int,
    share_threshold: int,
    adversary: Adversary,
    *,
    neighbours: int = 4,
    adversarial: float = 0.0,
) -> Setting:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold, adversary=adversary)
    made = setting(protocol, tuple(range(clients)), threshold)
    return SettingWithCorruptionAssumed(
        label="sparse", protocol=protocol, session=made.session, adversarial=adversarial
    )


def test_two_arcs_expose_the_sum_of_a_few_in_curious_mode() -> None:
    """The server declares two runs of neighbours on the circle dropped, so that the graph falls apart.

    In curious mode the share threshold allows it, and the server gets the sum of the six clients between the gaps.
    """
    run, attack = collect_masked_inputs(sparse(24, 13, 3, Adversary.CURIOUS))
    exposed = two_arcs(run, attack, 6)
    assert sorted(map(len, exposed)) == [6, 14]


@pytest.mark.parametrize("apart", range(1, 11))
def test_two_arcs_expose_nobody_with_parameters_that_clients_take_in_malicious_mode(apart: int) -> None:
    """The server declares two runs of neighbours dropped, with any number of clients between them.

    The clients beside a gap must refuse, since too few of their neighbours survive; without their shares no part can be
    summed.
    """
    where = sparse(24, 13, 4, Adversary.MALICIOUS)
    run, attack = collect_masked_inputs(where)
    assert two_arcs(run, attack, apart) == []
    assert any(run.clients[client].closed for client in where.session.clients)


@pytest.mark.parametrize("helper", range(0, 30, 3))
def test_two_arcs_expose_nobody_with_the_help_of_a_corrupt_client(helper: int) -> None:
    """The same attack with a corrupt client, which signs anything, gives its shares away and may be declared dropped.

    The share threshold that clients ask for counts it, and must stop the attack for everyone else.
    """
    where = sparse(30, 16, 7, Adversary.MALICIOUS, neighbours=8, adversarial=1 / 30)
    run, attack = collect_masked_inputs(where)
    assert [group for group in two_arcs(run, attack, 9, corrupt=[helper]) if group != {helper}] == []


def test_arcs_that_clients_agree_to_leave_all_others_connected() -> None:
    """The server declares clients dropped in gaps that are short enough for clients to agree.

    All others must stay connected, so that it learns the one sum of all survivors.
    """
    for gaps in ((0,), (0, 5), (0, 7, 14)):
        run, attack = collect_masked_inputs(sparse(24, 13, 4, Adversary.MALICIOUS))
        order = circle(run)
        dropped = {order[gap] for gap in gaps}
        survivors = [client for client in range(24) if client not in dropped]
        assert run.show_survivors(attack, dict.fromkeys(survivors, survivors)) == set(survivors)
        attack.masked = {client: attack.masked[client] for client in survivors}
        assert attack.groups_with_computable_sum() == [set(survivors)]


# One client alone among clients that are not there, or that the server has made up.


def alone(run: ShareCollector, stage: str, company: int) -> None:
    """Isolate client 0 with a few others at one stage; it must refuse."""
    few = tuple(range(company + 1))
    match stage:
        case "directory":
            run.to_step(SHARE)
            run.refuses(
                0, run.directory(0, {client: run.keys[client] for client in few}), "at least the session's threshold, "
            )
        case "sharing":
            run.to_step(MASK)
            honest = run.request(0, DeliveredShares)
            cut = DeliveredShares(run.bitmap(*few), honest.fingerprints[:company], honest.ciphertexts[:company])
            run.refuses(0, cut, "at least the session's threshold, ")
        case "survivors":
            run.to_step(CONFIRM)
            run.refuses(0, Survivors(run.bitmap(*few)), "at least the session's threshold, ")


@pytest.mark.parametrize("stage", ["directory", "sharing", "survivors"])
@pytest.mark.parametrize("company", range(3))
def test_client_that_is_isolated_refuses(stage: str, company: int) -> None:
    """The server names so few clients as present, in one of three steps, that a sum would expose client 0.

    The client must refuse: it counts at least the session's threshold.
    """
    alone(ShareCollector(MALICIOUS), stage, company)
    if company < 2:
        alone(ShareCollector(CURIOUS), stage, company)


def forged_directory(run: ShareCollector, victim: int, sign: Callable[[int, AdvertisedKeys], bytes]) -> Message:
    """Keys that the server has made up for everyone but the victim."""
    made = {}
    for client in run.scenario.session.clients:
        pair = [X25519.from_secret(Secret(b"server's own key %2d for client %d" % (use, client))) for use in (10, 11)]
        unsigned = AdvertisedKeys(pair[0].public, pair[1].public, b"")
        made[client] = replace(unsigned, signature=sign(client, unsigned))
    return run.directory(victim, made | {victim: run.keys[victim]})


def test_server_in_the_middle_of_every_key_is_refused_by_everyone() -> None:
    """The server replaces everyone's keys by its own: unsigned, with signatures of the honest keys, or signed by
    identities of its own. Each client checks signatures by its roster and must refuse.
    """
    signatures = Signatures(MALICIOUS.protocol.digest(MALICIOUS.session), MALICIOUS.session.roster)

    def own(client: int, made: AdvertisedKeys) -> bytes:
        who = dataclasses.replace(member(client, MALICIOUS.session), identity=fixed_identity(1000 + client))
        return signatures.sign(who.identity, client=client, purpose=KEYS, payload=made.joined)

    advertised = ShareCollector(MALICIOUS)
    advertised.to_step(SHARE)
    honest = advertised.keys
    for sign in (lambda client, made: b"", lambda client, made: honest[client].signature, own):
        for victim in SIX:
            run = ShareCollector(MALICIOUS)
            run.to_step(SHARE)
            run.refuses(victim, forged_directory(run, victim, sign), "not signed by client")


def test_server_in_the_middle_opens_everything_in_curious_mode() -> None:
    """The server replaces everyone's keys by its own.

    In curious mode there are no identities, so the client cannot tell, deals its shares to the server, and the server
    rebuilds its seed.
    """
    run = ShareCollector(CURIOUS)
    run.to_step(SHARE)
    directory = forged_directory(run, 0, lambda client, made: b"")
    dealt = run.codec.decode(SHARE, SealedShares, run.ask(0, directory))
    root = state_of(run.clients[0]).root
    shares = {}
    for position, holder in enumerate(range(1, 6)):
        pair = X25519.from_secret(Secret(b"server's own key 10 for client %d" % holder))
        fingerprint = dealt.fingerprints[64 * holder : 64 * holder + 64]
        key = run.setup.schedule(root).share_key(
            pair.agree(run.keys[0].sealing), sender=0, receiver=holder, fingerprints=fingerprint
        )
        shares[holder] = sealing.open_sealed(key, dealt.ciphertexts[position])[:33]
    assert shamir.combine(shares, threshold=3) == Secret(run.drawn[0][2])


# Two directories.


def two_directories(split: int) -> tuple[ShareCollector, AttackState]:
    """Some clients are shown everyone's keys; the others, that client 5 has signed other keys, which it has."""
    run = ShareCollector(MALICIOUS)
    run.to_step(SHARE)
    honest = run.keys
    other = [X25519.from_secret(Secret(b"another key of client 5, use %3d" % use)).public for use in (1, 2)]
    unsigned = AdvertisedKeys(other[0], other[1], b"")
    who = member(5, MALICIOUS.session)
    signature = run.setup.signatures.sign(who.identity, client=5, purpose=KEYS, payload=unsigned.joined)
    changed = honest | {5: replace(unsigned, signature=signature)}
    dealt = {}
    for client in range(5):
        dealt[client] = run.ask(client, run.directory(client, changed if split >> client & 1 else honest))
    dealt[5] = run.ask(5, run.directory(5, honest))
    run.deliver(dealt)
    return run, run.masked_inputs()


def test_two_directories_expose_nobody() -> None:
    """A corrupt client signs two pairs of keys, and the server shows each other client one of the two directories.

    What clients sign includes the directory's root, so at most one group must reveal shares, and no partial sum is
    learned.
    """
    for split in range(2**5):
        run, attack = two_directories(split)
        revealing = run.show_survivors(attack, dict.fromkeys(range(5), SIX), corrupt=[5])
        shown = {split >> client & 1 for client in revealing}
        assert len(shown) <= 1
        if not revealing:
            assert run.clients_that_leaked() == set()
        partial = [group for group in attack.groups_with_computable_sum() if not group >= set(range(5))]
        assert partial in ([], [{5}]), split


def test_masks_and_shares_of_two_directories_have_nothing_in_common() -> None:
    """The server shows clients two directories.

    Keys for shares and masks are derived from the directory's root, so shares dealt under one must not open under the
    other.
    """
    run, attack = two_directories(0b00111)
    for client in range(5):
        same = {other for other in range(5) if attack.roots[other] == attack.roots[client]}
        assert set(run.held[client]) - {5} == same


# Replies of the last round to a server that asks twice.


def test_client_asked_twice_for_shares_reveals_once() -> None:
    """After an honest run the server asks every client again, for every survivor set of five.

    Each client has closed after its last step and must answer nothing more.
    """
    run, attack = collect_masked_inputs(MALICIOUS)
    assert run.show_survivors(attack, dict.fromkeys(SIX, SIX)) == set(SIX)
    before = {client: list(sent) for client, sent in run.sent.items()}
    for survivors in combinations(SIX, 5):
        for client in SIX:
            for number in (CONFIRM, REVEAL):
                assert run.clients[client].closed
                with pytest.raises(Exception, match="closed"):
                    run.answer(client, run.codec.encode(number, Survivors(run.bitmap(*survivors))))
    assert run.sent == before


# Stories at random.


@pytest.mark.parametrize(
    "where",
    [
        sparse(12, 7, 4, Adversary.MALICIOUS),
        sparse(14, 8, 5, Adversary.MALICIOUS, adversarial=1 / 14),
        sparse(14, 8, 7, Adversary.MALICIOUS, neighbours=8, adversarial=1 / 14),
    ],
    ids=["nobody corrupt", "one of four neighbours", "one of eight neighbours"],
)
def test_random_stories_expose_the_sum_of_enough_or_nothing(where: SettingWithCorruptionAssumed) -> None:
    """25 times the server tells clients, at random, one or two survivor sets with gaps on the circle, as many as the
    threshold allows. Thresholds and signatures must leave it with sums of enough honest clients, or with nothing.
    """
    clients, threshold = len(where.session.clients), where.session.threshold
    exposures = 0
    for number in range(25):
        chance = random.Random(number)
        run, attack = collect_masked_inputs(where)
        corrupt = chance.sample(range(clients), round(clients * where.adversarial))
        order = circle(run)
        stories = []
        for _ in range(chance.choice([1, 1, 2])):
            gaps = set[int]()
            while len(gaps) < chance.randrange(clients - threshold + 1):
                start, length = chance.randrange(clients), chance.randrange(1, 4)
                gaps |= {order[(start + step) % clients] for step in range(length)}
            gaps = set(sorted(gaps)[: clients - threshold])
            stories.append([client for client in range(clients) if client not in gaps])
        told = {client: chance.choices(stories, weights=[9, 1][: len(stories)])[0] for client in range(clients)}
        run.show_survivors(attack, {client: story for client, story in told.items() if client in story}, corrupt)
        honest = [group - set(corrupt) for group in attack.groups_with_computable_sum() if group != set(corrupt)]
        assert all(len(group) >= threshold - len(corrupt) for group in honest)
        exposures += bool(honest)
    assert 0 < exposures < 25
