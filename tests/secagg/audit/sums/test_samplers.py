import pytest

from protocols import LightSecAgg, PaillierSum, SecAgg, SecAggPlus, SecureSum
from protocols.crypto.field import Field
from protocols.crypto.secret import Secret
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.samplers import MaskWords, rejected, word_bytes
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus, LightSecAgg])
def test_masks_are_those_of_the_definition(kind: type[SecureSum]) -> None:
    found = finding(SumSubject.suggested(kind), MaskWords(), level=Level.FULL, master=b"m")
    assert (found.verdict, found.trials) == (Verdict.NOT_REJECTED, 5)


@pytest.mark.parametrize("bits", [2, 8, 9, 24, 31, 61])
def test_rejection_by_definition_agrees_with_the_field(bits: int) -> None:
    """On natural words: at 2 and 9 bits many are skipped, at 61 bits none."""
    prime, spy = LightSecAgg.modulus(bits), CipherSpy()
    with spy.watching():
        drawn = Field(prime).uniform(Secret(bytes(32)), 500).tolist()
    stream = b"".join(bytes(each.words) for each in spy.expansions)
    assert rejected(stream, prime, 500) == drawn
    assert word_bytes(prime) == {2: 1, 8: 1, 9: 2, 24: 4, 31: 4, 61: 8}[bits]


def test_protocol_without_masks_of_a_known_definition_is_not_tested() -> None:
    found = finding(SumSubject.suggested(PaillierSum), MaskWords(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_APPLICABLE
