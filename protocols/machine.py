"""The sans-IO core: the two machines that enforce every rule about order.

`Client` and `Server` turn bytes into calls of a protocol's parties, in the order of its table of steps, and close
for good on the first error (a server survives bad replies: it reports the sender and goes on).  Both can be kept
between steps and restored in another process.

Nothing here reads a clock, a socket or a source of randomness: all three belong to the driver.
"""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from protocols import snapshot
from protocols.admission import check_admission
from protocols.codec import Codec, Message
from protocols.crypto import sealing
from protocols.crypto.entropy import Entropy, checked, draw
from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import (
    DamagedSnapshot,
    InputError,
    OrderError,
    ParameterError,
    RemoteError,
    TooFewSurvivors,
)
from protocols.logger import LOGGER, listed, refusals_logged
from protocols.secure_sum import Finish, Role, SecureSum
from protocols.session import ATTACHED_BYTES, Participant, Session
from protocols.terms import ClientTerms, Keyholder


def _codec_of(protocol: SecureSum, session: Session, digest: bytes) -> Codec:
    return Codec(digest, protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire)


def _no_vector(session: Session) -> Words:
    return np.empty(0, dtype=word_dtype(session.modulus))


class Requests(Mapping[int, bytes]):
    """Requests by client id, each encoded when it is asked for: what they have in common is in memory once."""

    def __init__(self, codec: Codec, number: int, requests: Mapping[int, Message]) -> None:
        self._codec = codec
        self._number = number
        self._requests = dict(requests)

    def __getitem__(self, client: int) -> bytes:
        return self._codec.encode(self._number, self._requests[client])

    def __iter__(self) -> Iterator[int]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)


@dataclass(frozen=True, slots=True)
class Continue:
    """The step to run next: a request for each client asked."""

    step: str
    requests: Mapping[int, bytes]


