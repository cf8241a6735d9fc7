"""Forged and damaged shares: the exact sum of a declared set or an error that names a culprit, never a wrong sum.

A dealer, or a holder, of the sums below does what it likes; everyone else is honest, the server too.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import combinations
from typing import Final

import pytest
from msgspec.structs import replace

from protocols import Adversary, Finish, RemoteError, SecAgg, SecAggPlus, Secret, TooFewSurvivors
from protocols.crypto import sealing, shamir
from protocols.crypto.key_agreement import X25519
from protocols.identity import Signatures
from protocols.pairwise.derived import KEYS, SHARES
from protocols.pairwise.messages import AdvertisedKeys, DeliveredShares, MaskedInput, RevealedShares, SealedShares
from protocols.testing import state_of
from tests.conformance.cohorts import Setting, member, setting
from tests.support.malicious_server import MaliciousServer

pytestmark = pytest.mark.slow

SHARE, MASK = 1, 2
CLIENTS: Final = tuple(range(5))
CURIOUS: Final = setting(SecAgg(), CLIENTS, 3, length=3)
MALICIOUS: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, 3, length=3)
SPARSE: Final = setting(SecAggPlus(neighbours=4, share_threshold=3), tuple(range(7)), 4, length=3)
EVERYWHERE: Final = pytest.mark.parametrize("where", [CURIOUS, MALICIOUS], ids=["curious", "malicious"])
SEED, MASKING = 0, 1
Shares = dict[int, tuple[bytes, ...]]


def subsets(clients: Collection[int], sizes: Iterable[int]) -> list[tuple[int, ...]]:
    return [chosen for size in sizes for chosen in combinations(sorted(clients), size)]


def plus(share: bytes, amount: int) -> bytes:
    return ((int.from_bytes(share, "little") + amount) % shamir.PRIME).to_bytes(shamir.SHARE_BYTES, "little")


def plus_one(share: bytes) -> bytes:
    return plus(share, 1)


class MaliciousDealer(MaliciousServer):
    """A run in which clients deal and reveal the shares that a test chooses."""

    def channel(self, owner: int, holder: int, fingerprints: bytes) -> Secret:
        agreed = X25519.from_secret(Secret(self.drawn[owner][0])).agree(self.keys[holder].sealing)
        root = state_of(self.server).root
        return self.setup.schedule(root).share_key(agreed, sender=owner, receiver=holder, fingerprints=fingerprints)

    def signed(self, client: int, shared: SealedShares) -> SealedShares:
        who = member(client, self.scenario.session) if self.scenario.session.roster else None
        signatures = Signatures(self.setup.digest, self.scenario.session.roster)
        return replace(
            shared,
            signature=signatures.sign(
                None if who is None else who.identity, client=client, purpose=SHARES, payload=shared.joined
            ),
        )

    def holders(self, owner: int) -> tuple[int, ...]:
        return tuple(state_of(self.server).holders[owner])

    def dealt(self, owner: int, reply: bytes) -> Shares:
        """What a dealer really dealt."""
        shared = self.codec.decode(SHARE, SealedShares, reply)
        others = [holder for holder in self.holders(owner) if holder != owner]
        found = {owner: self.held[owner][owner]}
        for index, holder in enumerate(self.holders(owner)):
            if holder != owner:
                fingerprint = shared.fingerprints[64 * index : 64 * index + 64]
                sealed = shared.ciphertexts[others.index(holder)]
                joined = sealing.open_sealed(self.channel(owner, holder, fingerprint), sealed)
                found[holder] = (joined[:33], joined[33:])
        return found

    def deal(self, owner: int, shares: Shares, commitments: bytes, *, mismatched: Collection[int] = ()) -> bytes:
        """A bundle of these shares, with fingerprints of others for the holders that are `mismatched`."""
        derive = self.setup.schedule(state_of(self.server).root)
        fingerprints, ciphertexts = [], []
        for holder in self.holders(owner):
            joined = b"".join(shares[holder])
            shown = bytes(66) if holder in mismatched else joined
            fingerprint = derive.fingerprints(shown, owner=owner, holder=holder)
            fingerprints.append(fingerprint)
            if holder != owner:
                ciphertexts.append(sealing.seal(self.channel(owner, holder, fingerprint), joined))
        state_of(self.clients[owner]).shares[owner] = tuple(map(Secret, shares[owner]))
        shared = SealedShares(commitments, b"".join(fingerprints), tuple(ciphertexts), b"")
        return self.codec.encode(SHARE, self.signed(owner, shared))

    def alter_dealing(
        self,
        owner: int,
        change: Callable[[int, tuple[bytes, ...]], tuple[bytes, ...]],
        *,
        mismatched: Collection[int] = (),
        commitments: bytes | None = None,
    ) -> None:
        """MaliciousServer the round of shares with one dealer's shares changed, holder by holder."""
        replies = self.replies()
        shares = {holder: change(holder, each) for holder, each in self.dealt(owner, replies[owner]).items()}
        honest = self.codec.decode(SHARE, SealedShares, replies[owner]).commitments
        replies[owner] = self.deal(owner, shares, commitments or honest, mismatched=mismatched)
        self.deliver(replies)

    def finish_without(self, gone: Collection[int], *, altered: Mapping[int, int] | None = None) -> Finish:
        """MaliciousServer on, without the masked inputs of those gone; holders alter the share of the owner given."""
        replies = self.replies()
        self.deliver({client: reply for client, reply in replies.items() if client not in gone})
        while self.number != len(self.names) - 1:
            self.deliver(self.replies())
        for holder, reply in self.replies().items():
            if altered and holder in altered:
                forged = self.forged(holder, altered[holder], reply)
                with pytest.raises(RemoteError, match="dealt, found another") as caught:
                    self.server.receive(holder, forged)
                assert caught.value.culprits == {holder}
            else:
                self.server.receive(holder, reply)
        step = self.server.advance()
        assert isinstance(step, Finish)
        return step

    def forged(self, holder: int, owner: int, reply: bytes, alter: Callable[[bytes], bytes] = plus_one) -> bytes:
        """A holder's reply in the last round with its share of one owner changed."""
        revealed = self.codec.decode(self.number, RevealedShares, reply).shares
        at = 33 * sorted(self.held[holder]).index(owner)
        changed = revealed[:at] + alter(revealed[at : at + 33]) + revealed[at + 33 :]
        return self.codec.encode(self.number, RevealedShares(changed))


