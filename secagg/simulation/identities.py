"""Identities for the clients of a simulation, made afresh and forgotten with it.

Outside of one, each client makes its own `Identity`, keeps it and its `SessionStore`, and gets the roster by a way
that the server does not control.
"""

from collections.abc import Sequence

from protocols import ClientTerms, CommitteeKey, Identity, MemoryRecord, Roster


def simulated_terms(
    clients: Sequence[int], *, adversarial: float, minimum_contributors: int, committee: CommitteeKey | None = None
) -> dict[int, ClientTerms]:
    """Return the terms of each client, all with the same roster and the same terms.

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
