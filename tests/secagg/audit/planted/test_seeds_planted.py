"""Planted bugs of replicated seeds are rejected by the check meant for each; `SeedSum` itself is not."""

import pytest

from protocols import Adversary, SeedSum
from protocols.seeds import PadKind
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.base import Planted
from secagg.audit.planted.seeds import PLANTED
from secagg.audit.runner import finding, findings
from secagg.audit.sums import suite, view_suite
from secagg.audit.sums.subject import SumSubject

ATTACKS = (*suite.ATTACKS, *view_suite.ATTACKS)
OF_PADS = (
    "invariant.sum.exact",
    "invariant.sum.dropouts",
    "invariant.secrets.canaries",
    "view.same_sum.colluding",
    "attack.second_request",
    "attack.two_sums",
    "attack.alteration",
    "attack.differencing",
    "attack.seed_openings",
)
CHECKS = {check.id: check for check in ATTACKS}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.number} {planted.bug}")
def test_planted_bug_is_rejected_by_the_check_meant_for_it(planted: Planted) -> None:
    check = CHECKS[planted.caught_by]
    assert planted.claim in check.tests
    found = finding(planted.subject(), check, level=Level.QUICK, master=b"planted")
    assert (found.verdict, bool(found.evidence)) == (Verdict.REJECTED, True)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.number} {planted.bug}")
def test_planted_bug_leaves_sums_right(planted: Planted) -> None:
    """No test of sums alone would find it."""
    found = finding(planted.subject(), CHECKS["invariant.sum.exact"], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("adversary", SeedSum.adversaries)
def test_honest_protocol_passes_every_check_that_applies(adversary: Adversary) -> None:
    found = list(
        findings([SumSubject.suggested(SeedSum, adversary=adversary)], ATTACKS, level=Level.QUICK, master=b"m")
    )
    assert [each for each in found if each.verdict not in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE)] == []
    applied = {each.attack for each in found if each.verdict is Verdict.NOT_REJECTED}
    assert applied >= {"attack.seed_openings", "attack.seed_colluders", "attack.copied_machine", "replay.tape.same"}
    assert ("attack.substituted_members" in applied) == (adversary is Adversary.MALICIOUS)


@pytest.mark.parametrize("adversary", [pytest.param(Adversary.CURIOUS, marks=pytest.mark.long), Adversary.MALICIOUS])
def test_honest_protocol_with_lattice_pads_passes_the_checks_in_which_pads_matter(adversary: Adversary) -> None:
    """Members reveal key sums, and against a malicious server the shares of the contributors' wraps: nothing else."""
    subject = SumSubject.of(SeedSum(adversary=adversary, pads=PadKind.LATTICE))
    for name in OF_PADS:
        found = finding(subject, CHECKS[name], level=Level.QUICK, master=b"m")
        assert found.verdict is Verdict.NOT_REJECTED, (name, found.evidence)
    for name in ("replay.samplers.seeds", "attack.seed_colluders", "attack.copied_machine"):
        assert finding(subject, CHECKS[name], level=Level.QUICK, master=b"m").verdict is Verdict.NOT_APPLICABLE


def test_numbers_are_unique() -> None:
    assert len({planted.number for planted in PLANTED}) == len(PLANTED)