def to_shares(where: Setting, seed: bytes = b"run") -> MaliciousDealer:
    run = MaliciousDealer(where, seed=seed)
    run.to_step(SHARE)
    return run


def blamed(
    run: MaliciousDealer, gone: Collection[int] = (), altered: Mapping[int, int] | None = None
) -> frozenset[int]:
    """Whom the server blames, which is nobody where a sum comes out; that is exact then, of all who are not gone."""
    try:
        outcome = run.finish_without(gone, altered=altered)
    except RemoteError as error:
        return error.culprits or frozenset([-1])
    assert run.is_exact(outcome)
    assert set(outcome.contributors) == set(run.scenario.session.clients) - set(gone)
    return frozenset()


@EVERYWHERE
@pytest.mark.parametrize("gone", [(), (2,)], ids=["stays", "leaves"])
@pytest.mark.parametrize("secret", [SEED, MASKING])
def test_dealer_of_another_polynomial_is_named_or_changes_nothing(
    where: Setting, gone: tuple[int, ...], secret: int
) -> None:
    """Client 2 deals every possible set of holders shares of another secret; the first three shares left are combined.

    The commitment to the seed, or the advertised key, must stop it: the sum is exact, or the error names client 2.
    What is
    added is no polynomial of degree 2 that is 0 at 0, on any three holders.
    """
    for holders in subsets(CLIENTS, range(1, 6)):
        run = to_shares(where)

        def change(holder: int, shares: tuple[bytes, ...], among: tuple[int, ...] = holders) -> tuple[bytes, ...]:
            return tuple(
                plus(share, 17 * (holder + 1) ** 3) if holder in among and index == secret else share
                for index, share in enumerate(shares)
            )

        run.alter_dealing(2, change)
        culprits = blamed(run, gone)
        assert culprits <= {2}
        combined = [holder for holder in CLIENTS if holder not in gone][:3]
        if (secret == MASKING) is not bool(gone) or not set(holders) & set(combined):
            assert not culprits, holders  # shares that nobody needs
        elif secret == SEED:
            assert culprits == {2}, holders


@EVERYWHERE
@pytest.mark.parametrize("gone", [(), (2,)], ids=["stays", "leaves"])
def test_dealer_whose_fingerprints_mismatch_is_named_once_too_few_shares_are_left(
    where: Setting, gone: tuple[int, ...]
) -> None:
    """Client 2 sends fingerprints that do not match its shares.

    The holders complain; once too few shares are left, the error names client 2 and them, since nobody can tell a
    guilty dealer from one that is lied about.
    """
    for holders in subsets({0, 1, 3, 4}, range(1, 5)):
        run = to_shares(where)
        run.alter_dealing(2, lambda holder, shares: shares, mismatched=holders)
        opened = len(CLIENTS) - len(holders) - len(gone)
        assert blamed(run, gone) == (set() if opened >= 3 else {2, *holders} - set(gone) | {2}), holders


