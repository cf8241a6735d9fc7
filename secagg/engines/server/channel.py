"""The engine over a channel: a secure sum between machines, by any transport that carries bytes to nodes and back.

A transport of one's own is a `Channel`, a class of one method. `ChannelEngine` makes it an `Engine`: it drives the
protocol's `Server` step by step, signs what it asks, and takes in replies as they arrive.

Adversary: nodes that send anything, and a transport that loses, damages, repeats or mixes up what it carries. Both make
nodes drop out; no reply counts under another id, in another step or in another session. A transport that forges replies
on purpose can send under every id what a corrupt node can send, so the connection to each node has to be authenticated.
What the server itself may do is the protocol's.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Protocol

from dp.checks import printable
from protocols.crypto.entropy import Entropy
from protocols.errors import TooFewSurvivors
from protocols.machine import Continue, Server
from protocols.secure_sum import Finish
from secagg.checks import check_integer, shown
from secagg.engines.base import RoundPlan, RoundResult, ServerSide
from secagg.engines.findings import Findings
from secagg.engines.server.channel_step import ChannelStep, Clock, Tap
from secagg.engines.server.opening_state import OpeningState, opening_steps
from secagg.engines.server.reply_intake import Intake, ReplyIntake
from secagg.engines.server.reply_workers import ReplyWorkers
from secagg.engines.server.round_tally import RoundTally
from secagg.engines.server.sealed_requests import StepSealer
from secagg.engines.wire.offer import Offer
from secagg.errors import ConfigurationError
from secagg.transcripts.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Failure:
    """What a channel gives in the place of a reply that will not come.

    Attributes:
        reason: 1 to 200 printable characters, for the log and the counts. Failures of one kind have one reason.

    Raises:
        ConfigurationError: The reason is not such a text.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason or printable(self.reason) != self.reason:
            raise ConfigurationError(
                f"reason of a failure: expected 1 to 200 printable characters, found {shown(self.reason)}. Name the "
                "kind of the failure."
            )


