"""A node that is killed before and after each of its writes, and a coordinator that makes the most of it.

The home's records are in memory. They keep what was synced, and lose what was not. The live session is in real files of
a folder that a power cut empties. After every crash the node starts again and gets the same parcel again, and after
every answer it gets that parcel once more, and a rival: the request of the same step that would follow if one other
client had dropped out. Then the coordinator makes a second attempt at the same work, without that client.
"""

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

from dp.events import PrivacyEvent
from protocols import MemoryOpenings, MemoryRecord
from protocols.testing import repeatable_entropy
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station
from secagg.engines.server.opening_state import opening_steps
from secagg.engines.wire.parcel import Refusal, Reply, open_reply
from tests.conformance.cohorts import remembering
from tests.support import committee_keys
from tests.support.stations import MEMBERS, Attempt, Cohort, training

OTHER: Final = 7
"""The client that is missing from the rival requests, and from the second attempt."""

INPUTS: Final = ("mask_input", "encrypt_input")
"""The steps in which a client sends its input; who answers is a contributor."""


class Killed(BaseException):
    """The end of the process, at a point of the schedule."""


class Broken(Exception):
    """An invariant that does not hold."""


class Fate(StrEnum):
    """What a crash leaves."""

    KILL = "the process is killed"
    POWER_CUT = "the live folder and what was not synced are lost"
    OLDER_LIVE = "the live folder is as it was one step before"
    RESTORED = "the record is as it was one step before"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a node that a variant leaves out.

    Attributes:
        records: Whether the home records steps.
        syncs: Whether the record of steps is synced.
        in_memory: Whether the live folder is in memory; otherwise a restored home has an older one too.
        counts: Whether a session is counted with its step; otherwise when the next parcel comes.
    """

    records: bool = True
    syncs: bool = True
    in_memory: bool = True
    counts: bool = True


@dataclass
class Records:
    """What is in the folder `record` of a home."""

    steps: dict[bytes, int] = field(default_factory=dict)
    openings: list[tuple[bytes, bytes, tuple[int, ...], bytes]] = field(default_factory=list)
    reserved: list[str] = field(default_factory=list)
    counted: set[bytes] = field(default_factory=set)

    def copy(self) -> "Records":
        return Records(dict(self.steps), list(self.openings), list(self.reserved), set(self.counted))


class Disk:
    """The records of a home, and the points at which its process ends. It stands for both stores of the home.

    Attributes:
        records: What is in the files.
        points: How many points were passed: one before each write, one after it, and one after each answer.
    """

    def __init__(self, rules: Rules, crashes: Iterable[int]) -> None:
        self.rules = rules
        self.records = Records()
        self.points = 0
        self._crashes = frozenset(crashes)
        self._synced: dict[bytes, int] = {}
        self._late: list[bytes] = []
        self.openings = _Openings(self)

    def write(self, apply: Callable[[], object]) -> None:
        """Change a file, unless the process ends before; it may end after it too."""
        self.pass_point()
        apply()
        self.pass_point()

    def pass_point(self) -> None:
        self.points += 1
        if self.points - 1 in self._crashes:
            self._late.clear()  # It was in memory.
            raise Killed

    def lose_unsynced(self) -> None:
        if not self.rules.syncs:
            self.records.steps.clear()
            self.records.counted.clear()

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `SessionRecord.record`."""
        if not self.rules.records:
            return
        before = MemoryRecord()
        for counted in self.records.counted - {session_id}:
            before.record(identity, counted, 0, vector=True)
        for step in range(self.records.steps.get(session_id, -1) + 1):
            before.record(identity, session_id, step, vector=session_id in self.records.counted)
        # It refuses what a record refuses.
        before.record(identity, session_id, number, vector=vector, cap=cap, context=context, committee=committee)

        def apply() -> None:
            self.records.steps[session_id] = number
            if vector and self.rules.counts:
                self.records.counted.add(session_id)

        self.write(apply)
        if vector and not self.rules.counts:
            self._late.append(session_id)

    def latest(self, identity: bytes) -> bytes | None:
        """See `SessionStore.latest`."""
        self.records.counted.update(self._late)
        return max(self.records.steps, default=None)

    def participations(self, identity: bytes) -> int:
        """See `SessionStore.participations`."""
        return len(self.records.counted)

    def reserve(self, label: str) -> None:
        if label not in self.records.reserved:
            self.write(lambda: self.records.reserved.append(label))


