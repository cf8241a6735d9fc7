"""A whole job with real stations behind a double of FLARE's engine, for every round and after crashes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.pairwise import SecAggPlus
from secagg.engines.base import Update
from secagg.engines.node.station import Station
from secagg.engines.nvflare.local_file import FILE_NAME
from secagg.engines.nvflare.message import HELLO, Message
from secagg.engines.nvflare.server_job import JobAborted, ServerJob
from secagg.engines.nvflare.site import OwnSite
from secagg.engines.nvflare.site_desk import SiteDesk
from secagg.engines.server.channel import Failure
from secagg.engines.server.plans import averaging
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, EngineError, NothingReleased
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import coordinator_line
from secagg.storage.roster_file import ROSTER_NAME
from tests.support.homes import homes

pytestmark = pytest.mark.slow

MODEL = {"kernel": np.zeros((3, 2), np.float32), "bias": np.full(2, 0.25)}
PLAN = averaging(SecAggPlus, clip_l2=4.0, adversarial=0.0, dropout=0.34)
POLICY = """
protocols = ["secagg-plus"]
adversary = "curious"
adversarial = 0.0
least_contributors = 2
most_clients = 10
most_coordinates = 100
largest_clip = 10.0
weighting = ["uniform"]
trust = []
noise = "none"
plain_messages = []
code = "installed"
encrypted_live_folder = "{live}"
"""


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class StationLink:
    """FLARE's engine, with a station at each site that is up."""

    stations: dict[str, Station]
    train: Callable[[str, Work], Update]
    down: set[str] = field(default_factory=set)
    desks: dict[str, SiteDesk] = field(default_factory=dict)
    parcels: int = 0

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        self.parcels += message != HELLO
        if site in self.down:
            return Failure("FLARE: TIMEOUT")
        desk = self.desks.setdefault(site, SiteDesk(OwnSite(self.stations[site], lambda work: self.train(site, work))))
        return desk.answer(message)


@dataclass
class Federation:
    link: StationLink
    local: Path
    coordinator: Path
    clock: Clock = field(default_factory=Clock)
    aborted: bool = False

    def run(self, rounds: int = 2, **changes: object) -> dict[str, NDArray[Any]]:
        settings = {
            "coordinator": "digits",
            "run": "digits",
            "plan": PLAN,
            "settings": {"rate": 0.5},
            "deadline_s": 30.0,
        }
        job = ServerJob(rounds=rounds, **(settings | changes))  # type: ignore[arg-type]  # Tests change any of them.
        return job.execute(
            lambda: MODEL,
            self.link,
            local=self.local,
            submitter="lead@a.org",
            is_aborted=lambda: self.aborted,
            clock=self.clock,
            wait=self.clock.wait,
        )


def update(site: str, work: Work) -> Update:
    """Return an update that tells the sites and the rounds apart."""
    step = work.settings["rate"]
    assert isinstance(step, float)
    return Update([np.full(array.shape, step * (int(site[-1]) + work.round) / 16) for array in work.arrays], examples=1)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    coordinator = tmp_path / "coordinator"
    public = create_coordinator(coordinator).public
    paths = homes(tmp_path, 4, text=POLICY.format(live=tmp_path / "live").encode())
    for path in paths:
        (path / COORDINATOR_NAME).write_text(f"{coordinator_line(public)}\n")
    (coordinator / ROSTER_NAME).write_bytes((paths[0] / ROSTER_NAME).read_bytes())
    local = tmp_path / "local"
    local.mkdir()
    (local / FILE_NAME).write_text(f'[coordinators.digits]\nfolder = "{coordinator}"\nsubmitters = ["lead@a.org"]\n')
    link = StationLink({path.name: Station(path) for path in paths}, update)
    return Federation(link, local, coordinator)


def moved(sites: list[int], rounds: int) -> float:
    return sum(0.5 * (float(np.mean(sites)) + number) / 16 for number in range(1, rounds + 1))


