"""The script of examples/flower_app that makes a whole federation; needs no Flower."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from secagg.engines.node.check import check_node
from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import Code
from secagg.storage.key_files import write_committee
from tests.support import committee_keys

SCRIPT = Path(__file__).parents[2] / "examples" / "flower_app" / "federation.py"
NODES = 4

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="the script keeps live sessions in /dev/shm")


def made(folder: Path, *options: str) -> str:
    """Make a federation, and return what the script has printed."""
    command = [sys.executable, str(SCRIPT), str(folder), "--nodes", str(NODES), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_federation_makes_homes_that_can_take_part(tmp_path: Path) -> None:
    write_committee(tmp_path / "keys", committee_keys.threshold_key(1, 3, 2), committee_keys.key_shares(1, 3, 2))
    folder = tmp_path / f"federation-{tmp_path.name}"
    printed = made(folder, "--committee", str(tmp_path / "keys"), "--resident")
    fingerprints = set()
    for node in range(NODES):
        home = Home.open(folder / "homes" / f"node-{node}")
        try:
            assert (home.node, home.policy.code) == (node, Code.RESIDENT)
            assert (home.share is not None) == (node < 3)
            assert check_node(home).faults == ()
            fingerprints.add(home.roster_fingerprint)
        finally:
            home.live.rmdir()
    (fingerprint,) = fingerprints
    assert f"roster: {fingerprint}" in printed
    assert printed.count("secagg node serve") == printed.count("flower-supernode") == NODES
    assert "protocol='oneshot' members='0 1 2'" in printed
    assert "--insecure" not in printed
    home.live.parent.rmdir()


def test_federation_makes_certificates_that_fit_and_private_keys_that_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "federation"
    printed = made(folder)
    root, link = (
        x509.load_pem_x509_certificate((folder / "tls" / name).read_bytes()) for name in ("ca.crt", "link.crt")
    )
    link.verify_directly_issued_by(root)
    names = link.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    private = [*folder.rglob("*.key")]
    assert len(private) == 1 + 2 * NODES + 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert "secagg node serve" not in printed
    assert printed.count("secagg-home=") == NODES


@pytest.mark.parametrize("script", [SCRIPT, SCRIPT.parents[1] / "nvflare_job" / "federation.py"])
@pytest.mark.parametrize("fault", ["folder", "committee", "nodes"])
def test_federation_refuses_wrong_arguments_in_one_line_and_makes_nothing(
    script: Path, fault: str, tmp_path: Path
) -> None:
    if script != SCRIPT:
        pytest.importorskip("nvflare")
    number = "--nodes" if script == SCRIPT else "--sites"
    (tmp_path / "there").mkdir()
    folder = tmp_path / ("there" if fault == "folder" else "new")
    options = {"folder": [], "committee": ["--committee", str(tmp_path / "there")], "nodes": [number, "1"]}[fault]
    command = [sys.executable, str(script), str(folder), *options]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 1
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert {"folder": str(folder), "committee": "--committee", "nodes": number}[fault] in line
    assert "expected" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert not list((tmp_path / "there").iterdir())
