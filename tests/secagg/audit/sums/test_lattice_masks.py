import numpy as np
import pytest

from protocols import OneShot, SecAgg
from protocols.crypto.lattice import gaussian
from protocols.crypto.lattice.gaussian import GaussianStream
from protocols.crypto.secret import Secret
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.parties import with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.lattice import LatticeWords, distribution, samples
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("protocol", [OneShot(), OneShot(value_bits=16), OneShot(headroom=True)], ids=str)
def test_masked_vectors_are_those_of_the_definition(protocol: OneShot) -> None:
    found = finding(SumSubject.of(protocol), LatticeWords(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


def test_other_protocols_are_not_tested() -> None:
    found = finding(SumSubject.suggested(SecAgg), LatticeWords(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_APPLICABLE


def test_samples_by_definition_have_the_moments_of_the_gaussian() -> None:
    """Of 4,000 natural words; their standard deviation is 13/2, within 5 of its own deviations of 1.1%."""
    spy = CipherSpy()
    with spy.watching():
        drawn = GaussianStream(Secret(bytes(32))).draw(4000)
    (stream,) = spy.expansions
    defined = samples(bytes(stream.words), 4000)
    assert defined == drawn.tolist()
    assert abs(np.std(defined) / 6.5 - 1) < 0.056
    assert len(distribution()) == 254


def _settled_early(prefix: int, more: object) -> int:
    """Return a sample that is settled by the first 16 bits alone."""
    del more
    limits = gaussian.thresholds(16)
    return sum(limit < prefix for limit in limits) - 127


def test_sampler_that_settles_by_its_first_bits_is_rejected() -> None:
    """One in 1,170 samples needs more bits; no test of frequencies notices when these are left out."""

    class Early(OneShot):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            OneShot.steps, lambda: replaced(gaussian, "settle", _settled_early), "encrypt_input"
        )

    found = finding(SumSubject.suggested(Early), LatticeWords(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.REJECTED