@EVERYWHERE
@pytest.mark.parametrize("rubbish", [b"\xff" * 33, shamir.PRIME.to_bytes(33, "little")])
def test_dealer_of_no_field_elements_is_named_once_too_few_are_left(where: Setting, rubbish: bytes) -> None:
    """Client 2 seals what is no element of the field, with the right fingerprint.

    Holders must find it when they open it and complain; once too few shares are left, all of them are named.
    """
    for holders in subsets({0, 1, 3, 4}, range(1, 5)):
        run = to_shares(where)

        def change(holder: int, shares: tuple[bytes, ...], among: tuple[int, ...] = holders) -> tuple[bytes, ...]:
            return (rubbish, shares[1]) if holder in among else shares

        run.alter_dealing(2, change)
        assert blamed(run) == (set() if len(holders) <= 2 else {2, *holders})


@EVERYWHERE
def test_dealer_with_another_commitment_is_named_if_its_seed_is_needed(where: Setting) -> None:
    """Client 2 commits to another seed than it shares.

    If the seed is rebuilt, comparing it with the commitment must stop the sum and name client 2.
    """
    for gone in ((), (2,)):
        run = to_shares(where)
        run.alter_dealing(2, lambda holder, shares: shares, commitments=bytes(32))
        assert blamed(run, gone) == (set() if gone else {2})


@EVERYWHERE
def test_dealer_that_advertised_another_key_is_named_if_it_leaves(where: Setting) -> None:
    """Client 2 shares the key that it has, and advertises one that it does not have.

    If it leaves, its rebuilt key must be compared with the advertised one, and client 2 named.
    """
    for gone in ((), (2,)):
        run = MaliciousDealer(where)
        replies = run.replies()
        state = state_of(run.clients[2])
        other = X25519.from_secret(Secret(b"another masking key of client 2.")).public
        unsigned = AdvertisedKeys(state.advertised.sealing, other, b"")
        who = member(2, where.session) if where.session.roster else None
        signature = run.setup.signatures.sign(
            None if who is None else who.identity, client=2, purpose=KEYS, payload=unsigned.joined
        )
        state.advertised = replace(unsigned, signature=signature)
        replies[2] = run.codec.encode(0, state.advertised)
        run.deliver(replies)
        run.deliver(run.replies())
        if gone:
            assert blamed(run, gone) == {2}
        else:  # its vector is its own affair: masks that do not cancel are a vector like any other
            assert run.finish_without(()).contributors == CLIENTS


@EVERYWHERE
@pytest.mark.parametrize(
    "alter",
    [
        lambda share: bytes([share[0] ^ 1]) + share[1:],
        lambda share: share[:-1] + bytes([share[-1] ^ 1]),
        plus_one,
        lambda share: bytes(33),
        lambda share: (shamir.PRIME - 1).to_bytes(33, "little"),
        lambda share: shamir.PRIME.to_bytes(33, "little"),
        lambda share: b"\xff" * 33,
    ],
    ids=["first bit", "last bit", "plus one", "zero", "largest element", "no element", "all ones"],
)
@pytest.mark.parametrize("dropped", [None, 2])
def test_forged_share_is_found_on_arrival_and_its_holder_named(
    where: Setting, alter: Callable[[bytes], bytes], dropped: int | None
) -> None:
    """Each holder reveals an altered share of each owner.

    Its fingerprint must stop it on arrival: the server refuses it and blames the holder.
    """
    run = MaliciousDealer(where)
    run.to_step(MASK)
    replies = run.replies()
    if dropped is not None:
        del replies[dropped]
    run.deliver(replies)
    while run.number != len(run.names) - 1:
        run.deliver(run.replies())
    replies = run.replies()
    for holder, reply in replies.items():
        for owner in CLIENTS:
            with pytest.raises(RemoteError, match="dealt, found another") as caught:
                run.server.receive(holder, run.forged(holder, owner, reply, alter))
            assert caught.value.culprits == {holder}
    run.deliver(replies)
    assert run.is_exact(run.finish())


@EVERYWHERE
def test_swapped_shares_are_found_on_arrival(where: Setting) -> None:
    """A holder swaps the shares of two owners, or sends another holder's reply.

    The fingerprints must stop it on arrival.
    """
    run = MaliciousDealer(where)
    run.to_step(len(run.names) - 1)
    replies = run.replies()
    shares = run.codec.decode(run.number, RevealedShares, replies[0]).shares
    run.server_refuses(0, RevealedShares(shares[33:66] + shares[:33] + shares[66:]), "dealt, found another")
    mine = run.codec.decode(run.number, RevealedShares, replies[1])
    run.server_refuses(0, mine, "dealt, found another")
    run.deliver(replies)
    assert run.is_exact(run.finish())


