"""The station of a site: in FLARE's process or behind a socket, and what it refuses to be."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from secagg.engines.node.resident import HELLO, ResidentStation, listening
from secagg.engines.nvflare.local_file import NodeTable
from secagg.engines.nvflare.site import OwnSite, ResidentSite, site_of
from secagg.engines.wire.parcel import Refusal, open_reply
from secagg.errors import ConfigurationError, SecaggError
from tests.support.homes import exact_text, homes

TRAIN = "tests.support.flare_training:train"


def home_with(folder: Path, **changes: str) -> Path:
    return homes(folder, 2, text=exact_text(encrypted_live_folder=str(folder / "live"), **changes))[0]


def test_own_station_answers(tmp_path: Path) -> None:
    site = site_of(NodeTable(home=str(home_with(tmp_path)), train=TRAIN))
    assert isinstance(site, OwnSite)
    assert site.is_there()
    assert site.train is not None
    assert open_reply(site.answer(b"no parcel"), 1000).refusal is Refusal.MALFORMED


def test_a_member_that_trains_nothing_needs_no_training(tmp_path: Path) -> None:
    site = site_of(NodeTable(home=str(home_with(tmp_path))))
    assert isinstance(site, OwnSite)
    assert site.train is None


@pytest.mark.parametrize("changes", [{"adversary": "malicious"}, {"code": "resident"}])
def test_own_station_must_trust_the_server(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="socket"):
        site_of(NodeTable(home=str(home_with(tmp_path, **changes)), train=TRAIN))


def test_a_site_without_home_or_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecaggError):
        site_of(NodeTable(home=str(tmp_path / "none"), train=TRAIN))
    with pytest.raises(ConfigurationError, match="train"):
        site_of(NodeTable(home=str(home_with(tmp_path)), train="no_such_module:train"))


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    """Yield the socket of a resident station that echoes."""
    path = tmp_path / "node.sock"
    with listening(path) as listener:
        station = ResidentStation(lambda parcel: HELLO if parcel == HELLO else parcel + b"!", limit=100)
        thread = threading.Thread(target=station.serve, args=(listener,), daemon=True)
        thread.start()
        yield path
        listener.shutdown(2)
    thread.join()


def test_resident_station_is_asked_through_its_socket(socket: Path) -> None:
    site = site_of(NodeTable(socket=str(socket)))
    assert isinstance(site, ResidentSite)
    assert site.is_there()
    assert site.answer(b"parcel") == b"parcel!"


def test_a_resident_station_that_is_gone_is_not_there(tmp_path: Path) -> None:
    site = site_of(NodeTable(socket=str(tmp_path / "none.sock")))
    assert not site.is_there()
    assert site.answer(b"parcel") is None
