"""A version of the package `cryptography` without HPKE or ML-KEM: only what needs them says so, when it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.seed_world import seed_committee_of

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
sys.modules[sys.argv[1]] = None  # An import of it raises ImportError.
import protocols
from protocols import PlainSum, ParameterError, SecAgg, SeedCommittee, SeedSum
from protocols.crypto.hpke import HpkeKey, MissingHpke, PUBLIC_BYTES, check, seal
from protocols.crypto.secret import Secret
from protocols.seeds.member_keys import MemberKeys

SecAgg(), PlainSum(), SeedSum()  # Only a session of the last one has member keys.
committee = open(sys.argv[2], "rb").read()
for use in (
    HpkeKey.generate,
    lambda: check(bytes(PUBLIC_BYTES)),
    lambda: seal(bytes(PUBLIC_BYTES), b"info", b"message"),
    lambda: MemberKeys.generate().with_epoch(0, 1),
    lambda: SeedCommittee.from_bytes(committee),
):
    try:
        use()
    except MissingHpke as error:
        assert isinstance(error, ParameterError) and isinstance(error, ImportError)
        print(error)
"""


@pytest.mark.parametrize(
    "missing", ["cryptography.hazmat.primitives.hpke", "cryptography.hazmat.primitives.asymmetric.mlkem"]
)
def test_missing_hpke_is_a_typed_error_of_what_uses_it_and_not_of_the_import(missing: str, tmp_path: Path) -> None:
    committee = tmp_path / "committee"
    committee.write_bytes(seed_committee_of(3, 1, 3).to_bytes())
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, missing, committee],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert line.startswith("cryptography: expected version 49 or later, which has HPKE with ML-KEM-768, found ")
        assert line.endswith("Install cryptography>=49.")


@pytest.mark.parametrize("command", [["keys", "member", "member"], ["train", "--protocol", "seeds", "--clients", "5"]])
def test_command_that_needs_hpke_says_what_to_install(command: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography.hazmat.primitives.hpke'] = None; "
        "from secagg.__main__ import main; sys.argv[0] = 'secagg'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *command],
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cryptography>=49" in done.stderr
    assert "Traceback" not in done.stderr
