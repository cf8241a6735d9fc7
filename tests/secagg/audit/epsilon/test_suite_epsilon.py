"""The suite of empirical epsilon: which checks decide, and which of its subjects each can look at."""

from protocols.plain import PlainSum
from secagg.audit.attack import Layer, Level, Plan, Result
from secagg.audit.epsilon.client import Canary
from secagg.audit.epsilon.one_run import OneRun
from secagg.audit.epsilon.subject import ReleaseSubject
from secagg.audit.epsilon.suite import ATTACKS, shipped
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.subject import KINDS


class Overreaching(OneRun):
    """A measurement that rejects all the same."""

    id = "epsilon.overreaching"

    def plan(self, subject: ReleaseSubject, level: Level) -> Plan:
        return Plan(trials=1)

    def run(self, subject: ReleaseSubject, plan: Plan, seed: bytes) -> Result:
        return Result(statistic="none", rejected=True)


def test_only_the_canary_decides() -> None:
    assert [attack.id for attack in ATTACKS if attack.decides] == [Canary.id]
    assert all(attack.layer is Layer.EPSILON for attack in ATTACKS)
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)


def test_a_measurement_that_rejects_is_an_error() -> None:
    subject = ReleaseSubject.planned(PlainSum(), name="subject", epsilon=10)
    assert finding(subject, Overreaching(), level=Level.QUICK, master=bytes(32)).verdict is Verdict.ERRORED


def test_every_shipped_subject_is_looked_at_by_some_attack_at_full_level() -> None:
    subjects = shipped()
    assert len({subject.name for subject in subjects}) == len(subjects)
    for subject in subjects:
        assert subject.kind in KINDS
        applicable = [attack for attack in ATTACKS if isinstance(subject, attack.subjects)]
        assert any(isinstance(attack.plan(subject, Level.FULL), Plan) for attack in applicable)
