"""One session as a node sees it: what an offer says, built and checked with what the node's home holds.

Adversary: a coordinator that may offer anything. Nothing of an offer is used that the home has itself: the roster, the
committee's key or its pin, the node's terms.

A session that has expired is refused before anything is reserved or recorded, and again when the machine is made. The
machine's clock then stands still until it has answered: a session that has not expired when a step is recorded has not
expired when the step is answered either.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from dp.events import PrivacyEvent
from protocols import Client, ClientTerms, Keyholder, Role, Secret, Session
from protocols.admission import check_admission
from protocols.codec import Codec
from protocols.crypto.entropy import Entropy
from protocols.errors import MalformedMessage
from secagg.aggregation.contribution import Contribution
from secagg.aggregation.mean import SecureMean
from secagg.engines.node.home import Home
from secagg.engines.wire.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSession:
    """A session that a node was offered, and the node's part in it.

    Attributes:
        home: The node's home, whose records are open.
        offer: The offer.
        mean: The mean that the offer describes.
        session: The session that the offer describes.
    """

    home: Home = field(repr=False)
    offer: Offer
    mean: SecureMean
    session: Session

    @classmethod
    def of(cls, home: Home, offer: Offer) -> "NodeSession":
        """Return the session that an offer describes, with the identities and the committee's key of the home.

        Raises:
            PolicyRefusal: It has more clients or coordinates than the policy allows; nothing has been built.
            MalformedMessage: It describes none.
        """
        home.policy.check_size(clients=len(offer.clients), shapes=offer.shapes)
        mean, session = offer.build(home.roster, home.committee_key)
        return cls(home=home, offer=offer, mean=mean, session=session)

    @property
    def is_client(self) -> bool:
        """Whether the node has an input."""
        return self.home.node in self.session.clients

    @property
    def is_member(self) -> bool:
        """Whether the node is a member of the committee."""
        return self.home.node in self.session.committee_members

    @property
    def first_step(self) -> int:
        """The number of the first step that asks the node, which is a party of the session."""
        asking = (row for row in self.mean.protocol.steps if self._is_asked(row.role))
        return self.mean.protocol.steps.index(next(asking))

    def check_policy(self) -> None:
        """Check the session with the node's policy, and with the number of sessions that count already.

        Raises:
            PolicyRefusal: The policy does not allow it.
            StoreError: The record of sessions cannot be read.
        """
        home = self.home
        home.policy.check(self.mean, self.session, roster=home.roster, node=home.node)
        if self.is_client:
            home.policy.check_participations(home.sessions.participations(home.identity.public))

    def check_terms(self) -> None:
        """Check the session with the terms of each part that the node has in it.

        Raises:
            UnsafeSession: The node's own terms do not allow it.
            ParameterError: The node lacks what its part needs, such as a share of the committee's key.
            KeyFileError: A member by replicated seeds lacks the key of the session's epoch.
            SessionExpired: The session has expired, or a key of its committee is not valid at this time.
        """
        check_admission(
            self.mean.protocol,
            self.session,
            self.home.node,
            terms=self._terms(),
            keyholder=self._keyholder(),
            openings=self.home.openings,
        )
        self.mean.protocol.check_time(self.session, self.home.now())

    def event(self) -> PrivacyEvent | None:
        """Return what the node reserves in its own ledger for this session; None if its policy has no budget."""
        return self.home.policy.event(self.mean, self.session, roster=self.home.roster)

    @property
    def label(self) -> str:
        """The label of what the node reserves: the session's id, and a digest of the node's key and the offer.

        A coordinator may offer one id twice, and nodes may share a ledger. So the id alone names no cost.
        """
        digest = hashlib.sha256(self.home.identity.public + self.offer.to_bytes())  # The key is always 32 bytes.
        return f"session {self.session.session_id.hex()} {digest.hexdigest()}"

    def check_first_request(self, body: bytes) -> None:
        """Check that a body is a whole request of this session, in the first step that asks the node.

        Raises:
            MalformedMessage: It is not, or the parties differ on the session.
        """
        step = self.first_step
        self._codec().decode(step, self.mean.protocol.steps[step].request, body)

    def check_request(self, step: int, body: bytes) -> None:
        """Check that a body begins like a machine's request of this session, in a step that asks the node.

        Raises:
            MalformedMessage: It does not, or the parties differ on the session.
        """
        steps = self.mean.protocol.steps
        asks = step < len(steps) and self._is_asked(steps[step].role)
        if not asks or not self._codec().is_of(step, body):
            raise MalformedMessage(
                f"message: expected one of this session, for this node in step {step}, found another"
            )

    def may_follow(self, machine: Client, step: int) -> bool:
        """Return whether a step is the machine's next one, or a later one of the node's other role, as for `Client`."""
        steps = self.mean.protocol.steps
        coming = [row.name for row in steps].index(str(machine.step))
        return step == coming or (step > coming and steps[step].role is not steps[coming].role)

    def is_recorded_by_machine(self, step: int) -> bool:
        """Return whether the machine itself records a step before it answers.

        It records a client's step if the session has a roster. As a committee member it records in the home's record of
        openings what it agrees to open. That record refuses a second sum of the session. The same statement by
        replicated seeds may be signed again, so a node that was killed after the record still has the same answer.
        """
        row = self.mean.protocol.steps[step]
        return row.reveals is not None if row.role is Role.COMMITTEE else self.session.roster is not None

    def is_repeated(self, step: int) -> bool:
        """Whether a step may be answered again, with the same reply to the same request. It is not recorded.

        The committee member has recorded in an earlier step what it says in this one.
        """
        return self.mean.protocol.steps[step].repeats

    def record(self, step: int) -> None:
        """Record a step that the machine does not record itself, and count the session if the step sends the update.

        Raises:
            SessionReused: The step, or a later one, was recorded before.
            ParticipationRefused: The session does not count yet, and as many others do as the policy's cap says.
            UnsafeSession: The node has sent its input to another committee under the session's context, or where no
                committee opens the sum.
            StoreError: It is not certain that the step was recorded.
        """
        row = self.mean.protocol.steps[step]
        self._note(step, vector=row.sends_vector, cap=self.home.policy.cap if row.role is Role.CLIENT else None)

    def join(self) -> None:
        """Record the first step for a committee member that is no client: a record of a session begins with it.

        Raises:
            SessionReused, UnsafeSession, StoreError: As for `record`.
        """
        self._note(0, vector=False, cap=None)

    def _note(self, step: int, *, vector: bool, cap: int | None) -> None:
        session = self.session
        self.home.sessions.record(
            self.home.identity.public,
            session.session_id,
            step,
            vector=vector,
            cap=cap,
            context=session.context,
            committee=b"" if session.committee is None else session.committee.key.pin,
        )

    def machine(self, contribution: Contribution | None, *, entropy: Entropy) -> Client:
        """Return the node's machine before its first step; the contribution is None if the node has no input."""
        return Client(
            self.mean.protocol,
            self.session,
            self.home.node,
            None if contribution is None else contribution.vector,
            attached=() if contribution is None else contribution.attached,
            entropy=entropy,
            terms=self._terms(),
            keyholder=self._keyholder(),
            openings=self.home.openings,
            clock=self._stopped_clock(),
        )

    def restored(self, snapshot: bytes, *, key: Secret, entropy: Entropy) -> Client:
        """Return the node's machine as a snapshot has kept it.

        Raises:
            DamagedSnapshot: The snapshot is not one of this session under this key.
            UnsafeSession: The node's terms have changed, and do not allow the session any more.
            SessionExpired: The session has expired, or a key of its committee is not valid any more.
        """
        return Client.restore(
            self.mean.protocol,
            self.session,
            snapshot,
            key=key,
            entropy=entropy,
            terms=self._terms(),
            keyholder=self._keyholder(),
            openings=self.home.openings,
            clock=self._stopped_clock(),
        )

    def _stopped_clock(self) -> Callable[[], float]:
        now = self.home.now()
        return lambda: now

    def _codec(self) -> Codec:
        protocol, session = self.mean.protocol, self.session
        return Codec(
            protocol.digest(session), protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
        )

    def _is_asked(self, role: Role) -> bool:
        return self.home.node in self.mean.protocol.parties(self.session, role)

    def _terms(self) -> ClientTerms | None:
        if self.session.roster is None or not self.is_client:
            return None
        return ClientTerms(
            identity=self.home.identity,
            roster=self.home.roster,
            sessions=self.home.sessions,
            adversarial=self.home.policy.adversarial,
            minimum_contributors=self.home.policy.least_contributors,
            committee=self.home.committee_key,
            cap=self.home.policy.cap,
        )

    def _keyholder(self) -> Keyholder | None:
        committee = self.session.committee
        share = None if committee is None or not self.is_member else self.home.share_of(committee.key)
        if share is None:
            return None
        return Keyholder(
            share=share,
            openings=self.home.openings,
            minimum_contributors=self.home.policy.least_contributors,
            roster=None if self.session.roster is None else self.home.roster,
        )