class Client:
    """One party's side of one session: bytes in, bytes out, and closed after the first error.

    The party is one of the session's clients, or a member of its committee, or both.

    Args:
        protocol: The protocol that this party agreed to.
        session: The session that this party agreed to.
        client: Its own id.
        vector: Its input, shape `(length,)`, integers in [0, modulus); None for who is no client.
        attached: 32 bytes for each of the session's attached secrets.
        entropy: Its secret randomness, `os.urandom` outside tests.
        terms: A client's identity and terms; given if and only if the session has a roster, against a malicious server.
        keyholder: A committee member's share and rules; given if and only if the party is a committee member.

    Raises:
        ParameterError: The protocol cannot run the session, or the id is not in it.
        UnsafeSession: The session is not one that this client, by its own terms, takes part in.
        InputError: The vector is not acceptable.  In all of these cases nothing has been computed or sent.
    """

    def __init__(
        self,
        protocol: SecureSum,
        session: Session,
        client: int,
        vector: ArrayLike | None,
        *,
        entropy: Entropy,
        attached: Sequence[Secret] = (),
        terms: ClientTerms | None = None,
        keyholder: Keyholder | None = None,
    ) -> None:
        check_admission(protocol, session, client, terms=terms, keyholder=keyholder)
        if (vector is None) != (client not in session.clients):
            raise InputError("a client, and nobody else, brings a vector")
        expected = 0 if vector is None else len(session.attached)
        if len(attached) != expected:
            raise ParameterError(f"{len(attached)} attached secrets, where {expected} are expected")
        if any(type(each) is not Secret or len(each.reveal()) != ATTACHED_BYTES for each in attached):
            raise ParameterError(f"attached secrets must be Secrets of {ATTACHED_BYTES} bytes")
        participant = Participant(
            client=client,
            vector=_no_vector(session) if vector is None else session.checked(vector),
            attached=tuple(attached),
            terms=terms,
            keyholder=keyholder,
            entropy=checked(entropy),
        )
        self._join(protocol, session, participant)

    def _join(self, protocol: SecureSum, session: Session, participant: Participant) -> None:
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
        self._codec = _codec_of(protocol, session, self._digest)
        self._terms = participant.terms
        self._entropy = participant.entropy
        self._next = self._numbers[0]
        self._party = protocol.client_party(session, participant)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds its input and its secrets, and is not to be pickled or copied; see snapshot")

    @property
    def client(self) -> int:
        """Whose machine this is."""
        return self._client

    @property
    def step(self) -> str | None:
        """The step whose request comes next; None once the machine is closed."""
        return None if self._party is None else str(self._steps[self._next].name)

    @property
    def closed(self) -> bool:
        """Whether this machine will answer nothing more."""
        return self._party is None

    def handle(self, request: bytes) -> bytes:
        """Answer one request of the server.

        A request that is delivered twice closes the machine: a transport that may do so sorts out duplicates first, and
        sends the reply again that it has kept.

        Raises:
            OrderError: The machine is closed.
            SessionReused: This client has answered this session, or this step of it, before.
            RemoteError: The request is not the one this step may bring.

        Besides, whatever the client's session record raises where it cannot record.  After any error the machine is
        closed, its secrets are dropped, and nothing has been sent.
        """
        if self._party is None:
            raise OrderError("this client has closed; a new session needs a new machine")
        number, party, self._party = self._asked(request), self._party, None
        row = self._steps[number]
        try:
            message = self._codec.decode(number, row.request, request)
            if self._terms is not None and row.role is Role.CLIENT:  # a Keyholder has a record of its own
                self._terms.sessions.record(self._terms.identity.public, self._session.session_id, number)
            reply = self._codec.encode(number, row.answer(party, message))
        except BaseException as error:
            # The error's traceback holds on to the party and to every frame it has passed: neither is to hold secrets.
            vars(party).clear()
            traceback.clear_frames(error.__traceback__)
            raise
        later = [coming for coming in self._numbers if coming > number]
        if later:
            self._next, self._party = later[0], party
        LOGGER.debug("session %s: party %d answers step %s", self._session.session_id.hex(), self._client, row.name)
        return reply

    def _asked(self, request: bytes) -> int:
        """The step that comes next; or, of who is a client and a member, the committee's, with the client's missed."""
        role = self._steps[self._next].role
        others = [number for number in self._numbers if number > self._next and self._steps[number].role is not role]
        return next((number for number in others[:1] if self._codec.is_of(number, request)), self._next)

    def snapshot(self, key: Secret) -> bytes:
        """This machine between two steps, sealed under a key of 32 bytes; `restore` goes on from it.

        Take it after `handle` and keep it together with the reply, before that is sent: the reply is not in it.  With a
        `ClientTerms` a restored machine answers no step twice; without one nothing keeps an old snapshot from answering
        again, for another survivor set too, so restore none but the latest.

        Raises:
            OrderError: The machine is closed.
        """
        if self._party is None:
            raise OrderError("this client has closed, and there is nothing to keep")
        state = snapshot.write_state(self._party.state)
        kept = snapshot.Kept(self._client, self._next, (), (), state)
        return snapshot.seal(kept, digest=self._digest, key=key, nonce=self._entropy(sealing.NONCE_BYTES))

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
    ) -> "Client":
        """The machine that `snapshot` kept.

        Raises:
            ParameterError: As in the constructor.
            UnsafeSession: As in the constructor.
            DamagedSnapshot: The data is no client's snapshot of this session and protocol under this key.
        """
        protocol.validate(session)
        kept = snapshot.unseal(data, digest=protocol.digest(session), key=key)
        if kept.owner == -1:
            raise DamagedSnapshot("the snapshot of a server, where a client's is needed")
        machine = cls.__new__(cls)
        check_admission(protocol, session, kept.owner, terms=terms, keyholder=keyholder)
        participant = Participant(
            client=kept.owner,
            vector=_no_vector(session),
            attached=(),
            terms=terms,
            keyholder=keyholder,
            entropy=checked(entropy),
        )
        machine._join(protocol, session, participant)
        machine._party.state = snapshot.read_state(kept.state, type(machine._party.state))
        machine._next = kept.number
        return machine


