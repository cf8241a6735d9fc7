import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import pytest

from protocols import LightSecAgg, SecAgg, SecAggPlus
from protocols.crypto import shamir
from protocols.crypto.entropy import Entropy
from protocols.crypto.secret import Secret
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.parties import Steps, with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.audit.sums.polynomials import CoefficientWords, PolynomialsOnce, interpolated
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_interpolation_gives_the_coefficients_that_were_drawn(threshold: int) -> None:
    secret, tape = Secret(hashlib.sha256(b"secret").digest()), Tape(b"coefficients")
    holders = [9, 2, 4, 1, 30]
    shares = shamir.share(secret, threshold=threshold, holders=holders, entropy=tape)
    drawn, again = Tape(b"coefficients"), list[int]()
    for start in range(threshold - 1):
        del start
        again.append(int.from_bytes(drawn(49), "little") % shamir.PRIME)
    constant, *others = interpolated(dict(zip(holders, shares, strict=True)))
    assert constant == int.from_bytes(secret.reveal(), "little")
    assert sorted(others) == sorted([*again, *[0] * (5 - threshold)])


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus])
def test_coefficients_of_the_protocols_are_all_different(kind: type[SecAgg] | type[SecAggPlus]) -> None:
    found = finding(SumSubject.suggested(kind), PolynomialsOnce(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.statistic) == (Verdict.NOT_REJECTED, "faults of 10 polynomials")


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus])
def test_coefficients_of_the_protocols_are_those_of_the_definition(kind: type[SecAgg] | type[SecAggPlus]) -> None:
    found = finding(SumSubject.suggested(kind), CoefficientWords(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


def test_coefficients_from_fewer_bytes_are_rejected() -> None:
    """The largest coefficient is then 2^256 - 1, so that 297 elements of the field are never drawn."""

    def around() -> AbstractContextManager[object]:
        share = shamir.share

        def shortened(secret: Secret, *, threshold: int, holders: Sequence[int], entropy: Entropy) -> list[bytes]:
            def draw(size: int) -> bytes:
                drawn = entropy(size)
                return b"".join(drawn[at : at + 32] + bytes(17) for at in range(0, size, 49))

            return share(secret, threshold=threshold, holders=holders, entropy=draw)

        return replaced(shamir, "share", shortened)

    class Shortened(SecAgg):
        @property
        def steps(self) -> Steps:
            return with_clients(super().steps, around, "share_keys")

    found = finding(SumSubject.suggested(Shortened), CoefficientWords(), level=Level.QUICK, master=b"m")
    assert found.evidence == "20 of 20 coefficients are not those of the definition"


def test_protocol_without_polynomials_is_not_tested() -> None:
    found = finding(SumSubject.suggested(LightSecAgg), PolynomialsOnce(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_APPLICABLE
