"""The machine of the server, and the step that it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from protocols import snapshot
from protocols.codec import Codec, Message, Requests
from protocols.crypto import sealing
from protocols.crypto.entropy import Entropy, draw
from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import (
    DamagedSnapshot,
    OrderError,
    ParameterError,
    RemoteError,
    TooFewSurvivors,
)
from protocols.frames import FrameReader, is_first_step
from protocols.logger import LOGGER, listed, refusals_logged
from protocols.secure_sum import Again, Finish, SecureSum
from protocols.session import Session


@dataclass(frozen=True, slots=True)
class Continue:
    """The step to run next: its name, and a request for each party that it asks, by id."""

    step: str
    requests: Mapping[int, bytes]


class Server:
    """The server's side of one session.

    Call `start` once. Then, for each step, call `receive` with each reply that arrives, and call `advance` when
    `missing` is empty or the driver's deadline has passed.

    A session with batches has several sums. When one has ended, whether it was released or not, call `next_batch`: it
    opens the first step again. A client's reply to that step is taken in at any time, once for the session, and is in
    the batch whose first step ends next. So a client that is late for a batch does not send again.

    Args:
        protocol: The protocol.
        session: The session.
        total: Where the sum is put, for a long vector whose sum is in a file: zeros of shape `(length,)`, in the
            smallest words that hold the modulus, writeable and contiguous. `Finish.total` is then this array. Until the
            end it holds the running sum in a form of the protocol's. None for new memory.

    Raises:
        ParameterError: The protocol cannot run the session, or cannot put its sum there.
    """

    def __init__(self, protocol: SecureSum, session: Session, *, total: Words | None = None) -> None:
        SecureSum.validate(protocol, session)
        self._session = session
        self._digest = protocol.digest(session)
        self._steps = protocol.steps
        self._shards = protocol.shards
        self._quorums = [0 if row.repeats else protocol.quorum(session, row.role) for row in protocol.steps]
        self._codec = Codec(
            self._digest, protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
        )
        self._longest = [protocol.reply_limit(session, number) for number in range(len(protocol.steps))]
        self._party = protocol.server_party(session)
        self._between: Any = None  # The party, between two batches.
        self._mapped = total is not None
        if total is not None:
            self._put_total(protocol, total)
        self._number = -1
        self._turn = 0
        self._asked: frozenset[int] = frozenset()
        self._answered: set[int] = set()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a server holds secrets of clients, and two copies could tell clients different survivor sets, so it "
            "cannot be pickled or copied. Use `snapshot`."
        )

    def _put_total(self, protocol: SecureSum, total: Words) -> None:
        session = self._session
        if not protocol.takes_pieces:
            raise ParameterError(
                f"total: expected None, since {protocol.name} does not add vectors piece by piece, found an array. Use "
                "one of the protocols that docs/how-to/large-models.md names."
            )
        if session.batches:
            raise ParameterError(
                "total: expected None, since a session with batches has several sums, found an array. Use a session "
                "without batches for a sum in an array."
            )
        shape, word = (session.length,), word_dtype(session.modulus)
        usable = total.flags.writeable and total.flags.c_contiguous
        if (total.shape, total.dtype) != (shape, word) or not usable:
            kind = "" if usable else ", not writeable or not contiguous"
            raise ParameterError(
                f"total: expected a writeable, contiguous array of shape {shape} and type {word}, found shape "
                f"{total.shape} and type {total.dtype}{kind}. Make it with `numpy.zeros`, or map a file of zeros."
            )
        self._party.put_total(total)

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
            OrderError: No step is open, or the sum is in an array of the caller's.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        if self._mapped:
            raise OrderError("the sum is in an array of the caller's, which a snapshot does not hold")
        return snapshot.seal(
            -1,
            self._number,
            tuple(sorted(self._asked)),
            tuple(sorted(self._answered)),
            self._party.state,
            digest=self._digest,
            key=key,
            nonce=draw(entropy, sealing.NONCE_BYTES),
        )

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
        return self._ask(0, self._party.open())

    def next_batch(self) -> Continue:
        """Open the first step again, for a sum of clients that were in no batch so far.

        The requests are for the clients that have not handed in. They are the same as before: a client that works on
        one already needs no other. Clients of a batch that has failed after its first step are in no later one.

        Take a snapshot after this call. An older one would release the batch before it again, and nothing else. Keep
        each reply until a snapshot holds it, since clients do not send again.

        Raises:
            OrderError: No batch has ended, or the session has no batches.
        """
        if self._between is None:
            raise OrderError("no batch of a session with batches has ended. Call `advance` until one does.")
        self._party, self._between = self._between, None
        progress = self._ask(0, self._party.reopen())
        waiting = frozenset(self._party.waiting)
        self._asked, self._answered = self._asked | waiting, set(waiting)
        return progress

    def weigh(self, weights: Mapping[int, int]) -> None:
        """State public weights of clients: the numbers by which their vectors are multiplied in the sum.

        Call it in the first step, as often as needed. A client without a stated weight has the smallest weight of the
        session. The weights are fixed when the step ends. Snapshots hold them.

        Raises:
            OrderError: The first step is not open.
            ParameterError: The session has no weights, a client is not in it, or a weight is not one of the session's.
        """
        session = self._session
        if self._party is None or self._number != 0:
            raise OrderError("the first step is not open. State weights before `advance`.")
        if session.weights == (1,):
            raise ParameterError("weights: expected a session with weights, found one in which each vector counts once")
        if not weights.keys() <= set(session.clients):
            raise ParameterError("weights: expected those of clients of the session, found another party")
        if any(type(weight) is not int or weight not in session.weights for weight in weights.values()):
            raise ParameterError(f"weights: expected values of {session.weights}, found another")
        self._party.weigh(weights)

    @property
    def step(self) -> str | None:
        """The name of the step that is open; None before `start` and once the machine is closed."""
        return None if self._party is None or self._number < 0 else str(self._steps[self._number].name)

    @property
    def missing(self) -> frozenset[int]:
        """The ids of the parties that this step asks and that have not sent an acceptable reply."""
        return self._asked - self._answered

    @property
    def turn(self) -> int:
        """How many times this server has asked parties: a step, a step once more, or a batch. 0 before `start`."""
        return self._turn

    def frames(self, sender: int, frame: bytes) -> FrameReader:
        """Return a reader for the reply that a party begins with a frame, one of `Client.frames`.

        The driver keeps the payloads, and gives all of them together to `receive` once the reader is complete. So a
        reply of which a frame is missing or refused has changed nothing. A reader is for the `turn` in which it is
        made. In a session with batches, one for the first step may be used later, like a reply that is late.

        Raises:
            OrderError, ParameterError, RemoteError: As for `receive`: the party may not reply.
        """
        number = self._expected(sender, first=is_first_step(frame))
        return FrameReader(digest=self._digest, sender=sender, step=number, limit=self._longest[number])

    def receive(self, sender: int, reply: bytes | memoryview) -> None:
        """Take in one reply; the driver vouches for the sender's id.

        A view, of a file that the reply is in, must not change until the session is over.

        Raises:
            OrderError: No step is open.
            ParameterError: The sender is not an int.
            RemoteError: The sender was not asked, has already answered, or sent a bad reply. It is named as a culprit.
                The server's state is unchanged, and the step goes on. A late or repeated reply is no evidence of
                misbehaviour: do not ban clients for it. Any other error while a reply is taken in closes the server.
        """
        with refusals_logged(self._session.session_id, "a reply is refused"):
            self._take(sender, reply)

    def _take(self, sender: int, reply: bytes | memoryview) -> None:
        number = self._expected(sender, first=self._codec.is_of(0, reply))
        row = self._steps[number]
        try:
            row.absorb(self._party, sender, self._codec.decode(number, row.reply, reply))
        except RemoteError as error:
            raise type(error)(f"client {sender}, step {row.name}: {error}", culprits=[sender]) from error
        except BaseException:
            self._party = None  # The reply may have been taken in partly.
            raise
        if number == self._number:
            self._answered.add(sender)

    def _expected(self, sender: int, *, first: bool) -> int:
        """Return the number of the step to which a party may send a reply now.

        Args:
            sender: The party.
            first: Whether the reply looks like one to the first step. In a session with batches, a client's first such
                reply is taken in after that step too, for a later batch.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no step is open")
        if type(sender) is not int:
            raise ParameterError(f"sender: expected the party's id, an int, found {type(sender).__name__}")
        session = self._session
        may_be_late = session.batches and self._number > 0 and sender in session.clients
        if first and may_be_late and sender not in self._party.handed_in:
            return 0
        if sender not in self._asked:
            raise RemoteError(f"client {shown(sender)} was not asked in this step", culprits=[sender])
        if sender in self._answered:
            raise RemoteError(f"client {sender} has answered this step already", culprits=[sender])
        return self._number

    def merge(self, data: bytes, *, key: Secret) -> None:
        """Take in the replies to the first step that another machine of this session has taken in.

        So several processes can receive and check the replies of one session, each some of them. Only one of these
        machines may go on to the next step. The others must be dropped.

        Args:
            data: The other machine's snapshot, taken in the first step.
            key: The key of the snapshot.

        Raises:
            OrderError: The first step is not open.
            ParameterError: The protocol's replies cannot be taken in apart.
            DamagedSnapshot: The data is not such a snapshot of this session, or a party has answered both machines.
        """
        if self._party is None or self._number != 0:
            raise OrderError("the first step is not open. Merge machines before `advance`.")
        if not self._shards:
            raise ParameterError("protocol: expected one whose replies can be taken in apart, found another")
        kept = snapshot.unseal(data, digest=self._digest, key=key)
        if kept.owner != -1 or kept.number != 0 or frozenset(kept.asked) != self._asked:
            raise DamagedSnapshot("snapshot: expected a server's in the first step, found another.")
        if not self._answered.isdisjoint(kept.answered):
            raise DamagedSnapshot("snapshot: expected the replies of other parties, found a reply of the same one.")
        self._party.merge(snapshot.read_state(kept.state, type(self._party.state)))
        self._answered |= set(kept.answered)

    def advance(self) -> Continue | Finish:
        """End the step with the replies that have arrived, and return the next step's requests or the sum.

        Raises:
            OrderError: No step is open.
            TooFewSurvivors: Fewer parties answered than the step's quorum: the session's threshold for clients, the
                key's threshold for a committee. The server is then closed, unless the session has batches: the batch
                has then ended, and `next_batch` begins another.
            RemoteError: The replies together show misbehaviour. The server is then closed, with the same exception.
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
        self._between = party if self._session.batches else None
        row = self._steps[self._number]
        quorum, found = self._quorums[self._number], len(self._answered)
        if found < quorum:
            raise TooFewSurvivors(f"step {row.name}: expected at least {quorum} replies (the threshold), found {found}")
        outcome = row.close(party)
        if isinstance(outcome, Finish):
            return outcome if self._mapped else replace(outcome, total=outcome.total.astype(np.uint64, copy=False))
        self._party, self._between = party, None
        if isinstance(outcome, Again):
            return self._ask(self._number, outcome.requests)
        return self._ask(self._number + 1, outcome)

    def _ask(self, number: int, requests: Mapping[int, Message]) -> Continue:
        self._number = number
        self._turn += 1
        self._asked, self._answered = frozenset(requests), set()
        label, name = self._session.session_id.hex(), self._steps[self._number].name
        LOGGER.debug("session %s: step %s begins: %d parties are asked", label, name, len(requests))
        return Continue(name, Requests(self._codec, self._number, requests))
