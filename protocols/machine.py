"""The sans-IO core: the two machines that enforce every rule about order.

Theory of operation:

A *session* is one secure sum. A *party* is a client, a member of the session's committee, or both. A *protocol*
(`protocols.secure_sum`) is a table of steps. In each step, the server sends one request to each party that the step
asks, and each of these parties sends one reply.

A protocol's classes for a party and for the server contain the cryptography: their methods take and return messages. A
machine decodes bytes, calls these methods in the order of the table, and encodes what they return. Each party runs a
`Client`, even if it is only a committee member; the server runs the `Server`. The program around a machine, the
*driver*, owns the network, the clock and the source of randomness. A machine uses none of them by itself:

    progress = server.start()                            # Continue: the first step's requests, by party id
    while isinstance(progress, Continue):
        send(progress.requests)                          # at each party: reply = client.handle(request)
        while server.missing and not deadline_passed():
            server.receive(*next_reply())                # RemoteError: this reply is refused; go on with the next
        progress = server.advance()                      # Continue: the next step's requests; or Finish: the sum

The machines enforce these rules:

- A client answers each step at most once, in order. A client that is a committee member too may miss the rest of its
  client steps: the first committee step is then accepted. A `Client` closes after its last step, and after any error.
- `Server.receive` refuses a bad, late or repeated reply. The server's state is unchanged, and the step goes on.
- `Server.advance` closes the server if fewer parties answered than the step's quorum, or if the replies together show
  misbehaviour. Otherwise it returns the next step's requests or, after the last step, the sum.
- A message of another session, of other parameters or of another step is refused (`protocols.codec`).

The server cannot see who sent a reply: the driver must give `receive` the id of an authenticated connection. A machine
can be kept between steps with `snapshot`, and restored in another process. The snapshot holds the party's `state` and
the machine's place in the table. Restore only the latest snapshot: an older one can reveal an input.
"""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from protocols import snapshot
from protocols.admission import check_admission
from protocols.codec import Codec, Message, Requests
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


@dataclass(frozen=True, slots=True)
class Continue:
    """The step to run next: its name, and a request for each party that it asks, by id."""

    step: str
    requests: Mapping[int, bytes]


