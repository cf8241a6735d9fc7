"""Boxes of wire vectors: HPKE draws from the operating system, so the vectors hold them, by what they are bound to.

A client that is played again seals nothing, and sends the recorded box in its place. Members open these boxes, and
compare the hashes of the seeds in them. So a recorded box with other seeds would change their recorded replies.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

from protocols.codec import Codec
from protocols.crypto import hpke
from protocols.seeds import SeedSum
from protocols.seeds.messages import SeedInput
from tests.vectors.wire_cases import Case
from tests.vectors.wire_parties import protocol_of, session_of
from tests.vectors.wire_sessions import Step

BOXES: Final[dict[bytes, bytes]] = {}
"""By the info of a box, which no other box has, the box."""

_seal: Final = hpke.seal


def remembered(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """The recorded box; a new one, which is remembered, if there is none."""
    if info not in BOXES:
        BOXES[info] = _seal(public, info, plaintext)
    return BOXES[info]


def remember(case: Case) -> None:
    """Use the boxes of a recorded case from now on."""
    BOXES.update({bytes.fromhex(info): bytes.fromhex(box) for info, box in case.get("boxes", {}).items()})


@contextmanager
def recorded_boxes() -> Iterator[None]:
    """Let clients send recorded boxes within this context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hpke, "seal", remembered)
        yield


def boxes_of(case: Case, steps: Sequence[Step]) -> dict[str, str]:
    """The boxes in the messages of a session's clients, by their info."""
    protocol, session = protocol_of(case), session_of(case)
    if not isinstance(protocol, SeedSum):
        return {}
    derived = protocol._derived(session)
    codec = Codec(derived.digest, protocol.message_limit(session), protocol.list_limit(session))
    found = {}
    for client, reply in sorted(steps[0].replies.items()):
        hashes, boxes, _ = derived.split_sealed(codec.decode(0, SeedInput, reply).sealed)
        for member, box in enumerate(boxes):
            found[derived.box_info(hashes, client=client, member=member).hex()] = box.hex()
    return found
