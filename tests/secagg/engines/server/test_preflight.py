"""What cannot be released and committed is refused before anything is asked of a client."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation, LedgerUnavailable
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, NeighbouringRelation, PrivacyUnit
from dp.ledger.ledger import Ledger
from protocols import load
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.memory import InMemory
from secagg.engines.server.preflight import check_sizes
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, ServerStep
from tests.support.federation import devices, examples, mean_for

TEST = examples(50, 99)
ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE
BUDGET: dict[str, Any] = {"epsilon": 40.0, "delta": 1e-2, "population": 8}


def private(**changes: Any) -> dict[str, Any]:
    federation = devices()
    target = Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0)
    return {
        "engine": InMemory(federation),
        "model": federation.model,
        "test": TEST,
        "mean": mean_for(federation, target=target),
    } | changes


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"population": 7}, r"at most the population 7 of .*, found 8. Create a ledger whose population counts"),
        ({"unit": PrivacyUnit.EXAMPLE}, "expected relation zero-out and unit example.*found zero-out and client"),
        ({"relation": ADD_OR_REMOVE}, "expected relation add-or-remove-one and unit client"),
    ],
)
def test_ledger_that_would_refuse_the_release_is_refused_at_once(
    change: dict[str, Any], match: str, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "ledger", **BUDGET | change) as ledger:
        with pytest.raises(ConfigurationError, match=match):
            SecureAveraging(**private(), ledger=ledger)
        assert ledger.entries() == ()


def test_ledger_of_too_few_examples_or_of_noise_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    federation = devices()
    settings: dict[str, Any] = {"engine": InMemory(federation), "model": federation.model, "test": TEST}
    settings |= {"mean": mean_for(federation)}
    gaussian = GaussianEvent(noise_multiplier=5.0, relation=ADD_OR_REMOVE, unit=PrivacyUnit.EXAMPLE)
    shares = DistributedDiscreteGaussianEvent(local_sigma=9.0, contributors=7, l2_sensitivity=1.0, dimension=3)
    examples_of_all = sum(federation.examples(client) for client in federation.clients)
    budget = BUDGET | {"unit": PrivacyUnit.EXAMPLE, "relation": ADD_OR_REMOVE}
    match = f"at least the {examples_of_all} examples of all clients"
    few = Ledger.create(tmp_path / "few", **budget | {"population": examples_of_all - 1})
    with few, pytest.raises(ConfigurationError, match=match):
        SecureAveraging(**settings, local=gaussian, ledger=few)
    with Ledger.create(tmp_path / "shares", **BUDGET) as ledger:
        with pytest.raises(ConfigurationError, match="at least 7, whose noise the event counts on, found 6"):
            SecureAveraging(**settings, local=shares, ledger=ledger)
        with pytest.raises(ConfigurationError, match="expected a privacy event, found str"):
            SecureAveraging(**settings, local="gaussian", ledger=ledger)  # type: ignore[arg-type]


def test_ledger_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", **BUDGET)
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="found it closed"):
        SecureAveraging(**private(), ledger=ledger)
    with Ledger.open_to_read(tmp_path / "ledger") as reading, pytest.raises(LedgerUnavailable, match="for reading"):
        SecureAveraging(**private(), ledger=reading)
    with Ledger.open(tmp_path / "ledger") as moved:
        (tmp_path / "ledger").rename(tmp_path / "elsewhere")
        with pytest.raises(LedgerUnavailable, match="moved or replaced"):
            SecureAveraging(**private(), ledger=moved)


@pytest.mark.parametrize("run", ["x" * 190, "two\nlines"])
def test_run_whose_name_no_label_holds_is_refused_at_once(run: str, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", **BUDGET) as ledger, pytest.raises(ConfigurationError, match="label"):
        SecureAveraging(**private(), ledger=ledger, run=run)


@pytest.mark.parametrize(
    "test", [(TEST[0][:, 1:], TEST[1]), (TEST[0], TEST[1] + 5), (TEST[0][1:], TEST[1]), (TEST[0] * np.nan, TEST[1])]
)
def test_test_examples_that_do_not_fit_are_refused_at_once(test: Any) -> None:
    federation = devices()
    with pytest.raises(DataError, match="test: expected"):
        SecureAveraging(engine=InMemory(federation), model=federation.model, test=test, mean=mean_for(federation))


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": np.nan},
        {"learning_rate": np.inf},
        {"learning_rate": 0.0},
        {"learning_rate": "1"},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": np.nan},
        {"momentum": True},
    ],
)
def test_server_step_that_would_lose_a_release_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        ServerStep(**change)


def test_state_and_step_that_no_release_could_move_are_refused_at_once() -> None:
    federation = devices()
    settings: dict[str, Any] = {"engine": InMemory(federation), "model": federation.model, "test": TEST}
    settings |= {"mean": mean_for(federation)}
    with pytest.raises(ConfigurationError, match="step: expected a ServerStep, found float"):
        SecureAveraging(**settings, step=1.0)  # type: ignore[arg-type]
    weights = federation.model.get_weights()
    for velocity in (weights[:1], [weights[0].T, weights[1]], [weights[0] * np.nan, weights[1]]):
        with pytest.raises(ModelError, match="velocity to start from"):
            SecureAveraging(**settings, state=GlobalModel(weights, velocity))
    training = SecureAveraging(**settings)
    training.state.velocity = weights[:1]
    with pytest.raises(ModelError, match="velocity to start from"):
        training.round()


EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=5, l2_sensitivity=20.0, dimension=3)


def test_ledger_reserves_for_no_more_contributors_than_its_population(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", **BUDGET) as ledger:
        for contributors, match in ((9, "at most the population 8"), (4, "at least 5"), (0, ">= 1"), (True, "bool")):
            with pytest.raises(InvalidParameter, match=match):
                ledger.reserve(EVENT, "x", contributors=contributors)
        assert ledger.entries() == ()
        ledger.commit(ledger.reserve(EVENT, "x", contributors=8), contributors=8)


def test_ledger_checks_a_release_that_is_planned_and_records_nothing(tmp_path: Path) -> None:
    thinner = DistributedDiscreteGaussianEvent(local_sigma=19.0, contributors=5, l2_sensitivity=20.0, dimension=3)
    with Ledger.create(tmp_path / "ledger", **BUDGET) as ledger:
        ledger.check(EVENT, label="x", contributors=8, realised=EVENT)
        for refused, error in (
            ({"contributors": 9}, InvalidParameter),
            ({"label": ""}, InvalidParameter),
            ({"realised": thinner}, InvalidReservation),
            ({"realised": GaussianEvent(noise_multiplier=1.0, unit=PrivacyUnit.EXAMPLE)}, IncompatibleEvent),
        ):
            with pytest.raises(error):
                ledger.check(EVENT, **{"label": "x", "contributors": 8} | refused)  # type: ignore[arg-type]
        with pytest.raises(IncompatibleEvent):
            ledger.check(GaussianEvent(noise_multiplier=1.0, relation=ADD_OR_REMOVE), label="x", contributors=8)
        assert ledger.entries() == ()


def plan_of(name: str, *shapes: tuple[int, ...]) -> SecureMean:
    """Return a mean of a hundred clients' arrays of some shapes; no array is made."""
    protocol, threshold = load(name).suggest(clients=100, adversarial=0.0, dropout=0.1)
    return SecureMean.plan(
        protocol=protocol, clients=range(100), minimum_contributors=threshold, shapes=shapes, clip_l2=1.0
    )


class AnnouncedWork(Work):
    """A work of 4 GiB, of which the system makes no page."""

    def pieces(self) -> tuple[bytes | memoryview, ...]:
        return (np.zeros(2**32, dtype=np.uint8).data,)


def test_sizes_that_can_be_encoded_are_accepted() -> None:
    check_sizes(plan_of("secagg-plus", (20_000, 10_000), (20_000, 10_000)), Work("run", 1, ()))


@pytest.mark.parametrize(
    ("shapes", "work", "match"),
    [
        ([(10, 10)], AnnouncedWork("run", 1, ()), "work of the round: .*found up to 4294967296"),
        (
            [(70_000, 10_000)],
            Work("run", 1, ()),
            "server's state before a step that opens: .*100 clients and 700006400",
        ),
        ([(55_000, 10_000)], Work("run", 1, ()), "longest array of the mean: .*found up to 4400000000"),
    ],
)
def test_sizes_that_cannot_be_encoded_are_refused_before_a_round(
    shapes: list[tuple[int, ...]], work: Work, match: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{match}.*Train fewer parameters, or split the clients into more"):
        check_sizes(plan_of("secagg-plus", *shapes), work)
