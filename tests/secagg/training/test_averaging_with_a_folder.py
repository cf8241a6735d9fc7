"""Federated averaging whose coordinator has a folder: a model that is restored moves the same way again."""

import copy
from pathlib import Path

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel
from tests.support.coordinators import Nodes, folder_at
from tests.support.federation import devices, examples, mean_for

TEST = examples(50, 99)
TARGET = Target(epsilon=40.0, delta=1e-2, releases=6, colluding=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_at(tmp_path / "coordinator")


def made(folder: Path, nodes: Nodes, ledger: Ledger | None, state: GlobalModel | None = None) -> SecureAveraging:
    federation = devices()
    return SecureAveraging(
        engine=nodes, model=federation.model, test=TEST, mean=planned(), ledger=ledger, state=state, folder=folder
    )


def planned() -> SecureMean:
    return mean_for(devices(), target=TARGET)


def test_model_restored_from_an_older_checkpoint_moves_the_same_way_again(folder: Path, tmp_path: Path) -> None:
    nodes = Nodes()
    with Ledger.create(tmp_path / "ledger", epsilon=40.0, delta=1e-2, population=8) as ledger:
        training = made(folder, nodes, ledger)
        training.round()
        checkpoint = copy.deepcopy(training.state)
        training.round()
        digest = training.state.digest()
        training.close()
        again = made(folder, nodes, ledger, checkpoint)
        record = again.round()
        assert again.state.digest() == digest
        assert record.round == 2
        again.round()
        again.close()
        entries = ledger.entries()
    assert nodes.trained == [1, 2, 3]
    assert [entry.reservation.label for entry in entries] == ["round 1", "round 2", "round 3"]
    assert all(entry.commitment is not None for entry in entries)
    assert entries[1].commitment is not None
    assert entries[1].commitment.details["model"] == digest.hex()


def test_releases_that_a_checkpoint_is_past_are_forgotten(folder: Path, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", epsilon=40.0, delta=1e-2, population=8) as ledger:
        training = made(folder, Nodes(), ledger)
        for _ in range(5):
            training.round()
        training.close()
    assert [path.name.split("-")[2] for path in sorted(folder.glob("release-*"))] == ["0000000004", "0000000005"]


def test_folder_is_let_go_where_the_averaging_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ledger: expected one"):
        made(folder, Nodes(), None)
    with Ledger.create(tmp_path / "ledger", epsilon=40.0, delta=1e-2, population=8) as ledger:
        made(folder, Nodes(), ledger).close()


def test_averaging_with_a_folder_and_in_memory_moves_the_model_alike(folder: Path) -> None:
    """From the same weights, the models differ by what both may be rounded, since the rounding is random."""
    federation, other = devices(), devices()
    one = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation), folder=folder
    )
    two = SecureAveraging(engine=InMemory(other), model=other.model, test=TEST, mean=mean_for(other))
    records = one.round(), two.round()
    one.close()
    bounds = [record.rounding_bound or 0.0 for record in records]
    for left, right in zip(one.state.weights, two.state.weights, strict=True):
        np.testing.assert_allclose(left, right, atol=sum(bounds))
