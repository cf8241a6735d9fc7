"""All parties of one session of a secure sum, in this process, for attacks on it."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from protocols import (
    Client,
    ClientTerms,
    Identity,
    Keyholder,
    Secret,
    SecureSum,
    SeedCommittee,
    Server,
    Session,
    Transmission,
)
from protocols.committee import CommitteeShare
from protocols.crypto.entropy import Entropy
from protocols.replay import MemoryOpenings, MemoryRecord, OpeningRecord, SessionRecord
from protocols.simulate import Outcome, simulate

ADVERSARIAL = 0.1
"""The fraction of corrupt clients that every client of a session with a roster assumes."""


def identity_of(client: int) -> Identity:
    """Return the identity that a client has in every audit; its secret key is a hash of the client's id."""
    return Identity(Secret(hashlib.sha256(b"secagg audit identity %d" % client).digest()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """A protocol, a session that it can run, and what the parties of that session bring.

    Attributes:
        protocol: The protocol.
        session: The session.
        key_shares: Each committee member's key share, by party id.
    """

    protocol: SecureSum
    session: Session
    key_shares: Mapping[int, CommitteeShare] = field(default_factory=dict, repr=False)

    @property
    def parties(self) -> tuple[int, ...]:
        """All clients, and the committee members that are not clients."""
        return tuple(dict.fromkeys((*self.session.clients, *self.session.committee_members)))

    @property
    def opening(self) -> int:
        """The number of committee members that a sum needs; 0 without a committee.

        With replicated seeds, a quorum must agree; more than `colluding` members cover every set; and where the
        committee has as many, 2 * colluding + 1 answers decide what the sum of each set is.
        """
        if self.session.committee is None:
            return 0
        key = self.session.committee.key
        if not isinstance(key, SeedCommittee):
            return key.threshold
        least = 2 * key.colluding + 1
        return max(key.quorum, least if key.members >= least else key.colluding + 1)

    def attached(self, client: int) -> tuple[Secret, ...]:
        """Return the secrets that a client attaches, as many as the session has rules."""
        labels = (b"secagg audit attached %d %d" % (client, at) for at in range(len(self.session.attached)))
        return tuple(Secret(hashlib.sha256(label).digest()) for label in labels)

    def terms(self, client: int, record: SessionRecord | None = None) -> ClientTerms | None:
        """Return a client's identity and terms, with a record of its own; None if the session has no roster."""
        session = self.session
        if session.roster is None or client not in session.clients:
            return None
        return ClientTerms(
            identity=identity_of(client),
            roster=session.roster,
            sessions=record or MemoryRecord(),
            adversarial=ADVERSARIAL,
            minimum_contributors=session.threshold,
            committee=None if session.committee is None else session.committee.key,
        )

    def keyholder(self, party: int, openings: OpeningRecord | None = None) -> Keyholder | None:
        """Return a committee member's key share and rules; None if the party is no committee member."""
        if party not in self.session.committee_members:
            return None
        return Keyholder(
            share=self.key_shares[party],
            openings=openings or MemoryOpenings(),
            minimum_contributors=self.session.threshold,
            roster=self.session.roster,
        )

    def client(
        self,
        client: int,
        vector: ArrayLike | None,
        entropy: Entropy,
        *,
        record: SessionRecord | None = None,
        openings: OpeningRecord | None = None,
        own_openings: OpeningRecord | None = None,
    ) -> Client:
        """Return one party's machine before its first step.

        Args:
            client: The party.
            vector: A client's vector; None for a party that is no client.
            entropy: The party's randomness.
            record: A client's record of sessions; None for a new one.
            openings: A committee member's record of openings; None for a new one.
            own_openings: The record of the sums that the party helps to open as a client; None for none.
        """
        return Client(
            self.protocol,
            self.session,
            client,
            vector,
            attached=self.attached(client) if client in self.session.clients else (),
            entropy=entropy,
            terms=self.terms(client, record),
            keyholder=self.keyholder(client, openings),
            openings=own_openings,
        )

    def server(self) -> Server:
        """Return an honest server's machine before its first step."""
        return Server(self.protocol, self.session)

    def sum(
        self,
        inputs: Mapping[int, ArrayLike],
        entropy: Entropy,
        *,
        drops: Mapping[str, Collection[int]] | None = None,
        tap: Callable[[Transmission], None] | None = None,
    ) -> Outcome:
        """Run the whole sum in memory, with all secrets from one source.

        Raises:
            protocols.errors.TooFewSurvivors: More parties dropped out than the thresholds allow.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour.
        """
        clients: Sequence[int] = self.session.clients
        terms = {client: self.terms(client) for client in clients}
        keyholders = {member: self.keyholder(member) for member in self.session.committee_members}
        return simulate(
            self.protocol,
            self.session,
            inputs,
            attached={client: self.attached(client) for client in clients},
            terms={client: found for client, found in terms.items() if found is not None},
            keyholders={member: found for member, found in keyholders.items() if found is not None},
            drops=drops,
            tap=tap,
            entropy=entropy,
        )
