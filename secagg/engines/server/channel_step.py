"""One step of a round over a channel: all of its parties are asked, and their replies are taken in as they arrive."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from protocols import Transmission
from protocols.machine import Continue, Server
from secagg.engines.server.reply_intake import Drop, Intake, Taken
from secagg.engines.server.round_tally import RoundTally
from secagg.engines.server.sealed_requests import SealedRequests, StepSealer

Clock = Callable[[], float]
Tap = Callable[[Transmission], None]


class Lost(Protocol):
    """What stands for a reply that will not come."""

    @property
    def reason(self) -> str:
        """Why it will not come."""
        ...


Exchange = Callable[[Mapping[int, bytes], float], Iterator[tuple[int, bytes | Lost]]]
"""The method of a channel; see `secagg.engines.server.channel.Channel`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStep:
    """One step.

    Attributes:
        server: The protocol's server, with the step open.
        asking: The step, and its requests.
        parties: The parties to ask.
        sealer: The signer of the requests.
        intake: The intake of the replies.
        exchange: The channel's method.
        clock: A clock in seconds.
        deadline: When the step ends.
        tally: The tally of the round.
        record: Called with every message that the protocol's server sends or is given; None without a transcript.
    """

    server: Server
    asking: Continue
    parties: tuple[int, ...]
    sealer: StepSealer
    intake: Intake
    exchange: Exchange
    clock: Clock
    deadline: float
    tally: RoundTally
    record: Tap | None

    def run(self, group: int | None) -> None:
        """Ask all parties, at most `group` of them at once; return when nobody is missing, or at the deadline."""
        if self.record is not None:
            for party, body in self.asking.requests.items():
                self.record(Transmission(self.asking.step, None, party, body))
        size = group or max(len(self.parties), 1)
        groups = [self.parties[start : start + size] for start in range(0, len(self.parties), size)]
        asking = self.asking
        with self.tally.step(asking.step, asked=len(asking.requests), missing=lambda: self.server.missing):
            for index, asked in enumerate(groups):
                left = self.deadline - self.clock()
                if left <= 0:
                    break
                self._ask(asked, self.deadline - left * (1 - 1 / (len(groups) - index)))
            self._note(self.intake.settle())
            with self.tally.working():
                self.intake.close()

    def _ask(self, parties: tuple[int, ...], until: float) -> None:
        """Exchange the messages of some parties, and take in every reply to this step that comes meanwhile."""
        parcels = SealedRequests(parties, self._parcel)
        replies = self.exchange(parcels, until)
        try:
            for sender, reply in replies:
                if not isinstance(reply, bytes):
                    self._drop(sender, reply.reason)
                elif self.clock() > self.deadline:
                    self._drop(sender, Drop.LATE)
                    break
                else:
                    self._take(sender, reply)
                del reply  # While the next one comes, this one is not in memory.
                if self._is_answered(parties):
                    break
        finally:
            parcels.close()
            close = getattr(replies, "close", None)
            if close is not None:
                close()

    def _parcel(self, party: int) -> bytes:
        with self.tally.working():
            parcel = self.sealer.seal(party, self.asking.requests[party])
        self.tally.sent_to(party, len(parcel) - self.sealer.work_bytes(party))
        return parcel

    def _is_answered(self, parties: tuple[int, ...]) -> bool:
        """Return whether the replies of some parties are all accepted, if need be by waiting for their checks."""
        if not self.intake.missing.isdisjoint(parties):
            return False
        self._note(self.intake.settle())
        return self.intake.missing.isdisjoint(parties)

    def _take(self, sender: int, data: bytes) -> None:
        self.tally.received_from(sender, len(data))
        with self.tally.working():
            taken = self.intake.take(sender, data)
        self._note(taken)

    def _note(self, taken: Iterable[Taken]) -> None:
        """Count and record what has become of replies."""
        for each in taken:
            self.tally.worked(each.seconds)
            if each.last:
                self.tally.seen[each.sender] = each.last
            if each.code is not None:
                self._drop(each.sender, each.code)
            if each.body is not None and self.record is not None:
                refused = each.code is not None
                self.record(Transmission(self.asking.step, each.sender, None, each.body, refused=refused))

    def _drop(self, sender: int, code: str) -> None:
        self.tally.drop(self.asking.step, sender, code)