def test_job_returns_the_mean_of_every_round(federation: Federation) -> None:
    model = federation.run()
    assert [array.dtype for array in model.values()] == [np.float32, np.float64]
    np.testing.assert_allclose(model["kernel"], moved([0, 1, 2, 3], 2), atol=1e-4)
    np.testing.assert_allclose(model["bias"], 0.25 + moved([0, 1, 2, 3], 2), atol=1e-4)


def test_a_site_that_is_down_is_left_out(federation: Federation) -> None:
    federation.link.down.add("node-1")
    np.testing.assert_allclose(federation.run(1)["kernel"], moved([0, 2, 3], 1), atol=1e-4)
    assert federation.clock.now == pytest.approx(30.0, abs=1.0)  # It was waited for once, since it was never heard.
    before = federation.link.parcels
    federation.link.down.clear()
    np.testing.assert_allclose(federation.run(2)["bias"] - 0.25, moved([0, 2, 3], 1) + (0.5 * 3.5 / 16), atol=1e-4)
    assert federation.link.parcels == before + 4 * 4


def test_a_site_that_dies_in_a_step_drops_out(federation: Federation) -> None:
    def train(site: str, work: Work) -> Update:
        if site == "node-2":
            federation.link.down.add(site)
            raise RuntimeError("killed")
        return update(site, work)

    federation.link.train = train
    np.testing.assert_allclose(federation.run(1)["kernel"], moved([0, 1, 3], 1), atol=1e-4)


def test_a_job_that_was_ended_goes_on_when_it_is_submitted_again(federation: Federation) -> None:
    def train(site: str, work: Work) -> Update:
        federation.aborted = work.round == 2
        return update(site, work)

    federation.link.train = train
    with pytest.raises(JobAborted):
        federation.run(4)
    federation.aborted, federation.link.train, before = False, update, federation.link.parcels
    np.testing.assert_allclose(federation.run(4)["kernel"], moved([0, 1, 2, 3], 4), atol=1e-3)
    assert federation.link.parcels == 2 * before
    federation.run(4)
    assert federation.link.parcels == 2 * before


def test_named_clients_alone_train(federation: Federation) -> None:
    model = federation.run(1, clients=["node-0", "node-1", "node-3"])
    np.testing.assert_allclose(model["kernel"], moved([0, 1, 3], 1), atol=1e-4)


def test_too_few_sites_end_the_job(federation: Federation) -> None:
    federation.link.down.update({"node-0", "node-1", "node-2"})
    with pytest.raises(EngineError, match="sites"):
        federation.run()
    assert federation.link.parcels == 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"coordinator": "other"}, "coordinator"),
        ({"rounds": 0}, "rounds"),
        ({"min_clients": 1}, "min_clients"),
        ({"deadline_s": 0.0}, "deadline"),
        ({"clients": ["node-0"]}, "clients"),
        ({"clients": ["node-0", "stranger"]}, "stranger"),
        ({"run": "../digits"}, "run"),
    ],
)
def test_a_job_that_does_not_fit_is_refused(federation: Federation, changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        federation.run(**changes)  # type: ignore[arg-type]  # Among them is `rounds`.
    assert federation.link.parcels == 0


def test_a_round_without_noise_that_releases_nothing_begins_again(federation: Federation) -> None:
    failed: list[str] = []

    def train(site: str, work: Work) -> Update:
        if work.round == 1 and len(failed) < 3 and site not in failed:
            failed.append(site)
            raise RuntimeError("once")
        return update(site, work)

    federation.link.train = train
    np.testing.assert_allclose(federation.run(1)["kernel"], moved([0, 1, 2, 3], 1), atol=1e-4)
    assert len(failed) == 3


def test_a_round_that_never_releases_anything_ends_the_job(federation: Federation) -> None:
    tried: list[int] = []

    def train(site: str, work: Work) -> Update:
        tried.append(work.round)
        raise RuntimeError("always")

    federation.link.train = train
    with pytest.raises(NothingReleased):
        federation.run(2)
    assert tried == [1] * 4 * 3
