"""The epsilons of `docs/lattice-gaussian.md`: its tables, and laws that are enumerated and composed."""

from pathlib import Path
from typing import Final

import pytest

from dp.accounting.guarantee import guarantee
from tests.support.lattice_events import ADD_OR_REMOVE, event_of
from tests.support.lattice_figures import LARGE, SMALL, Releases, words
from tests.support.lattice_laws import Skellam, hockey_stick, pair, sampled

pytestmark = pytest.mark.slow

COLUMNS: Final = [
    # This account, Renyi DP alone, continuous noise of the same variance.
    (1.99894196, 2.1657, 1.99309),
    (3.85323502, 4.1615, 3.84861),
    (7.75196492, 8.2573, 7.74986),
    (7.26737202, 8.0732, 7.26688),
    (14.8319181, 15.8496, 14.82994),
    (5.82782956, 6.2527, 4.37718),
    (2.15308997, 2.5311, 1.99309),
    (10.8884684, 13.5517, 9.99726),
    (7.08385568, 8.0034, 6.85198),
    (4.43624798, 4.9027, 4.37718),
    (10.0331721, 10.9117, 9.99726),
    (3.14150141, 3.5609, 3.13867),
    (17.8735614, 19.8704, 17.85659),
    (17.8572658, 19.8044, 17.85659),
]
LARGE_COLUMNS: Final = [
    (5.235642, 5.9842, 5.235639),
    (5.252278, 5.9998, 5.252278),
    (4.236548, 6.1147, 4.235071),
    (6.945909, 7.6244, 6.907420),
    (7.199897, 8.0451, 7.199897),
    (6.605680, 7.3591, 6.605672),
]
EXACT: Final = {0: (1.99232, 1.99232), 5: (2.40668, 2.40668), 6: (1.52434, 1.52434), 7: (8.66467, 9.63697)}
EXACT_OF_MANY: Final = {1: (3.84777, 3.84842), 8: (6.01966, 6.74161), 9: (4.02288, 4.36072)}


@pytest.mark.parametrize(
    ("releases", "told"),
    list(zip(SMALL, COLUMNS, strict=True)),
    ids=lambda given: words(given.noise) if isinstance(given, Releases) else "",
)
def test_guarantee_is_that_of_the_table(releases: Releases, told: tuple[float, float, float]) -> None:
    spent = releases.spent()
    assert spent.pld_epsilon is not None
    assert spent.epsilon == spent.pld_epsilon == pytest.approx(told[0], rel=1e-8)
    assert spent.rdp_epsilon == pytest.approx(told[1], abs=1e-4)
    assert releases.continuous().epsilon == pytest.approx(told[2], abs=1e-5)


@pytest.mark.parametrize(
    ("releases", "told"),
    list(zip(LARGE, LARGE_COLUMNS, strict=True)),
    ids=lambda given: words(given.noise) if isinstance(given, Releases) else "",
)
def test_guarantee_of_large_and_of_sampled_releases_is_that_of_the_table(
    releases: Releases, told: tuple[float, float, float]
) -> None:
    spent = releases.spent()
    assert spent.pld_epsilon is not None
    assert spent.epsilon == spent.pld_epsilon == pytest.approx(told[0], abs=1.5e-6)
    assert spent.rdp_epsilon == pytest.approx(told[1], abs=1e-4)
    assert releases.continuous().epsilon == pytest.approx(told[2], abs=1.5e-6)


def test_page_has_the_figures_of_these_tests() -> None:
    page = (Path(__file__).parents[3] / "docs" / "lattice-gaussian.md").read_text(encoding="utf-8")
    rows = [f"| {one:.6f} | {renyi:.4f} | {gaussian:.5f} |" for one, renyi, gaussian in COLUMNS]
    rows += [f"| {one:.6f} | {renyi:.4f} | {gaussian:.6f} |" for one, renyi, gaussian in LARGE_COLUMNS]
    rows += [f"| {along:.5f} | {across:.5f} |" for along, across in (EXACT | EXACT_OF_MANY).values()]
    assert [row for row in rows if row not in page] == []


@pytest.mark.parametrize("index", [*EXACT, *EXACT_OF_MANY])
def test_guarantee_is_above_the_epsilon_of_the_enumerated_law(index: int) -> None:
    exact = SMALL[index].exact()
    assert exact == pytest.approx((EXACT | EXACT_OF_MANY)[index], abs=2e-5)
    assert max(exact) < SMALL[index].spent().epsilon


def test_direction_that_is_worst_depends_on_delta() -> None:
    small, large = (Releases(Skellam(4.0), 2, 1, delta).exact() for delta in (0.3, 1e-4))
    assert small == pytest.approx((0.33205, 0.28614), abs=2e-5)
    assert large == pytest.approx((2.92919, 3.49757), abs=2e-5)


@pytest.mark.parametrize(
    ("variance", "rate", "least", "most"), [(1.0, 0.01, 12.0, 12.2), (2.0, 0.1, 2.9, 3.0), (10.0, 0.01, 1.2, 1.3)]
)
def test_account_of_little_sampled_noise_is_safe_but_not_tight(
    variance: float, rate: float, least: float, most: float
) -> None:
    """How many times too large it is for one release; Renyi DP alone is further off."""
    spent = Releases(Skellam(variance), 1, 1, 1e-6, rate).spent()
    still, mixed = sampled(*pair(Skellam(variance), 1), rate)

    def delta(epsilon: float) -> float:
        return max(hockey_stick(mixed, still, epsilon), hockey_stick(still, mixed, epsilon))

    assert delta(spent.epsilon / most) > 1e-6 > delta(spent.epsilon / least)
    assert spent.rdp_epsilon > spent.epsilon


def test_noise_that_nothing_dominates_is_accounted_by_renyi_dp_alone() -> None:
    spent = guarantee({event_of(Skellam(0.5)): 1}, delta=1e-5, relation=ADD_OR_REMOVE)
    assert spent.pld_epsilon is None
    assert spent.epsilon == spent.rdp_epsilon
    assert "no Gaussian noise is known to dominate Skellam noise of a variance below 0.6" in spent.accountant
