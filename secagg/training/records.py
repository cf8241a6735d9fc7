"""What a round did and cost: a line of `metrics.jsonl`, whose ranges are checked when it is read."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from dp.accounting.guarantee import Claim
from dp.figures import rounded_up, used_in_percent
from protocols import Committee, Cost
from secagg.checks import LARGEST, listed
from secagg.logger import LOGGER

Count = Annotated[int, Meta(ge=0, lt=2**31)]
Quantity = Annotated[float, Meta(ge=0, le=LARGEST)]
T = TypeVar("T")

Stage = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]


class MemberComplaint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a committee member said of a client's message that it could not accept. One of the two is at fault.

    Attributes:
        member: The member's id.
        client: The client's id.
        reason: What was wrong.
    """

    member: Count
    client: Count
    reason: Stage


class CommitteeCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cost of a committee member's part of a round.

    Attributes:
        members: The number of members.
        sent_bytes: Bytes sent, mean over members.
        received_bytes: Bytes received, mean over members.
        member_s: CPU seconds, mean over members.
    """

    members: Annotated[int, Meta(ge=1, lt=2**31)]
    sent_bytes: Quantity
    received_bytes: Quantity
    member_s: Quantity


def written(make: Callable[[], T]) -> T:
    """Return the default of a field that is written also where it has it, as in files of earlier versions.

    Fields that came later are left out where they have their default, so that older files are written again as they
    were.

    Args:
        make: Makes the default.
    """
    return msgspec.field(default_factory=lambda: make())


def none() -> None:
    """Return None, the default of many fields."""


class RoundRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one round did; a line of `metrics.jsonl`, whose ranges are checked when it is read.

    Attributes:
        round: The number of the round, from 1.
        accuracy: Accuracy of the global model after the round, on the test examples.
        loss: Loss of the global model after the round, on the test examples.
        contributors: The number of updates in the mean; 0 if nothing was released. If the clients are drawn in secret,
            the expected number, and no cost is recorded, since both depend on who was drawn.
        asked: The number of clients that were asked; if they are drawn in secret, the expected number. None if a round
            asks all clients.
        dropped: For each step of the protocol, ids of the clients that dropped out there.
        failed: For each client whose training failed, the reason. It is for the simulation only: do not publish it if
            there is noise, since the noise hides who has failed. Without noise, these clients of a protocol are also in
            `dropped`. If the clients are drawn in secret, it names clients that were drawn, and files leave it out.
        epsilon: The epsilon that is guaranteed up to and including this round: what was spent, or the budget, as
            `claim` says; None without noise.
        claim: Whether `epsilon` is what was spent or the budget; None without noise, and in records of earlier
            versions, where it is what was spent.
        used: The part of the budget that a filter has charged up to and including this round; None without a filter.
        ledger_head: The ledger's head after this round, which shows whether a ledger file is older; None without noise.
        rounding_bound: A bound on the difference, apart from noise, between an entry of the mean and the exact mean,
            without running statistics; None if the bound must not be revealed, see `Release`, or nothing was released.
        clip_bound: The adaptive bound that the round's updates were clipped by; None if the clip does not adapt.
        withheld: Why nothing was released; None if a mean was released.
        sent_bytes: Bytes sent, mean over clients.
        received_bytes: Bytes received, mean over clients.
        client_s: CPU seconds of secure aggregation, mean over clients.
        server_s: CPU seconds of secure aggregation.
        committee: The cost of the committee's part; None if there is no committee, or nothing was released.
        verified: False if a committee member could have changed the sum without being noticed.
        culprits: Ids of parties that were shown to break the rules, and did no harm to the sum.
        complaints: What committee members said of clients' messages. If the clients are drawn in secret, `culprits` and
            `complaints` are left out, since they name parties of the round.
    """

    round: Annotated[int, Meta(ge=1, lt=2**31)]
    accuracy: Annotated[float, Meta(ge=0, le=1)]
    loss: Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
    contributors: Count
    asked: Count | None = None
    dropped: dict[Stage, list[Count]] = written(dict)
    failed: dict[Count, str] = written(dict)
    epsilon: Quantity | None = written(none)
    claim: Claim | None = None
    used: Quantity | None = None
    ledger_head: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")] | None = written(none)
    rounding_bound: Annotated[float, Meta(ge=0)] | None = written(none)
    clip_bound: Quantity | None = written(none)
    withheld: str | None = written(none)
    sent_bytes: Quantity = written(float)
    received_bytes: Quantity = written(float)
    client_s: Quantity = written(float)
    server_s: Quantity = written(float)
    committee: CommitteeCost | None = written(none)
    verified: bool = True
    culprits: list[Count] = msgspec.field(default_factory=list)
    complaints: list[MemberComplaint] = msgspec.field(default_factory=list)

    @property
    def told(self) -> list[str]:
        """What is to be said of the committee's answers, in words; nothing if all is well."""
        found = list[str]()
        if not self.verified:
            found.append("the sum is NOT verified: a committee member that lies could have changed it")
        if self.culprits:
            found.append(f"parties {listed(self.culprits)} broke the rules and did no harm to the sum")
        if self.complaints:
            members, clients = ({getattr(each, name) for each in self.complaints} for name in ("member", "client"))
            found.append(
                f"members {listed(sorted(members))} complained of messages of clients {listed(sorted(clients))}"
            )
        return found

    def __str__(self) -> str:
        """Return the round in one line for people."""
        released = f"{self.contributors} contributors"
        parts = [released if self.contributors else f"nothing released ({self.withheld})"]
        if not math.isnan(self.accuracy):
            parts.append(f"accuracy {self.accuracy:.2%}")
        parts.append(f"loss {self.loss:.4g}")
        if self.epsilon is not None:
            parts.append(privacy_in_words(self.epsilon, used=self.used, verb=""))
        missing = {name.replace("_", " "): len(clients) for name, clients in self.dropped.items() if clients}
        where = ", ".join(f"{count} in {name}" for name, count in missing.items())
        parts.append(f"{sum(missing.values())} dropped out" + (f" ({where})" if where else ""))
        parts += self.told
        if self.failed:
            parts.append(f"training failed on {listed(self.failed)} (not for publication)")
        if self.sent_bytes:
            parts.append(f"a client sent {self.sent_bytes:,.0f} bytes, received {self.received_bytes:,.0f}")
            parts.append(f"and took {self.client_s:.3g} CPU s, the server {self.server_s:.3g}")
        return f"round {self.round}: {', '.join(parts)}"


