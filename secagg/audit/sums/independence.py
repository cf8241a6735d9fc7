"""A check that masked vectors are independent of each other: between clients, rounds, and attempts at one round."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from protocols.session import Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums import uniformity_tests
from secagg.audit.sums.bonferroni import SingleTest, corrected
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import (
    Carrier,
    carrier_of,
    masked_vectors,
    modular_difference,
    modular_sum,
    smallest,
    zeros,
)

_CLIENTS: Final = (
    3  # The masked zeros of two clients may sum to zero, which is their sum. Those of two of three may not.
)
_WORDS: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One client's masked vector of one run.

    Attributes:
        what: Whose it is, and of which run.
        vector: The vector.
    """

    what: str
    vector: Vector


class Correlation(Attack[SumSubject]):
    """Sums and differences of any two masked vectors of zeros.

    A mask that is used twice, or with the opposite sign, makes one of them zero or constant.
    """

    id = "view.independent"
    title = "Sums and differences of two masked vectors of zeros, also of two sessions, are compared with uniform ones"
    layer = Layer.VIEW
    tests = ("C-03", "C-11", "C-13")
    subjects = SumSubject
    statistical = True

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # The sizes suffice.
        """See `Attack.plan`."""
        carrier = carrier_of(subject)
        if isinstance(carrier, Inapplicable):
            return carrier
        cohort = smallest(subject, at_least=_CLIENTS, length=_WORDS)
        if isinstance(cohort, Inapplicable):
            return cohort
        clients = len(cohort.session.clients)
        return Plan(
            trials=3 * clients * _WORDS,
            power="a mask that is used for two vectors, with either sign",
            cpu_s=0.05,
            details=(carrier, clients),
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        carrier, clients = plan.details
        cohorts = {
            "round 1": subject.cohort(clients, length=_WORDS),
            "round 1 repeated": subject.cohort(clients, length=_WORDS),
            "round 2": subject.cohort(clients, length=_WORDS, session_id=b"secagg audit session 2", context=b"round 2"),
        }
        return corrected(_pairs(_samples(cohorts, carrier, seed), cohorts["round 1"].session.modulus))


def _samples(cohorts: Mapping[str, Cohort], carrier: Carrier, seed: bytes) -> list[Sample]:
    return [
        Sample(what=f"client {client} in {label}", vector=vector)
        for label, cohort in cohorts.items()
        for client, vector in masked_vectors(cohort, zeros(cohort), carrier, seed, label=label).items()
    ]


def _pairs(samples: list[Sample], modulus: int) -> Iterator[SingleTest]:
    for one, other in combinations(samples, 2):
        for name, operation in (("sum", modular_sum), ("difference", modular_difference)):
            joined = operation(one.vector, other.vector, modulus)
            yield SingleTest(
                what=f"{name} of the masked vectors of {one.what} and {other.what}, {joined.size} words",
                p_value=uniformity_tests.harmonic(joined, modulus),
            )
