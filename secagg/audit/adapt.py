"""Objects of the toolkit, and of other people, as subjects."""

import inspect

from protocols import Adversary, SecureSum
from secagg.aggregation.mean import SecureMean
from secagg.audit.means.subject import MeanSubject, Setting
from secagg.audit.subject import Subject
from secagg.audit.sums.subject import SumSubject
from secagg.errors import ConfigurationError


def subjects_of(name: str, found: object) -> tuple[Subject, ...]:
    """Return the subjects that an object stands for.

    A protocol's class stands for one subject for each server that it protects from, with what it suggests for each
    cohort. A protocol stands for itself, with its own parameters.

    Args:
        name: What the person has called the object, for errors.
        found: A `Subject`, a class or an object of `SecureSum`, or a `SecureMean`.

    Raises:
        ConfigurationError: The object is none of these.
    """
    if isinstance(found, Subject):
        return (found,)
    if isinstance(found, SecureSum):
        return (SumSubject.of(found),)
    if isinstance(found, SecureMean):
        return (MeanSubject.of(Setting(mean=found)),)
    if inspect.isclass(found) and issubclass(found, SecureSum):
        servers = found.adversaries or (Adversary.CURIOUS,)
        return tuple(SumSubject.suggested(found, adversary=adversary) for adversary in servers)
    raise ConfigurationError(
        f"target: expected a Subject, a SecureSum, its class, or a SecureMean from {name}, found "
        f"{found.__name__ if inspect.isclass(found) else type(found).__name__}. Return one of these."
    )
