"""Planted bugs in masks are rejected by the check that is meant for them; the protocols that they change are not."""

import numpy as np
import pytest

from protocols import LightSecAgg, SecAgg, Secret
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.base import Planted
from secagg.audit.planted.views import PLANTED, IncompleteMasks, OtherMasks, ReducedMasks, ShortMasks
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view_suite import ATTACKS

CHECKS = {check.id: check for check in ATTACKS}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.number))
def test_planted_bug_is_rejected_by_the_check_meant_for_it(planted: Planted) -> None:
    found = finding(planted.subject(), CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED
    assert len(found.attempts) == 2


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg], ids=lambda kind: kind.name)
@pytest.mark.parametrize("check", sorted({planted.caught_by for planted in PLANTED}))
def test_protocol_without_the_bug_is_not_rejected(kind: type[SecAgg], check: str) -> None:
    found = finding(SumSubject.suggested(kind), CHECKS[check], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("kind", [ShortMasks, IncompleteMasks, ReducedMasks])
def test_sums_with_the_bug_are_exact_also_if_a_client_drops_out(kind: type[SecAgg]) -> None:
    """The bugs change the masks alone, so that no test of sums finds them."""
    cohort = SumSubject.suggested(kind).cohort(10, length=8)
    inputs = random_inputs(cohort, b"seed")
    run = Stepwise(cohort, inputs, b"seed").to_step(2)
    run.deliver(run.replies(cohort.session.clients[1:]))
    outcome = run.finish()
    assert outcome.contributors == cohort.session.clients[1:]
    expected = sum_of(inputs, cohort.session.clients[1:], cohort.session.modulus)
    assert np.array_equal(outcome.total, expected)


@pytest.mark.parametrize(("kind", "most"), [(ShortMasks, 127), (IncompleteMasks, 254)])
def test_masks_are_what_the_bug_says(kind: type[OtherMasks], most: int) -> None:
    words = kind().expanded(Secret(bytes(32)), 5_000, np.dtype("<u1"), 256)
    assert words.size == 5_000
    assert int(words.max()) == most
