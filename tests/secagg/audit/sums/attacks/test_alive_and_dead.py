"""No client both survives and drops out, since thresholds count each corrupt client twice; one below, one does."""

from dataclasses import dataclass

import pytest

from protocols import Adversary, PaillierSum, SecAgg, SecAggPlus, SecureSum, Session
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.alive_and_dead import AliveAndDead
from secagg.audit.sums.subject import SumSubject


@dataclass(frozen=True, kw_only=True)
class SimpleMajority(SecAgg):
    """A threshold of more than half of the clients, whatever number of them is corrupt."""

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["SimpleMajority", int]:
        del adversarial, dropout
        return cls(adversary=adversary), clients // 2 + 1

    def check_safety(self, session: Session, corrupt: int) -> None:
        del session, corrupt


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (SecAgg, Verdict.NOT_REJECTED),
        (SecAggPlus, Verdict.NOT_REJECTED),
        (PaillierSum, Verdict.NOT_APPLICABLE),
        (SimpleMajority, Verdict.REJECTED),
    ],
)
def test_client_that_is_alive_and_dead_is_read_only_with_a_simple_majority(
    kind: type[SecureSum], verdict: Verdict
) -> None:
    """The server tells two views of a client; a threshold that counts corrupt clients twice must stop it."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    assert finding(subject, AliveAndDead(), level=Level.QUICK, master=b"master").verdict is verdict
