"""Many canaries in one run: their scores, what is planned, and that nothing is rejected."""

import math

import pytest

from protocols.plain import PlainSum
from secagg.audit.attack import Inapplicable, Level, Plan
from secagg.audit.epsilon.one_run import OneRun, released_scores
from secagg.audit.epsilon.subject import ReleaseSubject
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape, generator_of

SEED = bytes(range(32))
CLIENTS = 400


@pytest.fixture(scope="module")
def many() -> ReleaseSubject:
    return ReleaseSubject.planned(PlainSum(), name="many", epsilon=10, clients=CLIENTS, colluding=0)


def test_scores_are_each_clients_canary_plus_noise(many: ReleaseSubject) -> None:
    """About 200 clients on either side; a mean is off by more than 5 deviations with probability below 1e-6."""
    present = generator_of(SEED).random(CLIENTS) < 0.5
    scores = released_scores(many, present, Tape(SEED))
    deviation = 0.5  # One over the mu of the exact epsilon, 9.3 at delta 1e-5, is 0.53.
    assert scores.shape == (CLIENTS,)
    assert abs(scores[present].mean() - 1) < 5 * deviation / math.sqrt(150)
    assert abs(scores[~present].mean()) < 5 * deviation / math.sqrt(150)
    assert scores[~present].std() == pytest.approx(0.53, rel=0.25)


def test_one_run_bounds_are_labelled_below_the_exact_epsilon_and_reject_nothing(many: ReleaseSubject) -> None:
    found = finding(many, OneRun(), level=Level.FULL, master=bytes(32))
    assert found.verdict is Verdict.MEASURED
    assert found.trials == CLIENTS
    first, second = found.epsilon
    assert (first.method, second.method) == ("one run, 95%", "f-DP in one run, 95%")
    assert first.exact is not None
    assert 0 < first.lower_bound < second.lower_bound < 0.67 * first.exact
    assert "of 20 guesses right" in first.rests_on


@pytest.mark.parametrize(
    ("clients", "dimension", "level", "word"),
    [(20, 20, "full", "40"), (50, 10, "full", "10"), (50, 50, "quick", "full")],
)
def test_one_run_says_why_it_is_not_for_a_mean(clients: int, dimension: int, level: str, word: str) -> None:
    subject = ReleaseSubject.planned(
        PlainSum(), name="few", epsilon=10, clients=clients, colluding=0, dimension=dimension
    )
    plan = OneRun().plan(subject, Level(level))
    assert isinstance(plan, Inapplicable)
    assert word in plan.why


def test_one_run_has_a_canary_for_each_client(many: ReleaseSubject) -> None:
    plan = OneRun().plan(many, Level.FULL)
    assert isinstance(plan, Plan)
    assert plan.trials == CLIENTS
