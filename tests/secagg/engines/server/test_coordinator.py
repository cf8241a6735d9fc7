"""What a coordinator releases, and what a crash at any of its writes leaves."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.errors import BudgetExceeded
from dp.ledger.ledger import Ledger
from protocols.errors import RemoteError
from protocols.replay import MemoryOpenings
from secagg.aggregation.mean import Target
from secagg.engines.base import Release
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptOpening, KeptRelease
from secagg.errors import (
    ConfigurationError,
    CoordinatorError,
    NothingReleased,
    OpeningUnfinished,
    ServerRolledBack,
)
from tests.support.coordinators import (
    CLIENTS,
    LEAST,
    TARGET,
    Crash,
    Nodes,
    Writes,
    coordinator_of,
    folder_at,
    plan_with,
    work_of,
)

WRITES = ["reserve", "next_serial", "keep_opening", "keep_release", "commit", "drop_opening"]
ROUNDS = (1, 2)
_NOISE = plan_with(TARGET)(CLIENTS, work_of(1), None).noise
assert _NOISE is not None
TARGET_EVENT = _NOISE.event


def entry(release: Release) -> list[float]:
    return [float(value) for value in release.mean[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_at(tmp_path / "coordinator")


def test_release_is_the_mean_and_is_reserved_and_committed(folder: Path) -> None:
    nodes = Nodes()
    with coordinator_of(folder) as (coordinator, ledger):
        release = coordinator.run(work_of(1), CLIENTS, nodes)
        assert ledger is not None
        (found,) = ledger.entries()
        assert found.commitment is not None
        assert found.commitment.contributors == len(release.contributors) == len(CLIENTS)
        assert found.commitment.realised == release.realised
    assert nodes.trained == [1]


def test_release_of_the_same_work_is_the_same_without_a_message_or_a_cost(folder: Path) -> None:
    nodes = Nodes()
    with coordinator_of(folder) as (coordinator, ledger):
        first = coordinator.run(work_of(1), CLIENTS, nodes)
        again = coordinator.run(work_of(1), CLIENTS[:4], nodes)
        other = coordinator.run(work_of(2), CLIENTS, nodes)
    with coordinator_of(folder) as (coordinator, ledger):
        later = coordinator.run(work_of(1), (), nodes)
        assert ledger is not None
        assert len(ledger.entries()) == 2
    assert entry(first) == entry(again) == entry(later) != entry(other)
    assert first.contributors == later.contributors
    assert first.realised == later.realised
    assert nodes.trained == [1, 2]


def test_coordinator_without_a_folder_keeps_nothing() -> None:
    nodes = Nodes()
    with Coordinator(None, plan_with(None)) as coordinator:
        for _ in range(2):
            coordinator.run(work_of(1), CLIENTS, nodes)
    assert nodes.trained == [1, 2]
    assert len({context for context, *_ in nodes.opened}) == 1


def test_writes_of_a_round_have_one_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)
    with coordinator_of(folder) as (coordinator, _):
        coordinator.run(work_of(1), CLIENTS, Nodes())
    assert writes.names == WRITES


def _rounds(folder: Path, nodes: Nodes, target: Target | None) -> dict[int, list[float]]:
    """Run all rounds to their end, with a new process after every crash; return what the model was moved by."""
    moved: dict[int, list[float]] = {}
    while len(moved) < len(ROUNDS):
        try:
            with coordinator_of(folder, target=target) as (coordinator, ledger):
                nodes.on_opening = partial(_reserved, ledger, len(moved))
                for number in ROUNDS:
                    release = coordinator.run(work_of(number), CLIENTS, nodes)
                    assert moved.setdefault(number, entry(release)) == entry(release)
        except Crash:
            nodes.silent = {CLIENTS[0]}  # Another cohort would answer next time.
        except OpeningUnfinished:
            nodes.silent = set()  # The owner waits until the nodes are back.
    return moved


def _reserved(ledger: Ledger | None, before: int) -> None:
    if ledger is not None:
        assert len(ledger.entries()) > before, "nothing is opened that was not reserved"


def _check(folder: Path, nodes: Nodes, moved: dict[int, list[float]], target: Target | None, crashes: int) -> None:
    """Check what must hold after all crashes: engine.md, section 5, (b) to (e)."""
    if target is None:  # (e): no two sums of one context whose contributors differ in few.
        openings = MemoryOpenings()
        for number, (context, contributors, _) in enumerate(dict.fromkeys(nodes.opened)):
            openings.record(
                key=bytes(32),
                session_id=number.to_bytes(16, "big"),
                context=context,
                contributors=contributors,
                minimum=LEAST,
            )
        return
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        entries = ledger.entries()
    committed = [each for each in entries if each.commitment is not None]
    assert len(committed) == len(moved) == len(ROUNDS)  # (c)
    assert len(ROUNDS) <= len(entries) <= len(ROUNDS) + crashes  # (b)
    assert len(entries) >= len({session for *_, session in nodes.opened})


@pytest.mark.parametrize("target", [TARGET, None], ids=["noise", "exact"])
@pytest.mark.parametrize("half", range(2 * len(WRITES) * len(ROUNDS)))
def test_crash_at_any_write_loses_nothing(
    half: int, target: Target | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes()
    Writes(monkeypatch, [half])
    _check(folder, nodes, _rounds(folder, nodes, target), target, 1)


@pytest.mark.parametrize("target", [TARGET, None], ids=["noise", "exact"])
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
def test_two_crashes_at_any_writes_lose_nothing(
    every: int, target: Target | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = range(2 * len(WRITES))
    for number, (first, second) in enumerate(list(itertools.combinations(halves, 2))[::every]):
        place, nodes = folder_at(tmp_path / str(number)), Nodes()
        with monkeypatch.context() as patch:
            Writes(patch, [first, second])
            moved = _rounds(place, nodes, target)
        _check(place, nodes, moved, target, 2)


class WithoutOpenings(CoordinatorFolder):
    """A folder that keeps no opening."""

    def keep_opening(self, kept: KeptOpening) -> None:
        pass


class WithoutSerials(CoordinatorFolder):
    """A folder whose serials are in memory only."""

    def next_serial(self) -> int:
        self.count = getattr(self, "count", 0) + 1
        return self.count


class KeptTooLate(CoordinatorFolder):
    """A folder that keeps a release only after its commitment."""

    def keep_release(self, kept: KeptRelease) -> None:
        self.late = kept

    def drop_opening(self, inputs: bytes) -> None:
        if hasattr(self, "late"):
            super().keep_release(self.late)
        super().drop_opening(inputs)


@pytest.mark.parametrize(
    ("variant", "target"),
    [(WithoutOpenings, None), (WithoutSerials, None), (WithoutSerials, TARGET), (KeptTooLate, TARGET)],
)
def test_crashes_find_a_folder_that_breaks_a_rule(
    variant: type[CoordinatorFolder], target: Target | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secagg.engines.server.coordinator.CoordinatorFolder", variant)
    broken = []
    for half in range(2 * len(WRITES)):
        place, nodes = folder_at(tmp_path / str(half)), Nodes()
        with monkeypatch.context() as patch:
            Writes(patch, [half])
            try:
                _check(place, nodes, _rounds(place, nodes, target), target, 1)
            except (AssertionError, RemoteError, ServerRolledBack, CoordinatorError):
                broken.append(half)
    assert broken


def test_round_with_too_few_clients_releases_nothing_and_the_next_attempt_is_another(folder: Path) -> None:
    nodes = Nodes(silent=set(CLIENTS[:3]))
    with coordinator_of(folder) as (coordinator, ledger):
        with pytest.raises(NothingReleased, match="too few answer") as caught:
            coordinator.run(work_of(1), CLIENTS, nodes)
        assert caught.value.result.dropped == {"send": (1, 2, 3)}
        nodes.silent = set()
        coordinator.run(work_of(1), CLIENTS, nodes)
        assert ledger is not None
        assert [each.commitment is not None for each in ledger.entries()] == [False, True]
    assert nodes.trained == [1, 2]


def _opened_and_crashed(folder: Path, target: Target | None) -> Nodes:
    def crash() -> None:
        raise Crash

    nodes = Nodes(on_opening=crash)
    with pytest.raises(Crash), coordinator_of(folder, target=target) as (coordinator, _):
        coordinator.run(work_of(1), CLIENTS, nodes)
    nodes.on_opening, nodes.silent = lambda: None, {2}
    return nodes


def test_opening_of_an_exact_sum_is_given_up_only_by_its_owner(folder: Path) -> None:
    nodes = _opened_and_crashed(folder, None)
    with coordinator_of(folder, target=None) as (coordinator, _):
        for _ in range(2):
            with pytest.raises(OpeningUnfinished, match=r"at least 4 were not in that sum"):
                coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.silent = set()
        assert coordinator.run(work_of(1), CLIENTS, nodes).contributors == CLIENTS
    assert nodes.trained == [1]


def test_opening_that_is_abandoned_is_followed_by_a_new_session(folder: Path) -> None:
    nodes = _opened_and_crashed(folder, None)
    with coordinator_of(folder, target=None) as (coordinator, _):
        coordinator.abandon(work_of(1))
        assert coordinator.run(work_of(1), CLIENTS, nodes).contributors == (1, 3, 4, 5, 6)
    assert nodes.trained == [1, 2]


def test_opening_of_a_sum_with_noise_is_followed_by_a_new_session_that_is_paid_for(folder: Path) -> None:
    nodes = _opened_and_crashed(folder, TARGET)
    with coordinator_of(folder) as (coordinator, ledger):
        coordinator.run(work_of(1), CLIENTS, nodes)
        assert ledger is not None
        assert len(ledger.entries()) == 2
    assert nodes.trained == [1, 2]
    assert len({context for context, *_ in nodes.opened}) == 1
    assert nodes.opened[0][0].startswith(work_of(1).digest())
    assert nodes.opened[0][0] != work_of(1).digest()


def test_culprits_are_left_out_of_the_next_attempt(folder: Path) -> None:
    nodes = Nodes(errors=[RemoteError("a bad reply", culprits=[3])])
    with coordinator_of(folder) as (coordinator, _):
        with pytest.raises(RemoteError, match="a bad reply"):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.silent = {1}
        release = coordinator.run(work_of(1), CLIENTS, nodes)
    assert release.contributors == (2, 4, 5, 6)


@pytest.mark.parametrize(("accusers", "left"), [([4, 5], (1, 2, 6)), ([4, 5, 6], (1, 2, 4, 5, 6))])
def test_accusers_stay_if_one_of_them_must_be_honest(accusers: list[int], left: tuple[int, ...], folder: Path) -> None:
    nodes = Nodes(errors=[RemoteError("bad shares", culprits=[3, *accusers], accusers=accusers)])
    with coordinator_of(folder, target=None, colluding=2) as (coordinator, _):
        with pytest.raises(RemoteError, match="bad shares"):
            coordinator.run(work_of(1), CLIENTS, nodes)
        assert coordinator.run(work_of(2), CLIENTS, nodes).contributors == left


def test_folder_of_a_backup_stops_until_its_owner_accepts_that_releases_are_missing(folder: Path) -> None:
    nodes = Nodes(seen=7)
    with coordinator_of(folder) as (coordinator, _), pytest.raises(ServerRolledBack, match="rollback=7 goes on"):
        coordinator.run(work_of(1), CLIENTS, nodes)
    with coordinator_of(folder, rollback=7) as (coordinator, _):
        coordinator.run(work_of(1), CLIENTS, nodes)
    assert nodes.trained == [8]


def test_serials_that_only_colluding_nodes_have_seen_stop_nobody(folder: Path) -> None:
    nodes = Nodes(silent={1, 2, 3}, lies={1: 2**40, 2: 9})
    with coordinator_of(folder, colluding=2) as (coordinator, _):
        with pytest.raises(NothingReleased):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.lies[3] = 7
        with pytest.raises(ServerRolledBack) as caught:
            coordinator.run(work_of(1), CLIENTS, nodes)
    assert caught.value.found == 7


def test_release_whose_details_fail_is_committed_and_kept(folder: Path) -> None:
    def fail(_: Release) -> Any:
        raise ArithmeticError("diverged")

    with coordinator_of(folder) as (coordinator, ledger):
        with pytest.raises(ArithmeticError, match="diverged"):
            coordinator.run(work_of(1), CLIENTS, Nodes(), details=fail)
        assert ledger is not None
        assert ledger.entries()[0].commitment is not None
        coordinator.run(work_of(1), CLIENTS, Nodes())
        assert len(ledger.entries()) == 1


def test_budget_that_is_spent_asks_nobody(folder: Path) -> None:
    nodes = Nodes()
    with coordinator_of(folder) as (coordinator, ledger):
        assert ledger is not None
        number = 1
        while ledger.remaining(TARGET_EVENT):
            coordinator.run(work_of(number), CLIENTS, nodes)
            number += 1
        with pytest.raises(BudgetExceeded):
            coordinator.run(work_of(number), CLIENTS, nodes)
    assert len(nodes.trained) == number - 1 >= TARGET.releases


def test_forgotten_releases_are_all_but_the_last_two(folder: Path) -> None:
    with coordinator_of(folder, target=None) as (coordinator, _):
        for number in range(1, 6):
            coordinator.run(work_of(number, coordinator.run_id), CLIENTS, Nodes())
        coordinator.forget(1)
        assert len(list(folder.glob("release-*"))) == 4
        coordinator.forget(5)
        assert [path.name.split("-")[2] for path in sorted(folder.glob("release-*"))] == ["0000000004", "0000000005"]


def test_a_run_forgets_no_releases_of_another_run(folder: Path) -> None:
    works = [work_of(number, run) for run in ("first", "a/b", "first-2") for number in range(1, 5)]
    with coordinator_of(folder, target=None) as (coordinator, _):
        for work in works:
            coordinator.run(work, CLIENTS, Nodes())
        coordinator.forget(4, run="a/b")
        coordinator.forget(4, run="another")
        asked = []
        for work in works:
            coordinator.run(work, CLIENTS, again := Nodes())
            asked += [(work.run, work.round)] * len(again.trained)
    assert asked == [("a/b", 1), ("a/b", 2)]


def test_one_process_at_a_time_uses_a_folder(folder: Path) -> None:
    with (
        coordinator_of(folder, target=None),
        pytest.raises(CoordinatorError, match="found another coordinator"),
        coordinator_of(folder, target=None),
    ):
        pass


def test_folder_that_is_none_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CoordinatorError, match="secagg keys coordinator"):
        Coordinator(tmp_path / "none", plan_with(None))
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(CoordinatorError, match=r"identity\.key"):
        Coordinator(tmp_path / "empty", plan_with(None))


@pytest.mark.parametrize("name", ["serial", "release", "opening"])
def test_damaged_file_is_refused_by_its_name(name: str, folder: Path) -> None:
    _opened_and_crashed(folder, None)
    with coordinator_of(folder, target=None) as (coordinator, _):
        coordinator.run(work_of(2), CLIENTS, Nodes(seen=1))
    (path,) = folder.glob(f"{name}*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CoordinatorError, match=path.name), coordinator_of(folder, target=None) as (coordinator, _):
        coordinator.run(work_of(1), CLIENTS, Nodes())


def test_release_survives_the_disk_as_it_was(folder: Path) -> None:
    with coordinator_of(folder) as (coordinator, _):
        release = coordinator.run(work_of(1), CLIENTS, Nodes(silent={2}))
    with coordinator_of(folder) as (coordinator, _):
        kept = coordinator.run(work_of(1), CLIENTS, Nodes())
    np.testing.assert_array_equal(kept.mean[0], release.mean[0])
    assert (kept.contributors, kept.rounding_bound, kept.realised) == (
        release.contributors,
        release.rounding_bound,
        release.realised,
    )
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("release*"))


def test_noise_without_a_ledger_is_refused_before_anybody_is_asked(folder: Path) -> None:
    nodes = Nodes()
    with Coordinator(folder, plan_with(TARGET)) as coordinator, pytest.raises(ConfigurationError, match="ledger"):
        coordinator.run(work_of(1), CLIENTS, nodes)
    assert nodes.trained == []
