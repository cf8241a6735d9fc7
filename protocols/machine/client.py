"""The machine of one party: a client, a committee member, or both."""

import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NoReturn

from numpy.typing import ArrayLike

from protocols import frames, snapshot
from protocols.admission import check_admission, check_attached, check_reader
from protocols.codec import Codec, Message
from protocols.crypto import sealing
from protocols.crypto.entropy import Entropy, checked
from protocols.crypto.secret import Secret
from protocols.errors import (
    DamagedSnapshot,
    InputError,
    OrderError,
)
from protocols.logger import LOGGER
from protocols.pieces import VectorReader
from protocols.replay import NO_IDENTITY, OpeningRecord, SessionRecord, client_key
from protocols.secure_sum import Role, SecureSum
from protocols.session import Participant, Session
from protocols.terms import ClientTerms, Keyholder


class Client:
    """One party's side of one session: bytes in, bytes out, and closed after the first error.

    Args:
        protocol: The protocol that this party agreed to.
        session: The session that this party agreed to.
        client: The party's own id, that of a client of the session, of a member of its committee, or of both.
        vector: The party's input, shape `(length,)`, integers in [0, modulus); or a `VectorReader`, from which a long
            input is read piece by piece, once now and once in `frames`; None if the party is not a client.
        attached: 32 bytes for each of the session's attached secrets.
        entropy: The party's secret randomness, `os.urandom` outside tests.
        terms: A client's identity and terms; given if and only if the session has a roster, against a malicious server.
        keyholder: A committee member's key share and rules; given if and only if the party is a committee member.
        openings: The record of the sums that the party has helped to open as a client. With one, the client never
            helps to open two sums of one context whose contributors differ in few clients: see `protocols.replay`. It
            must be the keyholder's record if there is a keyholder, who keeps one in any case. Without one, nothing is
            compared.
        sessions: The record of the sessions of a client without terms, whose session has no roster; a `ClientTerms` has
            its own. With one, the client answers no step twice, and the record counts its sessions. It is the record of
            this client alone: all of its sessions without a roster count together, whatever id it has in them. So two
            clients of one session need two records.
        cap: The most sessions of that record that may count, at least 1; None for any number. A `ClientTerms` has its
            own.
        clock: The party's clock, in seconds since 1970-01-01 00:00 UTC. It is read in a session that expires.

    Raises:
        ParameterError: The protocol cannot run the session, the id is not in it, or another argument does not fit it.
        UnsafeSession: The party's own terms do not allow it to take part in this session.
        SessionExpired: The session has expired, or a key in it is not valid at this time.
        InputError: The vector is not acceptable. In all of these cases nothing has been computed or sent.
    """

    def __init__(
        self,
        protocol: SecureSum,
        session: Session,
        client: int,
        vector: ArrayLike | VectorReader | None,
        *,
        entropy: Entropy,
        attached: Sequence[Secret] = (),
        terms: ClientTerms | None = None,
        keyholder: Keyholder | None = None,
        openings: OpeningRecord | None = None,
        sessions: SessionRecord | None = None,
        cap: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_admission(
            protocol,
            session,
            client,
            terms=terms,
            keyholder=keyholder,
            openings=openings,
            sessions=sessions,
            cap=cap,
        )
        protocol.check_time(session, clock())
        if (vector is None) != (client not in session.clients):
            raise InputError("vector: expected one for a client, and None for any other party, found the opposite")
        check_attached(attached, expected=0 if vector is None else len(session.attached))
        words, reader = session.no_vector(), None
        if isinstance(vector, VectorReader):
            check_reader(protocol, session, vector)
            reader = vector
        elif vector is not None:
            words = session.checked(vector)
        participant = Participant(
            client=client,
            vector=words,
            reader=reader,
            attached=tuple(attached),
            terms=terms,
            keyholder=keyholder,
            entropy=checked(entropy),
        )
        self._join(protocol, session, participant, openings, sessions, cap, clock)

    def _join(
        self,
        protocol: SecureSum,
        session: Session,
        participant: Participant,
        openings: OpeningRecord | None,
        sessions: SessionRecord | None,
        cap: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._protocol = protocol
        self._clock = clock
        self._session = session
        self._client = participant.client
        self._steps = protocol.steps
        asking = (
            number
            for number, row in enumerate(protocol.steps)
            if participant.client in protocol.parties(session, row.role)
        )
        self._numbers = tuple(asking)
        self._digest = protocol.digest(session)
        self._codec = Codec(
            self._digest, protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
        )
        self._terms = participant.terms
        self._openings = openings
        self._sessions, self._cap = sessions, cap
        self._entropy = participant.entropy
        self._next = self._numbers[0]
        self._unread = participant.reader is not None
        self._ended = False
        self._party = protocol.client_party(session, participant)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds its input and its secrets, so it cannot be pickled or copied. Use `snapshot`.")

    @property
    def client(self) -> int:
        """The id of the party whose machine this is."""
        return self._client

    @property
    def step(self) -> str | None:
        """The step whose request comes next; None once the machine is closed."""
        return None if self._party is None else str(self._steps[self._next].name)

    @property
    def closed(self) -> bool:
        """Whether this machine has closed and refuses every further request."""
        return self._party is None

    def close(self) -> None:
        """Close this machine and drop the party with its secrets. It refuses every further request (`OrderError`).

        A machine whose last step repeats stays open, and holds what that step needs. Call this when the session has
        expired or the sum is known. Closing twice is harmless. Frames that are still read end with an `OrderError`, and
        their party is dropped then.
        """
        self._ended = True
        party, self._party = self._party, None
        if party is not None:
            vars(party).clear()

    def handle(self, request: bytes) -> bytes:
        """Answer one request of the server.

        A request that is delivered twice closes the machine. A transport that can deliver duplicates must remove them
        first, and must send the reply again that it has kept.

        After any error the machine is closed, its secrets are dropped, and nothing has been sent. If the client's
        session record cannot record, its error is passed on.

        Raises:
            OrderError: The machine is closed.
            SessionExpired: The session has expired, or a key in it is not valid any more.
            SessionReused: This client has answered this session, or this step of it, before.
            ParticipationRefused: The client's cap is reached, by other sessions than this one.
            UnsafeOpening: The reply would help to open a sum whose contributors differ in too few clients from those of
                an earlier sum of the same context.
            RemoteError: The request is not one that this step allows.
        """
        number, party = self._taken(request)
        if self._unread and self._steps[number].sends_vector:
            vars(party).clear()
            raise OrderError(
                "vector: expected an array for a reply in one piece, found a VectorReader. Use `frames` for it."
            )
        try:
            reply = self._codec.encode(number, self._answer(number, party, request))
        except BaseException as error:
            _forget(party, error)
            raise
        self._go_on(number, party)
        return reply

    def frames(self, request: bytes) -> Iterator[bytes]:
        """Answer one request of the server with frames of at most about 1 MiB, which `Server.frames` reads.

        Everything that `handle` checks and records has been checked and recorded when this method returns; only the
        reply is made while the frames are read. If the protocol makes the step's reply piece by piece (`Step.streams`),
        no more than a few frames are in memory. Until all frames are read, the machine is closed. If they are not all
        read, it stays closed, and the server does not count the reply.

        Raises:
            ProtocolError: As for `handle`. An error while the frames are read closes the machine too.
        """
        number, party = self._taken(request)
        try:
            pieces = self._reply_in_pieces(number, party, request)
        except BaseException as error:
            _forget(party, error)
            raise
        return self._framed(number, party, pieces)

    def _framed(self, number: int, party: Any, pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
        try:
            for frame in frames.cut(pieces, digest=self._digest, sender=self._client, step=number):
                if self._ended:
                    raise OrderError("this client was closed before its frames were read. Make a new machine.")
                yield frame
        except BaseException as error:  # Also if the frames are not read to the end.
            _forget(party, error)
            raise
        self._go_on(number, party)

    def _taken(self, request: bytes) -> tuple[int, Any]:
        """Return the number of the step that a request asks for, and the party, which the machine gives away."""
        if self._party is None:
            raise OrderError("this client has closed. Make a new machine for a new session.")
        number, party, self._party = self._asked(request), self._party, None
        return number, party

    def _go_on(self, number: int, party: Any) -> None:
        """Take the party back after its reply, unless that was its last one."""
        if any(row.sends_vector for row in self._steps[: number + 1]):
            self._unread = False
        open_steps = [coming for coming in self._numbers if coming + self._steps[number].repeats > number]
        if open_steps:
            self._next, self._party = open_steps[0], party
        name = self._steps[number].name
        LOGGER.debug("session %s: party %d answers step %s", self._session.session_id.hex(), self._client, name)

    def _checked(self, number: int, request: bytes) -> Message:
        """Return the message of a request, once the step that it asks for may be answered and is recorded."""
        row = self._steps[number]
        message: Message = self._codec.decode(number, row.request, request)
        self._protocol.check_time(self._session, self._clock())
        if row.role is Role.CLIENT:  # A Keyholder has a record of its own.
            self._record_step(number, vector=row.sends_vector)
        return message

    def _reply_in_pieces(self, number: int, party: Any, request: bytes) -> Iterator[bytes | memoryview]:
        row = self._steps[number]
        streams = None if row.reveals is not None and row.role is Role.CLIENT else row.streams
        if streams is None:
            return iter((self._codec.encode(number, self._answer(number, party, request)),))
        return self._codec.encode_stream(number, streams(party, self._checked(number, request)))

    def _answer(self, number: int, party: Any, request: bytes) -> Message:
        """Answer one request. All that an error must not keep alive is in this frame and in those below it."""
        row, message = self._steps[number], self._checked(number, request)
        answer: Message = row.answer(party, message)
        if row.reveals is not None and row.role is Role.CLIENT:  # A Keyholder has recorded what its member opens.
            self._record_opening(row.reveals(party, message))
        return answer

    def _record_step(self, number: int, *, vector: bool) -> None:
        """Note the step that this client is about to answer, and that the session counts if the vector is sent."""
        terms = self._terms
        sessions, cap = (self._sessions, self._cap) if terms is None else (terms.sessions, terms.cap)
        if sessions is not None:
            identity = NO_IDENTITY if terms is None else terms.identity.public
            committee = self._session.committee
            sessions.record(
                identity,
                self._session.session_id,
                number,
                vector=vector,
                cap=cap,
                context=self._session.context,
                committee=b"" if committee is None else committee.key.pin,
            )

    def _record_opening(self, contributors: Collection[int]) -> None:
        """Note the sum that this client is about to help to open, after all checks of the request have passed."""
        if self._openings is None:
            return
        terms, session = self._terms, self._session
        self._openings.record(
            key=client_key(self._client, None if terms is None else terms.identity.public),
            session_id=session.session_id,
            context=session.context,
            contributors=tuple(sorted(contributors)),
            minimum=session.threshold if terms is None else max(session.threshold, terms.minimum_contributors),
        )

    def _asked(self, request: bytes) -> int:
        """Return the step that a request is of, if the party may answer it now, and otherwise the next one.

        These are the next step; the first later step of the party's other role; and in a session with batches, for a
        committee member, the first step of the committee, with which each batch begins.
        """
        role = self._steps[self._next].role
        if self._session.batches:
            members = [number for number in self._numbers if self._steps[number].role is Role.COMMITTEE]
            if members and self._codec.is_of(members[0], request):
                return members[0]
        others = [number for number in self._numbers if number > self._next and self._steps[number].role is not role]
        return next((number for number in others[:1] if self._codec.is_of(number, request)), self._next)

    def snapshot(self, key: Secret) -> bytes:
        """Return this machine between two steps, sealed under a key of 32 bytes; `restore` continues from it.

        Take the snapshot after `handle`, and keep it together with the reply before the reply is sent: the snapshot
        does not contain the reply. With a `ClientTerms`, or with `sessions`, a restored machine answers no step twice.
        With `openings`, it reveals for one set of contributors only. Without all of them, nothing prevents an older
        snapshot from answering again, also for another survivor set. Restore only the latest snapshot. An older one
        can let the server compute a client's input.

        Raises:
            OrderError: The machine is closed, or has not yet sent a vector that it reads piece by piece.
        """
        if self._party is None:
            raise OrderError("this client has closed, so there is no state to keep in a snapshot")
        if self._unread:
            raise OrderError("this client reads its vector piece by piece. Take a snapshot after it has sent it.")
        nonce = self._entropy(sealing.NONCE_BYTES)
        return snapshot.seal(
            self._client, self._next, (), (), self._party.state, digest=self._digest, key=key, nonce=nonce
        )

    @classmethod
    def restore(
        cls,
        protocol: SecureSum,
        session: Session,
        data: bytes,
        *,
        key: Secret,
        entropy: Entropy,
        terms: ClientTerms | None = None,
        keyholder: Keyholder | None = None,
        openings: OpeningRecord | None = None,
        sessions: SessionRecord | None = None,
        cap: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> "Client":
        """Return the machine that `snapshot` kept; its terms, keyholder and records are not in the snapshot.

        Raises:
            ParameterError, UnsafeSession, SessionExpired: As in the constructor.
            DamagedSnapshot: The data is not a client's snapshot of this session and protocol under this key.
        """
        SecureSum.validate(protocol, session)
        kept = snapshot.unseal(data, digest=protocol.digest(session), key=key)
        if kept.owner == -1:
            raise DamagedSnapshot("snapshot: expected a client's, found a server's. Use `Server.restore`.")
        if kept.owner not in (*session.clients, *session.committee_members):
            raise snapshot.other_version("parties")
        machine = cls.__new__(cls)
        check_admission(
            protocol,
            session,
            kept.owner,
            terms=terms,
            keyholder=keyholder,
            openings=openings,
            sessions=sessions,
            cap=cap,
        )
        protocol.check_time(session, clock())
        participant = Participant(
            client=kept.owner,
            vector=session.no_vector(),
            attached=(),
            terms=terms,
            keyholder=keyholder,
            entropy=checked(entropy),
        )
        machine._join(protocol, session, participant, openings, sessions, cap, clock)
        if kept.number not in machine._numbers:
            raise snapshot.other_version("steps")
        machine._party.state = snapshot.read_state(kept.state, type(machine._party.state))
        machine._next = kept.number
        return machine


def _forget(party: Any, error: BaseException) -> None:
    """Clear a party, and the frames that an error has passed: the traceback keeps both alive."""
    vars(party).clear()
    traceback.clear_frames(error.__traceback__)
