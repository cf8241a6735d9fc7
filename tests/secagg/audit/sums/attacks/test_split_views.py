"""Survivor sets that differ, or that are too small, open no sum."""

from dataclasses import dataclass

import pytest

from protocols import Adversary, PaillierSum, SecAgg, SecAggPlus, SecureSum, Session
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.messages import Confirmations, RevealedShares
from protocols.session import Participant
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import UncheckedSignatures, UnconfirmedSurvivors
from secagg.audit.planted.steps import Steps, with_answers
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.split_views import SplitViews, open_sum, overlapping
from secagg.audit.sums.subject import SumSubject


class AcceptingFew(PairwiseClient):
    """A client that accepts survivor sets and confirmations of any size."""

    def _check_cohort(self, cohort: frozenset[int], doing: str) -> None:
        del cohort, doing

    def reveal_confirmed_shares(self, confirmations: Confirmations) -> RevealedShares:
        del confirmations
        return self._reveal()


@dataclass(frozen=True, kw_only=True)
class FewSurvivors(SecAgg):
    @property
    def steps(self) -> Steps:
        return with_answers(super().steps, {"reveal_shares": AcceptingFew.reveal_confirmed_shares})

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        return AcceptingFew(self._derived(session), participant)


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (SecAgg, Verdict.NOT_REJECTED),
        (SecAggPlus, Verdict.NOT_REJECTED),
        (PaillierSum, Verdict.NOT_APPLICABLE),
        (UnconfirmedSurvivors, Verdict.REJECTED),
        (UncheckedSignatures, Verdict.REJECTED),
    ],
)
def test_shares_for_different_survivor_sets_are_rejected(kind: type[SecureSum], verdict: Verdict) -> None:
    """The server tells clients different survivors; clients that reveal secret shares for both are rejected."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    assert finding(subject, SplitViews(), level=Level.QUICK, master=b"master").verdict is verdict


def test_overlapping_sets_have_the_size_of_the_threshold_and_name_their_client() -> None:
    """The attack makes two survivor sets; they must overlap least, and differ in the client they aim at."""
    cohort = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS).cohort(6, length=8)
    views, group = overlapping(cohort)
    assert group == (1, 2, 3)
    assert len(group) < cohort.session.threshold == 4
    assert all(len(view) == 4 and client in view and view >= set(group) for client, view in views.items())
    for other in (4, 5, 6):
        assert sum(other not in view for view in views.values()) >= 4


def test_small_survivor_set_opens_the_sum_of_few_only_if_clients_accept_it() -> None:
    """Three of six clients do not rebuild a secret of which four shares are needed, so six are shown the small set."""
    for kind, opens in ((SecAgg, False), (FewSurvivors, True)):
        cohort = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS).cohort(6, length=8)
        views = {client: frozenset((1, 2, 3, client)) for client in cohort.session.clients}
        assert open_sum(cohort, views, (1, 2, 3), b"seed") is opens
