"""What a coordinator believes of its nodes, in the pure functions and in a coordinator whose nodes lie."""

from pathlib import Path
from typing import Any

import pytest

from protocols import PlainSum
from protocols.errors import RemoteError
from secagg.engines.parties import Parties
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.plans import averaging
from secagg.engines.server.testimony import LARGEST_ADVANCE, colluding_of, later_attempt, left_out
from secagg.engines.wire.parcel import LARGEST_SERIAL
from secagg.errors import CoordinatorError, NothingReleased, ServerRolledBack
from secagg.storage.labelled_file import fill_labelled
from tests.support.coordinators import CLIENTS, TARGET, Nodes, coordinator_of, folder_at, plan_with, work_of


@pytest.mark.parametrize(("adversarial", "expected"), [(0.0, 1), (0.1, 1), (0.34, 2), (0.5, 3)])
def test_colluding_clients_follow_from_the_fraction_of_the_plan(adversarial: float, expected: int) -> None:
    """Also one of few may lie, so that no accusation by a single client is believed."""
    plan = averaging(PlainSum, clip_l2=1.0, adversarial=adversarial)
    assert colluding_of(plan, plan(CLIENTS, work_of(1), Parties())) == expected


def test_colluding_clients_follow_from_the_noise_and_are_otherwise_unknown() -> None:
    for target, expected in ((None, None), (TARGET, 1)):
        plan = plan_with(target)
        assert colluding_of(plan, plan(CLIENTS, work_of(1), None)) == expected


@pytest.mark.parametrize(
    ("colluding", "expected"), [(None, {3, 4, 5}), (0, {3}), (1, {3}), (2, {3, 4, 5}), (3, {3, 4, 5})]
)
def test_accusers_are_believed_only_if_one_of_them_is_known_to_be_honest(
    colluding: int | None, expected: set[int]
) -> None:
    error = RemoteError("bad shares", culprits=[3, 4, 5], accusers=[4, 5])
    assert left_out(error, colluding) == expected


@pytest.mark.parametrize(
    ("seen", "colluding", "expected"),
    [
        ([], 0, None),
        ([9], 0, 9),
        ([9], None, None),
        ([9], 1, None),
        ([7, 9], None, 7),
        ([4, 4, 4], 1, None),
        ([5, 5], 1, 5),
        ([LARGEST_SERIAL], 0, None),
        ([LARGEST_SERIAL, LARGEST_SERIAL, 7], 0, 7),
        ([5 + LARGEST_ADVANCE, 5 + LARGEST_ADVANCE], 1, 5 + LARGEST_ADVANCE),
    ],
)
def test_later_attempt_is_one_that_an_honest_node_has_seen(
    seen: list[int], colluding: int | None, expected: int | None
) -> None:
    assert later_attempt(seen, 5, colluding) == expected


def test_false_accusation_does_not_keep_the_liar_if_nobody_says_how_many_collude(tmp_path: Path) -> None:
    """Client 4 accuses client 2, which is honest."""
    nodes = Nodes(errors=[RemoteError("bad shares", culprits=[2, 4], accusers=[4])])
    with coordinator_of(folder_at(tmp_path / "c"), target=None) as (coordinator, _):
        with pytest.raises(RemoteError, match="bad shares"):
            coordinator.run(work_of(1), CLIENTS, nodes)
        assert coordinator.run(work_of(2), CLIENTS, nodes).contributors == (1, 3, 5, 6)


def test_one_node_that_lies_about_serials_neither_stops_nor_bricks_a_coordinator(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "c")
    nodes = Nodes(silent={2, 3, 4}, lies={1: LARGEST_SERIAL})
    plan = averaging(PlainSum, clip_l2=100.0, adversarial=0.1)
    with Coordinator(folder, plan) as coordinator:
        with pytest.raises(NothingReleased):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.lies = {1: LARGEST_SERIAL, 2: LARGEST_SERIAL}  # Two lie, more than the plan counts.
        with pytest.raises(NothingReleased):
            coordinator.run(work_of(1), CLIENTS, nodes)
        nodes.lies = {1: LARGEST_SERIAL, 2: LARGEST_SERIAL, 3: 9}
        with pytest.raises(ServerRolledBack) as caught:
            coordinator.run(work_of(1), CLIENTS, nodes)
    assert caught.value.found == 9


@pytest.mark.parametrize("rollback", [-1, True, 7.0, "7", LARGEST_ADVANCE + 1, LARGEST_SERIAL, 2**80])
def test_rollback_that_no_node_can_have_seen_is_refused_and_changes_nothing(tmp_path: Path, rollback: Any) -> None:
    folder = folder_at(tmp_path / "c")
    with pytest.raises(CoordinatorError, match=f"^rollback: expected a serial up to {LARGEST_ADVANCE}, found"):
        CoordinatorFolder.open(folder, rollback=rollback)
    opened = CoordinatorFolder.open(folder, rollback=LARGEST_ADVANCE)
    assert opened.next_serial() == LARGEST_ADVANCE + 1
    opened.close()


def test_no_serial_is_written_that_no_session_can_have(tmp_path: Path) -> None:
    path = folder_at(tmp_path / "c")
    file = path / "serial"
    label = b"secagg coordinator's last serial, file format 1\n"
    fill_labelled(file, label, [str(LARGEST_SERIAL - 1).encode()])
    file.chmod(0o600)
    before = CoordinatorFolder.open(path)
    assert before.next_serial() == LARGEST_SERIAL
    kept = file.read_bytes()
    with pytest.raises(CoordinatorError, match="expected a serial below"):
        before.next_serial()
    assert file.read_bytes() == kept
    before.close()
