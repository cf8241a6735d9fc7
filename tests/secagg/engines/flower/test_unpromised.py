"""Each thing that we use of Flower beyond its interface: one test each, which fails by name on an upgrade."""

import pytest

pytest.importorskip("flwr")

import importlib.metadata
import inspect
import subprocess
import sys
from typing import Final

from flwr.serverapp import Grid

from secagg.engines.flower import unpromised
from secagg.engines.flower.unpromised import CLIENT_COMMAND, client_command, public_keys, tells_public_keys
from secagg.errors import ConfigurationError, MissingExtraError
from tests.support.flower_grid import GridDouble

VERSION: Final = tuple(map(int, importlib.metadata.version("flwr").split(".")[:2]))


@pytest.mark.skipif(VERSION < (1, 40), reason="the grids of older versions tell no keys")
def test_grid_has_get_nodes() -> None:
    assert tells_public_keys(Grid)
    assert list(inspect.signature(Grid.get_nodes).parameters) == ["self"]


@pytest.mark.skipif(VERSION < (1, 40), reason="the grids of older versions tell no keys")
def test_node_info_has_a_public_key() -> None:
    from flwr.proto.node_pb2 import NodeInfo

    class OneNode(GridDouble):  # type: ignore[misc, unused-ignore]
        """A grid that tells of its nodes as Flower does."""

        def get_nodes(self) -> list[NodeInfo]:
            return [NodeInfo(node_id=1, public_key=b"key")]

    assert public_keys(OneNode({})) == {1: b"key"}


def test_flower_has_the_console_script_flwr_clientapp() -> None:
    assert CLIENT_COMMAND == "flwr-clientapp"
    assert callable(client_command())


def test_flwr_clientapp_reads_its_arguments_from_sys_argv() -> None:
    code = (
        "import sys; from secagg.engines.flower.unpromised import client_command\n"
        "sys.argv = ['flwr-clientapp', '--help']; client_command()()"
    )
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    for option in ("--token", "--insecure", "--parent-pid"):
        assert option in told


def test_missing_flower_and_a_flower_without_the_command_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpromised, "CLIENT_COMMAND", "flwr-no-such-command")
    with pytest.raises(ConfigurationError, match="expected one command flwr-no-such-command, found 0"):
        client_command()
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(MissingExtraError, match="flower"):
        client_command()
