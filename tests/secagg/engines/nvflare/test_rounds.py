"""All rounds of a job, with a crash at any point: the model moves once by each release."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.errors import RemoteError
from secagg.engines.nvflare.rounds import CheckpointFile, run_rounds
from secagg.engines.wire.work import Work
from secagg.errors import CheckpointError, ConfigurationError

FIRST = Work("digits", 1, {"kernel": np.zeros((2, 2), np.float32), "bias": np.ones(2, np.float64)}, {"rate": 0.5})
ROUNDS = 4


class Crash(Exception):
    pass


class Releases:
    """A coordinator's releases: the same mean for the same work, and a new one for another."""

    def __init__(self) -> None:
        self.kept: dict[bytes, list[NDArray[Any]]] = {}
        self.forgotten: list[int] = []

    def mean_of(self, work: Work) -> Sequence[NDArray[Any]]:
        number = len(self.kept) + 1
        return self.kept.setdefault(work.digest(), [np.full(array.shape, float(number)) for array in work.arrays])


def run(
    folder: Path, mean_of: Callable[[Work], Sequence[NDArray[Any]]], releases: Releases, first: Work = FIRST
) -> Work:
    return run_rounds(
        ROUNDS,
        checkpoint=CheckpointFile(folder, first),
        mean_of=mean_of,
        forget=releases.forgotten.append,
        may_try_again=lambda error: isinstance(error, RemoteError) and bool(error.culprits),
    )


def test_model_moves_by_each_mean(tmp_path: Path) -> None:
    releases = Releases()
    last = run(tmp_path, releases.mean_of, releases)
    assert (last.round, last.run, dict(last.settings), last.names) == (5, "digits", {"rate": 0.5}, ("kernel", "bias"))
    np.testing.assert_array_equal(last.arrays[0], np.full((2, 2), 10, np.float32))
    np.testing.assert_array_equal(last.arrays[1], np.full(2, 11.0))
    assert [array.dtype for array in last.arrays] == [np.float32, np.float64]
    assert releases.forgotten == [1, 2, 3, 4]


def test_a_finished_run_asks_nobody(tmp_path: Path) -> None:
    releases = Releases()
    last = run(tmp_path, releases.mean_of, releases)
    assert run(tmp_path, lambda _: pytest.fail("asked"), releases).digest() == last.digest()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("crash", range(1, ROUNDS + 1))
def test_a_crash_moves_the_model_once(tmp_path: Path, crash: int, released: bool) -> None:
    undisturbed = run(tmp_path, (once := Releases()).mean_of, once)
    (tmp_path / "flare-digits").unlink()
    releases = Releases()

    def crashing(work: Work) -> Sequence[NDArray[Any]]:
        if released:
            releases.mean_of(work)
        if work.round == crash:
            raise Crash
        return releases.mean_of(work)

    with pytest.raises(Crash):
        run(tmp_path, crashing, releases)
    assert run(tmp_path, releases.mean_of, releases).digest() == undisturbed.digest()
    assert len(releases.kept) == ROUNDS


def test_a_round_that_may_begin_again_does_so(tmp_path: Path) -> None:
    releases, failures = Releases(), [RemoteError("bad", culprits=frozenset({3}))] * 2

    def failing(work: Work) -> Sequence[NDArray[Any]]:
        if failures:
            raise failures.pop()
        return releases.mean_of(work)

    assert run(tmp_path, failing, releases).round == 5
    assert not failures


@pytest.mark.parametrize("error", [RemoteError("bad"), RemoteError("bad", culprits=frozenset({3}))])
def test_a_round_that_fails_on_ends_the_job(tmp_path: Path, error: RemoteError) -> None:
    tried = []

    def failing(work: Work) -> Sequence[NDArray[Any]]:
        tried.append(work.round)
        raise error

    with pytest.raises(RemoteError):
        run(tmp_path, failing, Releases())
    assert tried == [1] * (3 if error.culprits else 1)


def test_another_model_or_setting_needs_another_name(tmp_path: Path) -> None:
    releases = Releases()
    run(tmp_path, releases.mean_of, releases)
    for other in (
        Work("digits", 1, {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2)}, {"rate": 0.5}),
        Work("digits", 1, {"kernel": np.zeros((2, 2), np.float32), "bias": np.ones(2)}, {"rate": 0.4}),
    ):
        with pytest.raises(CheckpointError, match="another name"):
            run(tmp_path, releases.mean_of, releases, other)


def test_a_run_that_has_moved_nothing_may_begin_with_another_model(tmp_path: Path) -> None:
    other = Work("digits", 1, {"kernel": np.ones((2, 2), np.float32)}, {"rate": 0.4})
    CheckpointFile(tmp_path, FIRST)
    assert CheckpointFile(tmp_path, other).read().digest() == other.digest()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    releases = Releases()
    run(tmp_path, releases.mean_of, releases)
    path = tmp_path / "flare-digits"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40] + bytes([content[40] ^ 1]) + content[41:], b""):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="checkpoint"):
            run(tmp_path, releases.mean_of, releases)


@pytest.mark.parametrize("run_name", ["../digits", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, run_name: str) -> None:
    with pytest.raises(ConfigurationError, match="run"):
        CheckpointFile(tmp_path, Work(run_name, 1, FIRST.arrays))
    assert not list(tmp_path.iterdir())