class Server:
    """The server's side of one session.

    `start`, then for each step: `receive` what arrives, and `advance` when `missing` is empty or the driver's
    deadline has passed.
    """

    def __init__(self, protocol: SecureSum, session: Session) -> None:
        protocol.validate(session)
        self._session = session
        self._digest = protocol.digest(session)
        self._steps = protocol.steps
        self._quorums = [protocol.quorum(session, row.role) for row in protocol.steps]
        self._codec = _codec_of(protocol, session, self._digest)
        self._party = protocol.server_party(session)
        self._number = -1
        self._asked: frozenset[int] = frozenset()
        self._answered: set[int] = set()

    def snapshot(self, key: Secret, *, entropy: Entropy) -> bytes:
        """This machine in the middle of a step, sealed under a key of 32 bytes; `restore` goes on from it.

        Take it after `advance` and keep it together with the step's requests, before any of them is sent: they are not
        in it.  Later ones of the same step hold more replies.  Never go on from one that is older than a request that
        was sent: with other replies the server would tell clients different stories, and could be left with both
        secrets of one of them.

        Args:
            key: The key.
            entropy: A source of randomness, `os.urandom` outside tests.

        Raises:
            OrderError: No step is open.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        state = snapshot.write_state(self._party.state)
        kept = snapshot.Kept(-1, self._number, tuple(sorted(self._asked)), tuple(sorted(self._answered)), state)
        return snapshot.seal(kept, digest=self._digest, key=key, nonce=draw(entropy, sealing.NONCE_BYTES))

    @classmethod
    def restore(cls, protocol: SecureSum, session: Session, data: bytes, *, key: Secret) -> "Server":
        """The machine that `snapshot` kept.

        Raises:
            ParameterError: The protocol cannot run the session.
            DamagedSnapshot: The data is no server's snapshot of this session and protocol under this key.
        """
        machine = cls(protocol, session)
        kept = snapshot.unseal(data, digest=machine._digest, key=key)
        if kept.owner != -1:
            raise DamagedSnapshot("the snapshot of a client, where the server's is needed")
        machine._number, machine._asked, machine._answered = kept.number, frozenset(kept.asked), set(kept.answered)
        machine._party.state = snapshot.read_state(kept.state, type(machine._party.state))
        return machine

    def start(self) -> Continue:
        """The first step's requests.

        Raises:
            OrderError: The server has started before.
        """
        if self._number != -1:
            raise OrderError("this server has started already")
        return self._ask(self._party.open())

    @property
    def step(self) -> str | None:
        """The step that is open, if one is."""
        return None if self._party is None or self._number < 0 else str(self._steps[self._number].name)

    @property
    def missing(self) -> frozenset[int]:
        """Who was asked in this step and has not answered acceptably."""
        return self._asked - self._answered

    def receive(self, sender: int, reply: bytes) -> None:
        """Take in one reply; the driver vouches for the sender's id.

        Raises:
            OrderError: No step is open.
            ParameterError: The sender is no int.
            RemoteError: The sender was not asked, has answered already, or sent a bad reply.  The server's state is
                what it was before, and the step goes on.  A late or a repeated reply is refused like this too: it is
                named a culprit's, and no reason to ban anyone.  Any other error in the middle closes the server.
        """
        with refusals_logged(self._session.session_id, "a reply is refused"):
            self._take(sender, reply)

    def _take(self, sender: int, reply: bytes) -> None:
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        if type(sender) is not int:
            raise ParameterError(f"a sender is named by its id, an int, not by a {type(sender).__name__}")
        if sender not in self._asked:
            raise RemoteError(f"client {shown(sender)} was not asked in this step", culprits=[sender])
        if sender in self._answered:
            raise RemoteError(f"client {sender} has answered this step already", culprits=[sender])
        row = self._steps[self._number]
        try:
            row.absorb(self._party, sender, self._codec.decode(self._number, row.reply, reply))
        except RemoteError as error:
            raise type(error)(f"client {sender}, step {row.name}: {error}", culprits=[sender]) from error
        except BaseException:
            self._party = None  # half of the reply may have been taken in
            raise
        self._answered.add(sender)

    def advance(self) -> Continue | Finish:
        """End the step with the replies that have come.

        Raises:
            OrderError: No step is open.
            TooFewSurvivors: Fewer answered than the session's threshold.  The server is closed then.
            RemoteError: The replies together show misbehaviour.  The server is closed then.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        label, name, count = self._session.session_id.hex(), self.step, len(self._answered)
        LOGGER.debug("session %s: step %s ends: %d answered, missing %s", label, name, count, listed(self.missing))
        with refusals_logged(self._session.session_id, "no sum is released"):
            outcome = self._close()
        if isinstance(outcome, Finish):
            LOGGER.info("session %s: the sum of %d contributors is released", label, len(outcome.contributors))
        return outcome

    def _close(self) -> Continue | Finish:
        party, self._party = self._party, None
        row = self._steps[self._number]
        quorum = self._quorums[self._number]
        if len(self._answered) < quorum:
            raise TooFewSurvivors(f"step {row.name}: {len(self._answered)} answered, the threshold is {quorum}")
        outcome = row.close(party)
        if isinstance(outcome, Finish):
            return outcome
        self._party = party
        return self._ask(outcome)

    def _ask(self, requests: Mapping[int, Message]) -> Continue:
        self._number += 1
        self._asked, self._answered = frozenset(requests), set()
        label, name = self._session.session_id.hex(), self._steps[self._number].name
        LOGGER.debug("session %s: step %s begins: %d parties are asked", label, name, len(requests))
        return Continue(name, Requests(self._codec, self._number, requests))
