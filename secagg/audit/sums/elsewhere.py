"""Replies of a session's parties, computed again in another process, which orders its sets and hashes differently.

The other process makes the cohort from the subject, which must therefore be importable there under the same names. It
runs each party alone with the recorded requests, and answers with a hash of each reply.
"""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from secagg.audit.seeds import Tape
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.recorded import Recorded, replayed, tapes_of
from secagg.audit.sums.seed_twin import settled
from secagg.audit.sums.subject import SumSubject

_TIMEOUT_S: Final = 120
_HASH_SEED: Final = "20011"  # Python's hashes of texts, and so the order of its sets, depend on it.


class Unreachable(Exception):
    """The subject cannot be made in another process; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What the other process does.

    Attributes:
        subject: The subject.
        clients: The number of clients of the cohort.
        length: The length of its vectors.
        inputs: Each client's vector, by id.
        view: The recorded requests and replies.
        seed: The seed of the tapes.
        parties: The parties to run.
    """

    subject: SumSubject
    clients: int
    length: int
    inputs: Mapping[int, Any]
    view: tuple[Any, ...]
    seed: bytes
    parties: tuple[int, ...]


def hashes_elsewhere(errand: Errand) -> dict[int, list[str]]:
    """Return a hash of each reply of each party, as another process computes it.

    Raises:
        Unreachable: The subject cannot be sent to another process, or cannot be made there.
    """
    try:
        sent = pickle.dumps(errand)
    except Exception as error:  # noqa: BLE001 - Code of other people may refuse in any way.
        raise Unreachable(f"the subject cannot be sent to another process ({type(error).__name__})") from None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": _HASH_SEED}
    command = [sys.executable, "-P", "-m", "secagg.audit.sums.elsewhere"]
    try:
        done = subprocess.run(  # noqa: S603 - The command is fixed.
            command, input=sent, capture_output=True, check=False, env=environment, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"the other process had not ended after {_TIMEOUT_S} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2].partition(":")[0]
        raise Unreachable(f"the subject cannot be made in another process ({last})")
    answered: dict[int, list[str]] = pickle.loads(done.stdout)  # noqa: S301 - From our own process.
    return answered


def hashes_here(errand: Errand) -> dict[int, list[str]]:
    """Return a hash of each reply of each party, as this process computes it."""
    cohort = errand.subject.cohort(errand.clients, length=errand.length)
    recorded = Recorded(cohort=cohort, inputs=errand.inputs, tapes={}, view=errand.view, finish=None)
    tape_of = tapes_of(errand.seed)
    return {party: hashes_again(recorded, party, tape_of(party)) for party in errand.parties}


def hashes_again(recorded: Recorded, party: int, tape: Tape) -> list[str]:
    """Return a hash of each reply of a party that is run again alone."""
    again = replayed(recorded, party, tape)
    return [
        hashed(recorded.cohort, party, reply.step, data)
        for reply, data in zip(recorded.replies(party), again, strict=False)
    ]


def hashed(cohort: Cohort, party: int, step: str, reply: bytes) -> str:
    """Return a hash of a reply, which is the same again if the party draws the same."""
    return hashlib.sha256(settled(cohort, party, step, reply)).hexdigest()


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(hashes_here(pickle.load(sys.stdin.buffer))))  # noqa: S301 - From our parent.
