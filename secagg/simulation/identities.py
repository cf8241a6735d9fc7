"""Identities for the clients of a simulation, made for each process when a client is asked first, and never stored.

Outside a simulation, each client makes its own `Identity` and keeps it and its `SessionStore`. It gets the roster by a
way that the server does not control.
"""

from collections.abc import Iterable, Sequence

from protocols import ClientTerms, CommitteeKey, Identity, MemoryRecord, Roster, Session


class SimulatedClients:
    """The identities of the clients of a simulation, each with its record of sessions.

    They are made when a client is asked first, and last as long as this object: an identity takes part in all sessions
    of its client.

    Args:
        adversarial: See `ClientTerms`; a fraction of each cohort.
        minimum_contributors: See `ClientTerms`.
        committee: See `ClientTerms`.
        cap: See `ClientTerms`.
    """

    def __init__(
        self,
        *,
        adversarial: float,
        minimum_contributors: int,
        committee: CommitteeKey | None = None,
        cap: int | None = None,
    ) -> None:
        self._adversarial, self._minimum_contributors = adversarial, minimum_contributors
        self._committee, self._cap = committee, cap
        self._known: dict[int, tuple[Identity, MemoryRecord]] = {}

    def roster_of(self, clients: Iterable[int]) -> Roster:
        """Return the public identities of a cohort."""
        return Roster({client: self._of(client)[0].public for client in clients})

    def terms_of(self, session: Session) -> dict[int, ClientTerms]:
        """Return the terms of each client of a session: its own identity, and the session's roster and limits for all.

        Each client pins the roster of the cohort, since the fraction that may be corrupt is of the cohort.
        """
        return self.terms(session.clients)

    def terms(self, clients: Sequence[int]) -> dict[int, ClientTerms]:
        """Return the terms of each client of a cohort; see `terms_of`."""
        roster = self.roster_of(clients)
        return {
            client: ClientTerms(
                identity=self._of(client)[0],
                roster=roster,
                sessions=self._of(client)[1],
                adversarial=self._adversarial,
                minimum_contributors=self._minimum_contributors,
                committee=self._committee,
                cap=self._cap,
            )
            for client in clients
        }

    def _of(self, client: int) -> tuple[Identity, MemoryRecord]:
        if client not in self._known:
            self._known[client] = (Identity.generate(), MemoryRecord())
        return self._known[client]


def simulated_terms(
    clients: Sequence[int], *, adversarial: float, minimum_contributors: int, committee: CommitteeKey | None = None
) -> dict[int, ClientTerms]:
    """Return the terms of each client of one cohort: a new identity for each, and the same roster and limits for all.

    Args:
        clients: Ids of the cohort.
        adversarial: See `ClientTerms`.
        minimum_contributors: See `ClientTerms`.
        committee: See `ClientTerms`.
    """
    return SimulatedClients(
        adversarial=adversarial, minimum_contributors=minimum_contributors, committee=committee
    ).terms(clients)
