"""A subject and checks whose results a test chooses, for tests of how audits are run and told."""

from collections.abc import Sequence
from typing import Any

from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.audit import Audit, Target
from secagg.audit.claims import claimed
from secagg.audit.finding import Finding
from secagg.audit.runner import findings
from secagg.audit.subject import Subject

MASTER = bytes(range(32))


class Given(Subject):
    """A subject that makes two claims."""

    kind = "protocol"

    def __init__(self, name: str = "given") -> None:
        self.name = name
        self.claims = claimed("C-01", "C-03", bits=24)


class Exact(Attack[Given]):
    """An exact check with a result that is given."""

    id = "invariant.given"
    title = "The result is looked up"
    layer = Layer.INVARIANT
    tests = ("C-01",)
    subjects = Given

    def __init__(self, *, rejected: bool) -> None:
        self.rejected = rejected

    def plan(self, subject: Given, level: Level) -> Plan | Inapplicable:
        return Plan(trials=1)

    def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
        return Result(
            statistic="sums that differ",
            value=float(self.rejected),
            threshold=0.0,
            rejected=self.rejected,
            evidence="1 + 1 = 3",
        )


class Statistical(Attack[Given]):
    """A statistical check whose p values are given, one for each attempt."""

    id = "view.given"
    title = "The p values are looked up"
    layer = Layer.VIEW
    tests = ("C-03",)
    subjects = Given
    statistical = True

    def __init__(self, *p_values: float | None) -> None:
        self.p_values = list(p_values)
        self.seeds: list[bytes] = []

    def plan(self, subject: Given, level: Level) -> Plan | Inapplicable:
        return Plan(trials=100, power="a bias of 10%")

    def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
        self.seeds.append(seed)
        return Result(statistic="chi-square", value=3.5, threshold=20.0, p_value=self.p_values[len(self.seeds) - 1])


class Crashing(Attack[Given]):
    """A check that ends with an error whose text is secret."""

    id = "attack.crashing"
    title = "The check crashes"
    layer = Layer.ATTACK
    tests = ("C-01",)
    subjects = Given

    def plan(self, subject: Given, level: Level) -> Plan | Inapplicable:
        return Plan(trials=1)

    def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
        raise ZeroDivisionError("the secret key is 17")


class Inapt(Attack[Given]):
    """A check that cannot test the subject."""

    id = "replay.inapt"
    title = "Nothing is done"
    layer = Layer.REPLAY
    tests = ("C-03",)
    subjects = Given

    def plan(self, subject: Given, level: Level) -> Plan | Inapplicable:
        return Inapplicable(why="The subject takes no entropy.")

    def run(self, subject: Given, plan: Plan, seed: bytes) -> Result:
        raise AssertionError("it does not apply")


def found(*attacks: Attack[Any], subjects: Sequence[Subject] = (Given(),)) -> tuple[Finding, ...]:
    """Return what these checks find."""
    return tuple(findings(subjects, attacks, level=Level.QUICK, master=MASTER))


def audited(*attacks: Attack[Any], subjects: Sequence[Subject] = (Given(),), limits: tuple[str, ...] = ()) -> Audit:
    """Return an audit by these checks."""
    results = found(*attacks, subjects=subjects)
    return Audit(
        target=Target(kind="protocol", name="given", subjects=tuple(subjects), limits=limits),
        level=Level.QUICK,
        master_seed=MASTER,
        started_s=1_000_000_000.0,
        cpu_s=sum(each.cpu_s for each in results),
        findings=results,
    )
