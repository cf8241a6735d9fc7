"""Masked vectors are found among the fields of any protocol's messages, and read from the bytes that a server sees."""

import os
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest

from examples.audit_toy import Call, PublicKey, ToyClient, ToySum
from protocols import (
    Adversary,
    LightSecAgg,
    OneShot,
    PaillierSum,
    Participant,
    SecAgg,
    SecAggPlus,
    SecureSum,
    Session,
)
from protocols.plain import PlainSum
from secagg.audit.attack import Inapplicable
from secagg.audit.planted.steps import with_answers
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import (
    Carrier,
    Probe,
    accepts,
    carrier_of,
    masked_vectors,
    modular_difference,
    modular_sum,
    probed,
    smallest,
    zeros,
)

CARRIERS: Final[tuple[tuple[SumSubject, Carrier], ...]] = (
    (SumSubject.suggested(SecAgg), Carrier(number=2, field="packed")),
    (SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS), Carrier(number=2, field="packed")),
    (SumSubject.suggested(SecAggPlus), Carrier(number=2, field="packed")),
    (SumSubject.suggested(LightSecAgg), Carrier(number=2, field="packed")),
    (SumSubject.suggested(PlainSum), Carrier(number=0, field="packed")),
    (SumSubject.of(ToySum()), Carrier(number=1, field="entries")),
)


@pytest.mark.parametrize(("subject", "carrier"), CARRIERS, ids=lambda each: getattr(each, "name", ""))
def test_carrier_of_a_masked_vector_is_found_without_knowledge_of_the_messages(
    subject: SumSubject, carrier: Carrier
) -> None:
    assert carrier_of(subject) == carrier


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_carrier_of_encrypted_vectors_does_not_exist_but_their_fields_are_known(kind: type[SecureSum]) -> None:
    subject = SumSubject.suggested(kind)
    found = carrier_of(subject)
    assert isinstance(found, Inapplicable)
    assert "Ciphertexts" in found.why
    probe = probed(subject)
    assert isinstance(probe, Probe)
    assert Carrier(number=0, field="sealed") in probe.dependent


class OwnRandomness(ToyClient):
    """A client that draws its key by itself."""

    def send_key(self, call: Call) -> PublicKey:
        self._entropy = os.urandom
        return super().send_key(call)


@dataclass(frozen=True)
class UnrepeatableSum(ToySum):
    steps = with_answers(ToySum.steps, {"send_key": OwnRandomness.send_key})  # type: ignore[assignment]  # Any rows.

    def client_party(self, session: Session, participant: Participant) -> ToyClient:
        return OwnRandomness(session, self.digest(session), participant)


def test_carrier_of_a_protocol_that_draws_by_itself_is_the_field_of_a_vectors_length() -> None:
    assert carrier_of(SumSubject.of(UnrepeatableSum())) == Carrier(number=1, field="entries")


def test_masked_vectors_of_a_plain_sum_are_the_inputs() -> None:
    subject = SumSubject.suggested(PlainSum)
    cohort = subject.cohort(3, length=5)
    inputs = {client: np.arange(5, dtype=np.uint64) + np.uint64(client) for client in cohort.session.clients}
    found = masked_vectors(cohort, inputs, Carrier(number=0, field="packed"), b"seed")
    assert {client: vector.tolist() for client, vector in found.items()} == {
        client: vector.tolist() for client, vector in inputs.items()
    }


def test_masked_vectors_of_a_field_without_vectors_are_refused() -> None:
    cohort = SumSubject.suggested(SecAgg).cohort(3, length=5)
    with pytest.raises(LookupError, match="expected a masked vector, found other data"):
        masked_vectors(cohort, zeros(cohort), Carrier(number=0, field="sealing"), b"seed")


@pytest.mark.parametrize("modulus", [5, 2**24, 2**61 - 1, 2**63 + 9, 2**64 - 59, 2**64])
def test_modular_sum_and_difference_agree_with_pythons_integers(modulus: int) -> None:
    generator = np.random.default_rng(1)
    one, other = (generator.integers(0, modulus - 1, 200, dtype=np.uint64, endpoint=True) for _ in range(2))
    one[0], other[0] = modulus - 1, modulus - 1
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    assert modular_sum(one, other, modulus).tolist() == [(left + right) % modulus for left, right in pairs]
    assert modular_difference(one, other, modulus).tolist() == [(left - right) % modulus for left, right in pairs]


def test_smallest_cohort_leaves_room_for_dropouts() -> None:
    found = smallest(SumSubject.suggested(LightSecAgg), at_least=3, length=4, dropouts=1)
    assert not isinstance(found, Inapplicable)
    assert (len(found.session.clients), found.session.threshold) == (10, 9)
    none = smallest(SumSubject.suggested(SecAggPlus), at_least=3, length=4, dropouts=9)
    assert isinstance(none, Inapplicable)
    assert "if 9 drop out" in none.why


def test_moduli_that_a_protocol_does_not_run_are_known() -> None:
    assert accepts(SumSubject.suggested(SecAgg), 16)
    assert not accepts(SumSubject.suggested(SecAgg), 251)
    assert accepts(SumSubject.suggested(LightSecAgg), 251)
