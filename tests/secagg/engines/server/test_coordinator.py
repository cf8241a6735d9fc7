"""What a coordinator releases, keeps and gives up; `test_coordinator_crashes` has the crashes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.errors import BudgetExceeded
from dp.events import Trust
from protocols import PlainSum
from protocols.errors import ParameterError, RemoteError
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.base import Release, RoundResult
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.engines.wire.work import Work
from secagg.errors import (
    ConfigurationError,
    CoordinatorError,
    NothingReleased,
    OpeningUnfinished,
    ServerRolledBack,
)
from secagg.privacy.noise import Sample
from tests.support.coordinators import (
    CLIENTS,
    TARGET,
    Nodes,
    coordinator_of,
    folder_at,
    plan_with,
    work_of,
)
from tests.support.lossy_folder import Crash

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("clients", [(), CLIENTS[:1]])
def test_round_without_two_clients_releases_nothing_and_asks_nobody(clients: tuple[int, ...], folder: Path) -> None:
    nodes = Nodes()
    with coordinator_of(folder) as (coordinator, ledger):
        for _ in range(2):
            with pytest.raises(NothingReleased, match=f"found {len(clients)} that can be asked") as caught:
                coordinator.run(work_of(1), clients, nodes)
            assert caught.value.result == RoundResult()
        assert ledger is not None
        assert ledger.entries() == ()
        kept = coordinator.run(work_of(1), CLIENTS, nodes)
        assert entry(coordinator.run(work_of(1), clients, nodes)) == entry(kept)


def test_clients_that_the_plan_refuses_release_nothing_once_it_has_planned_a_mean(folder: Path) -> None:
    """Before, it may be the settings that it refuses."""
    few = CLIENTS[:2]
    plan = averaging(PlainSum, clip_l2=100.0, adversarial=0.0, dropout=0.1, minimum_contributors=4)
    with Coordinator(folder, plan) as coordinator:
        with pytest.raises(ParameterError):
            coordinator.run(work_of(1), few, Nodes())
        coordinator.run(work_of(1), CLIENTS, Nodes())
        with pytest.raises(NothingReleased, match="found 2 that can be asked"):
            coordinator.run(work_of(2), few, Nodes())


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


def test_cohort_is_drawn_for_each_new_session_and_for_no_release_that_is_kept(folder: Path) -> None:
    nodes, drawn = Nodes(), list[tuple[int, ...]]()

    def draw() -> tuple[int, ...]:
        drawn.append(CLIENTS[len(drawn) :])
        return drawn[-1]

    with coordinator_of(folder) as (coordinator, _):
        first = coordinator.run(work_of(1), draw, nodes)
        assert coordinator.run(work_of(1), draw, nodes).mean[0].tolist() == first.mean[0].tolist()
        second = coordinator.run(work_of(2), draw, nodes)
    assert [first.contributors, second.contributors] == drawn == [CLIENTS, CLIENTS[1:]]


def test_cohort_is_drawn_again_for_the_session_that_follows_a_lost_opening(folder: Path) -> None:
    """Each session has its own reservation, of the clients that it asks."""
    nodes = _opened_and_crashed(folder, TARGET)
    nodes.silent = {1}
    asked = list[tuple[int, ...]]()

    def draw() -> tuple[int, ...]:
        asked.append(CLIENTS[1:])
        return asked[-1]

    with coordinator_of(folder) as (coordinator, ledger):
        release = coordinator.run(work_of(1), draw, nodes)
        assert ledger is not None
        assert len(ledger.entries()) == 2
    assert asked == [CLIENTS[1:]]
    assert release.contributors == CLIENTS[1:]


def test_clients_that_are_drawn_in_secret_are_refused_with_a_folder(folder: Path) -> None:
    sample = Sample(population=6, expected=3)
    target = Target(epsilon=60.0, delta=1e-2, releases=1, colluding=0, trust=Trust.CENTRAL, sample=sample)

    def plan(clients: Sequence[int], work: Work, _: object) -> SecureMean:
        return SecureMean.plan(
            protocol=PlainSum(),
            clients=clients,
            minimum_contributors=3,
            shapes=work.travelling,
            clip_l2=100.0,
            target=target,
            sample=sample,
        )

    with (
        Coordinator(folder, plan) as coordinator,
        pytest.raises(ConfigurationError, match="sample: expected none with"),
    ):
        coordinator.check(work_of(1), CLIENTS[:3], Nodes())
