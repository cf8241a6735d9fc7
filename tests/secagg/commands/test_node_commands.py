"""The commands `secagg keys node`, `keys coordinator`, `keys roster` and `node check`, as a person uses them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from secagg.commands.node_check import FAULTY, check_on_terminal, lines
from secagg.commands.node_keys import make_coordinator, make_node, make_roster
from secagg.engines.node.check import check_node
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.live_folder import LiveFolderError
from secagg.engines.node.policy_file import PolicyError
from secagg.errors import SecaggError
from secagg.storage.labelled_file import ExposedKeyFile
from secagg.storage.node_keys import read_coordinator, read_node_identity
from secagg.storage.public_line import PublicLine, coordinator_line, fingerprint
from secagg.storage.roster_file import RosterFile
from tests.support.commands import secagg
from tests.support.homes import homes, policy_text


def test_federation_is_made_from_public_lines_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for name in ("hospital-a", "hospital-b"):
        make_node(tmp_path / "homes" / name, name=None)
        out, err = capsys.readouterr()
        identity = read_node_identity(tmp_path / "homes" / name)
        assert out == f"{PublicLine(name=name, key=identity.public)}\n"
        assert fingerprint(identity.public) in err
        assert identity.secret.reveal().hex() not in out + err
        printed.append(out.strip())
    make_coordinator(tmp_path / "coordinator")
    out, err = capsys.readouterr()
    coordinator, _ = read_coordinator(tmp_path / "coordinator")
    assert out == f"{coordinator_line(coordinator.public)}\n"
    assert fingerprint(coordinator.public) in err
    assert coordinator.secret.reveal().hex() not in out + err

    make_roster(printed, out=tmp_path / "roster.json")
    roster = RosterFile.read(tmp_path / "roster.json")
    assert capsys.readouterr().out.splitlines() == [
        *(f"{node.id} {node.name} {fingerprint(node.key)}" for node in roster.nodes),
        f"roster {roster.fingerprint}",
    ]
    assert roster.names == {0: "hospital-a", 1: "hospital-b"}

    home = tmp_path / "homes" / "hospital-b"
    for source in ("coordinator/coordinator.pub", "roster.json"):
        with pytest.raises(HomeError, match=f"{Path(source).name}: expected this file in the home, found none"):
            check_on_terminal(home)
        shutil.copy(tmp_path / source, home)
    with pytest.raises(PolicyError, match=r"policy.toml: protocols: expected this field, which has no default"):
        check_on_terminal(home)
    (home / "policy.toml").write_bytes(policy_text(encrypted_live_folder=str(tmp_path / "live")))
    found = secagg("node", "check", str(home), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("Node: 1, hospital-b\n")
    assert "This node will accept:" in found.stdout
    assert found.stdout.splitlines() == lines(check_node(Home.open(home)))


def test_check_refuses_what_would_be_unsafe_and_a_policy_that_accepts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path, *_) = homes(tmp_path)
    (path / "policy.toml").write_bytes(policy_text(live_folder="/proc/secagg"))
    with pytest.raises(LiveFolderError, match=r"expected a folder in memory \(tmpfs, ramfs\) .* found one on proc"):
        check_on_terminal(path)
    nothing = policy_text(least_contributors=4, encrypted_live_folder=str(tmp_path / "live"))
    (path / "policy.toml").write_bytes(nothing)
    assert capsys.readouterr().out == ""
    with pytest.raises(typer.Exit) as ended:
        check_on_terminal(path)
    assert ended.value.exit_code == FAULTY
    said = capsys.readouterr().out
    assert "This node accepts NOTHING as it is." in said
    assert re.search("^FAULT: least_contributors: expected at most 3", said, re.MULTILINE)
    path.chmod(0o755)
    with pytest.raises(ExposedKeyFile, match="expected a folder that only its owner may use, found mode 0755"):
        check_on_terminal(path)


def test_home_gets_the_name_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_node(tmp_path / "home", name="hospital-c")
    assert capsys.readouterr().out == (tmp_path / "home" / "node.pub").read_text()
    assert PublicLine.parse((tmp_path / "home" / "node.pub").read_text()).name == "hospital-c"


LINES = [f"{name} secagg-node-{name * 32}" for name in ("aa", "bb")]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: make_node(Path("taken"), name=None), "taken: expected a new or empty folder, found 'mine' in it"),
        (lambda: make_node(Path("home"), name="two words"), "name of a node: expected 1 to 64 ASCII letters"),
        (lambda: make_node(Path("two words"), name=None), "name of a node: expected 1 to 64 ASCII letters"),
        (lambda: make_coordinator(Path("taken")), "taken: expected a new or empty folder, found 'mine' in it"),
        (lambda: make_roster(["a b c d", "x"], out=Path("r")), "public line: expected NAME secagg-node-KEY"),
        (lambda: make_roster(LINES[:1], out=Path("r")), "roster: expected at least 2 nodes, found 1"),
        (lambda: make_roster(["taken", "taken"], out=Path("r")), "public line: expected NAME secagg-node-KEY"),
        (lambda: make_roster(LINES, out=Path("taken/mine")), "taken/mine: expected a new file, found one that exists"),
        (lambda: check_on_terminal(Path("taken")), "taken/identity.key: expected this file in the home, found none"),
        (
            lambda: check_on_terminal(Path("nowhere")),
            "nowhere: expected a node's home, found none. Make it:",
        ),
    ],
)
def test_command_refuses_in_one_line_and_writes_nothing(
    act: Callable[[], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir(mode=0o700)
    (tmp_path / "taken" / "mine").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SecaggError) as error:
        act()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "taken"]
