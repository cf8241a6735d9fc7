"""Targets of what a dishonest client seals for another client: the server and the network cannot see into it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from protocols.crypto import sealing, shamir
from protocols.crypto.secret import Secret
from protocols.errors import ProtocolError, RemoteError, TooFewSurvivors
from protocols.machine import Client
from protocols.testing.hook import derived_of, state_of
from tests.fuzz.mutate import mutate_fields
from tests.fuzz.target import Entry, Finding, Target
from tests.fuzz.targets.messages import restored
from tests.fuzz.targets.protocol_runs import canaries, recorded, scenarios

STEP = "mask_input"
"""The step in which a client opens what other clients have sealed for it."""


def entries() -> list[Entry]:
    """Return a target for each scenario whose clients seal shares for each other."""
    return [
        Entry(f"dishonest/{label}", 8, partial(_dishonest, label))
        for label, scenario in scenarios().items()
        if STEP in [str(row.name) for row in scenario.protocol.steps[1:]]  # Nothing is sealed before the first step.
    ]


def _dishonest(label: str, folder: Path) -> Target:
    run = recorded(label)
    scenario = run.scenario
    number = [str(row.name) for row in scenario.protocol.steps].index(STEP)
    moment, row, codec = run.moments[number], scenario.protocol.steps[number], scenario.codec
    victim = scenario.asked(number)[-1]
    following = run.moments[number + 1].requests[victim]
    request: Any = codec.decode(number, row.request, moment.requests[victim])
    machine = restored(scenario, victim, moment.clients[victim])
    dealer = min(state_of(machine).channels)
    at = sorted(state_of(machine).channels).index(dealer)
    seal, seed = (_coded if label.startswith("lightsecagg") else _pairwise)(machine, victim, dealer)

    def handle(data: bytes) -> None:
        fields = seal(data)
        changed = {
            name: (*getattr(request, name)[:at], value, *getattr(request, name)[at + 1 :])
            for name, value in fields.items()
        }
        client = restored(scenario, victim, moment.clients[victim])
        try:
            reply = client.handle(codec.encode(number, msgspec.structs.replace(request, **changed)))
        except ProtocolError:
            if not client.closed:
                raise Finding("a client is open after an error") from None
            raise
        found: Any = codec.decode(number, row.reply, reply)
        opened = dealer not in getattr(found, "unopened", ())
        if opened and not _is_whole(client, dealer):
            raise Finding("a client keeps shares that cannot be shares")
        if not opened:
            raise RemoteError("the client says that it could not open the shares")
        client.handle(following)  # It computes with what it has kept.

    return Target(
        seeds=(seed,),
        run=handle,
        mutate=mutate_fields((shamir.SHARE_BYTES, shamir.SHARE_BYTES)),
        refusals=(RemoteError, TooFewSurvivors),
        covers=("protocols.crypto.sealing:open_sealed",),
        canaries=canaries(label),
        memory_base=2**22,
    )


def _is_whole(client: Client, dealer: int) -> bool:
    """Return whether what a client keeps of a dealer has the form of shares."""
    state = state_of(client)
    if hasattr(state, "held"):
        return dealer in state.held
    return all(shamir.is_share(share.reveal()) for share in state.shares[dealer])


Seal = Callable[[bytes], dict[str, bytes]]


def _pairwise(machine: Client, victim: int, dealer: int) -> tuple[Seal, bytes]:
    """Return how a dealer seals any bytes under the right key and with the right fingerprints; and honest bytes."""
    state, derived = state_of(machine), derived_of(machine)
    derive, channel = derived.schedule(state.root), state.channels[dealer]

    def seal(data: bytes) -> dict[str, bytes]:
        fingerprints = derive.fingerprints(data, owner=dealer, holder=victim)
        key = derive.share_key(channel, sender=dealer, receiver=victim, fingerprints=fingerprints)
        return {"fingerprints": fingerprints, "ciphertexts": sealing.seal(key, data)}

    return seal, (7).to_bytes(shamir.SHARE_BYTES, "little") * derived.shares_each


def _coded(machine: Client, victim: int, dealer: int) -> tuple[Seal, bytes]:
    """Return the same for coded shares, which have no fingerprints."""
    state, derived = state_of(machine), derived_of(machine)
    seeded = victim in derived.seeded(state.members, dealer)
    info = derived.info(b"seed." if seeded else b"share", dealer, victim) + state.directory
    key: Secret = sealing.derive(state.channels[dealer], info)

    def seal(data: bytes) -> dict[str, bytes]:
        return {"ciphertexts": sealing.seal(key, data)}

    return seal, bytes(sealing.KEY_BYTES if seeded else derived.share_bytes)
