"""Survivor sets of a malicious server of pairwise masking: each client is shown a set of its own, or a small one."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from protocols.pairwise.messages import Confirmation, Confirmations, RevealedShares, Survivors, encode_clients
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, sum_of
from secagg.audit.sums.attacks.pairwise_server import CONFIRM, REVEAL, ask, collect, derived_of, pairwise_cohort
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject

_CLIENTS: Final = 6
Views = Mapping[int, frozenset[int]]
"""By client, the survivor set that it is shown."""


class SplitViews(ProtocolAttack):
    """The server shows clients different survivor sets: most clients survive for some, and have dropped for others.

    Then it can rebuild the pairwise masks of most clients and the own masks of a few, and opens the sum of these few.
    In a second attempt it shows all clients one set that is smaller than the threshold. It passes on all signatures.
    """

    id = "attack.split_views"
    title = "The server asks for secret shares, with survivor sets that differ or are smaller than the threshold"
    tests = ("C-05",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = pairwise_cohort(subject, at_least=_CLIENTS, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=2, cpu_s=0.05, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        few = cohort.session.clients[: cohort.session.threshold - 1]
        for views, group in (overlapping(cohort), (dict.fromkeys(few, frozenset(few)), few)):
            if group and open_sum(cohort, views, group, seed):
                shown = sorted({tuple(sorted(view)) for view in views.values()})
                return succeeded(
                    f"The survivor sets {[list(view) for view in shown]} were shown to different clients. The server "
                    f"opened the sum of the clients {list(group)}; the threshold is {cohort.session.threshold}."
                )
        return failed()


def overlapping(cohort: Cohort) -> tuple[Views, tuple[int, ...]]:
    """Return survivor sets by which the sum of fewer clients than the threshold opens, and these clients.

    Each set has as many clients as the threshold, all of the group among them. Every other client is in so few sets
    that enough clients reveal its masking key. The group is empty if there are no such sets.
    """
    clients, threshold = cohort.session.clients, cohort.session.threshold
    for size in range(2, threshold):
        group, views = clients[:size], dict[int, frozenset[int]]()
        counts = dict.fromkeys(clients[size:], 0)
        for client in (*clients[size:], *group):
            own = [client] if client in counts else []
            least = sorted((each for each in counts if each != client), key=lambda each: counts[each])
            chosen = (own + least)[: threshold - size]
            views[client] = frozenset((*group, *chosen))
            for each in chosen:
                counts[each] += 1
        if all(len(clients) - count >= derived_of(cohort).threshold for count in counts.values()):
            return views, group
    return {}, ()


def open_sum(cohort: Cohort, views: Views, group: tuple[int, ...], seed: bytes) -> bool:
    """Return whether the server opens the sum of a group by showing clients these survivor sets."""
    inputs, session = random_inputs(cohort, seed), cohort.session
    run = Stepwise(cohort, inputs, seed, label=f"group {group}")
    collected = collect(run)
    confirmed = ask(run, CONFIRM, {c: Survivors(encode_clients(view, session)) for c, view in views.items()})
    signatures = {c: reply.signature for c, reply in confirmed.items() if isinstance(reply, Confirmation)}
    requests = {client: _all_signatures(cohort, views[client], signatures) for client in confirmed}
    for client, reply in ask(run, REVEAL, requests).items():
        if isinstance(reply, RevealedShares):
            owners = {client, *collected.masked_with[client]}
            collected.add_revealed(client, owners, views[client], reply.shares)
    opened = collected.sum_of(group)
    return opened is not None and bool(np.array_equal(opened, sum_of(inputs, group, session.modulus)))


def _all_signatures(cohort: Cohort, view: frozenset[int], signatures: Mapping[int, bytes]) -> Confirmations:
    """Return the signatures of all clients that a survivor set names, whatever set they have signed."""
    signers = sorted(view & signatures.keys())
    return Confirmations(encode_clients(signers, cohort.session), b"".join(signatures[each] for each in signers))