class Client:
    """One party's side of one session: bytes in, bytes out, and closed after the first error.

    Args:
        protocol: The protocol that this party agreed to.
        session: The session that this party agreed to.
        client: The party's own id, that of a client of the session, of a member of its committee, or of both.
        vector: The party's input, shape `(length,)`, integers in [0, modulus); None if the party is not a client.
        attached: 32 bytes for each of the session's attached secrets.
        entropy: The party's secret randomness, `os.urandom` outside tests.
        terms: A client's identity and terms; given if and only if the session has a roster, against a malicious server.
        keyholder: A committee member's key share and rules; given if and only if the party is a committee member.

    Raises:
        ParameterError: The protocol cannot run the session, the id is not in it, or another argument does not fit it.
        UnsafeSession: The party's own terms do not allow it to take part in this session.
        InputError: The vector is not acceptable. In all of these cases nothing has been computed or sent.
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
            raise InputError("vector: expected one for a client, and None for any other party, found the opposite")
        expected = 0 if vector is None else len(session.attached)
        if len(attached) != expected:
            raise ParameterError(f"attached: expected {expected} secrets, found {len(attached)}")
        if any(type(each) is not Secret or len(each.reveal()) != ATTACHED_BYTES for each in attached):
            raise ParameterError(f"attached: expected Secrets of {ATTACHED_BYTES} bytes each, found another value")
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

    def handle(self, request: bytes) -> bytes:
        """Answer one request of the server.

        A request that is delivered twice closes the machine. A transport that can deliver duplicates must remove them
        first, and must send the reply again that it has kept.

        After any error the machine is closed, its secrets are dropped, and nothing has been sent. If the client's
        session record cannot record, its error is passed on.

        Raises:
            OrderError: The machine is closed.
            SessionReused: This client has answered this session, or this step of it, before.
            RemoteError: The request is not one that this step allows.
        """
        if self._party is None:
            raise OrderError("this client has closed. Make a new machine for a new session.")
        number, party, self._party = self._asked(request), self._party, None
        row = self._steps[number]
        try:
            message = self._codec.decode(number, row.request, request)
            if self._terms is not None and row.role is Role.CLIENT:  # A Keyholder has a record of its own.
                self._terms.sessions.record(self._terms.identity.public, self._session.session_id, number)
            reply = self._codec.encode(number, row.answer(party, message))
        except BaseException as error:
            # The error's traceback keeps the party and every frame that it passed alive: neither may hold secrets.
            vars(party).clear()
            traceback.clear_frames(error.__traceback__)
            raise
        later = [coming for coming in self._numbers if coming > number]
        if later:
            self._next, self._party = later[0], party
        LOGGER.debug("session %s: party %d answers step %s", self._session.session_id.hex(), self._client, row.name)
        return reply

    def _asked(self, request: bytes) -> int:
        """Return the next step; or the first later step of the party's other role, if the request is of that step."""
        role = self._steps[self._next].role
        others = [number for number in self._numbers if number > self._next and self._steps[number].role is not role]
        return next((number for number in others[:1] if self._codec.is_of(number, request)), self._next)

    def snapshot(self, key: Secret) -> bytes:
        """Return this machine between two steps, sealed under a key of 32 bytes; `restore` continues from it.

        Take the snapshot after `handle`, and keep it together with the reply before the reply is sent: the snapshot
        does not contain the reply. With a `ClientTerms`, a restored machine answers no step twice. Without one, nothing
        prevents an older snapshot from answering again, also for another survivor set. Restore only the latest
        snapshot. An older one can let the server compute a client's input.

        Raises:
            OrderError: The machine is closed.
        """
        if self._party is None:
            raise OrderError("this client has closed, so there is no state to keep in a snapshot")
        state = snapshot.write_state(self._party.state)
        kept = snapshot.KeptMachine(self._client, self._next, (), (), state)
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
        """Return the machine that `snapshot` kept.

        Raises:
            ParameterError, UnsafeSession: As in the constructor.
            DamagedSnapshot: The data is not a client's snapshot of this session and protocol under this key.
        """
        SecureSum.validate(protocol, session)
        kept = snapshot.unseal(data, digest=protocol.digest(session), key=key)
        if kept.owner == -1:
            raise DamagedSnapshot("snapshot: expected a client's, found a server's. Use `Server.restore`.")
        if kept.owner not in (*session.clients, *session.committee_members):
            raise snapshot.other_version("parties")
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
        if kept.number not in machine._numbers:
            raise snapshot.other_version("steps")
        machine._party.state = snapshot.read_state(kept.state, type(machine._party.state))
        machine._next = kept.number
        return machine


