"""What `secagg.toml` may say, and who may use which coordinator."""

from pathlib import Path

import pytest

from secagg.engines.nvflare.local_file import FILE_NAME, LocalFile
from secagg.errors import ConfigurationError

SERVER = """
[coordinators.digits]
folder = "/var/lib/secagg/coordinator"
submitters = ["lead@a.org", "simulator"]
"""


def read(folder: Path, text: str) -> LocalFile:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return LocalFile.read(folder)


def test_station_has_the_site_in_its_home(tmp_path: Path) -> None:
    table = read(tmp_path, '[node]\nhome = "/srv/{site}/home"\ntrain = "digits:train"\n').station("site-3")
    assert (table.home, table.train, table.socket) == ("/srv/site-3/home", "digits:train", None)


def test_station_may_be_a_socket(tmp_path: Path) -> None:
    assert read(tmp_path, '[node]\nsocket = "/run/{site}.sock"\n').station("a").socket == "/run/a.sock"


@pytest.mark.parametrize(
    "table",
    [
        "[node]\n",
        '[node]\ntrain = "a:b"\n',
        '[node]\nhome = "/h"\nsocket = "/s"\n',
        '[node]\nsocket = "/s"\ntrain = "a:b"\n',
        '[node]\nhome = ""\n',
        '[node]\nhome = "/h"\npolicy = "/p"\n',
        "[node]\nhome = 3\n",
        'home = "/h"\n',
        '[coordinators.digits]\nfolder = "/c"\n',
        '[coordinators.digits]\nfolder = "/c"\nsubmitters = []\n',
        "[coordinators",
    ],
)
def test_another_table_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigurationError, match=FILE_NAME):
        read(tmp_path, table)


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="absolute"):
        read(tmp_path, '[node]\nhome = "home"\n').station("a")
    with pytest.raises(ConfigurationError, match="absolute"):
        read(tmp_path, SERVER.replace("/var", "var")).coordinator("digits", submitter="lead@a.org")


def test_a_file_without_a_node_has_no_station(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="node"):
        read(tmp_path, SERVER).station("a")
    with pytest.raises(ConfigurationError, match=FILE_NAME):
        LocalFile.read(tmp_path / "elsewhere")


def test_a_coordinator_is_for_its_submitters(tmp_path: Path) -> None:
    local = read(tmp_path, SERVER)
    assert local.coordinator("digits", submitter="lead@a.org").folder == "/var/lib/secagg/coordinator"
    assert local.coordinator("digits", submitter=None).ledger is None
    for submitter in ("lead@b.org", ""):
        with pytest.raises(ConfigurationError, match="submitters"):
            local.coordinator("digits", submitter=submitter)
    with pytest.raises(ConfigurationError, match="coordinator"):
        local.coordinator("other", submitter="lead@a.org")


def test_a_simulation_needs_to_be_named(tmp_path: Path) -> None:
    local = read(tmp_path, SERVER.replace(', "simulator"', ""))
    with pytest.raises(ConfigurationError, match="simulator"):
        local.coordinator("digits", submitter=None)
