"""Attacks on the members of replicated seeds, against honest members and against clients that pin nothing."""

import pytest

from protocols import Adversary, ClientTerms, PaillierSum, SeedSum
from secagg.audit.attack import Inapplicable, Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.seed_openings import SeedAttacker, SeedOpenings, SubstitutedMembers
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject

MALICIOUS = SumSubject.suggested(SeedSum, adversary=Adversary.MALICIOUS)


def test_honest_members_open_the_sum_for_which_all_have_signed() -> None:
    """The server asks members for other sums than the signed one; honest members must open only that one."""
    cohort = MALICIOUS.cohort(4, length=8)
    server = SeedAttacker.of(cohort, random_inputs(cohort, b"seed"), b"seed")
    assert not list(server.early_claims())
    assert not list(server.second_openings())


def test_client_that_pins_no_committee_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server names a committee of its own; a client that pins none takes part, which rejects it."""
    monkeypatch.setattr(ClientTerms, "accept_committee", lambda *_: None)
    found = finding(MALICIOUS, SubstitutedMembers(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.REJECTED
    assert found.evidence.endswith("all members are the server's.")


def test_other_protocols_are_left_out() -> None:
    """The attack meets a protocol without replicated seeds; it must say that it does not apply."""
    assert isinstance(SeedOpenings().plan(SumSubject.suggested(PaillierSum), Level.QUICK), Inapplicable)
