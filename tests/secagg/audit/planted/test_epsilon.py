"""The planted bug of empirical epsilon is rejected, and a mean without it is not."""

from protocols.plain import PlainSum
from secagg.audit.attack import Level, Plan
from secagg.audit.epsilon.client import Canary
from secagg.audit.epsilon.subject import ReleaseSubject
from secagg.audit.finding import Verdict
from secagg.audit.planted.epsilon import PLANTED
from secagg.audit.runner import finding

MASTER = bytes(32)


def test_halved_noise_is_rejected_by_the_canary_in_both_attempts() -> None:
    (planted,) = PLANTED
    assert planted.caught_by == Canary.id
    found = finding(planted.subject(), Canary(), level=Level.QUICK, master=MASTER)
    assert found.verdict is Verdict.REJECTED
    assert len(found.attempts) == 2
    assert found.value is not None
    assert found.threshold is not None
    assert found.value > 1.5 * found.threshold
    assert all(row.lower_bound > 10 for row in found.epsilon)  # More than the target's epsilon.


def test_the_same_mean_with_its_noise_is_not_rejected() -> None:
    subject = ReleaseSubject.planned(PlainSum(), name="whole noise", epsilon=10.0)
    result = Canary().run(subject, Plan(trials=250), MASTER)
    assert result.p_value is not None
    assert result.p_value > 0.01
    at_95, at_most, *estimates = result.epsilon
    assert at_95.exact is not None
    assert at_95.ledger is not None
    assert 0.4 * at_95.exact < at_most.lower_bound < at_95.lower_bound < at_95.exact < at_95.ledger
    assert [row.confidence for row in estimates] == [0.95, 1 - 1e-6]
    assert at_95.trials == 250
