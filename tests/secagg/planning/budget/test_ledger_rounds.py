"""The noise of more rounds under a ledger: what is printed is what the ledger then admits, and hardly less is not."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dp.accounting.gaussian_curve import largest_mu
from dp.errors import BudgetExceeded, DpError, IncompatibleEvent, InfeasibleTarget, InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyUnit,
    RepeatedEvent,
)
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation, clients_digest
from secagg.commands.budget_plan import plan_on_terminal
from secagg.errors import ConfigurationError, SecaggError
from secagg.planning.budget.ledger_rounds import LedgerPlan, plan_rounds
from tests.support.plans import UNASKED

CLIENTS = 20
WHO = clients_digest(bytes([number]) for number in range(CLIENTS))
Z10 = GaussianEvent(noise_multiplier=10.0)
BUDGET: dict[str, Any] = {"epsilon": 6.0, "delta": 1e-3, "population": CLIENTS}
FILTER: dict[str, Any] = {"accounting": Accounting.GAUSSIAN_FILTER}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def create(path: Path, *, cap: int | None = None, adaptive: bool = True, **changes: Any) -> Ledger:
    """Create a ledger of 20 clients that counts who is asked."""
    return everybody(path, participation=Participation(clients=WHO, cap=cap, adaptive=adaptive), **changes)


def everybody(path: Path, **changes: Any) -> Ledger:
    """Create a ledger that charges everybody for each release."""
    return Ledger.create(path, **BUDGET | changes)


def admits(path: Path, noise: float, releases: int, clients: list[int] | None) -> bool:
    """Whether a ledger takes releases with continuous noise."""
    with Ledger.open(path) as opened:
        for number in range(releases):
            try:
                opened.reserve(GaussianEvent(noise_multiplier=noise), f"further {number}", participants=clients)
            except BudgetExceeded:
                return False
    return True


def planned(path: Path, **asked: Any) -> LedgerPlan:
    with Ledger.open_to_read(path) as opened:
        return plan_rounds(opened, **asked)


def test_ledger_that_charges_everybody_says_where_its_observers_are_named(path: Path) -> None:
    everybody(path, **FILTER).close()
    found = planned(path, rounds=4)
    assert found.observer is None
    assert (
        "for all rounds together (unit client, relation zero-out). The ledger's report names the observers under "
        "'Setting and trust'"
    ) in found.as_text()


def test_gaussian_filter_needs_the_noise_of_the_formula(path: Path, tmp_path: Path) -> None:
    with create(path, **FILTER) as ledger:
        ledger.reserve(Z10, "round 1", participants=range(5))
        ledger.reserve(Z10, "round 2", participants=range(3, 8))
    before = path.read_bytes()
    found = planned(path, rounds=40, cohort=5)
    assert path.read_bytes() == before
    left = largest_mu(6.0, 1e-3) ** 2 - 2 / 100
    assert (found.releases, found.free, found.observer) == (10, True, Observer.SERVER)
    assert math.sqrt(10 / left) <= found.noise_multiplier <= math.sqrt(10 / left) * (1 + 1e-9)
    assert found.charged == pytest.approx(0.02)
    assert found.limit == pytest.approx(largest_mu(6.0, 1e-3) ** 2)
    less = tmp_path / "less.sqlite"
    less.write_bytes(before)
    assert admits(path, found.noise_multiplier, 10, [3, 4])
    assert not admits(less, found.noise_multiplier * (1 - 1e-6), 10, [3, 4])


def test_cap_is_the_most_of_these_rounds_that_ask_one_client(path: Path) -> None:
    create(path, **FILTER).close()
    all_of_them, capped, in_turn = (
        planned(path, rounds=40, **given) for given in ({}, {"cap": 12}, {"cap": 12, "cohort": 5})
    )
    assert (all_of_them.releases, capped.releases, in_turn.releases) == (40, 12, 12)
    assert capped.noise_multiplier == in_turn.noise_multiplier
    assert all_of_them.noise_multiplier == pytest.approx(capped.noise_multiplier * math.sqrt(40 / 12))
    assert planned(path, rounds=40, cap=100).releases == 40


def test_cap_of_the_ledger_leaves_places_by_client(path: Path) -> None:
    """Clients 0 and 1 were asked 3 times and may be asked once more; the others may be asked for all rounds."""
    with create(path, cap=4, **FILTER) as ledger:
        for number in range(3):
            ledger.reserve(GaussianEvent(noise_multiplier=1.5), f"round {number}", participants=[0, 1])
    found = planned(path, rounds=3)
    mu = largest_mu(6.0, 1e-3) ** 2
    assert found.releases == 3
    assert found.noise_multiplier == pytest.approx(max(math.sqrt(3 / mu), math.sqrt(1 / (mu - 3 / 1.5**2))))
    assert admits(path, found.noise_multiplier, 3, list(range(2, 20)))
    assert planned(path, rounds=1).releases == 1


def test_rounds_beyond_the_places_of_a_cap_are_refused(path: Path) -> None:
    with create(path, cap=1, **FILTER) as ledger:
        ledger.reserve(Z10, "round 1", participants=range(15))
        with pytest.raises(ConfigurationError, match="expected at most the 5 places that caps leave, found 10 in 2"):
            plan_rounds(ledger, rounds=2, cohort=5)
        assert plan_rounds(ledger, rounds=1, cohort=5).releases == 1
        ledger.reserve(Z10, "round 2", participants=range(15, 20))
        with pytest.raises(
            ConfigurationError, match="all clients have been asked as often as the cap of 1 allows, found 1"
        ):
            plan_rounds(ledger, rounds=1)


def test_clients_far_from_the_cap_are_asked_for_those_near_it(path: Path) -> None:
    """Of 20 clients 10 have no place left, so each of the others is asked twice in 4 rounds of 5."""
    with create(path, cap=2, **FILTER) as ledger:
        for number in range(2):
            ledger.reserve(Z10, f"round {number}", participants=range(10))
        found = plan_rounds(ledger, rounds=4, cohort=5)
        with pytest.raises(ConfigurationError, match="expected at most the 10 places that caps leave, found 20 in 4"):
            plan_rounds(ledger, rounds=4, cohort=5, cap=1)
    assert found.releases == 2
    assert found.noise_multiplier == pytest.approx(math.sqrt(2) / largest_mu(6.0, 1e-3))


def test_noise_is_compared_with_that_of_the_latest_round(path: Path) -> None:
    """Of a budget that is nearly used up, more rounds need noise that drowns every update: the answer must show it."""
    with everybody(path, **FILTER) as ledger:
        assert plan_rounds(ledger, rounds=1).latest is None
        assert "the latest round" not in plan_rounds(ledger, rounds=1).as_text()
        least = ledger.least_multiplier(2)
        ledger.reserve(GaussianEvent(noise_multiplier=least), "round 1")
        ledger.reserve(GaussianEvent(noise_multiplier=least * (1 + 1e-9)), "round 2")
        found = plan_rounds(ledger, rounds=3)
    assert found.latest == pytest.approx(least)
    assert found.noise_multiplier > 1000 * least
    assert "times the noise of the latest round, " in found.as_text()
    assert max(map(len, found.as_text(width=80).splitlines())) <= 80


def test_renyi_filter_is_searched(path: Path) -> None:
    with create(path, accounting=Accounting.RENYI_FILTER, order=3.5) as ledger:
        ledger.reserve(Z10, "round 1", participants=range(5))
    found = planned(path, rounds=12, cohort=5)
    gaussian = math.sqrt(3 / (largest_mu(6.0, 1e-3) ** 2 - 1 / 100))
    assert gaussian * 1.05 < found.noise_multiplier < gaussian * 1.12
    assert found.limit is not None
    assert admits(path, found.noise_multiplier, 3, [0])
    assert not admits(path, found.noise_multiplier, 1, [0])


def test_fixed_ledger_of_several_kinds_is_searched(path: Path) -> None:
    with create(path, adaptive=False) as ledger:
        ledger.reserve(Z10, "round 1", participants=range(5))
        ledger.reserve(GaussianEvent(noise_multiplier=20.0), "round 2", participants=range(5))
    found = planned(path, rounds=8, cohort=5)
    left = largest_mu(6.0, 1e-3) ** 2 - 1 / 100 - 1 / 400
    assert (found.limit, found.charged, found.releases) == (None, None, 2)
    assert found.noise_multiplier == pytest.approx(math.sqrt(2 / left), rel=1e-5)
    assert "chosen before the first release" in found.as_text()


def test_fixed_ledger_whose_cohorts_depend_on_results_takes_no_other_noise(path: Path) -> None:
    with create(path) as ledger:
        fresh = plan_rounds(ledger, rounds=8, cohort=5)
        assert fresh.free
        ledger.reserve(Z10, "round 1", participants=range(5))
        found = plan_rounds(ledger, rounds=8, cohort=5)
        most = ledger.remaining(Z10)
        with pytest.raises(ConfigurationError, match=rf"expected at most {most} more releases of one client"):
            plan_rounds(ledger, rounds=most + 1)
    assert (found.free, found.noise_multiplier) == (False, 10.0)
    assert "10 times the sensitivity, in each of 8 more rounds, as in all earlier rounds" in found.as_text()


def test_ledger_of_everybody_is_charged_for_all_rounds(path: Path) -> None:
    event = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=10, l2_sensitivity=10.0, dimension=65)
    with everybody(path, **FILTER) as ledger:
        ledger.reserve(event, "round 1")
    found = planned(path, rounds=9)
    left = largest_mu(6.0, 1e-3) ** 2 - (10 / 20) ** 2 / 10
    assert (found.releases, found.observer) == (9, None)
    assert found.noise_multiplier == pytest.approx(math.sqrt(9 / left), rel=1e-5)
    for given in ({"cohort": 5}, {"cap": 5}):
        with pytest.raises(ConfigurationError, match="found one with no participation"):
            planned(path, rounds=9, **given)


def test_ledger_of_a_secret_sample_plans_rounds_of_its_rate(path: Path) -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    with create(path, epsilon=1.0, adaptive=False, towards=Observer.READERS, relation=relation) as ledger:
        with pytest.raises(ConfigurationError, match="--cohort: expected the average number of clients"):
            plan_rounds(ledger, rounds=4)
        with pytest.raises(ConfigurationError, match="a sample in secret, which no cap stops"):
            plan_rounds(ledger, rounds=4, cap=3)
        first = plan_rounds(ledger, rounds=4, cohort=5)
        event = PoissonSampledEvent(
            sampling_rate=0.25, event=GaussianEvent(noise_multiplier=first.noise_multiplier, relation=relation)
        )
        assert ledger.remaining(event) == 4
        ledger.reserve(event, "round 1", participants=range(5))
        second = plan_rounds(ledger, rounds=3)
    assert first.sampling == second.sampling == 0.25
    assert second.noise_multiplier == pytest.approx(first.noise_multiplier, rel=1e-3)
    assert "readers, who see the released models only (unit client, relation add-or-remove-one)" in second.as_text()


def test_ledger_of_examples_plans_rounds_like_its_last_one(path: Path) -> None:
    relation, unit = NeighbouringRelation.ADD_OR_REMOVE_ONE, PrivacyUnit.EXAMPLE
    noisy = GaussianEvent(noise_multiplier=2.0, relation=relation, unit=unit)
    event = RepeatedEvent(times=3, event=PoissonSampledEvent(sampling_rate=0.1, event=noisy))
    with everybody(path, relation=relation, unit=unit, accounting=Accounting.RENYI_FILTER, order=4.0) as ledger:
        ledger.reserve(event, "round 1")
        found = plan_rounds(ledger, rounds=10)
    assert (found.sampling, found.unit) == (0.1, unit)
    assert 0.3 < found.noise_multiplier < 2
    assert "each example with probability 0.1, in secret" in found.as_text()


def test_filter_that_cannot_take_the_rounds_says_so(path: Path) -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    with create(path, towards=Observer.READERS, relation=relation) as ledger:
        rate_of_10 = PoissonSampledEvent(
            sampling_rate=0.5, event=GaussianEvent(noise_multiplier=10.0, relation=relation)
        )
        ledger.reserve(rate_of_10, "round 1", participants=range(10))
        assert not plan_rounds(ledger, rounds=2).free
        with pytest.raises(IncompatibleEvent):
            plan_rounds(ledger, rounds=2, cohort=5)


def test_used_up_budget_has_no_noise(path: Path) -> None:
    with create(path, **FILTER) as ledger:
        while ledger.remaining(GaussianEvent(noise_multiplier=1.0)):
            ledger.reserve(GaussianEvent(noise_multiplier=1.0), "round", participants=[0])
        left = ledger.left()
        assert left is not None
        ledger.reserve(GaussianEvent(noise_multiplier=left**-0.5 * (1 + 1e-12)), "last", participants=[0])
        with pytest.raises(InfeasibleTarget, match="expected a noise multiplier of at most 1e"):
            plan_rounds(ledger, rounds=10**15)


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("rounds: expected an integer >= 1", {"rounds": 0}),
        ("cohort: expected an integer >= 1", {"rounds": 1, "cohort": 0}),
        ("cohort: expected at most the 20 clients", {"rounds": 1, "cohort": 21}),
        ("cap: expected an integer >= 1", {"rounds": 1, "cap": 0}),
        (
            "cap: expected at least 10, since 40 rounds ask 5 of 20 clients each, found 9",
            {"rounds": 40, "cohort": 5, "cap": 9},
        ),
    ],
)
def test_rounds_that_cannot_be_are_refused(path: Path, message: str, given: dict[str, Any]) -> None:
    create(path, **FILTER).close()
    with pytest.raises((ConfigurationError, InvalidParameter)) as refused:
        planned(path, **given)
    assert message in str(refused.value)


def test_command_reads_the_ledger_of_a_folder(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with create(path, **FILTER) as ledger:
        ledger.reserve(Z10, "round 1", participants=range(5))
    before = path.read_bytes()
    plan_on_terminal(**UNASKED | {"ledger": path.parent, "rounds": 40, "cohort": 5})
    text = " ".join(capsys.readouterr().out.split())
    plan_on_terminal(**UNASKED | {"ledger": path, "rounds": 40, "cohort": 5, "as_json": True})
    found = json.loads(capsys.readouterr().out)
    shown = float(text.split("Noise multiplier")[1].split()[0])
    assert found["noise_multiplier"] <= shown <= found["noise_multiplier"] * 1.0001
    assert (found["releases"], found["accounting"], found["observer"]) == (10, "gaussian-filter", "server")
    for words in (
        "at most 10 of them; each asks 5 clients",
        "0.01",
        "opened to read; nothing was reserved",
        "epsilon 6 at",
    ):
        assert words in text
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--clients", {"clients": 20}),
        ("--epsilon", {"epsilon": 6.0}),
        ("--noise-multiplier", {"noise_multiplier": 1.0}),
        ("--delta", {"delta": 1e-3}),
        ("--per-round", {"per_round": 5}),
        ("--sampling", {"sampling": 0.5}),
        ("--more-rounds", {"more_rounds": 5}),
        ("--mechanism", {"mechanism": "skellam"}),
        ("--bits", {"bits": 20}),
        ("--dimension", {"dimension": 20}),
        ("--dropout", {"dropout": 0.2}),
        ("--adversarial", {"adversarial": 0.2}),
        ("--minimum-contributors", {"minimum_contributors": 2}),
        ("--adversary", {"adversary": "malicious"}),
        ("--table", {"table": True}),
        ("--html", {"html": Path("plan.html")}),
    ],
)
def test_command_refuses_with_a_ledger_what_the_ledger_says(option: str, given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{option}: expected none with --ledger, found one"):
        plan_on_terminal(**UNASKED | {"ledger": tmp_path / "absent", "rounds": 40} | given)


def test_command_without_population_or_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--clients: expected the size of the population"):
        plan_on_terminal(**UNASKED | {"rounds": 40, "epsilon": 6.0})
    with pytest.raises((SecaggError, DpError)):
        plan_on_terminal(**UNASKED | {"ledger": tmp_path, "rounds": 40})
