"""`secagg node serve`: a station in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from protocols import SecAgg
from protocols.machine import Server
from secagg.aggregation.mean import SecureMean
from secagg.commands.node_serve import serve_node
from secagg.engines.node.home import Home
from secagg.engines.node.resident import HELLO, StationUnavailable, ask
from secagg.engines.wire.claim import Query
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Refusal, Request, open_reply
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError
from tests.support.commands import COMMAND
from tests.support.homes import COORDINATOR, exact_text, homes

WORK = Work("a run", 1, [np.zeros(3)])
TRAINING = """
import os
from secagg.engines.base import Update

def train(work):
    with open(os.environ["TRAINED"], "a") as log:
        print(os.getpid(), file=log)
    return Update([array + 0.1 for array in work.arrays])
"""


def first_parcel(serial: int) -> bytes:
    protocol, threshold = SecAgg.suggest(clients=3, adversarial=0.0, dropout=0.3)
    mean = SecureMean.plan(
        protocol=protocol, clients=range(3), minimum_contributors=threshold, shapes=[(3,)], clip_l2=1.0
    )
    context = session_context(WORK.digest(), serial=serial, trust=None)
    session = mean.session(fresh_session_id(serial, os.urandom), context=context)
    offer = Offer.of(mean, session, serial, WORK.digest()).to_bytes()
    body = Server(mean.protocol, session).start().requests[0]
    return Request(serial=serial, step=0, receiver=0, offer=offer, work=WORK.to_bytes(), body=body).seal(COORDINATOR)


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """Serve a home at `folder / "socket"` with the training above."""
    (folder / "our_training.py").write_text(TRAINING)
    process = subprocess.Popen(
        [*COMMAND, "node", "serve", str(home), "--train", "our_training:train", "--socket", str(folder / "socket")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(folder)]), "TRAINED": str(folder / "trained")},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.endswith(f"node 0 answers at {folder / 'socket'}.\n"), line
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def resident_text(folder: Path, code: str = "resident") -> bytes:
    return exact_text(code=code, encrypted_live_folder=str(folder / "live"))


def test_node_serve_trains_in_its_own_process_and_answers_again_after_a_kill(tmp_path: Path) -> None:
    home = homes(tmp_path, text=resident_text(tmp_path))[0]
    parcel, socket = first_parcel(1), tmp_path / "socket"
    with serving(tmp_path, home) as process:
        assert ask(socket, HELLO, timeout_s=60) == HELLO
        query = Query.new("a run", 5, entropy=os.urandom)
        assert query.claimant(ask(socket, query.to_bytes(), timeout_s=60), Home.open(home).roster) == 0
        reply = ask(socket, parcel, timeout_s=60)
        assert open_reply(reply, 10**6).refusal is None
        assert (tmp_path / "trained").read_text() == f"{process.pid}\n"
        process.kill()
        process.wait()
    with pytest.raises(StationUnavailable):
        ask(socket, parcel, timeout_s=60)
    with serving(tmp_path, home) as process:
        assert ask(socket, parcel, timeout_s=60) == reply
        assert open_reply(ask(socket, b"no parcel", timeout_s=60), 10**6).refusal is Refusal.MALFORMED
        with pytest.raises(StationUnavailable):
            ask(socket, bytes(2**25), timeout_s=60)
        process.terminate()
        process.wait()
    assert not socket.exists()
    assert len((tmp_path / "trained").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "train", "socket", "message"),
    [
        ("installed", None, "socket", 'expected code = "resident", found "installed"'),
        ("resident", None, None, "expected a path, or one socket from systemd"),
        ("resident", None, "node-0/policy.toml", "found a file"),
        ("resident", "nothing", "socket", "expected module:function"),
    ],
    ids=["policy", "systemd", "file", "train"],
)
def test_node_serve_says_what_is_missing(
    tmp_path: Path, code: str, train: str | None, socket: str | None, message: str
) -> None:
    home = homes(tmp_path, 2, text=resident_text(tmp_path, code))[0]
    with pytest.raises(ConfigurationError, match=message):
        serve_node(home, train=train, socket=None if socket is None else tmp_path / socket)
    assert not (tmp_path / "socket").exists()
