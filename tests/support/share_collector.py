"""What a server learns that does what it likes: the stories it tells, the shares it gets, the sums it can make."""

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
from protocols.testing import state_of
from tests.conformance.cohorts import Setting, expected, member
from tests.support.malicious_server import Play

MASK, CONFIRM, REVEAL = 2, 3, 4
SEED, MASKING = 0, 1


class Raid(Play):
    """A run up to the masked inputs, by a server that then goes its own way."""

    def masked_inputs(self, requests: Mapping[int, Message] | None = None) -> "Loot":
        """All masked inputs, to the honest server's requests or to others."""
        replies = {
            client: self.ask(client, requests[client]) if requests else self.answer(client, honest)
            for client, honest in self.requests.items()
        }
        return Loot(self, replies)

    def try_all(self, number: int, asked: Mapping[int, Message]) -> dict[int, bytes]:
        """The replies of those clients who do reply."""
        replies = {}
        for client, message in asked.items():
            try:
                replies[client] = self.answer(client, self.codec.encode(number, message))
            except RemoteError:
                assert self.clients[client].closed
        return replies

    def tell(self, loot: "Loot", shown: Mapping[int, Collection[int]], corrupt: Collection[int] = ()) -> set[int]:
        """Show each client a survivor set of its own and go on to the end with it; who reveals shares.

        Corrupt clients sign every set that is shown to anyone.
        """
        asked = {client: Survivors(self.bitmap(*survivors)) for client, survivors in shown.items()}
        if self.setting.session.roster is None:
            revealed = self.try_all(CONFIRM, asked)
        else:
            confirmed = {
                client: self.codec.decode(CONFIRM, Confirmation, reply).signature
                for client, reply in self.try_all(CONFIRM, asked).items()
                if client not in corrupt
            }
            revealed = self.try_all(
                REVEAL, {client: self.confirmations(loot, client, shown, confirmed, corrupt) for client in confirmed}
            )
        for client, reply in revealed.items():
            number = len(self.names) - 1
            loot.take(client, shown[client], self.codec.decode(number, RevealedShares, reply).shares)
        for client in corrupt:
            loot.corrupt(client)
        return set(revealed)

    def confirmations(
        self,
        loot: "Loot",
        client: int,
        shown: Mapping[int, Collection[int]],
        confirmed: Mapping[int, bytes],
        corrupt: Collection[int],
    ) -> Confirmations:
        """All signatures there are of what this client has confirmed."""
        agreed = loot.roots[client] + loot.members[client] + self.bitmap(*shown[client])
        found = {
            other: signature
            for other, signature in confirmed.items()
            if loot.roots[other] + loot.members[other] + self.bitmap(*shown[other]) == agreed
        }
        made = Signatures(self.setup.digest, self.setting.session.roster)
        for helper in set(corrupt) & set(shown[client]):
            who = member(helper, self.setting.session)
            found[helper] = made.sign(who.identity, client=helper, purpose=SURVIVORS, payload=agreed)
        return Confirmations(self.bitmap(*found), b"".join(found[signer] for signer in sorted(found)))


class Loot:
    """What the server has: masked inputs, shares, and what follows from them."""

    def __init__(self, run: Raid, masked: Mapping[int, bytes]) -> None:
        self.run = run
        self.session = run.setting.session
        self.masked = {
            client: packing.unpack(
                run.codec.decode(MASK, MaskedInput, reply).packed, self.session.length, self.session.modulus
            )
            for client, reply in masked.items()
        }
        states = {client: state_of(run.clients[client]) for client in masked}
        self.roots: dict[int, bytes] = {client: state.root for client, state in states.items()}
        self.members: dict[int, bytes] = {client: state.members for client, state in states.items()}
        self.near = {
            client: {each for each in state.neighbours if each in self._named(state.members)}
            for client, state in states.items()
        }
        self.shares: dict[tuple[int, int], dict[int, bytes]] = {}

    def _named(self, bits: bytes) -> set[int]:
        value = int.from_bytes(bits, "little")
        return {client for position, client in enumerate(self.session.clients) if value >> position & 1}

    def take(self, holder: int, survivors: Collection[int], revealed: bytes) -> None:
        """Shares that a holder has revealed for a survivor set."""
        for position, owner in enumerate(sorted(self.run.held[holder])):
            index = SEED if owner in survivors else MASKING
            self.shares.setdefault((owner, index), {})[holder] = revealed[33 * position : 33 * position + 33]

    def corrupt(self, holder: int) -> None:
        """All shares of a holder that helps the server."""
        for owner, shares in self.run.held[holder].items():
            for index in (SEED, MASKING):
                self.shares.setdefault((owner, index), {})[holder] = shares[index]

    def secret(self, owner: int, index: int) -> Secret | None:
        """An owner's seed or masking key, if there are enough shares of it."""
        shares = self.shares.get((owner, index), {})
        if len(shares) < self.run.setup.threshold:
            return None
        found = shamir.combine(shares, threshold=self.run.setup.threshold)
        assert found == Secret(self.run.drawn[owner][2 if index == SEED else 1])
        return found

    def pair(self, one: int, other: int) -> Secret | None:
        """What two clients have agreed on for their masks, if the server can work it out."""
        for mine, theirs in ((one, other), (other, one)):
            if secret := self.secret(mine, MASKING):
                return X25519.from_secret(secret).agree(self.run.keys[theirs].masking)
        return None

    def groups(self) -> Iterator[set[int]]:
        """The smallest sets of clients the sum of whose inputs the server can work out."""
        left = set(self.masked)
        while left:
            group, border, known = set[int](), [left.pop()], True
            while border:
                one = border.pop()
                group.add(one)
                known = known and self.secret(one, SEED) is not None
                for other in self.near[one] - group:
                    if self.pair(one, other) is not None:
                        continue
                    if other not in self.masked or self.roots[one] != self.roots[other]:
                        known = False
                    elif other in left:
                        left.discard(other)
                        border.append(other)
            if known:
                yield group

    def sum_of(self, group: Collection[int]) -> list[int]:
        """The sum of the inputs of a group."""
        modulus = self.session.modulus
        total = np.zeros(self.session.length, dtype=keystream.word_dtype(modulus))
        for one in group:
            derive, seed = self.run.setup.schedule(self.roots[one]), self.secret(one, SEED)
            assert seed is not None
            packing.add_packed(total, packing.pack(self.masked[one], modulus), modulus)
            keystream.subtract_mask(total, derive.self_mask(seed, owner=one))
            for other in self.near[one] - set(group):
                shared = self.pair(one, other)
                assert shared is not None
                remove = keystream.subtract_mask if one < other else keystream.add_mask
                remove(total, derive.pair_mask(shared, one=one, other=other))
        return [int(entry) % modulus for entry in total]

    def exposed(self) -> list[set[int]]:
        """The groups, each with its sum really worked out."""
        found = sorted(self.groups(), key=sorted)
        for group in found:
            assert self.sum_of(group) == expected(self.run.inputs, tuple(group), self.session.modulus)
        return found


def raid(where: Setting) -> tuple[Raid, Loot]:
    run = Raid(where)
    run.to_round(MASK)
    return run, run.masked_inputs()
