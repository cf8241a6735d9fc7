"""A transport of one's own, here HTTP on this machine, in the few lines that docs/engines/own.md shows."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocols import SecAggPlus
from secagg.engines.base import Update
from secagg.engines.channel import ChannelEngine, Failure
from secagg.engines.coordinator import Coordinator
from secagg.engines.plans import averaging
from secagg.engines.station import Station
from secagg.engines.work import Work
from secagg.errors import NothingReleased
from secagg.storage.node_keys import create_coordinator
from secagg.storage.public_line import coordinator_line
from tests.support.homes import exact_text, homes

NODES = 5
ARRAYS = [np.zeros((2, 2)), np.ones(3)]


def train(work: Work) -> Update:
    """Return the same update at every node: its own number would be better, and is not known here."""
    return Update([np.full(array.shape, 0.125) for array in work.arrays])


class Http:
    """A channel: each parcel is the body of a POST request, and each reply the body of its answer."""

    def __init__(self, urls: Mapping[int, str]) -> None:
        self.urls = urls

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        with ThreadPoolExecutor(len(parcels)) as pool:
            asked = {pool.submit(self._post, node, parcels, deadline): node for node in parcels}
            for answered in as_completed(asked):
                yield asked[answered], answered.result()

    def _post(self, node: int, parcels: Mapping[int, bytes], deadline: float) -> bytes | Failure:
        try:
            left = max(deadline - time.monotonic(), 0.01)
            with urllib.request.urlopen(self.urls[node], data=parcels[node], timeout=left) as answer:
                return bytes(answer.read())
        except (OSError, urllib.error.URLError):
            return Failure("no answer")


@contextmanager
def serving(station: Station) -> Iterator[str]:
    """Serve a station on a free port of this machine, and yield its address."""

    class Post(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # The name that http.server calls.
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = station.answer(body, train)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Post) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, list[Path]]:
    """The coordinator's folder, and the nodes' homes, which know the coordinator's key."""
    folder = tmp_path / "coordinator"
    identity = create_coordinator(folder)
    made = homes(tmp_path / "nodes", NODES, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))
    for home in made:
        (home / "coordinator.pub").write_text(f"{coordinator_line(identity.public)}\n")
    return folder, made


def test_mean_over_http_is_that_of_the_nodes_and_a_silent_node_drops_out(places: tuple[Path, list[Path]]) -> None:
    folder, made = places
    plan = averaging(SecAggPlus, clip_l2=5.0, adversarial=0.0, dropout=0.2)
    with ExitStack() as stack:
        stations = {number: Station(home) for number, home in enumerate(made)}
        urls = {node: stack.enter_context(serving(station)) for node, station in stations.items()}
        coordinator = stack.enter_context(Coordinator(folder, plan))
        engine = ChannelEngine(Http(urls), clock=time.monotonic, step_s=60.0)
        release = coordinator.run(Work("run 1", 1, ARRAYS, {"epochs": 1}), range(NODES), engine)
        assert release.contributors == tuple(range(NODES))
        assert [array.shape for array in release.mean] == [(2, 2), (3,)]
        assert release.rounding_bound is not None
        for array in release.mean:
            np.testing.assert_allclose(array, 0.125, atol=release.rounding_bound)
        urls[3] = "http://127.0.0.1:9"  # Nobody listens there.
        later = coordinator.run(Work("run 1", 2, ARRAYS, {"epochs": 1}), range(NODES), engine)
        assert later.contributors == (0, 1, 2, 4)
        assert [gone for gone in later.dropped.values() if gone] == [(3,)]
        urls |= {1: urls[3], 2: urls[3]}
        with pytest.raises(NothingReleased, match="expected at least"):
            coordinator.run(Work("run 1", 3, ARRAYS, {"epochs": 1}), range(NODES), engine)
