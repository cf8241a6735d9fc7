"""Why one server is not enough: a sum needs more than an hour, more memory than there is, or too long a message."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.codec import LARGEST_BYTES
from secagg.planning.cost.constants import EngineConstants
from secagg.planning.cost.figures import bytes_in_words, seconds_in_words
from secagg.planning.cost.one_sum import SERVER_MBPS, OneSum

MOST_S: Final = 3600.0
"""The longest time that one server's link, one of its cores, or a member's, may be busy with one round."""

MOST_BYTES: Final = 64e9
"""The memory of one server."""


class Resource(StrEnum):
    """A resource of which one sum may need too much."""

    LINK = "link"
    CPU = "cpu"
    MEMORY = "memory"
    MESSAGE = "message"
    NODES = "nodes"
    MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A resource of which a sum needs too much.

    Attributes:
        resource: The resource.
        ratio: The need over what there is; above 1.
        text: The same in a sentence.
    """

    resource: Resource
    ratio: float
    text: str


def limits_of(one: OneSum, engine: EngineConstants) -> tuple[Limit, ...]:
    """Return every resource of which a sum on one server needs too much."""
    found = [
        (
            Resource.LINK,
            one.link_s / MOST_S,
            f"Everything that clients send and receive occupies a link of {SERVER_MBPS:g} Mbit/s for "
            f"{seconds_in_words(one.link_s)}.",
        ),
        (
            Resource.CPU,
            one.server_cpu_s / MOST_S,
            f"The server needs {seconds_in_words(one.server_cpu_s)} of one core.",
        ),
        (
            Resource.MEMORY,
            one.server_bytes / MOST_BYTES,
            f"The server needs {bytes_in_words(one.server_bytes)} of memory.",
        ),
        (
            Resource.MESSAGE,
            one.largest_field / LARGEST_BYTES,
            f"One message holds {bytes_in_words(one.largest_field)}, and the encoding of messages ends at "
            f"{bytes_in_words(LARGEST_BYTES)}.",
        ),
    ]
    if one.member is not None:
        member_s = max(one.member.cpu_s, 8 * one.member.received_bytes / (1e6 * SERVER_MBPS))
        found.append(
            (Resource.MEMBER, member_s / MOST_S, f"A committee member needs {seconds_in_words(member_s)} for a round.")
        )
    if engine.most_nodes is not None:
        found.append(
            (
                Resource.NODES,
                one.size.clients / engine.most_nodes,
                f"{one.size.clients:,} idle nodes ask the engine's server more often than one process answers: about "
                f"{engine.most_nodes} fill it.",
            )
        )
    return tuple(Limit(resource=kind, ratio=ratio, text=text) for kind, ratio, text in found if ratio > 1)
