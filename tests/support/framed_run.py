"""A whole session in which every reply travels in frames."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from protocols.crypto.keystream import Words, word_dtype
from protocols.machine import Client, Continue, Server
from protocols.pieces import VectorReader
from protocols.secure_sum import Finish
from protocols.session import Vector
from protocols.testing.repeatable import repeatable_entropy
from protocols.testing.scenario import Scenario
from secagg.storage.frame_inbox import FrameInbox
from secagg.storage.vector_files import VectorFile

Send = Callable[[FrameInbox, int, str, list[bytes]], None]
"""Gives an inbox the frames of a party's reply to a step."""


def machines(scenario: Scenario, inputs: Mapping[int, Vector], folder: Path) -> dict[int, Client]:
    """Return the machines of all parties; clients read their vectors from files in a folder."""
    found = dict[int, Client]()
    for party in scenario.parties:
        reader: VectorReader | None = None
        if party in inputs:
            path = folder / f"input-{party}"
            inputs[party].astype(word_dtype(scenario.session.modulus)).tofile(path)
            reader = VectorFile(path, modulus=scenario.session.modulus)
        found[party] = Client(
            scenario.protocol,
            scenario.session,
            party,
            reader,
            entropy=repeatable_entropy(b"framed %d" % party),
            terms=scenario.terms(party),
            keyholder=scenario.keyholder(party),
            clock=scenario.clock,
        )
    return found


def all_frames(inbox: FrameInbox, sender: int, step: str, frames: list[bytes]) -> None:
    """Send the frames as they are."""
    taken = [inbox.add(sender, frame) for frame in frames]
    assert taken == [False] * (len(frames) - 1) + [True]


def run(
    scenario: Scenario, clients: Mapping[int, Client], server: Server, folder: Path, send: Send = all_frames
) -> Finish:
    """Run a session in which every reply is sent in frames."""
    progress: Continue | Finish = server.start()
    with FrameInbox(server, folder) as inbox:
        while isinstance(progress, Continue):
            for party, request in progress.requests.items():
                send(inbox, party, progress.step, list(clients[party].frames(request)))
            progress = server.advance()
    return progress


def sum_of(inputs: Mapping[int, Vector], contributors: tuple[int, ...], modulus: int) -> Words:
    """Return the sum that must come out, in words of the session."""
    total = np.zeros_like(inputs[contributors[0]])
    for client in contributors:
        total += inputs[client]
    return (total % np.uint64(modulus)).astype(word_dtype(modulus)) if modulus < 2**64 else total
