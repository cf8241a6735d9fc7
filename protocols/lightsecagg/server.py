"""The server's side of LightSecAgg: for each step, what it takes in and how it closes."""

import numpy as np
from msgspec import field

from protocols import packing
from protocols.codec import Invitation, Message
from protocols.crypto.key_agreement import WeakKey
from protocols.crypto.keystream import Words
from protocols.errors import MalformedMessage, RemoteError
from protocols.lightsecagg.coding import InconsistentShares
from protocols.lightsecagg.derived import Derived
from protocols.lightsecagg.messages import (
    AdvertisedKey,
    AggregatedShares,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    Survivors,
)
from protocols.secure_sum import Finish
from protocols.snapshot import State


class ServerState(State, kw_only=True):
    """The state of the server.

    Attributes:
        total: The sum of the masked inputs so far, modulo the prime.
        keys: By id, the advertised keys.
        sealed: By owner, its sealed shares in transit to the other members, ascending.
        survivors: Ids of the clients whose masked input is in the total.
        aggregated: By holder, the sum of its shares of the survivors' masks.
    """

    total: Words
    keys: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, tuple[memoryview, ...]] = field(default_factory=dict)
    survivors: tuple[int, ...] = ()
    aggregated: dict[int, Words] = field(default_factory=dict)


class LightSecAggServer:
    """The server of one session. It draws no randomness."""

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self._session = derived.session
        self._field = derived.code.field
        self.state = ServerState(total=np.zeros(derived.session.length, dtype=self._field.dtype))

    def open(self) -> dict[int, Message]:
        """Ask every client of the session."""
        return {client: Invitation() for client in self._session.clients}

    def take_key(self, sender: int, advertised: AdvertisedKey) -> None:
        """Keep a client's public key (step 0). The other clients would close if it were repeated or of low order."""
        agreement = self._derived.agreement
        if not agreement.is_canonical(advertised.key):
            raise MalformedMessage(
                f"public key: expected a canonical one of {agreement.public_bytes} bytes, found another"
            )
        if advertised.key in self.state.keys.values():
            raise RemoteError("public key: expected a new one, found one that has been advertised before")
        try:
            agreement.check(advertised.key)
        except WeakKey as error:
            raise RemoteError(str(error)) from None
        self.state.keys[sender] = advertised.key

    def close_keys(self) -> dict[int, Message]:
        """Send each client the keys of all other clients."""
        members = sorted(self.state.keys)
        return {
            client: KeyDirectory(
                tuple(other for other in members if other != client),
                tuple(self.state.keys[other] for other in members if other != client),
            )
            for client in members
        }

    def take_shares(self, sender: int, sealed: SealedShares) -> None:
        """Keep a client's sealed shares for their holders (step 1)."""
        seeded = self._derived.seeded(self.state.keys, sender)
        # They are one field on the wire, since a list of empty ones would take a hundred times its length in memory.
        ciphertexts = self._derived.cut(sealed.ciphertexts, [holder in seeded for holder in self._others(sender)])
        self.state.sealed[sender] = tuple(ciphertexts)

    def close_shares(self) -> dict[int, Message]:
        """Deliver the sealed shares, to each holder only its own."""
        sealed, owners = self.state.sealed, sorted(self.state.sealed)
        index = {owner: {holder: i for i, holder in enumerate(self._others(owner))} for owner in owners}
        requests: dict[int, Message] = {}
        for holder in owners:
            others = tuple(owner for owner in owners if owner != holder)
            requests[holder] = DeliveredShares(others, tuple(sealed[owner][index[owner][holder]] for owner in others))
        self.state.sealed = {}
        return requests

    def take_masked_input(self, sender: int, masked: MaskedInput) -> None:
        """Add a masked vector to the running sum (step 2)."""
        try:
            packing.add_packed(self.state.total, masked.packed, self._session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self.state.survivors = (*self.state.survivors, sender)

    def close_masked_inputs(self) -> dict[int, Message]:
        """Send the survivors the survivor set."""
        self.state.survivors = tuple(sorted(self.state.survivors))
        return {client: Survivors(self.state.survivors) for client in self.state.survivors}

    def take_aggregated_shares(self, sender: int, aggregated: AggregatedShares) -> None:
        """Keep a survivor's share of the sum of the masks (step 3)."""
        if aggregated.survivors != self.state.survivors:
            raise RemoteError("aggregated shares: expected those of the survivors' masks, found another set of clients")
        try:
            share = packing.unpack(aggregated.packed, self._derived.share_length, self._session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self.state.aggregated[sender] = share.astype(self._field.dtype)

    def finish(self) -> Finish:
        """Decode the sum of the survivors' masks from any U answers, compare it with the others, and remove it."""
        positions, clients = self._derived.positions, self._session.clients
        try:
            mask = self._derived.code.decode({positions[c]: share for c, share in self.state.aggregated.items()})
        except InconsistentShares as error:
            culprits = sorted(clients[position] for position in error.positions)
            named = f"those of clients {culprits} do not" if culprits else "who is to blame cannot be told"
            raise RemoteError(f"the aggregated shares do not fit together: {named}", culprits=culprits) from None
        self._field.subtract(self.state.total, mask[: self._session.length])
        return Finish(self.state.total.astype(np.uint64), self.state.survivors)

    def _others(self, client: int) -> list[int]:
        return [member for member in sorted(self.state.keys) if member != client]