class Server:
    """The server's side of one session.

    Call `start` once. Then, for each step, call `receive` with each reply that arrives, and call `advance` when
    `missing` is empty or the driver's deadline has passed.
    """

    def __init__(self, protocol: SecureSum, session: Session) -> None:
        SecureSum.validate(protocol, session)
        self._session = session
        self._digest = protocol.digest(session)
        self._steps = protocol.steps
        self._quorums = [protocol.quorum(session, row.role) for row in protocol.steps]
        self._codec = _codec_of(protocol, session, self._digest)
        self._party = protocol.server_party(session)
        self._number = -1
        self._asked: frozenset[int] = frozenset()
        self._answered: set[int] = set()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a server holds secrets of clients, and two copies could tell clients different survivor sets, so it "
            "cannot be pickled or copied. Use `snapshot`."
        )

    def snapshot(self, key: Secret, *, entropy: Entropy) -> bytes:
        """Return this machine in the middle of a step, sealed under a key of 32 bytes; `restore` continues from it.

        Take the snapshot after `advance`, and keep it together with the step's requests before any of them is sent: the
        snapshot does not contain them. Later snapshots of the same step hold more replies. Never continue from a
        snapshot that is older than a request that was sent. With other replies the server would tell clients different
        survivor sets, and could then hold both secrets of one client.

        Args:
            key: The key, 32 bytes.
            entropy: A source of randomness, `os.urandom` outside tests.

        Raises:
            OrderError: No step is open.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        state = snapshot.write_state(self._party.state)
        kept = snapshot.KeptMachine(-1, self._number, tuple(sorted(self._asked)), tuple(sorted(self._answered)), state)
        return snapshot.seal(kept, digest=self._digest, key=key, nonce=draw(entropy, sealing.NONCE_BYTES))

    @classmethod
    def restore(cls, protocol: SecureSum, session: Session, data: bytes, *, key: Secret) -> "Server":
        """Return the machine that `snapshot` kept.

        Raises:
            ParameterError: The protocol cannot run the session.
            DamagedSnapshot: The data is not a server's snapshot of this session and protocol under this key.
        """
        machine = cls(protocol, session)
        kept = snapshot.unseal(data, digest=machine._digest, key=key)
        if kept.owner != -1:
            raise DamagedSnapshot("snapshot: expected the server's, found a client's. Use `Client.restore`.")
        if not 0 <= kept.number < len(machine._steps):
            raise snapshot.other_version("steps")
        asked, answered = frozenset(kept.asked), set(kept.answered)
        if not answered <= asked <= set(protocol.parties(session, machine._steps[kept.number].role)):
            raise snapshot.other_version("parties")
        machine._number, machine._asked, machine._answered = kept.number, asked, answered
        machine._party.state = snapshot.read_state(kept.state, type(machine._party.state))
        return machine

    def start(self) -> Continue:
        """Return the first step's requests, or raise `OrderError` if the server has already started."""
        if self._number != -1:
            raise OrderError("this server has already started. Call `advance` to end a step.")
        return self._ask(self._party.open())

    @property
    def step(self) -> str | None:
        """The name of the step that is open; None before `start` and once the machine is closed."""
        return None if self._party is None or self._number < 0 else str(self._steps[self._number].name)

    @property
    def missing(self) -> frozenset[int]:
        """The ids of the parties that this step asks and that have not sent an acceptable reply."""
        return self._asked - self._answered

    def receive(self, sender: int, reply: bytes) -> None:
        """Take in one reply; the driver vouches for the sender's id.

        Raises:
            OrderError: No step is open.
            ParameterError: The sender is not an int.
            RemoteError: The sender was not asked, has already answered, or sent a bad reply. It is named as a culprit.
                The server's state is unchanged, and the step goes on. A late or repeated reply is no evidence of
                misbehaviour: do not ban clients for it. Any other error while a reply is taken in closes the server.
        """
        with refusals_logged(self._session.session_id, "a reply is refused"):
            self._take(sender, reply)

    def _take(self, sender: int, reply: bytes) -> None:
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        if type(sender) is not int:
            raise ParameterError(f"sender: expected the party's id, an int, found {type(sender).__name__}")
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
            self._party = None  # The reply may have been taken in partly.
            raise
        self._answered.add(sender)

    def advance(self) -> Continue | Finish:
        """End the step with the replies that have arrived, and return the next step's requests or the sum.

        Raises:
            OrderError: No step is open.
            TooFewSurvivors: Fewer parties answered than the step's quorum: the session's threshold for clients, the
                key's threshold for a committee. The server is then closed.
            RemoteError: The replies together show misbehaviour. The server is then closed.
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
        quorum, found = self._quorums[self._number], len(self._answered)
        if found < quorum:
            raise TooFewSurvivors(f"step {row.name}: expected at least {quorum} replies (the threshold), found {found}")
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
