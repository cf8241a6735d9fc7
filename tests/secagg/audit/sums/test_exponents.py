import pytest

from protocols import OneShot, PaillierSum, SecureSum
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.parties import with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.exponents import EncryptionWords
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("protocol", [PaillierSum(exponents=Exponents.STRICT), OneShot()], ids=str)
def test_ciphertexts_are_those_of_the_definition(protocol: SecureSum) -> None:
    found = finding(SumSubject.of(protocol), EncryptionWords(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_REJECTED


def test_exponent_that_is_cut_is_rejected() -> None:
    exponent = Encryptor.exponent

    class Cut(PaillierSum):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            PaillierSum.steps,
            lambda: replaced(Encryptor, "exponent", lambda self, entropy: exponent(self, entropy) % 2**511),
        )

    found = finding(SumSubject.suggested(Cut), EncryptionWords(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.REJECTED
