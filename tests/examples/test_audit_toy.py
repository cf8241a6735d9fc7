"""The example with two faults sums exactly, and the audit rejects it for both faults and for nothing else."""

from itertools import combinations

import pytest

from examples.audit_toy import ToySum, audit, show
from secagg.audit.finding import Verdict
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject


def test_both_faults_are_rejected_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    found = audit(b"master")
    rejected = {each.attack: each for each in found if each.verdict is Verdict.REJECTED}
    assert rejected.keys() == {"view.uniform.words", "attack.late_client"}
    assert "first harmonic of client" in rejected["view.uniform.words"].evidence
    assert "modulus 4294967296" in rejected["view.uniform.words"].evidence
    assert not [each.attack for each in found if each.verdict in (Verdict.ERRORED, Verdict.NOT_RUN)]
    show(rejected["attack.late_client"])
    printed = capsys.readouterr().out
    assert printed.startswith("attack.late_client       rejected\n")
    assert "The sum of all masked vectors less the released sum is its vector." in printed


@pytest.mark.parametrize("dropped", [each for size in range(3) for each in combinations((1, 2, 3, 4), size)])
def test_sums_are_exact_whoever_drops_out(dropped: tuple[int, ...]) -> None:
    cohort = SumSubject.of(ToySum()).cohort(4, length=8)
    inputs = random_inputs(cohort, b"seed")
    left = tuple(client for client in cohort.session.clients if client not in dropped)
    run = Stepwise(cohort, inputs, b"seed").to_step(1)
    outcome = run.finish(left)
    assert outcome.contributors == left
    assert outcome.total.tolist() == sum_of(inputs, left, cohort.session.modulus).tolist()