class Channel(Protocol):
    """A way to exchange bytes with nodes. It vouches for which node has sent what, and for nothing else.

    It may have an attribute `group`, an int or None: how many nodes it can ask at once, if that is fewer than all.
    """

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """Send each node its parcel, and yield what comes back, with the id of the node that it came from.

        The iterator ends when nothing more will come, and at the deadline. What comes back from an earlier exchange may
        be yielded too. The engine stops reading when it waits for nobody any more, and calls `close` if there is one.

        Args:
            parcels: By id, what to send. A parcel is made when it is read: read it when it is sent, and do not keep it.
                Several threads may read. After the exchange, reading raises `protocols.errors.OrderError`.
            deadline: When to give up, by the engine's clock.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChannelEngine:
    """The engine over a channel; see `Engine`. It reserves nothing, and keeps nothing between rounds.

    Each step asks each of its parties once. It ends when nobody is missing, when the channel has nothing more to give,
    or after `step_s` seconds, with the replies that are there. If the channel takes groups, each group has an equal
    share of the time that is left.

    The costs that it reports are those of the server and of the wire. The bytes are those of all parcels, without the
    work that clients train on. What clients compute is not known here.

    Attributes:
        channel: The transport.
        clock: A clock in seconds that never goes back, such as `time.monotonic`.
        step_s: The seconds after which a step ends without the replies that are missing.
        recorder: The recorder of a transcript, which records the server's view. A round that goes on from an opening is
            not recorded: its session stays in the transcript as the first process has left it.
        workers: Processes that take in the replies to the first step, for protocols whose sums can be taken apart;
            None to do it here.
        entropy: The randomness of the snapshots' keys and nonces; `os.urandom` outside tests.

    Raises:
        ConfigurationError: `step_s` is not a number above 0.
    """

    channel: Channel
    _: KW_ONLY
    clock: Clock
    step_s: float
    recorder: Recorder | None = field(default=None, repr=False)
    workers: ReplyWorkers | None = field(default=None, repr=False)
    entropy: Entropy = os.urandom

    def __post_init__(self) -> None:
        if type(self.step_s) not in (int, float) or not 0 < self.step_s < float("inf"):
            raise ConfigurationError(
                f"step_s: expected a number of seconds above 0, found {shown(self.step_s)}. Give one."
            )

    def check(self, plan: RoundPlan) -> None:
        """Check that such a round can be offered. Nothing is sent, and what nodes refuse is not known. See `Engine`.

        Raises:
            ConfigurationError: The plan has no keys of the server, or cannot be written as an offer.
        """
        _server_side(plan)
        _offer(plan)

    def run(self, plan: RoundPlan) -> RoundResult:
        """Run one round up to the sum; see `Engine` and `secagg.engines.base.ServerSide`.

        Raises:
            ConfigurationError: See `check`.
            DamagedSnapshot: The opening is not one of this plan.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour. Its `culprits` are those whom
                the protocol can name.
        """
        tally = RoundTally(self.clock, plan.session.session_id.hex())
        running = _Round(engine=self, plan=plan, side=_server_side(plan), offer=_offer(plan), tally=tally)
        try:
            finish = self._recorded(running)
        except TooFewSurvivors as error:
            return tally.result(withheld=str(error))
        return replace(
            tally.result(),
            total=finish.total,
            contributors=finish.contributors,
            attached=finish.attached,
            findings=Findings.of(finish),
        )

    def _recorded(self, running: "_Round") -> Finish:
        """Run a round, and record it if there is a recorder."""
        if self.recorder is None or running.side.opening is not None:
            return running.run(None)
        with self.recorder.session(running.plan.mean.protocol, running.plan.session) as record:
            finish = running.run(record)
            self.recorder.end(finish)
        return finish


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Round:
    """One round under way."""

    engine: ChannelEngine
    plan: RoundPlan
    side: ServerSide
    offer: bytes
    tally: RoundTally

    def run(self, record: Tap | None) -> Finish:
        """Run all steps of the session. From the first one that opens, each begins when its opening is kept."""
        server, progress = self._begun()
        opening, kept = opening_steps(self.plan.mean.protocol), self.side.opening is not None
        while isinstance(progress, Continue):
            if progress.step in opening and not kept:
                self.side.keep(self._opening(server, progress))
            progress, kept = self._step(server, progress, record), False
        return progress

    def _begun(self) -> tuple[Server, Continue | Finish]:
        """Return the server and its first step, which is the one of the opening if there is an opening."""
        with self.tally.working():
            if self.side.opening is not None:
                return OpeningState.from_bytes(self.side.opening).restored(self.plan, key=self.side.sealing)
            server = Server(self.plan.mean.protocol, self.plan.session)
            return server, server.start()

    def _intake(self, server: Server, number: int, parties: tuple[int, ...], *, recorded: bool) -> Intake:
        """Return the intake of a step: workers, if there are any and they can take part in it."""
        protocol, session, workers = self.plan.mean.protocol, self.plan.session, self.engine.workers
        if workers is not None and number == 0 and protocol.shards:
            return workers.intake(
                self.plan, server, asked=frozenset(parties), keep_bodies=recorded, entropy=self.engine.entropy
            )
        return ReplyIntake(
            server=server,
            asked=frozenset(parties),
            serial=self.plan.serial,
            number=number,
            limit=protocol.reply_limit(session, number),
        )

    def _opening(self, server: Server, asking: Continue) -> bytes:
        with self.tally.working():
            state = OpeningState.of(server, asking, key=self.side.sealing, entropy=self.engine.entropy)
            return state.to_bytes()

    def _step(self, server: Server, asking: Continue, record: Tap | None) -> Continue | Finish:
        """Ask the parties of one step, take in their replies, and end the step."""
        deadline = self.engine.clock() + self.engine.step_s
        number = [row.name for row in self.plan.mean.protocol.steps].index(asking.step)
        with self.tally.working():
            sealer = StepSealer(self.plan, number, identity=self.side.identity, offer=self.offer)
        parties = tuple(party for party in asking.requests if party not in self.side.ignored)
        with self.tally.working():
            intake = self._intake(server, number, parties, recorded=record is not None)
        step = ChannelStep(
            server=server,
            asking=asking,
            parties=parties,
            sealer=sealer,
            intake=intake,
            exchange=self.engine.channel.exchange,
            clock=self.engine.clock,
            deadline=deadline,
            tally=self.tally,
            record=record,
        )
        step.run(_group(self.engine.channel))
        del step, sealer
        with self.tally.working():
            return server.advance()


def _server_side(plan: RoundPlan) -> ServerSide:
    if plan.server is None:
        raise ConfigurationError(
            "plan: expected one with the server's keys, which sign every request, found none. Give the Coordinator a "
            "folder."
        )
    return plan.server


def _offer(plan: RoundPlan) -> bytes:
    return Offer.of(plan.mean, plan.session, plan.serial, plan.work.digest()).to_bytes()


def _group(channel: Channel) -> int | None:
    group = getattr(channel, "group", None)
    return group if group is None else check_integer("group of a channel", group, minimum=1)