@EVERYWHERE
def test_holders_that_forge_cost_the_sum_only_beyond_the_redundancy(where: Setting) -> None:
    """Any set of holders forges shares.

    Up to two of five are refused and the sum is exact; with more, too few are left (TooFewSurvivors), and never a wrong
    sum.
    """
    for forgers in subsets(CLIENTS, range(5)):
        run = to_shares(where)
        run.deliver(run.replies())
        altered = {forger: (forger + 1) % 5 for forger in forgers}
        if len(forgers) <= 2:
            assert run.is_exact(run.finish_without((), altered=altered))
        else:
            with pytest.raises(TooFewSurvivors):
                run.finish_without((), altered=altered)


@EVERYWHERE
def test_holders_that_complain_falsely_cost_nothing_up_to_the_redundancy(where: Setting) -> None:
    """Holders claim that client 2's shares do not open.

    Up to two of five cost nothing; three stop the sum, and the error names client 2 with the liars, since nobody can
    tell who is guilty.
    """
    for liars in subsets({0, 1, 3, 4}, range(5)):
        run = MaliciousDealer(where)
        run.to_step(MASK)
        for liar in liars:
            honest = run.request(liar, DeliveredShares)
            damaged = [bytes(82) if owner == 2 else sealed for owner, sealed in enumerate(ciphertexts(honest, liar))]
            own = damaged.pop(liar)
            assert own == b""
            reply = run.ask(liar, replace(honest, ciphertexts=tuple(damaged)))
            assert run.codec.decode(MASK, MaskedInput, reply).unopened == (2,)
            run.server.receive(liar, reply)
        for client in set(CLIENTS) - set(liars):
            run.server.receive(client, run.answer(client, run.requests[client]))
        if len(liars) > 2:
            with pytest.raises(RemoteError, match="the reporting clients are at fault") as caught:
                run.server.advance()
            assert caught.value.culprits == {2, *liars}
            continue
        run.progress = run.server.advance()
        assert run.is_exact(run.finish())


def ciphertexts(delivered: DeliveredShares, holder: int) -> list[bytes]:
    """Delivered shares by owner, an empty one for the holder itself."""
    found = list(delivered.ciphertexts)
    found.insert(holder, b"")
    return found


@pytest.mark.parametrize("where", [CURIOUS, MALICIOUS, SPARSE], ids=["curious", "malicious", "sparse"])
def test_everything_at_once_gives_the_exact_sum_or_names_someone_guilty(where: Setting) -> None:
    """40 random mixtures of dealers with bad shares and fingerprints, holders that forge and clients that leave.

    The sum must be exact, or an error must name someone guilty.
    """
    clients, summed = where.session.clients, 0
    for number in range(40):
        chance = random.Random(number)
        run = to_shares(where, seed=b"mixture %d " % number)
        replies, guilty = run.replies(), set[int]()
        for dealer in chance.sample(clients, chance.randrange(3)):
            honest = run.codec.decode(SHARE, SealedShares, replies[dealer])
            shares, holders = run.dealt(dealer, replies[dealer]), run.holders(dealer)
            for holder in chance.sample(holders, chance.randrange(3)):
                shares[holder] = tuple(plus_one(share) for share in shares[holder])
            others = [holder for holder in holders if holder != dealer]
            mismatched = chance.sample(others, chance.randrange(3))
            replies[dealer] = run.deal(dealer, shares, honest.commitments, mismatched=mismatched)
            guilty.add(dealer)
        run.deliver(replies)
        gone = chance.sample(clients, chance.randrange(2))
        forgers = chance.sample([client for client in clients if client not in gone], chance.randrange(2))
        altered = {forger: chance.choice(run.holders(forger)) for forger in forgers}
        altered = {forger: owner for forger, owner in altered.items() if opened(run, forger, owner)}
        try:
            culprits = blamed(run, gone, altered)
        except TooFewSurvivors:
            continue
        assert bool(culprits) == bool(culprits & guilty)  # those who complain are named with the dealer
        summed += not culprits
    assert 5 <= summed < 40


def opened(run: MaliciousDealer, holder: int, owner: int) -> bool:
    """Whether a holder can open the shares of an owner, before it has been asked to."""
    state = state_of(run.server)
    derive = run.setup.schedule(state.root)
    if holder == owner:
        return True
    agreed = X25519.from_secret(Secret(run.drawn[holder][0])).agree(run.keys[owner].sealing)
    delivered = run.request(holder, DeliveredShares)
    position = [each for each in run.holders(holder) if each != holder].index(owner)
    fingerprints = delivered.fingerprints[position]
    key = derive.share_key(agreed, sender=owner, receiver=holder, fingerprints=fingerprints)
    joined = sealing.open_sealed(key, delivered.ciphertexts[position])
    return derive.fingerprints(joined, owner=owner, holder=holder) == delivered.fingerprints[position]
