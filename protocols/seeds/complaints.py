"""What the server decides after the members' complaints: who contributes, and which members it does not ask any more.

The server has checked each client's signature, and it has the boxes itself. What it sends to a member is as the client
signed it, and an altered client's message is refused before any member sees it. So if the server is honest, a member
that says *not as signed* has broken the rules, or the connection to it has altered what the server sent.

A complaint of another kind excludes its client. Either of the two may be at fault, and nothing shows which one. So a
corrupt member can exclude clients, and a corrupt client can make honest members complain. A member that complains of
more than a stated share of the clients is left out instead of them, but only if the sum would otherwise have too few
contributors.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.errors import RemoteError
from protocols.secure_sum import Complaint
from protocols.seeds.party import Reason
from protocols.seeds.weighting import rare_weights

MOST_COMPLAINTS: Final = 0.1
"""A fraction of the clients that have sent. Only a member that complains of more can be left out instead of clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the server decides after all complaints.

    Attributes:
        contributors: The clients that contribute, ascending; there may be too few.
        excluded: The clients that have sent and do not contribute.
        left_out: The members that are not asked any more, since they cannot agree to these contributors.
        culprits: The members among them that say of a message that it is not as signed.
    """

    contributors: tuple[int, ...]
    excluded: frozenset[int]
    left_out: frozenset[int]
    culprits: frozenset[int]


def judged(
    complaints: Mapping[int, Mapping[int, int]], clients: Mapping[int, int], *, threshold: int, needed: int
) -> Judgement:
    """Return who contributes, and which members are left out.

    Args:
        complaints: For each member that has answered, by client, the value of a `Reason`.
        clients: The clients that have sent a message, with their weights.
        threshold: The least number of contributors, and of those of each weight that occurs.
        needed: The least number of members that must be left.

    Raises:
        RemoteError: Too few members are left without those that say *not as signed*. They are the culprits.
    """
    culprits = liars(complaints)
    if culprits and len(complaints) - len(culprits) < needed:
        raise RemoteError(
            f"complaints: expected none that a message is not as signed, since the server has checked all messages, "
            f"found some of {len(culprits)} of {len(complaints)} members. Without them, fewer than the {needed} "
            "members that must answer are left. Start a new session without them.",
            culprits=culprits,
        )
    left_out = set(culprits)
    most = MOST_COMPLAINTS * len(clients)
    loud = sorted((member for member in complaints.keys() - culprits if len(complaints[member]) > most),
                  key=lambda member: (len(complaints[member]), -member))  # fmt: skip
    excluded = _excluded(complaints, left_out)
    while loud and _too_few(clients, excluded, threshold) and len(complaints) - len(left_out) > needed:
        left_out.add(loud.pop())
        excluded = _excluded(complaints, left_out)
    return Judgement(
        contributors=tuple(sorted(clients.keys() - excluded)),
        excluded=frozenset(excluded),
        left_out=frozenset(left_out),
        culprits=culprits,
    )


def liars(complaints: Mapping[int, Mapping[int, int]]) -> frozenset[int]:
    """Return the members that say of a message that it is not as signed."""
    return frozenset(member for member, told in complaints.items() if Reason.NOT_AS_SIGNED in told.values())


def listed(complaints: Mapping[int, Mapping[int, int]]) -> tuple[Complaint, ...]:
    """Return all complaints in the form of `Finish`, ascending by member and client."""
    return tuple(
        Complaint(member, client, Reason(reason).words)
        for member, told in sorted(complaints.items())
        for client, reason in sorted(told.items())
    )


def _too_few(clients: Mapping[int, int], excluded: Collection[int], threshold: int) -> bool:
    weights = [weight for client, weight in clients.items() if client not in excluded]
    return len(weights) < threshold or bool(rare_weights(weights, threshold))


def _excluded(complaints: Mapping[int, Mapping[int, int]], left_out: Collection[int]) -> set[int]:
    return {client for member, told in complaints.items() if member not in left_out for client in told}
