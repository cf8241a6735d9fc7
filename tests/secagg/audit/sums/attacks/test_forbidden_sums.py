"""A committee decrypts no single ciphertext and none that depends on another; members without checks do."""

from dataclasses import dataclass

import pytest

from protocols import Adversary, OneShot, PaillierSum, SecAgg, SecureSum, Session
from protocols.crypto.paillier import plaintext_proof
from protocols.encrypted.client import EncryptedClient
from protocols.encrypted.messages import Contributions, PartialOpening
from protocols.session import Participant
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.patch import replaced
from secagg.audit.planted.steps import with_answers
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.forbidden_sums import ForbiddenSums, derived_of
from secagg.audit.sums.subject import SumSubject


class OpeningFew(EncryptedClient):
    """A member that opens sums of any number of clients."""

    def _check_contributors(self, request: Contributions, least: int) -> None:
        del request, least


class UncheckedProofs(EncryptedClient):
    """A member that checks no proof of plaintext knowledge."""

    def open_sum(self, request: Contributions) -> PartialOpening:
        def nothing(*arguments: object, **named: object) -> None:
            del arguments, named

        with replaced(plaintext_proof, "check_all", nothing):
            return super().open_sum(request)


@dataclass(frozen=True, kw_only=True)
class OpensFew(PaillierSum):
    def client_party(self, session: Session, participant: Participant) -> EncryptedClient:
        return OpeningFew(self._derived(session), participant)


@dataclass(frozen=True, kw_only=True)
class ChecksNoProof(PaillierSum):
    steps = with_answers(PaillierSum.steps, {"open_sum": UncheckedProofs.open_sum})  # type: ignore[assignment]  # Any rows.

    def client_party(self, session: Session, participant: Participant) -> EncryptedClient:
        return UncheckedProofs(self._derived(session), participant)


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_forbidden_sums_are_not_decrypted(kind: type[SecureSum], adversary: Adversary) -> None:
    """The server asks for one ciphertext, or for one made from another; proofs and thresholds must stop it."""
    subject = SumSubject.suggested(kind, adversary=adversary)
    assert finding(subject, ForbiddenSums(), level=Level.QUICK, master=b"master").verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [(OpensFew, "the ciphertexts of one client"), (ChecksNoProof, "one client's ciphertexts under two ids")],
)
def test_members_without_checks_are_rejected(kind: type[SecureSum], evidence: str) -> None:
    """The same attack on members that check nothing succeeds, and rejects them."""
    found = finding(SumSubject.suggested(kind), ForbiddenSums(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert evidence in found.evidence


def test_other_protocols_have_no_ciphertexts() -> None:
    """The attack meets a protocol without ciphertexts; it must say that it does not apply."""
    with pytest.raises(LookupError, match="expected an encrypted sum, found secagg"):
        derived_of(SumSubject.suggested(SecAgg).cohort(3, length=4))
