"""The commands `secagg keys node`, `keys coordinator`, `keys roster` and `node check`, as a person uses them."""

import re
import shutil
from pathlib import Path

import pytest

from secagg.commands.node_check import FAULTY, lines
from secagg.engines.home import Home
from secagg.engines.node_check import check_node
from secagg.engines.roster_file import RosterFile
from secagg.storage.node_keys import read_coordinator, read_node_identity
from secagg.storage.public_line import PublicLine, coordinator_line, fingerprint
from tests.support.commands import secagg
from tests.support.homes import homes, policy_text


def test_federation_is_made_from_public_lines_alone(tmp_path: Path) -> None:
    printed = []
    for name in ("hospital-a", "hospital-b"):
        made = secagg("keys", "node", f"homes/{name}", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        identity = read_node_identity(tmp_path / "homes" / name)
        assert made.stdout == f"{PublicLine(name=name, key=identity.public)}\n"
        assert fingerprint(identity.public) in made.stderr
        assert identity.secret.reveal().hex() not in made.stdout + made.stderr
        printed.append(made.stdout.strip())
    made = secagg("keys", "coordinator", "coordinator", cwd=tmp_path)
    coordinator, run = read_coordinator(tmp_path / "coordinator")
    assert made.stdout == f"{coordinator_line(coordinator.public)}\n"
    assert fingerprint(coordinator.public) in made.stderr
    assert coordinator.secret.reveal().hex() not in made.stdout + made.stderr

    made = secagg("keys", "roster", *printed, "--out", "roster.json", cwd=tmp_path)
    roster = RosterFile.read(tmp_path / "roster.json")
    assert made.stdout.splitlines() == [
        *(f"{node.id} {node.name} {fingerprint(node.key)}" for node in roster.nodes),
        f"roster {roster.fingerprint}",
    ]
    assert roster.names == {0: "hospital-a", 1: "hospital-b"}

    home = tmp_path / "homes" / "hospital-b"
    for source in ("coordinator/coordinator.pub", "roster.json"):
        found = secagg("node", "check", str(home), cwd=tmp_path)
        assert (found.returncode, found.stdout) == (2, "")
        assert f"{Path(source).name}: expected this file in the home, found none" in found.stderr
        shutil.copy(tmp_path / source, home)
    found = secagg("node", "check", str(home), cwd=tmp_path)
    assert found.returncode == 2
    assert "policy.toml: protocols: expected this field, which has no default, found none" in found.stderr
    (home / "policy.toml").write_bytes(policy_text(encrypted_live_folder=str(tmp_path / "live")))
    found = secagg("node", "check", str(home), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("Node: 1, hospital-b\n")
    assert "This node will accept:" in found.stdout
    assert found.stdout.splitlines() == lines(check_node(Home.open(home)))


def test_check_refuses_a_live_folder_on_a_disk_and_a_policy_that_accepts_nothing(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    (path / "policy.toml").write_bytes(policy_text(live_folder="/proc/secagg"))
    found = secagg("node", "check", str(path), cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert (
        "live_folder: expected a folder in memory (tmpfs, ramfs) for the live session, found one on proc"
        in found.stderr
    )
    nothing = policy_text(least_contributors=4, encrypted_live_folder=str(tmp_path / "live"))
    (path / "policy.toml").write_bytes(nothing)
    found = secagg("node", "check", str(path), cwd=tmp_path)
    assert found.returncode == FAULTY
    assert "This node accepts NOTHING as it is." in found.stdout
    assert re.search("^FAULT: least_contributors: expected at most 3", found.stdout, re.MULTILINE)
    path.chmod(0o755)
    found = secagg("node", "check", str(path), cwd=tmp_path)
    assert found.returncode == 2
    assert "expected a folder that only its owner may use, found mode 0755" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "node", "taken"), "taken: expected a new or empty folder, found 'mine' in it"),
        (("keys", "node", "home", "--name", "two words"), "name of a node: expected 1 to 64 ASCII letters"),
        (("keys", "coordinator", "taken"), "taken: expected a new or empty folder, found 'mine' in it"),
        (("keys", "roster", "a b c d", "x", "--out", "r"), "public line: expected NAME secagg-node-KEY"),
        (("keys", "roster", f"a secagg-node-{'0' * 64}", "--out", "r"), "roster: expected at least 2 nodes, found 1"),
        (("keys", "roster", "taken", "taken", "--out", "r"), "public line: expected NAME secagg-node-KEY"),
        (
            ("keys", "roster", *(f"{name} secagg-node-{name * 32}" for name in ("aa", "bb")), "--out", "taken/mine"),
            "taken/mine: expected a new file, found one that exists",
        ),
        (("node", "check", "taken"), "taken/identity.key: expected this file in the home, found none"),
        (("node", "check", "nowhere"), "nowhere: cannot be read: No such file or directory"),
    ],
)
def test_command_refuses_in_one_line_and_writes_nothing(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir(mode=0o700)
    (tmp_path / "taken" / "mine").write_text("mine")
    found = secagg(*arguments, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("secagg: ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "taken"]
