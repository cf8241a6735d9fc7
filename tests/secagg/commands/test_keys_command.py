"""The command `secagg keys committee`."""

import re
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from secagg.commands.keys import account, check_committee
from secagg.errors import ConfigurationError
from secagg.storage.key_files import read_committee_key, read_key_share, write_committee
from tests.support.commands import secagg, stopped
from tests.support.committee_keys import key_shares, threshold_key

SMALL = ("keys", "committee", "--bits", "2048", "--allow-112-bit-security")


def fewest_shared(members: int, threshold: int) -> int:
    """How many members any two sets of `threshold` have in common, by looking at all of them."""
    sets = [set(each) for each in combinations(range(members), threshold)]
    return min(len(sets[0] & other) for other in sets)


@pytest.mark.parametrize("members", range(2, 10))
def test_committee_is_refused_where_two_sets_of_it_may_be_disjoint(members: int) -> None:
    for threshold in range(-1, members + 3):
        if 0 < threshold <= members and fewest_shared(members, threshold) > 0:
            check_committee(members, threshold)
        elif threshold > members:
            with pytest.raises(ConfigurationError, match=f"--threshold: expected {members // 2 + 1} to {members}"):
                check_committee(members, threshold)
        else:
            with pytest.raises(ConfigurationError, match=rf"without a common member .* Use {members // 2 + 1} or more"):
                check_committee(members, threshold)


@pytest.mark.parametrize(("members", "threshold"), [(2, 2), (3, 2), (5, 3), (5, 4), (5, 5), (6, 5)])
def test_account_says_how_many_corrupt_members_the_committee_withstands(members: int, threshold: int) -> None:
    key = threshold_key(2, members, threshold)
    text = "\n".join(account(Path("keys"), key))
    shared = fewest_shared(members, threshold)
    most = shared - 1  # Two sets may share corrupt members only, and one more member is honest.
    assert f"a key of 2048 bits for {members} members, any {threshold} of whom" in text
    assert f"fewer than {threshold} corrupt members learn only the sums" in text
    assert f"if at most {members - threshold} of the members are absent" in text
    withstood = "if no member is corrupt" if most == 0 else f"if at most {most} members are corrupt"
    assert withstood in text
    assert f"have at least {shared} in common," in text
    assert key.fingerprint.hex() in text
    assert "has seen the complete key" in text


