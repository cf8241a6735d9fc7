"""Makes the stores of tests/vectors/stores: python -m tests.vectors.record_stores FOLDER.

It takes a folder without stores, since the recorded ones are to be kept: a later version has to read what this one
wrote.
"""

import sys
from pathlib import Path
from typing import Final

from secagg.storage.opening_store import OpeningStore
from secagg.storage.session_store import SessionStore

SESSIONS: Final = "sessions.sqlite"
FIRST_SESSIONS: Final = "sessions-1.sqlite"
"""The session store of format 1, which no version makes any more."""
SECOND_SESSIONS: Final = "sessions-2.sqlite"
"""The session store of format 2, which no version makes any more."""
OPENINGS: Final = "openings.sqlite"
SECOND_OPENINGS: Final = "openings-2.sqlite"
"""The store of openings of format 2, which no version makes any more. It lacks the batches."""
FIRST_OPENINGS: Final = "openings-1.sqlite"
"""The store of openings of format 1, which no version makes any more. It lacks the openings with a root."""

CLIENT: Final = bytes(range(32))
OTHER_CLIENT: Final = bytes(range(32, 64))
ANSWERED: Final = ((CLIENT, b"session number 1", 3), (CLIENT, b"session number 2", 0), (OTHER_CLIENT, bytes(64), 1))
"""Identity, session and the last step that was answered."""

VECTOR_STEP: Final = 1
"""The step from which a session counts."""

CONTEXT: Final = b"model A"
COMMITTEE: Final = bytes(range(160, 192))
"""The context and the committee of each session, in format 3."""

SHARE: Final = bytes(range(64, 96))
OTHER_SHARE: Final = bytes(range(96, 128))
OPENED: Final = (
    (SHARE, b"session number 1", b"model A", tuple(range(20)), 5),
    (SHARE, b"session number 2", b"model B", (0, 7, 4_294_967_294), 2),
    (OTHER_SHARE, b"session number 3", b"model A", tuple(range(100, 120)), 8),
)
"""Share, session, context, contributors and the minimum, of openings without a root."""

ROOTED: Final = (OTHER_SHARE, b"session number 4", b"model C", tuple(range(9)), 3)
ROOT: Final = bytes(range(128, 160))
"""The opening with a root, and the root."""

BATCHES: Final = (
    (bytes(range(192, 224)), tuple(range(100, 105)), (1, 1, 4, 4, 4)),
    (bytes(range(224, 256)), tuple(range(105, 109)), (1, 1, 1, 1)),
)
"""Root, contributors and weights of two batches of one session, in format 3."""
BATCHED: Final = (SHARE, b"session number 5", b"model D", 2)
"""The share, the session, the context and the minimum of the batches."""


def main(folder: Path) -> None:
    """Make both stores."""
    with SessionStore.create(folder / SESSIONS) as sessions:
        for identity, session_id, last in ANSWERED:
            for number in range(last + 1):
                counts = number == VECTOR_STEP
                sessions.record(identity, session_id, number, vector=counts, context=CONTEXT, committee=COMMITTEE)
    with OpeningStore.create(folder / OPENINGS) as openings:
        for (key, session_id, context, contributors, minimum), root in (
            *((opened, b"") for opened in OPENED),
            (ROOTED, ROOT),
        ):
            openings.record(
                key=key,
                session_id=session_id,
                context=context,
                contributors=contributors,
                minimum=minimum,
                root=root,
            )
        key, session_id, context, minimum = BATCHED
        for root, contributors, weights in BATCHES:
            openings.record(
                key=key,
                session_id=session_id,
                context=context,
                contributors=contributors,
                minimum=minimum,
                root=root,
                weights=weights,
                batches=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
