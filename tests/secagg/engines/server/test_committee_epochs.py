"""A coordinator whose committee is one by replicated seeds: epochs, expiry, and what a half done sum becomes then."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from protocols import SeedCommittee, SeedSum
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.errors import CoordinatorError, OpeningExpired, OpeningUnfinished
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.seed_keys import write_seed_committee
from tests.support.coordinators import CLIENTS, folder_at, work_of
from tests.support.seed_members import BEGINS, ENDS, NOW
from tests.support.seed_world import seed_committee_of

MEMBERS: Final = (101, 102, 103)


class Silent:
    """An engine that notes the committees of its rounds, keeps an opening, and has no sum."""

    def __init__(self) -> None:
        self.committees: list[Any] = []

    def check(self, plan: RoundPlan) -> None:
        """Accept every plan."""

    def run(self, plan: RoundPlan) -> RoundResult:
        """Note the committee."""
        assert plan.session.committee is not None
        assert plan.server is not None
        self.committees.append(plan.session.committee.key)
        assert plan.session.expires == plan.session.committee.key.expires
        plan.server.keep(b"an opening")
        return RoundResult(withheld="too few answer")


def put(folder: Path, committee: SeedCommittee) -> None:
    """Put a committee's file into the place of the one that is there."""
    write_seed_committee(folder / "next", committee)
    (folder / "next").replace(folder / PUBLIC_NAME)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = folder_at(tmp_path / "coordinator")
    put(path, seed_committee_of(3, 1, 3))
    return path


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def coordinator(folder: Path, clock: list[float]) -> Iterator[Coordinator]:
    plan = averaging(SeedSum, clip_l2=100.0, adversarial=0.0)
    with Coordinator(folder, plan, members=MEMBERS, wall_clock=lambda: clock[0]) as found:
        yield found


def test_file_of_the_next_epoch_counts_from_the_next_session_on(folder: Path, coordinator: Coordinator) -> None:
    engine = Silent()
    coordinator.check(work_of(1), CLIENTS, engine)
    with pytest.raises(OpeningUnfinished):
        coordinator.run(work_of(1), CLIENTS, engine)
    put(folder, seed_committee_of(3, 1, 3, epoch=1))
    with pytest.raises(OpeningUnfinished):  # It goes on with the session that has begun.
        coordinator.run(work_of(1), CLIENTS, engine)
    coordinator.abandon(work_of(1))
    with pytest.raises(OpeningUnfinished):
        coordinator.run(work_of(1), CLIENTS, engine)
    assert [key.certificates[0].epoch for key in engine.committees] == [0, 0, 1]


def test_file_of_another_committee_is_refused_before_anything_is_reserved(
    folder: Path, coordinator: Coordinator
) -> None:
    engine, first = Silent(), seed_committee_of(3, 1, 3)
    put(folder, replace(first, certificates=first.certificates[::-1]))
    with pytest.raises(CoordinatorError, match="expected the committee with the pin"):
        coordinator.run(work_of(1), CLIENTS, engine)
    (folder / PUBLIC_NAME).write_bytes(b"half a file")
    with pytest.raises(CoordinatorError, match="expected a file that begins with"):
        coordinator.run(work_of(1), CLIENTS, engine)
    assert not engine.committees
    assert not (folder / "serial").exists()


@pytest.mark.parametrize("now", [BEGINS - 1, ENDS])
def test_epoch_that_is_not_valid_now_is_refused_before_anything_is_reserved(
    now: int, folder: Path, coordinator: Coordinator, clock: list[float]
) -> None:
    engine, clock[0] = Silent(), now
    for ask in (coordinator.check, coordinator.run):
        with pytest.raises(CoordinatorError, match="Put the committee's file of an epoch that is valid now"):
            ask(work_of(1), CLIENTS, engine)
    assert not engine.committees
    assert not (folder / "serial").exists()


def test_half_done_sum_whose_session_has_expired_says_so(coordinator: Coordinator, clock: list[float]) -> None:
    engine = Silent()
    with pytest.raises(OpeningUnfinished):
        coordinator.run(work_of(1), CLIENTS, engine)
    clock[0] = ENDS
    with pytest.raises(OpeningExpired, match="no node answers in its session any more: time: expected a time before"):
        coordinator.run(work_of(1), CLIENTS, engine)
    assert len(engine.committees) == 1
