"""A coordinator that ends at every write and message, once and twice; and coordinators without one of their rules."""

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dp.ledger.ledger import Ledger
from protocols.errors import RemoteError
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.server import coordinator
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptOpening, KeptRelease
from secagg.engines.server.preflight import label_of
from secagg.engines.server.release_account import ReleaseAccount
from secagg.errors import CoordinatorError, ServerRolledBack
from tests.support.coordinators import CLIENTS, TARGET, Nodes, coordinator_of, folder_at, work_of
from tests.support.training_run import TrainingRun

pytestmark = pytest.mark.slow

ROUNDS = 2
TARGETS = pytest.mark.parametrize("target", [TARGET, None], ids=["noise", "exact"])


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory if the system has one, since the disk is a model and syncing a real one takes long."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def points_of(target: Target | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many points a run without crashes passes."""
    with monkeypatch.context() as patch:
        return TrainingRun(folder_at(folder / "whole"), target).run(patch, rounds=ROUNDS)


def test_writes_of_a_round_have_one_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list[str]()

    def noted(kind: type[Any], name: str) -> None:
        write = getattr(kind, name)

        def write_noted(*arguments: Any, **named: Any) -> Any:
            names.append(name)
            return write(*arguments, **named)

        monkeypatch.setattr(kind, name, write_noted)

    for name in ("next_serial", "keep_opening", "drop_opening", "keep_release"):
        noted(CoordinatorFolder, name)
    for name in ("reserve", "commit"):
        noted(Ledger, name)
    with coordinator_of(folder_at(place / "coordinator")) as (found, _):
        found.run(work_of(1), CLIENTS, Nodes())
    assert names == ["reserve", "next_serial", "keep_opening", "keep_release", "commit", "drop_opening"]


@TARGETS
def test_crash_at_any_point_loses_nothing(target: Target | None, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill and a power cut at every point of the first round; in the second, a kill before writes, and cuts after."""
    points = points_of(target, place, monkeypatch)
    for point in range(points):
        for cut in (False, True) if point <= points // 2 else (point % 2 == 1,):
            with monkeypatch.context() as patch:
                run = TrainingRun(folder_at(place / f"{point}-{cut}"), target)
                run.run(patch, (point,), rounds=ROUNDS, cuts=(cut,))


@TARGETS
@pytest.mark.parametrize("every", [113, pytest.param(1, marks=pytest.mark.long)])
def test_crashes_at_any_two_points_lose_nothing(
    every: int, target: Target | None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = points_of(target, place, monkeypatch)
    pairs = itertools.combinations(range(points), 2)
    for number, crashes in enumerate(itertools.islice(pairs, 0, None, every)):
        with monkeypatch.context() as patch:
            run = TrainingRun(folder_at(place / str(number)), target)
            run.run(patch, crashes, rounds=ROUNDS, cuts=(number % 2 == 1, number // 2 % 2 == 1))


class WithoutOpenings(CoordinatorFolder):
    """A folder that keeps no opening."""

    def keep_opening(self, kept: KeptOpening) -> None:
        pass


class WithoutSync(CoordinatorFolder):
    """A folder whose serials are not synced."""

    def next_serial(self) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: None)
            patch.setattr("secagg.files.sync_names", lambda _: None)
            return super().next_serial()


class KeptTooLate(CoordinatorFolder):
    """A folder that keeps a release only after its commitment."""

    def keep_release(self, kept: KeptRelease) -> None:
        self.late = kept

    def drop_opening(self, inputs: bytes) -> None:
        if hasattr(self, "late"):
            super().keep_release(self.late)
        super().drop_opening(inputs)


class ReservedLate(ReleaseAccount):
    """An account that reserves a release when the sum is there."""

    __slots__ = ()

    def reserve(self, mean: SecureMean, number: int) -> int | None:
        return len(self.ledger.entries()) + 1 if self.ledger is not None else None

    def commit(self, kept: KeptRelease) -> None:
        release = kept.release
        if self.ledger is None or release.realised is None or self.is_committed(kept.reservation):
            return
        number = self.ledger.reserve(
            release.realised, label_of(kept.reservation or 1, self.run), contributors=len(CLIENTS)
        )
        self.ledger.commit(
            number, contributors=len(release.contributors), realised=release.realised, details=kept.details
        )

    def is_committed(self, reservation: int | None) -> bool:
        return self.ledger is None or len(self.ledger.entries()) >= (reservation or 0)


def first_breach(
    folder: Path,
    target: Target | None,
    monkeypatch: pytest.MonkeyPatch,
    points: Iterable[int],
    *,
    rounds: int = ROUNDS,
    goes_back: bool = False,
) -> str:
    """Return how a coordinator or its caller breaks first without a rule, in any single kill or power cut."""
    for number, (point, cut) in enumerate(itertools.product(points, (False, True))):
        with monkeypatch.context() as patch:
            run = TrainingRun(folder_at(folder / str(number)), target, goes_back=goes_back)
            try:
                run.run(patch, (point,), rounds=rounds, cuts=(cut,))
            except (AssertionError, RemoteError, ServerRolledBack, CoordinatorError) as error:
                return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


@pytest.mark.parametrize(
    ("name", "variant", "target", "breach"),
    [
        ("CoordinatorFolder", WithoutOpenings, None, "differ"),
        ("CoordinatorFolder", WithoutSync, TARGET, "ServerRolledBack"),
        ("CoordinatorFolder", KeptTooLate, TARGET, "each release is committed"),
        ("ReleaseAccount", ReservedLate, TARGET, "was not reserved"),
    ],
)
def test_coordinator_without_a_rule_breaks(
    name: str, variant: type[Any], target: Target | None, breach: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, name, variant)
    assert breach in first_breach(place, target, monkeypatch, range(30))


def test_checkpoint_that_goes_back_by_itself_breaks(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases that the checkpoint is past are forgotten, so a work that is asked for again is a new release."""
    with monkeypatch.context() as patch:
        points = TrainingRun(folder_at(place / "whole"), TARGET).run(patch, rounds=4)
    last = range(points - 4, points)
    assert "in two ways" in first_breach(place, TARGET, monkeypatch, last, rounds=4, goes_back=True)


def test_older_checkpoint_is_brought_forward_by_the_kept_releases(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner puts back the checkpoint of two rounds before: no node is asked, and nothing is paid for again."""
    folder = folder_at(place / "coordinator")
    run, checkpoint = TrainingRun(folder, TARGET), folder / "checkpoint"
    with monkeypatch.context() as patch:
        run.run(patch, rounds=1)
    older = checkpoint.read_bytes()
    with monkeypatch.context() as patch:
        run.run(patch, rounds=3)
    latest, trained = checkpoint.read_bytes(), list(run.nodes.trained)
    checkpoint.write_bytes(older)
    with monkeypatch.context() as patch:
        run.run(patch, rounds=3)
    assert run.nodes.trained == trained == [1, 2, 3]
    assert checkpoint.read_bytes() == latest
