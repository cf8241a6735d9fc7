"""All checks and measurements of empirical epsilon, and the releases of the toolkit that they look at."""

from typing import Any, Final

from protocols.pairwise import SecAgg, SecAggPlus
from secagg.audit.attack import Attack
from secagg.audit.epsilon.client import Canary
from secagg.audit.epsilon.example import BlackBox, ExampleSubject, WhiteBox
from secagg.audit.epsilon.membership import Membership, MembershipSubject
from secagg.audit.epsilon.one_run import OneRun
from secagg.audit.epsilon.subject import ReleaseSubject
from secagg.audit.subject import Subject
from secagg.privacy.example_level import ExampleLevel

ATTACKS: Final[tuple[Attack[Any], ...]] = (Canary(), OneRun(), WhiteBox(), BlackBox(), Membership())

_MANY: Final = 1_000


def shipped() -> tuple[Subject, ...]:
    """Return means at two epsilons, a mean of many clients, private training, and a model to be released."""
    many, _ = SecAggPlus.suggest(clients=_MANY, adversarial=0.1, dropout=0.1)
    training = ExampleLevel(clip_l2=1.0, noise_multiplier=1.0, examples=200, clients=1, epochs=10, batch_size=20)
    return (
        ReleaseSubject.planned(SecAgg(), name="release-epsilon-4.38", epsilon=4.38),
        ReleaseSubject.planned(SecAgg(), name="release-epsilon-10", epsilon=10.0),
        ReleaseSubject.planned(many, name="release-1000-clients", epsilon=4.38, clients=_MANY, colluding=0),
        ExampleSubject(training, name="training-example-level"),
        MembershipSubject.planned(name="model-epsilon-4.38", epsilon=4.38),
    )