def privacy_in_words(epsilon: float, *, used: float | None, verb: str = " is") -> str:
    """Return what a guarantee says: what is spent, or, with a filter, the budget and the part of it that is used.

    Args:
        epsilon: The epsilon that is guaranteed.
        used: The part of a filter's budget that is charged; None without a filter.
        verb: What precedes the participle.
    """
    if used is None:
        return f"epsilon {rounded_up(epsilon)}{verb} spent"
    return f"epsilon {rounded_up(epsilon)}{verb} guaranteed, {used_in_percent(used)} of it used"


def log_round(record: RoundRecord) -> None:
    """Log what a round released, or that it released nothing; not whose training failed, which noise is to hide."""
    dropped = sum(map(len, record.dropped.values()))
    if record.withheld is not None:
        LOGGER.warning("round %d releases nothing: %s (dropped out: %d)", record.round, record.withheld, dropped)
        return
    spent = "" if record.epsilon is None else f"; {privacy_in_words(record.epsilon, used=record.used)}"
    text = "round %d releases the mean of %d contributors (dropped out: %d)%s"
    LOGGER.info(text, record.round, record.contributors, dropped, spent)


def means(cost: Cost, parties: Sequence[int]) -> tuple[float, float, float]:
    """Return bytes sent, bytes received and seconds, means over these parties; an unknown figure counts as 0."""
    sent, received, seconds = (
        sum(of.get(party, 0) for party in parties) / len(parties)
        for of in (cost.sent_bytes, cost.received_bytes, cost.client_s)
    )
    return sent, received, seconds


def committee_cost(cost: Cost, committee: Committee) -> CommitteeCost:
    """Return the cost of the committee's part of a session."""
    sent, received, seconds = means(cost, committee.members)
    return CommitteeCost(members=len(committee.members), sent_bytes=sent, received_bytes=received, member_s=seconds)
