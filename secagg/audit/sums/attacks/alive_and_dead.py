"""One client that has survived for some clients and has dropped for the others, with a corrupt client's help."""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from protocols import Secret, snapshot
from protocols.identity import Signatures
from protocols.pairwise.client import ClientState
from protocols.pairwise.derived import SURVIVORS
from protocols.pairwise.messages import Confirmation, Confirmations, RevealedShares, Survivors, encode_clients
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.attacks.pairwise_server import (
    CONFIRM,
    MASKING,
    REVEAL,
    SEED,
    Collected,
    ask,
    collect,
    pairwise_cohort,
)
from secagg.audit.sums.cohort import Cohort, identity_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import SNAPSHOT_KEY, Stepwise
from secagg.audit.sums.subject import SumSubject

_CLIENTS: Final = 11
"""The size of the cohort: a tenth of it, the fraction that clients assume to be corrupt, is one client."""


class AliveAndDead(ProtocolAttack):
    """The server tells half of the clients that one client survives, and the other half that it has dropped out.

    A corrupt client signs both survivor sets, and gives its shares of both secrets away. If each half with its help has
    enough signatures and shares, the server holds the client's own mask and all of its pairwise masks.
    """

    id = "attack.alive_and_dead"
    title = "The server asks for the secret shares of both secrets of one client, with a corrupt client's help"
    tests = ("C-05",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = pairwise_cohort(subject, at_least=_CLIENTS, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=1, cpu_s=0.05, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        victim, *_, corrupt = cohort.session.clients
        if reads_vector(cohort, seed, victim=victim, corrupt=corrupt):
            return succeeded(
                f"Half of {plan.details} clients were told that client {victim} survives, half that it has dropped "
                f"out. With the help of client {corrupt}, the server removed all masks from its vector."
            )
        return failed()


def reads_vector(cohort: Cohort, seed: bytes, *, victim: int, corrupt: int) -> bool:
    """Return whether the server reads the vector of one client."""
    inputs, session = random_inputs(cohort, seed), cohort.session
    run = Stepwise(cohort, inputs, seed)
    collected = collect(run)
    honest = [client for client in session.clients if client not in (victim, corrupt)]
    alive = {victim, *honest[: (len(honest) - 1) // 2]}
    everyone = frozenset(session.clients)
    views = {c: everyone if c in alive else everyone - {victim} for c in (victim, *honest)}
    confirmed = ask(run, CONFIRM, {c: Survivors(encode_clients(view, session)) for c, view in views.items()})
    signatures = {c: reply.signature for c, reply in confirmed.items() if isinstance(reply, Confirmation)}
    requests = {c: _confirmations(cohort, collected, views, signatures, client=c, corrupt=corrupt) for c in signatures}
    for client, reply in ask(run, REVEAL, requests).items():
        if isinstance(reply, RevealedShares):
            owners = {client, *collected.masked_with[client]}
            collected.add_revealed(client, owners, views[client], reply.shares)
    for owner, shares in _shares_of(run, corrupt).items():
        for index in (SEED, MASKING):
            collected.shares.setdefault((owner, index), {})[corrupt] = shares[index]
    read = collected.sum_of((victim,))
    return read is not None and bool(np.array_equal(read, inputs[victim]))


def _confirmations(
    cohort: Cohort,
    collected: Collected,
    views: Mapping[int, Collection[int]],
    signatures: Mapping[int, bytes],
    *,
    client: int,
    corrupt: int,
) -> Confirmations:
    """Return the signatures of all clients that have signed what this client has, and one of the corrupt client."""
    session = cohort.session
    agreed = collected.root + encode_clients(session.clients, session) + encode_clients(views[client], session)
    signer = Signatures(collected.derived.digest, session.roster)
    found = {each: signatures[each] for each in signatures if views[each] == views[client]}
    found[corrupt] = signer.sign(identity_of(corrupt), client=corrupt, purpose=SURVIVORS, payload=agreed)
    return Confirmations(encode_clients(found, session), b"".join(found[each] for each in sorted(found)))


def _shares_of(run: Stepwise, client: int) -> dict[int, tuple[bytes, ...]]:
    """Return all shares that a client's machine holds, by owner."""
    cohort = run.cohort
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    kept = snapshot.unseal(data, digest=cohort.protocol.digest(cohort.session), key=SNAPSHOT_KEY)
    state = snapshot.read_state(kept.state, ClientState)
    return {owner: tuple(map(Secret.reveal, shares)) for owner, shares in state.shares.items()}
