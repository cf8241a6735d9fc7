"""An attack by a server: it tells clients different survivor sets, collects shares, and computes what sums it can."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from protocols import RemoteError, Secret, packing
from protocols.codec import Message
from protocols.crypto import keystream, shamir
from protocols.crypto.key_agreement import X25519
from protocols.identity import Signatures
from protocols.pairwise.derived import SURVIVORS
from protocols.pairwise.messages import (
    Confirmation,
    Confirmations,
    MaskedInput,
    RevealedShares,
    Survivors,
)
from protocols.testing import exact_sum, state_of
from tests.conformance.cohorts import Setting, member
from tests.support.malicious_server import MaliciousServer

MASK, CONFIRM, REVEAL = 2, 3, 4
SEED, MASKING = 0, 1


class ShareCollector(MaliciousServer):
    """A malicious server that collects masked inputs, and then shares by survivor sets of its own making."""

    def masked_inputs(self, requests: Mapping[int, Message] | None = None) -> "AttackState":
        """Collect every client's masked input, in reply to the honest server's requests or to others."""
        replies = {
            client: self.ask(client, requests[client]) if requests else self.answer(client, honest)
            for client, honest in self.requests.items()
        }
        return AttackState(self, replies)

    def answers_of_willing(self, number: int, asked: Mapping[int, Message]) -> dict[int, bytes]:
        """Return the replies of the clients that reply, and check that the other clients have closed."""
        replies = {}
        for client, message in asked.items():
            try:
                replies[client] = self.answer(client, self.codec.encode(number, message))
            except RemoteError:
                assert self.clients[client].closed
        return replies

    def show_survivors(
        self, attack: "AttackState", shown: Mapping[int, Collection[int]], corrupt: Collection[int] = ()
    ) -> set[int]:
        """Show each client a survivor set of its own, go on to the end, and return the clients that reveal shares.

        Corrupt clients sign every set that is shown to anyone.
        """
        asked = {client: Survivors(self.bitmap(*survivors)) for client, survivors in shown.items()}
        if self.scenario.session.roster is None:
            revealed = self.answers_of_willing(CONFIRM, asked)
        else:
            confirmed = {
                client: self.codec.decode(CONFIRM, Confirmation, reply).signature
                for client, reply in self.answers_of_willing(CONFIRM, asked).items()
                if client not in corrupt
            }
            revealed = self.answers_of_willing(
                REVEAL, {client: self.confirmations(attack, client, shown, confirmed, corrupt) for client in confirmed}
            )
        for client, reply in revealed.items():
            number = len(self.names) - 1
            attack.add_revealed(client, shown[client], self.codec.decode(number, RevealedShares, reply).shares)
        for client in corrupt:
            attack.add_corrupt(client)
        return set(revealed)

    def confirmations(
        self,
        attack: "AttackState",
        client: int,
        shown: Mapping[int, Collection[int]],
        confirmed: Mapping[int, bytes],
        corrupt: Collection[int],
    ) -> Confirmations:
        """Return all signatures that exist of what this client has confirmed."""
        agreed = attack.roots[client] + attack.members[client] + self.bitmap(*shown[client])
        found = {
            other: signature
            for other, signature in confirmed.items()
            if attack.roots[other] + attack.members[other] + self.bitmap(*shown[other]) == agreed
        }
        made = Signatures(self.setup.digest, self.scenario.session.roster)
        for helper in set(corrupt) & set(shown[client]):
            who = member(helper, self.scenario.session)
            found[helper] = made.sign(who.identity, client=helper, purpose=SURVIVORS, payload=agreed)
        return Confirmations(self.bitmap(*found), b"".join(found[signer] for signer in sorted(found)))


class AttackState:
    """What the server has collected, and what it can compute from that.

    Attributes:
        masked: By client, its masked input.
        roots: By client, the root of the key directory that it was shown.
        members: By client, the bitmap of the clients that have shared, as it was told.
        masked_with: By client, the neighbours with whom it has masked its input.
        shares: By owner and secret, the shares that the server has, by holder.
    """

    def __init__(self, run: ShareCollector, masked: Mapping[int, bytes]) -> None:
        self.run = run
        self.session = run.scenario.session
        self.masked = {
            client: packing.unpack(
                run.codec.decode(MASK, MaskedInput, reply).packed, self.session.length, self.session.modulus
            )
            for client, reply in masked.items()
        }
        states = {client: state_of(run.clients[client]) for client in masked}
        self.roots: dict[int, bytes] = {client: state.root for client, state in states.items()}
        self.members: dict[int, bytes] = {client: state.members for client, state in states.items()}
        self.masked_with = {
            client: {each for each in state.neighbours if each in self._named(state.members)}
            for client, state in states.items()
        }
        self.shares: dict[tuple[int, int], dict[int, bytes]] = {}

    def _named(self, bits: bytes) -> set[int]:
        """Return the clients that a bitmap names."""
        value = int.from_bytes(bits, "little")
        return {client for position, client in enumerate(self.session.clients) if value >> position & 1}

    def add_revealed(self, holder: int, survivors: Collection[int], revealed: bytes) -> None:
        """Take in the shares that a holder has revealed for a survivor set."""
        for position, owner in enumerate(sorted(self.run.held[holder])):
            index = SEED if owner in survivors else MASKING
            self.shares.setdefault((owner, index), {})[holder] = revealed[33 * position : 33 * position + 33]

    def add_corrupt(self, holder: int) -> None:
        """Take in all shares of a holder that helps the server."""
        for owner, shares in self.run.held[holder].items():
            for index in (SEED, MASKING):
                self.shares.setdefault((owner, index), {})[holder] = shares[index]

    def secret(self, owner: int, index: int) -> Secret | None:
        """Return an owner's seed or masking key, or None if the server has too few shares of it."""
        shares = self.shares.get((owner, index), {})
        if len(shares) < self.run.setup.threshold:
            return None
        found = shamir.combine(shares, threshold=self.run.setup.threshold)
        assert found == Secret(self.run.drawn[owner][2 if index == SEED else 1])
        return found

    def pair_secret(self, one: int, other: int) -> Secret | None:
        """Return what two clients have agreed on for their masks, or None if the server cannot compute it."""
        for mine, theirs in ((one, other), (other, one)):
            if secret := self.secret(mine, MASKING):
                return X25519.from_secret(secret).agree(self.run.keys[theirs].masking)
        return None

    def _computable_groups(self) -> Iterator[set[int]]:
        """Yield the smallest sets of clients the sum of whose inputs the server can compute."""
        left = set(self.masked)
        while left:
            group, border, known = set[int](), [left.pop()], True
            while border:
                one = border.pop()
                group.add(one)
                known = known and self.secret(one, SEED) is not None
                for other in self.masked_with[one] - group:
                    if self.pair_secret(one, other) is not None:
                        continue
                    if other not in self.masked or self.roots[one] != self.roots[other]:
                        known = False
                    elif other in left:
                        left.discard(other)
                        border.append(other)
            if known:
                yield group

    def sum_of(self, group: Collection[int]) -> list[int]:
        """Return the sum of the inputs of a group, computed from what the server has."""
        modulus = self.session.modulus
        total = np.zeros(self.session.length, dtype=keystream.word_dtype(modulus))
        for one in group:
            derive, seed = self.run.setup.schedule(self.roots[one]), self.secret(one, SEED)
            assert seed is not None
            packing.add_packed(total, packing.pack(self.masked[one], modulus), modulus)
            keystream.subtract_mask(total, derive.self_mask(seed, owner=one))
            for other in self.masked_with[one] - set(group):
                shared = self.pair_secret(one, other)
                assert shared is not None
                remove = keystream.subtract_mask if one < other else keystream.add_mask
                remove(total, derive.pair_mask(shared, one=one, other=other))
        return [int(entry) % modulus for entry in total]

    def groups_with_computable_sum(self) -> list[set[int]]:
        """Return the smallest sets of clients the sum of whose inputs the server can compute, each sum checked."""
        found = sorted(self._computable_groups(), key=sorted)
        for group in found:
            assert self.sum_of(group) == exact_sum(self.run.inputs, tuple(group), self.session.modulus)
        return found


def collect_masked_inputs(where: Setting) -> tuple[ShareCollector, AttackState]:
    """Run a sum up to the masked inputs, and return the server and what it has collected."""
    run = ShareCollector(where)
    run.to_step(MASK)
    return run, run.masked_inputs()
