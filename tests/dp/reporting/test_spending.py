import itertools
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from dp.accounting.guarantee import guarantee
from dp.accounting.renyi_accountant import composed_divergences, renyi_epsilon
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    RepeatedEvent,
)
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget
from dp.ledger.remaining import MAXIMUM_REMAINING, remaining
from dp.reporting.collect import budget_report
from dp.reporting.page import as_html
from dp.reporting.spacing import MAXIMUM_ACCOUNTED, evenly_spaced
from dp.reporting.spending import (
    COMPOSITIONS,
    epsilons_after,
    epsilons_at,
    projected,
)
from dp.reporting.text import as_text

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE
LATTICE = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
GAUSSIAN = GaussianEvent(noise_multiplier=3.0)
NOISE = GaussianEvent(noise_multiplier=1.0, relation=ADD_OR_REMOVE, unit=PrivacyUnit.EXAMPLE)
STEPS = RepeatedEvent(times=9, event=PoissonSampledEvent(sampling_rate=0.1, event=NOISE))
DELTA = 1e-4
GRID = 5e-4  # by so much a figure on the coarser grid may be above the ledger's


def budget(event: PrivacyEvent, *, epsilon: float, delta: float = DELTA) -> Budget:
    return Budget(epsilon=epsilon, delta=delta, population=300, unit=event.unit, relation=event.relation, time_s=1e9)


def enforced(events: Sequence[PrivacyEvent], delta: float = DELTA) -> float:
    """What a ledger of these enforces."""
    first = events[0]
    return guarantee(Counter(events), delta=delta, relation=first.relation, unit=first.unit).epsilon