def test_command_writes_the_key_of_a_committee(tmp_path: Path) -> None:
    found = secagg(*SMALL, "--members", "3", "--threshold", "2", "--out", "a/keys", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    folder = tmp_path / "a" / "keys"
    assert {path.name for path in folder.iterdir()} == {"committee.pub", *(f"member-{i}.key" for i in (1, 2, 3))}
    key = read_committee_key(folder / "committee.pub")
    assert (key.members, key.threshold, key.public_key.s, key.public_key.n.bit_length()) == (3, 2, 2, 2048)
    shares = [read_key_share(folder / f"member-{index}.key", key) for index in (1, 2, 3)]
    assert [share.index for share in shares] == [1, 2, 3]
    assert [line.rstrip() for line in found.stdout.splitlines()] == list(account(Path("a/keys"), key))
    assert re.search(r"2 of 2 safe primes found .* of some [0-9,]+ candidates", found.stderr)
    for share in shares:
        assert hex(share.reveal())[2:20] not in found.stdout + found.stderr
    again = secagg(*SMALL, "--members", "3", "--threshold", "2", "--out", "a/keys", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == (
        "secagg: a/keys: expected a new or empty folder, found a committee's key, which is never overwritten. "
        "Name a new folder.\n"
    )
    assert read_committee_key(folder / "committee.pub") == key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--members", "1", "--threshold", "1"), "--members: expected 2 to 64, found 1"),
        (("--members", "65", "--threshold", "40"), "--members: expected 2 to 64, found 65"),
        (("--members", "5", "--threshold", "2"), "sums of one session. Use 3 or more"),
        (("--members", "4", "--threshold", "2"), "sums of one session. Use 3 or more"),
        (("--members", "5", "--threshold", "-1"), "sums of one session. Use 3 or more"),
        (("--members", "5", "--threshold", "6"), "--threshold: expected 3 to 5, found 6"),
        (("--bits", "2048"), "from 3072 to 8192, found 2048. --allow-112-bit-security allows weaker keys, from 2048"),
        (("--bits", "3073"), "--bits: expected an even number from 3072 to 8192, found 3073"),
        (("--bits", "16384"), "--bits: expected an even number from 3072 to 8192, found 16384"),
        (("--bits", "2046", "--allow-112-bit-security"), "even number from 2048 to 8192, found 2046.\n"),
        (
            ("--out", "taken"),
            "taken: expected a new or empty folder, found a committee's key, which is never overwritten",
        ),
        (("--out", "."), "secagg: .: expected a new or empty folder, found 'precious' in it. Name a new folder"),
        (("--out", "precious"), "precious: expected a new or empty folder, found a link or a file"),
        (("--out", "precious/keys"), "precious/keys cannot be made: "),
        (("--out", "/proc/committee"), "/proc/committee cannot be made: "),
    ],
)
def test_command_refuses_in_one_line_and_writes_nothing(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("mine")
    write_committee(tmp_path / "taken", threshold_key(), key_shares())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    usual = ("keys", "committee", "--members", "5", "--threshold", "3", "--out", "keys")
    found = secagg(*usual, *arguments, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("secagg: ")
    assert found.stderr.count("\n") == 1
    assert message in found.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "committee"),
        ("keys", "committee", "--members", "5", "--threshold", "3"),
        ("keys", "committee", "--members", "five", "--threshold", "3", "--out", "keys"),
        ("keys", "committee", "--members", "5", "--threshold", "2.5", "--out", "keys"),
        ("keys", "comittee"),
    ],
)
def test_wrong_usage_is_explained_without_a_traceback(arguments: tuple[str, ...], tmp_path: Path) -> None:
    found = secagg(*arguments, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert "Error" in found.stderr
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.iterdir())


def test_command_interrupted_in_its_search_leaves_nothing(tmp_path: Path) -> None:
    """Primes of 4096 bits take hours; the folder's parents are made before."""
    options = ("keys", "committee", "--members", "5", "--threshold", "3", "--bits", "8192", "--out", "parent/keys")
    found = stopped(*options, cwd=tmp_path, when=(tmp_path / "parent").exists, after_s=0.5, by=signal.SIGINT)
    assert found.returncode == 130
    assert found.stdout == ""
    assert "0 of 2 safe primes found" in found.stderr
    assert "Traceback" not in found.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "parent"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after_s", [0.0, pytest.param(0.005, marks=pytest.mark.long)])
def test_command_interrupted_while_it_writes_leaves_all_or_nothing(
    by: signal.Signals, after_s: float, tmp_path: Path
) -> None:
    def writing() -> bool:
        try:
            return any(tmp_path.glob(".keys.*.partial/*"))
        except FileNotFoundError:  # It has its name by now.
            return True

    options = (*SMALL, "--members", "9", "--threshold", "5", "--out", "keys")
    found = stopped(*options, cwd=tmp_path, when=writing, after_s=after_s, by=by)
    assert "Traceback" not in found.stderr
    left = {path.name for path in tmp_path.rglob("*")}
    whole = {"keys", "committee.pub", *(f"member-{index}.key" for index in range(1, 10))}
    assert left in (set(), whole)
    # An interpreter that has nothing left to do dies of the signal.
    assert found.returncode in ((0, 128 + by, -by) if left else (128 + by,))


def test_command_without_gmpy2_says_what_would_make_it_faster(tmp_path: Path) -> None:
    """Where it is not to be found, as without the extra; refused arguments end it before its search."""
    (tmp_path / "gmpy2.py").write_text("raise ImportError")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from secagg.simulation.committee import warn_without_gmpy2; warn_without_gmpy2()"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr.count("\n")) == ("", 1)
    assert 'Install it in a clone of secagg: pip install ".[paillier]"' in found.stderr
    (tmp_path / "gmpy2.py").unlink()
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stderr == ""
