"""One session, party by party, with a tape for each party: every request and reply, and what came out.

A party's replies follow from its input, its tape and the requests that it receives. So a party can be run again alone,
with the recorded requests. If its replies are the recorded ones, then the whole session is the recorded one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from protocols import Client, Continue, Finish, ProtocolError, RemoteError, Role, Server, Transmission
from secagg.audit.seeds import Tape
from secagg.audit.sums.cohort import Cohort

MakeTape = Callable[[int], Tape]
"""Returns the tape of a party, by its id."""


class Watcher:
    """What is told of a session while it is recorded; each method may be overridden."""

    def asked(self, client: Client, request: Transmission) -> None:
        """Take note that a party is about to handle a request."""

    def received(self, server: Server, reply: Transmission) -> bytes:
        """Take note that the server is about to receive a reply, and return what it shall receive."""
        del server
        return reply.data

    def refused(self, error: ProtocolError) -> None:
        """Take note of the error with which a party or the server has refused a message."""

    def closing(self, server: Server) -> None:
        """Take note that the server is about to close a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A session.

    Attributes:
        cohort: The protocol, the session and the parties' secrets.
        inputs: Each client's vector, by id.
        tapes: Each party's tape as it is after the session, by id.
        view: Every request and reply, in order.
        finish: The sum; None if the session was stopped before its end.
    """

    cohort: Cohort
    inputs: Mapping[int, ArrayLike] = field(repr=False)
    tapes: Mapping[int, Tape]
    view: tuple[Transmission, ...]
    finish: Finish | None

    def requests(self, party: int) -> tuple[Transmission, ...]:
        """Return the requests that a party received, in order."""
        return tuple(each for each in self.view if each.receiver == party)

    def replies(self, party: int) -> tuple[Transmission, ...]:
        """Return the replies that a party sent, in order."""
        return tuple(each for each in self.view if each.sender == party)

    @property
    def active(self) -> tuple[int, ...]:
        """The parties that sent a reply."""
        return tuple(party for party in self.cohort.parties if self.replies(party))


def tapes_of(seed: bytes) -> MakeTape:
    """Return fresh tapes: that of a party depends on the seed and on its id alone."""
    return lambda party: Tape(seed, f"party {party}")


def record(
    cohort: Cohort,
    inputs: Mapping[int, ArrayLike],
    tape_of: MakeTape,
    *,
    drops: Mapping[str, Collection[int]] | None = None,
    watcher: Watcher | None = None,
    members: int | None = None,
) -> Recorded:
    """Run one session and record it. In each step, parties are asked in the order in which the server names them.

    Args:
        cohort: The protocol, the session and the parties' secrets.
        inputs: Each client's vector, by id.
        tape_of: Returns each party's tape, once for each party.
        drops: By step name, the parties that never answer from this step on.
        watcher: What is told of the session.
        members: The number of committee members that answer in the first step that asks the committee, after which the
            session is stopped; None to carry it out to its end.

    Raises:
        ProtocolError: The session ended without a sum.
    """
    watcher = Watcher() if watcher is None else watcher
    tapes = {party: tape_of(party) for party in cohort.parties}
    machines = {party: cohort.client(party, inputs.get(party), tapes[party]) for party in cohort.parties}
    server, view, gone = cohort.server(), list[Transmission](), set[int]()
    roles = {row.name: row.role for row in cohort.protocol.steps}
    progress: Continue | Finish = server.start()
    while isinstance(progress, Continue):
        stops = members is not None and roles[progress.step] is Role.COMMITTEE
        gone |= set((drops or {}).get(progress.step, ()))
        asked = [party for party in progress.requests if party not in gone]
        for party in progress.requests:
            view.append(Transmission(progress.step, None, party, progress.requests[party]))
            if party not in (asked[:members] if stops else asked):
                continue
            reply = _answer(server, machines[party], view[-1], watcher)
            if reply is None:
                gone.add(party)
            else:
                view.append(reply)
        if stops:
            return Recorded(cohort=cohort, inputs=inputs, tapes=tapes, view=tuple(view), finish=None)
        watcher.closing(server)
        progress = server.advance()
    return Recorded(cohort=cohort, inputs=inputs, tapes=tapes, view=tuple(view), finish=progress)


def replayed(recorded: Recorded, party: int, tape: Tape) -> Iterator[bytes]:
    """Run one party alone with the recorded requests, and yield its replies. It ends early if the party refuses."""
    machine = recorded.cohort.client(party, recorded.inputs.get(party), tape)
    for request in recorded.requests(party)[: len(recorded.replies(party))]:
        if machine.closed:
            return
        try:
            yield machine.handle(request.data)
        except RemoteError:
            return


def _answer(server: Server, machine: Client, request: Transmission, watcher: Watcher) -> Transmission | None:
    """Let a party answer and the server take it in; return the reply, or None if either refuses."""
    watcher.asked(machine, request)
    try:
        data = machine.handle(request.data)
        reply = Transmission(request.step, machine.client, None, data)
        server.receive(machine.client, watcher.received(server, reply))
    except RemoteError as error:
        watcher.refused(error)
        return None
    return reply
