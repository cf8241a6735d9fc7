"""How a check becomes a finding: attempts, error rates, errors."""

import math
import signal

import pytest

from secagg.audit.attack import Level, Plan, Result
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.interruption import Interrupted
from tests.support.audit_checks import MASTER, Crashing, Exact, Given, Inapt, Statistical, found


def test_exact_check_makes_one_attempt_and_has_no_error_rate() -> None:
    for rejected, verdict in ((True, Verdict.REJECTED), (False, Verdict.NOT_REJECTED)):
        (result,) = found(Exact(rejected=rejected))
        assert (result.verdict, result.alpha, len(result.attempts)) == (verdict, 0.0, 1)
        assert result.evidence == ("1 + 1 = 3" if rejected else "")


@pytest.mark.parametrize(
    ("p_values", "verdict"),
    [
        ((0.5,), Verdict.NOT_REJECTED),
        ((1e-3,), Verdict.NOT_REJECTED),
        ((1e-9, 0.2), Verdict.NOT_REJECTED),
        ((9e-4, 9e-4), Verdict.REJECTED),
    ],
)
def test_statistical_check_rejects_only_if_both_attempts_do(p_values: tuple[float, ...], verdict: Verdict) -> None:
    attack = Statistical(*p_values)
    (result,) = found(attack)
    assert result.verdict is verdict
    assert [attempt.p_value for attempt in result.attempts] == list(p_values)
    assert result.alpha == pytest.approx(1e-6)
    assert len(set(attack.seeds)) == len(attack.seeds), "each attempt has randomness of its own"
    assert [attempt.seed for attempt in result.attempts] == [seed.hex() for seed in attack.seeds]


def test_error_of_a_check_is_neither_a_rejection_nor_told_with_its_text() -> None:
    (result,) = found(Crashing())
    assert result.verdict is Verdict.ERRORED
    assert result.evidence == "ZeroDivisionError in run: an error that the subject does not document."


def test_statistical_check_without_a_p_value_is_an_error() -> None:
    (result,) = found(Statistical(None))
    assert result.verdict is Verdict.ERRORED


@pytest.mark.parametrize("p_value", [math.nan, -1.0, 2.0, -math.inf])
def test_statistical_check_with_a_p_value_out_of_range_is_an_error(p_value: float) -> None:
    (result,) = found(Statistical(p_value, p_value))
    assert result.verdict is Verdict.ERRORED


@pytest.mark.parametrize("ending", [SystemExit(0), GeneratorExit()])
def test_check_that_would_end_the_process_is_an_error(ending: BaseException) -> None:
    class Leaving(Crashing):
        def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
            raise ending

    (result,) = found(Leaving())
    assert result.verdict is Verdict.ERRORED
    assert result.evidence.startswith(f"{type(ending).__name__} in run: ")


def test_interruption_of_a_check_is_not_caught() -> None:
    class Interrupting(Crashing):
        def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
            raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted):
        found(Interrupting())


def test_evidence_cannot_control_a_terminal() -> None:
    class Colourful(Exact):
        def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
            return Result(statistic="\x1b[2J", rejected=True, evidence="a\nNOT REJECTED\udc80")

    (result,) = found(Colourful(rejected=True))
    assert (result.statistic, result.evidence) == ("\\x1b[2J", "a\\nNOT REJECTED\\udc80")


def test_check_that_does_not_apply_gives_its_reason() -> None:
    (result,) = found(Inapt())
    assert (result.verdict, result.evidence) == (Verdict.NOT_APPLICABLE, "The subject takes no entropy.")


def test_check_without_time_is_not_run() -> None:
    result = finding(Given(), Crashing(), level=Level.QUICK, master=MASTER, within=lambda: False)
    assert result.verdict is Verdict.NOT_RUN


def test_check_of_claims_that_a_subject_does_not_make_finds_nothing() -> None:
    silent = Given()
    silent.claims = ()
    assert found(Exact(rejected=True), subjects=[silent]) == ()


def test_interruption_is_not_a_finding() -> None:
    class Interrupted(Exact):
        def run(self, *_: object) -> None:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(Interrupted(rejected=False))