@pytest.mark.parametrize("releases", [1, MAXIMUM_ACCOUNTED, MAXIMUM_ACCOUNTED + 1, 1500, 100_000])
def test_accounted_releases_are_spread_and_end_with_the_last(releases: int) -> None:
    found = evenly_spaced(releases)
    assert len(found) == min(releases, MAXIMUM_ACCOUNTED)
    assert list(found) == sorted(set(found))
    assert found[-1] == releases - 1
    gaps = [after - before for before, after in zip((-1, *found), found, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_epsilon_grows_to_the_total_in_little_time() -> None:
    total = guarantee({LATTICE: 1500}, delta=1e-3)
    begun = time.process_time()
    found = epsilons_after([LATTICE] * 1500, delta=1e-3, total=total.epsilon)
    assert time.process_time() - begun < 2
    assert tuple(found) == evenly_spaced(1500)
    assert list(found.values()) == sorted(found.values())
    assert found[1499] == total.epsilon
    for position in (6, 749):
        alone = guarantee({LATTICE: position + 1}, delta=1e-3).epsilon
        assert found[position] == pytest.approx(alone, rel=1e-9)


def test_epsilon_after_each_release_is_what_the_ledger_enforced_then() -> None:
    found = epsilons_after([STEPS] * 6, delta=DELTA, total=enforced([STEPS] * 6))
    assert tuple(found) == tuple(range(6))
    assert found[5] == enforced([STEPS] * 6)
    for position in range(5):
        assert 0 <= found[position] - enforced([STEPS] * (position + 1)) < GRID
    exact = epsilons_after([GAUSSIAN] * 3, delta=DELTA, total=enforced([GAUSSIAN] * 3))
    assert [exact[position] for position in range(3)] == [enforced([GAUSSIAN] * count) for count in (1, 2, 3)]


def test_epsilon_after_many_sampled_releases_is_of_some_and_never_of_others() -> None:
    events = [STEPS] * 120
    found = epsilons_after(events, delta=DELTA, total=enforced(events))
    assert tuple(found) == evenly_spaced(120, COMPOSITIONS)
    figures = list(found.values())
    assert all(before < after for before, after in itertools.pairwise(figures))


def test_report_leaves_out_what_is_not_computed(tmp_path: Path) -> None:
    step = PoissonSampledEvent(
        sampling_rate=0.1, event=GaussianEvent(noise_multiplier=8.0, relation=ADD_OR_REMOVE, unit=PrivacyUnit.EXAMPLE)
    )
    with Ledger.create(
        tmp_path / "l", epsilon=1, delta=DELTA, population=300, unit=PrivacyUnit.EXAMPLE, relation=ADD_OR_REMOVE
    ) as ledger:
        for number in range(COMPOSITIONS + 10):
            ledger.reserve(step, f"step {number}")
        report = budget_report(ledger)
    figures = [release.epsilon_after for release in report.releases]
    assert sum(figure is None for figure in figures) == 10
    assert figures[-1] == report.spent.epsilon
    assert "only for evenly spread releases" in as_text(report, width=100)
    assert "not computed" in as_html(report)


def test_remaining_releases_fit_and_one_more_does_not() -> None:
    limit = budget(LATTICE, epsilon=8, delta=1e-3)
    left = remaining(Counter([LATTICE] * 3), LATTICE, budget=limit)
    assert enforced([LATTICE] * (3 + left), 1e-3) <= 8 < enforced([LATTICE] * (4 + left), 1e-3)
    assert remaining(Counter([LATTICE] * (4 + left)), LATTICE, budget=limit) == 0
    assert remaining(Counter([]), GaussianEvent(noise_multiplier=1e15), budget=limit) == MAXIMUM_REMAINING
    assert renyi_epsilon(composed_divergences({}), 1e-3)[0] == 0


@pytest.mark.parametrize("epsilon", [5.0, 6.0])
@pytest.mark.parametrize("made", [0, 2])
def test_remaining_sampled_releases_are_those_that_the_ledger_admits(made: int, epsilon: float) -> None:
    left = remaining(Counter([STEPS] * made), STEPS, budget=budget(STEPS, epsilon=epsilon))
    assert left > 0
    assert enforced([STEPS] * (made + left)) <= epsilon < enforced([STEPS] * (made + left + 1))
    unsampled = remaining(Counter([GAUSSIAN] * made), GAUSSIAN, budget=budget(GAUSSIAN, epsilon=epsilon))
    assert enforced([GAUSSIAN] * (made + unsampled)) <= epsilon < enforced([GAUSSIAN] * (made + unsampled + 1))


def test_remaining_sampled_releases_beyond_the_budget_are_none() -> None:
    spent = enforced([STEPS] * 2)
    assert remaining(Counter([STEPS] * 2), STEPS, budget=budget(STEPS, epsilon=spent)) == 0
    assert remaining(Counter([STEPS] * 2), STEPS, budget=budget(STEPS, epsilon=spent / 2)) == 0


def test_projection_is_what_the_ledger_will_enforce() -> None:
    found = projected({STEPS: 2}, STEPS, further=4, budget=budget(STEPS, epsilon=enforced([STEPS] * 6)))
    assert [count for count, _ in found] == [1, 2, 3, 4]
    for count, epsilon in found:
        assert abs(epsilon - enforced([STEPS] * (2 + count))) < GRID
    assert found[-1][1] <= enforced([STEPS] * 6)


def test_epsilon_at_other_deltas_is_by_the_accountants_of_the_total() -> None:
    deltas = (1e-2, 1e-6, 1e-9, 1e-11)
    found = epsilons_at({STEPS: 3}, deltas)
    assert tuple(found) == deltas
    for delta, epsilon in found.items():
        assert 0 <= epsilon - enforced([STEPS] * 3, delta) < GRID
    exact = epsilons_at({GAUSSIAN: 3}, deltas)
    assert exact == {delta: enforced([GAUSSIAN] * 3, delta) for delta in deltas}
    lattice = epsilons_at({LATTICE: 3}, deltas)
    assert lattice == {delta: pytest.approx(enforced([LATTICE] * 3, delta), rel=1e-9) for delta in deltas}
