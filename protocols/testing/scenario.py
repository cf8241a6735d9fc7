"""A scenario: a protocol, a session that it can run, and what the parties of that session bring.

All that the parties bring is repeatable: identities, attached secrets and inputs are the same in each run. Only the key
of a committee comes from the author of the scenario.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from protocols.codec import Codec
from protocols.committee import Committee, CommitteeShare
from protocols.crypto.entropy import Entropy
from protocols.errors import ParameterError
from protocols.machine import Client
from protocols.replay import NO_IDENTITY, MemoryOpenings, MemoryRecord, OpeningRecord, SessionRecord
from protocols.secure_sum import SecureSum
from protocols.session import Opening, Session, Vector
from protocols.simulate import Outcome, Transmission, simulate
from protocols.terms import ClientTerms, Keyholder
from protocols.testing.repeatable import (
    SNAPSHOT_KEY,
    attached_secrets,
    fixed_identity,
    fixed_roster,
    repeatable_entropy,
)

CLIENTS: Final = (5, 0, 2**32 - 2, 17, 3, 300, 70_000, 1)
"""Eight ids: the smallest and the largest that there are, in no order."""

MODULI: Final = (2**16, 2**31 - 1, 2**61 - 1, 65_521)

_ADVERSARIAL: Final = 0.1  # The fraction of corrupt clients that every client of a session with a roster assumes.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One protocol with a session that it can run.

    `Scenario.of` and `Scenario.suggested` make the session. Make it yourself if they do not suit; its roster, if it has
    one, must then be `fixed_roster` of its clients.

    Attributes:
        label: A short name, for the ids of tests.
        protocol: The protocol.
        session: A session that the protocol can run, of at least 3 coordinates.
        key_shares: Each committee member's key share, if the session has a committee.
        unchecked: Names of fields of replies whose bytes nobody can check: those that carry a client's vector, masked
            or not. A change of these bytes alone may change the sum, since the client could have sent another vector.
            Every other byte of every message must be checked by somebody.
        tolerated: The largest number of parties that may be absent from one step such that the sum must still be
            released. None stands for as many as the step's quorum allows.
        now: The time of all parties, in seconds since 1970-01-01 00:00 UTC.

    Raises:
        ParameterError: The protocol cannot run the session, or a committee member has no key share.
    """

    label: str
    protocol: SecureSum
    session: Session
    key_shares: Mapping[int, CommitteeShare] = field(default_factory=dict, repr=False)
    unchecked: tuple[str, ...] = ()
    tolerated: int | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.protocol.validate(self.session)
        if self.key_shares.keys() != set(self.session.committee_members):
            raise ParameterError(
                f"key_shares: expected one for each of the {len(self.session.committee_members)} committee members of "
                f"the session, found those of {sorted(self.key_shares)}"
            )

    @classmethod
    def of(
        cls,
        protocol: SecureSum,
        *,
        threshold: int,
        clients: tuple[int, ...] = CLIENTS,
        length: int = 40,
        context: bytes = b"",
        identified: bool = False,
        attached: tuple[Opening, ...] = (),
        committee: Committee | None = None,
        key_shares: Mapping[int, CommitteeShare] | None = None,
        unchecked: tuple[str, ...] = (),
        tolerated: int | None = None,
        expires: int | None = None,
        weights: tuple[int, ...] = (1,),
        batches: bool = False,
        now: float = 0.0,
    ) -> Self:
        """Return a scenario whose session has the first modulus of 2^16, 2^31 - 1, 2^61 - 1 and 65521 that fits.

        Args:
            protocol: The protocol.
            threshold: The smallest number of contributors whose sum may be released.
            clients: The ids of the clients.
            length: Number of coordinates of each vector, at least 3.
            context: The session's context.
            identified: Whether the session has a roster of identities, as a malicious server requires it.
            attached: The rules of the secrets that every client attaches.
            committee: The committee that opens the sum, if the protocol needs one.
            key_shares: Each committee member's key share.
            unchecked: As in the class.
            tolerated: As in the class.
            expires: The time at which the session expires, if the protocol needs one.
            weights: The weights that the session allows.
            batches: Whether the session has batches.
            now: As in the class.

        Raises:
            ParameterError: The protocol runs no such session.
        """
        for modulus in MODULI:
            session = Session(
                session_id=b"conformance of one sum",
                clients=clients,
                threshold=threshold,
                length=length,
                modulus=modulus,
                context=context,
                roster=fixed_roster(clients) if identified else None,
                attached=attached,
                committee=committee,
                expires=expires,
                weights=weights,
                batches=batches,
            )
            try:
                protocol.validate(session)
            except ParameterError as error:
                refused = error
                continue
            kind = "-identified" * identified + "-attached" * bool(attached)
            kind += "" if committee is None else f"-opened-by-{committee.key.members}"
            return cls(
                label=f"{protocol.name}-{len(clients)}-{threshold}{kind}",
                protocol=protocol,
                session=session,
                key_shares=key_shares or {},
                unchecked=unchecked,
                tolerated=tolerated,
                now=now,
            )
        raise refused

    @classmethod
    def suggested(cls, kind: type[SecureSum], **arguments: Any) -> Self:
        """Return eight clients with what the protocol suggests if one may be corrupt and one may drop out.

        Args:
            kind: The protocol's class.
            arguments: The same as those of `of`, except `threshold` and `clients`. The default of `tolerated` is 1.

        Raises:
            ParameterError: The protocol suggests nothing for such a cohort, or cannot run the session.
        """
        protocol, threshold = kind.suggest(clients=len(CLIENTS), adversarial=0.1, dropout=0.125)
        return cls.of(protocol, threshold=threshold, **{"tolerated": 1, **arguments})

    @property
    def parties(self) -> tuple[int, ...]:
        """All clients, and the committee members that are not clients."""
        return tuple(dict.fromkeys((*self.session.clients, *self.session.committee_members)))

    @property
    def codec(self) -> Codec:
        """The encoder and decoder of the session's messages, with the bounds that the machines use."""
        protocol, session = self.protocol, self.session
        return Codec(
            protocol.digest(session), protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
        )

    def asked(self, number: int) -> tuple[int, ...]:
        """Return the ids of the parties that a step asks if no party has dropped out."""
        return self.protocol.parties(self.session, self.protocol.steps[number].role)

    def ends(self, party: int) -> bool:
        """Return whether a party closes after its last step, as it does unless that step repeats."""
        last = [row for number, row in enumerate(self.protocol.steps) if party in self.asked(number)][-1]
        return not last.repeats

    def quorum(self, number: int) -> int:
        """Return how many of the parties that a step asks must answer."""
        return self.protocol.quorum(self.session, self.protocol.steps[number].role)

    def inputs(self, seed: int = 0) -> dict[int, Vector]:
        """Return a vector for each client, repeatable, with 0 as its first entry and modulus - 1 as its last."""
        session = self.session
        drawn = {}
        for client in session.clients:
            words = np.frombuffer(repeatable_entropy(b"input %d %d" % (seed, client))(8 * session.length), dtype="<u8")
            drawn[client] = words.astype(np.uint64) % np.uint64(min(session.modulus, 2**64 - 1))
            drawn[client][0], drawn[client][-1] = 0, session.modulus - 1
        return drawn

    def attached(self) -> dict[int, tuple[Any, ...]]:
        """Return each client's attached secrets."""
        return {client: attached_secrets(client, self.session) for client in self.session.clients}

    def terms(self, client: int, record: SessionRecord | None = None) -> ClientTerms | None:
        """Return a party's identity and terms as a client; None if it is not a client or the session has no roster.

        The client accepts what the session grants, and assumes that a tenth of the clients is corrupt.
        """
        session = self.session
        if session.roster is None or client not in session.clients:
            return None
        return ClientTerms(
            identity=fixed_identity(client),
            roster=session.roster,
            sessions=record or MemoryRecord(),
            adversarial=_ADVERSARIAL,
            minimum_contributors=session.threshold,
            committee=None if session.committee is None else session.committee.key,
        )

    def counted_as(self, client: int) -> bytes:
        """Return the identity under which a client's record counts its sessions."""
        return NO_IDENTITY if self.session.roster is None else fixed_identity(client).public

    def all_terms(self) -> dict[int, ClientTerms]:
        """Return each client's identity and terms; none if the session has no roster."""
        found = {client: self.terms(client) for client in self.session.clients}
        return {client: terms for client, terms in found.items() if terms is not None}

    def keyholder(self, party: int, openings: OpeningRecord | None = None) -> Keyholder | None:
        """Return a committee member's key share and rules; None if the party is not a committee member."""
        if party not in self.session.committee_members:
            return None
        return Keyholder(
            share=self.key_shares[party],
            openings=openings or MemoryOpenings(),
            minimum_contributors=self.session.threshold,
            roster=self.session.roster,
        )

    def keyholders(self) -> dict[int, Keyholder]:
        """Return each committee member's key share and rules, each with an empty record of openings."""
        found = {member: self.keyholder(member) for member in self.session.committee_members}
        return {member: keyholder for member, keyholder in found.items() if keyholder is not None}

    def client(
        self,
        client: int,
        vector: ArrayLike | None,
        entropy: Entropy,
        record: SessionRecord | None = None,
        openings: OpeningRecord | None = None,
        cap: int | None = None,
    ) -> Client:
        """Return one party's machine before its first step, with its own or other records.

        Without `record`, a client has a new record of sessions if the session has a roster, and otherwise none. Without
        `openings`, a committee member has a new record of openings, and a client has none.
        """
        return Client(
            self.protocol,
            self.session,
            client,
            vector,
            attached=attached_secrets(client, self.session) if client in self.session.clients else (),
            entropy=entropy,
            keyholder=self.keyholder(client, openings),
            openings=openings,
            clock=self.clock,
            **self._capped(client, record, cap),
        )

    def restored(
        self,
        client: int,
        data: bytes,
        entropy: Entropy,
        record: SessionRecord | None = None,
        openings: OpeningRecord | None = None,
        cap: int | None = None,
    ) -> Client:
        """Return a party's machine from a snapshot under `SNAPSHOT_KEY`, with records as in `client`."""
        return Client.restore(
            self.protocol,
            self.session,
            data,
            key=SNAPSHOT_KEY,
            entropy=entropy,
            keyholder=self.keyholder(client, openings),
            openings=openings,
            clock=self.clock,
            **self._capped(client, record, cap),
        )

    def clock(self) -> float:
        """Return the time of all parties."""
        return self.now

    def _capped(self, client: int, record: SessionRecord | None, cap: int | None) -> dict[str, Any]:
        """Return a client's terms with a cap; without terms, the record and the cap as they are."""
        terms = self.terms(client, record)
        if terms is not None:
            return {"terms": terms if cap is None else replace(terms, cap=cap)}
        return {"sessions": record, "cap": cap} if client in self.session.clients else {}

    def simulate(
        self,
        inputs: Mapping[int, ArrayLike],
        *,
        drops: Mapping[str, Collection[int]] | None = None,
        tap: Callable[[Transmission], None] | None = None,
        entropy: Entropy | None = None,
    ) -> Outcome:
        """Run one sum in memory with what the parties bring; repeatable unless another source of entropy is given."""
        return simulate(
            self.protocol,
            self.session,
            inputs,
            attached=self.attached(),
            terms=self.all_terms(),
            keyholders=self.keyholders(),
            drops=drops,
            tap=tap,
            entropy=entropy or repeatable_entropy(b"simulation"),
            now=self.clock,
        )

    def unchecked_in(self, number: int, reply: bytes) -> range:
        """Return the positions of a reply's bytes that nobody can check: see `unchecked`."""
        message = self.codec.decode(number, self.protocol.steps[number].reply, reply)
        for name in self.unchecked:
            if name in message.__struct_fields__:
                data = bytes(cast("bytes", getattr(message, name)))
                start = reply.index(data)
                return range(start, start + len(data))
        return range(0)
