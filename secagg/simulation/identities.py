"""Identities for the clients of a simulation, generated anew for each process and never stored.

Outside a simulation, each client makes its own `Identity` and keeps it and its `SessionStore`. It gets the roster by a
way that the server does not control.
"""

from collections.abc import Sequence

from protocols import ClientTerms, CommitteeKey, Identity, MemoryRecord, Roster


def simulated_terms(
    clients: Sequence[int], *, adversarial: float, minimum_contributors: int, committee: CommitteeKey | None = None
) -> dict[int, ClientTerms]:
    """Return the terms of each client: a new identity for each, and the same roster and limits for all.

    Args:
        clients: Ids of the cohort.
        adversarial: See `ClientTerms`.
        minimum_contributors: See `ClientTerms`.
        committee: See `ClientTerms`.
    """
    identities = {client: Identity.generate() for client in clients}
    roster = Roster({client: identity.public for client, identity in identities.items()})
    return {
        client: ClientTerms(
            identity=identity,
            roster=roster,
            sessions=MemoryRecord(),
            adversarial=adversarial,
            minimum_contributors=minimum_contributors,
            committee=committee,
        )
        for client, identity in identities.items()
    }
