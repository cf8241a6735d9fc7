"""The classes that audit in a project's own tests."""

import pytest

import secagg.audit
from protocols import SecAgg
from secagg.audit import MechanismAudit, RunAudit, SecureMeanAudit, SecureSumAudit, TranscriptAudit
from secagg.audit.suite import ATTACKS
from secagg.audit.testing import ClaimsAudit, in_words
from tests.support.audit_checks import Exact, Given, found


class Mine(SecureSumAudit):
    """The audit of a protocol of this package."""

    def subject(self) -> object:
        return SecAgg()


class Wrong(MechanismAudit):
    """An audit of mechanisms that is given a protocol."""

    def subject(self) -> object:
        return SecAgg()


def test_audit_has_every_check_of_its_subject() -> None:
    cases = Mine.cases()
    assert {attack.layer for _, attack in cases} >= {"invariant", "replay", "view", "attack"}
    assert all(attack in ATTACKS for _, attack in cases)


def test_audit_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a mechanism, found a protocol"):
        Wrong.cases()
    with pytest.raises(NotImplementedError, match="expected a method that returns what to audit"):
        ClaimsAudit.cases()


def test_audits_accept_different_kinds() -> None:
    kinds = [
        audit.accepted.kind for audit in (SecureSumAudit, SecureMeanAudit, MechanismAudit, RunAudit, TranscriptAudit)
    ]
    assert kinds == ["protocol", "mean", "mechanism", "run", "transcript"]


def test_message_of_a_failure_is_the_finding() -> None:
    (finding,) = found(Exact(rejected=True), subjects=[Given()])
    lines = in_words(finding).splitlines()
    assert lines[:2] == ["rejected: given", "claims: C-01"]
    assert "found: 1 + 1 = 3" in lines
    assert lines[-1] == f"seed of attempt 1: {finding.attempts[0].seed}"


@pytest.mark.parametrize("name", secagg.audit.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(secagg.audit, name) is not None
    assert name in dir(secagg.audit)