class _Openings:
    """The home's record of openings."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),
        batches: bool = False,
    ) -> None:
        """See `OpeningRecord.record`."""
        opened = self._disk.records.openings
        before = MemoryOpenings()
        for its_session, its_context, its_contributors, its_root in opened:
            before.record(
                key=key,
                session_id=its_session,
                context=its_context,
                contributors=its_contributors,
                minimum=minimum,
                root=its_root,
            )
        before.record(
            key=key, session_id=session_id, context=context, contributors=contributors, minimum=minimum, root=root
        )
        row = session_id, context, contributors, root
        if row not in opened:
            self._disk.write(lambda: opened.append(row))


class MemoryHome(Home):
    """A home whose records are in memory; everything else is read from its files."""

    disk: Disk

    @contextlib.contextmanager
    def lock(self, timeout_s: float = 0.0, clock: object = None) -> Iterator[Any]:
        yield self

    @property
    def sessions(self) -> Any:
        return self.disk

    @property
    def openings(self) -> Any:
        return self.disk.openings

    def reserve(self, event: PrivacyEvent, label: str) -> None:
        self.disk.reserve(label)


@dataclass(frozen=True)
class Stage:
    """A step of an attempt, as far as the node is concerned.

    Attributes:
        parcel: What the node gets; None if the step does not ask it.
        rival: What it would get if `OTHER` had dropped out, or had not; None in the first step.
        session_id: The id of the session.
        opens: Whether this is a step in which parties open a sum, or agree on the one that they open.
        last: Whether this is the last step.
        ended: Whether the attempt is at its end.
    """

    parcel: bytes | None
    rival: bytes | None
    session_id: bytes
    opens: bool
    last: bool
    ended: bool


@dataclass(frozen=True, kw_only=True)
class _Position:
    """An open step of an attempt.

    Attributes:
        attempt: The attempt, whose server has every reply but those of the node and of `OTHER`.
        asked: What each other party has been asked so far.
        last: The reply of `OTHER`, if it is asked.
    """

    attempt: Attempt
    asked: dict[int, tuple[bytes, ...]]
    last: dict[int, bytes]


class Play:
    """One cohort, of which one party is the node that crashes.

    Everything random is a function of the parcel and of how often the node was started. So attempts in which it has
    answered the same are computed once.
    """

    def __init__(self, folder: Path, cohort: Cohort, party: int, cap: int = 2) -> None:
        self.cohort = cohort
        self.party = party
        self.cap = cap
        self.home = MemoryHome.open(cohort.make_home(folder, party, cap=cap).path, wall_clock=cohort.wall_clock)
        if cohort.needs_committee and not cohort.of_seeds:
            self.home.committee_key = committee_keys.threshold_key(arithmetic=remembering())
            if party in MEMBERS:
                self.home.share = committee_keys.key_shares(arithmetic=remembering())[MEMBERS.index(party)]
        self._stages: dict[tuple[int, tuple[bytes | None, ...]], Stage] = {}
        self._open: dict[tuple[int, tuple[bytes | None, ...]], tuple[Attempt, dict[int, tuple[bytes, ...]]]] = {}
        self._positions: dict[tuple[int, tuple[bytes | None, ...]], _Position] = {}
        self._ended = False
        self._replies: dict[tuple[int, int, tuple[bytes, ...]], bytes] = {}

    @contextlib.contextmanager
    def _counting_renames(self) -> Iterator[None]:
        """Count the writes of the live file too."""
        real = os.replace

        def replace_file(source: Any, target: Any) -> None:
            self.home.disk.write(lambda: real(source, target))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", replace_file)
            yield

    def run(self, crashes: Iterable[int] = (), fate: Fate = Fate.KILL, rules: Rules = Rules()) -> int:
        """Play two attempts with crashes at these points, and return how many points were passed.

        Raises:
            Broken: An invariant does not hold.
        """
        disk = self.home.disk = Disk(rules, crashes)
        shutil.rmtree(self.home.live, ignore_errors=True)
        node = Node(self, fate)
        with self._counting_renames():
            self._attempt(node, 1)
            opened = bool(disk.records.openings)
            self._attempt(node, 2, whole=opened or not node.starts or disk.points <= max(crashes, default=0))
        node.check_reservations()
        return disk.points

    def _attempt(self, node: "Node", serial: int, *, whole: bool = True) -> None:
        history: tuple[bytes | None, ...] = ()
        starts = node.starts
        while not (stage := self._stage(serial, history)).ended:
            body = None
            if stage.parcel is not None:
                node.keep_copies()
                reply = node.deliver(stage.parcel, stage)
                node.deliver(stage.parcel, stage)
                if stage.rival is not None:
                    node.deliver(stage.rival, stage)
                if reply.refusal is not None:
                    node.check_refusal(reply, stage, crashed=node.starts > starts)
                    return
                body = reply.body
                if not whole:
                    return
            history += (body,)

    def _stage(self, serial: int, history: tuple[bytes | None, ...]) -> Stage:
        key = (serial, history)
        if key not in self._stages:
            before = self._stages.get((serial, history[:-1]))
            if history and before is not None and before.last and self._ended:
                # What the server makes of the replies to the last step is seen once: the node has no part in it.
                self._stages[key] = replace(before, ended=True)
            else:
                self._stages[key] = self._played(serial, history)
        return self._stages[key]

    def _played(self, serial: int, history: tuple[bytes | None, ...]) -> Stage:
        attempt, rival, asked = self.cohort.attempt(serial), None, dict[int, tuple[bytes, ...]]()
        names = [row.name for row in attempt.mean.protocol.steps]
        if history:
            before = self._position(serial, history[:-1])
            mine = {} if history[-1] is None else {self.party: history[-1]}
            drops, asked = serial == 2 and names[before.attempt.step] in INPUTS, before.asked
            attempt, rival = before.attempt.fork(), before.attempt.fork()
            attempt.advance(mine if drops else mine | before.last)
            rival.advance(mine | before.last if drops else mine)
        self._open[serial, history] = attempt, asked
        self._ended |= not attempt.requests
        return Stage(
            parcel=attempt.parcel(self.party) if self.party in attempt.requests else None,
            rival=rival.parcel(self.party) if rival is not None and self.party in rival.requests else None,
            session_id=attempt.session.session_id,
            opens=bool(attempt.requests) and names[attempt.step] in opening_steps(attempt.mean.protocol),
            last=attempt.step == len(names) - 1,
            ended=not attempt.requests,
        )

    def _position(self, serial: int, history: tuple[bytes | None, ...]) -> _Position:
        """Return an open step, in which the server has received the replies of the other parties but `OTHER`."""
        key = (serial, history)
        if key not in self._positions:
            attempt, before = self._open[key]
            others = {party: request for party, request in attempt.requests.items() if party != self.party}
            asked = before | {party: (*before.get(party, ()), request) for party, request in others.items()}
            replies = {party: self._reply(serial, attempt, party, asked[party]) for party in others}
            last = {OTHER: replies.pop(OTHER)} if OTHER in replies else {}
            for party, reply in replies.items():
                attempt.server.receive(party, reply)
            self._positions[key] = _Position(attempt=attempt, asked=asked, last=last)
        return self._positions[key]

    def _reply(self, serial: int, attempt: Attempt, party: int, asked: tuple[bytes, ...]) -> bytes:
        """Return the last reply of another party that was asked all this; it is a function of that."""
        key = (serial, party, asked)
        if key not in self._replies:
            machine = replace(attempt, machines={}).machine(party)
            for request in asked:
                self._replies[key] = machine.handle(request)
        return self._replies[key]


class Node:
    """The node that crashes, and what it has said.

    Attributes:
        starts: How often it was started again.
    """

    def __init__(self, play: Play, fate: Fate) -> None:
        self.starts = 0
        self._play = play
        self._home = play.home
        self._fate = fate
        self._said: dict[tuple[bytes, int], bytes] = {}
        self._sent: set[bytes] = set()
        self._opened = False
        self._copies: list[tuple[Records, bytes | None]] = []
        self._seed = b""
        self._draw = repeatable_entropy(b"")
        self._station = self._started()

    def keep_copies(self) -> None:
        """Keep a copy of the record and of the live session, as a backup would."""
        live = self._home.live / "session"
        self._copies = [
            *self._copies[-1:],
            (self._home.disk.records.copy(), live.read_bytes() if live.exists() else None),
        ]

    def deliver(self, parcel: bytes, stage: Stage) -> Reply:
        """Let the node answer a parcel, as often as it takes."""
        while True:
            try:
                self._draw = repeatable_entropy(b"%d" % self.starts + hashlib.sha256(parcel).digest())
                reply = open_reply(self._station.answer(parcel, training(self._play.party)), 10**7)
                break
            except Killed:
                self._restart()
        self._opened |= bool(self._home.disk.records.openings)
        if reply.refusal is None:
            self._check_said(reply, stage)
        try:
            self._home.disk.pass_point()
        except Killed:
            self._restart()
        return reply

    def check_refusal(self, reply: Reply, stage: Stage, *, crashed: bool) -> None:
        """Check that a node drops out only because of a crash, of what it has opened, or of its cap."""
        unsafe = reply.refusal is Refusal.POLICY and stage.opens and self._opened
        others = self._home.disk.records.counted - {stage.session_id}
        full = reply.refusal is Refusal.POLICY and len(others) >= self._play.cap
        if not unsafe and not full and not (crashed and reply.refusal is Refusal.ANSWERED):
            raise Broken(f"step {reply.step} of serial {reply.serial} is refused as {reply.refusal}")

    def check_reservations(self) -> None:
        """Check that nothing was reserved twice."""
        reserved = self._home.disk.records.reserved
        if len(set(reserved)) != len(reserved) or len(reserved) > 2 * self._play.cohort.private:
            raise Broken(f"{len(reserved)} reservations")

    def _check_said(self, reply: Reply, stage: Stage) -> None:
        records = self._home.disk.records
        first = self._said.setdefault((stage.session_id, reply.step), reply.body)
        if reply.body != first:
            raise Broken(f"step {reply.step} of serial {reply.serial} is answered in two ways")
        if self._fate is Fate.RESTORED:
            return  # What was reserved and opened is lost, which is why such a home must get a new identity.
        label = f"session {stage.session_id.hex()} "
        if self._play.cohort.private and not any(each.startswith(label) for each in records.reserved):
            raise Broken(f"serial {reply.serial} is answered and not reserved")
        if self._play.cohort.mean.protocol.steps[reply.step].sends_vector:
            self._sent.add(stage.session_id)
        if not self._sent <= records.counted or len(records.counted) > self._play.cap:
            raise Broken(f"{len(self._sent)} vectors are sent, and {len(records.counted)} are counted")
        if not stage.opens:
            return
        if stage.session_id not in [session_id for session_id, *_ in records.openings]:
            raise Broken(f"the sum of serial {reply.serial} is opened and not recorded")
        least = self._play.cohort.mean.minimum_contributors
        for one, other in itertools.combinations(records.openings, 2):
            if one[1] == other[1] and 0 < len({*one[2]} ^ {*other[2]}) < least:
                raise Broken("two sums of the same inputs differ in few clients")

    def _started(self) -> Station:
        return Station(self._home, entropy=lambda size: self._draw(size))

    def _restart(self) -> None:
        disk, live = self._home.disk, self._home.live
        records, session = self._copies[0]
        if self._fate is Fate.POWER_CUT:
            shutil.rmtree(live, ignore_errors=True)
            disk.lose_unsynced()
        if self._fate is Fate.RESTORED:
            disk.records = records.copy()
        if self._fate is Fate.OLDER_LIVE or (self._fate is Fate.RESTORED and not disk.rules.in_memory):
            (live / "session").unlink(missing_ok=True)
            if session is not None:
                (live / "session").write_bytes(session)
        self.starts += 1
        self._station = self._started()
