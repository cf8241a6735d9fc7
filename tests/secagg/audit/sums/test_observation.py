"""Views as numbers: the same features for each session, and all that a colluding client holds."""

from dataclasses import dataclass

import numpy as np

from protocols import SecAgg, Secret, Session
from protocols.crypto import shamir
from protocols.crypto.entropy import Entropy
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.messages import KeyDirectory, SealedShares
from protocols.session import Participant
from secagg.audit.attack import Inapplicable
from secagg.audit.planted.patch import replaced
from secagg.audit.planted.steps import Steps, with_answers
from secagg.audit.sums.observation import observe
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import carrier_of, zeros


class SharingItsVector(PairwiseClient):
    """A client that shares its vector instead of a random seed, and in shares that are not secret."""

    def share_keys(self, directory: KeyDirectory) -> SealedShares:
        def shown(secret: Secret, *, threshold: int, holders: list[int], entropy: Entropy) -> list[bytes]:
            return [secret.reveal() + b"\0" for _ in holders]

        self.state.seed = Secret(self.state.vector.tobytes()[:32].ljust(32, b"\0"))
        with replaced(shamir, "share", shown):
            return super().share_keys(directory)


@dataclass(frozen=True, kw_only=True)
class SharedVectors(SecAgg):
    @property
    def steps(self) -> Steps:
        return with_answers(super().steps, {"share_keys": SharingItsVector.share_keys})

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        return SharingItsVector(self._derived(session), participant)


def test_view_has_the_same_features_in_each_session_and_more_with_a_colluder() -> None:
    subject = SumSubject.suggested(SecAgg)
    carrier = carrier_of(subject)
    assert not isinstance(carrier, Inapplicable)
    cohort = subject.cohort(3, length=4)
    alone = [
        observe(cohort, zeros(cohort), b"seed", label=label, carrier=carrier, colluder=None) for label in ("a", "b")
    ]
    colluding = observe(cohort, zeros(cohort), b"seed", label="a", carrier=carrier, colluder=3)
    assert alone[0].shape == alone[1].shape
    assert not np.array_equal(alone[0], alone[1])
    assert colluding.size > alone[0].size


def test_vector_that_a_client_shares_with_a_colluder_is_among_its_features() -> None:
    cohort = SumSubject.suggested(SharedVectors).cohort(3, length=4)
    vector = np.array([0x030201, 0, 0, 0], dtype=np.uint64)
    views = [
        observe(cohort, zeros(cohort) | {1: vector}, b"seed", label=label, carrier=None, colluder=3)
        for label in ("a", "b")
    ]
    shown = [[at for at in range(view.size - 2) if view[at : at + 3].tolist() == [1.0, 2.0, 3.0]] for view in views]
    assert set(shown[0]) & set(shown[1])
