import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dp.accounting.renyi_order import best_order
from dp.calibration.least_noise import calibrate_gaussian
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from secagg.privacy.filtered_noise import filtered_epsilon, filtered_multiplier
from secagg.runs.prepare import prepare
from tests.secagg.runs.test_run import config


def admitted(path: Path, event: PrivacyEvent, *, epsilon: float, delta: float, releases: int) -> int:
    """Return how many releases a new ledger with a Renyi filter of the plan's best order admits."""
    with Ledger.create(
        path / "ledger.sqlite",
        epsilon=epsilon,
        delta=delta,
        population=100,
        relation=event.relation,
        accounting=Accounting.RENYI_FILTER,
        order=best_order(epsilon=epsilon, delta=delta, events={event: releases}),
    ) as ledger:
        return ledger.remaining(event)


@pytest.mark.parametrize(
    ("epsilon", "releases", "ratio"), [(8.0, 30, 1.0834), (4.0, 30, 1.0983), (2.0, 30, 1.1128), (8.0, 1, 1.0834)]
)
def test_filtered_noise_is_enough_and_as_much_more_as_the_theory_says(
    epsilon: float, releases: int, ratio: float, tmp_path: Path
) -> None:
    """The ratios to the Gaussian filter's noise are those of the note on filters, at delta 1e-3."""
    fixed = calibrate_gaussian(epsilon=epsilon, delta=1e-3, releases=releases)
    plan: dict[str, Any] = {"releases": releases, "epsilon": epsilon, "delta": 1e-3}
    found = filtered_multiplier(GaussianEvent(noise_multiplier=fixed), **plan)
    assert found / fixed == pytest.approx(ratio, abs=2e-4)
    assert admitted(tmp_path, GaussianEvent(noise_multiplier=found), **plan) == releases


def test_filtered_noise_of_sampled_releases_is_enough_and_calibrated_to_a_smaller_epsilon(tmp_path: Path) -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    plan: dict[str, Any] = {"releases": 40, "epsilon": 4.0, "delta": 1e-4}

    def sampled(multiplier: float) -> PrivacyEvent:
        return PoissonSampledEvent(
            sampling_rate=0.1, event=GaussianEvent(noise_multiplier=multiplier, relation=relation)
        )

    found = filtered_multiplier(sampled(0.5), **plan)
    assert admitted(tmp_path, sampled(found), **plan) == 40
    (tmp_path / "ledger.sqlite").unlink()
    assert admitted(tmp_path, sampled(0.99 * found), **plan) < 40
    assert 3.0 < filtered_epsilon(sampled(1.0), **plan) < 4.0


@pytest.mark.parametrize("changes", [{}, {"cohort": 8, "cap": 3}], ids=str)
def test_run_with_a_renyi_filter_has_noise_for_all_its_rounds(changes: dict[str, Any], tmp_path: Path) -> None:
    prepared = prepare(config(accounting="renyi-filter", epsilon=8.0, **changes))
    terms, event = prepared.ledger_terms, prepared.event
    assert terms is not None
    assert event is not None
    rounds = prepared.config.participations
    terms = dataclasses.replace(terms, participation=None)
    with Ledger.create(
        tmp_path / "ledger.sqlite",
        epsilon=8.0,
        delta=prepared.config.delta,
        population=16,
        accounting=terms.accounting,
        order=terms.order,
    ) as ledger:
        assert ledger.remaining(event) == rounds
    fixed = prepare(config(accounting="fixed", epsilon=8.0, **changes)).noise_multiplier
    assert 1.05 < (prepared.noise_multiplier or 0) / (fixed or 1) < 1.12
