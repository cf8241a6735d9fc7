"""Uniformity of masked zeros: planned by the moduli of a protocol, tested client by client, with the stated power."""

from typing import Final

import numpy as np
import pytest
from scipy import stats

from examples.audit_toy import ToySum
from protocols import LightSecAgg, PaillierSum, SecAgg
from protocols.plain import PlainSum
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Inapplicable, Level, Plan
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.sums import uniformity_tests
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.uniformity import FullWords, SmallResidues, full_moduli
from secagg.audit.sums.view import carrier_of, masked_vectors, zeros

CHECKS: Final = (SmallResidues(), FullWords())
each_check: Final = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


def test_pooled_clients_hide_a_mask_of_31_bits_that_each_client_shows() -> None:
    """Two clients add one mask of 31 bits with opposite signs, 4,096 words each.

    By client the first harmonic has p values below 1e-300. In the pooled sample the harmonics cancel.
    """
    subject = SumSubject.of(ToySum())
    carrier = carrier_of(subject)
    assert not isinstance(carrier, Inapplicable)
    cohort = subject.cohort(2, length=4_096, modulus=2**32)
    vectors = masked_vectors(cohort, zeros(cohort), carrier, b"pooled")
    assert all(uniformity_tests.harmonic(vector, 2**32) < 1e-300 for vector in vectors.values())
    pooled = np.concatenate(list(vectors.values()))
    assert uniformity_tests.harmonic(pooled, 2**32) > 0.01


@each_check
def test_plain_sum_is_rejected(check: Attack[SumSubject]) -> None:
    found = finding(SumSubject.suggested(PlainSum), check, level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert len(found.attempts) == 2


@each_check
@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg], ids=lambda kind: kind.name)
def test_protocol_is_not_rejected(check: Attack[SumSubject], kind: type[SecAgg]) -> None:
    found = finding(SumSubject.suggested(kind), check, level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED
    assert found.power is not None


@each_check
def test_encrypted_vectors_are_not_tested_for_uniformity(check: Attack[SumSubject]) -> None:
    found = finding(SumSubject.suggested(PaillierSum), check, level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "Ciphertexts are not uniform" in found.evidence


def test_moduli_are_those_that_the_protocol_runs() -> None:
    plans = [SmallResidues().plan(SumSubject.suggested(kind), Level.QUICK) for kind in (SecAgg, LightSecAgg)]
    assert [set(plan.details.words) for plan in plans if isinstance(plan, Plan)] == [{4, 16}, {5, 17, 251}]
    assert full_moduli(SumSubject.suggested(SecAgg)) == [2**16, 2**24, 2**32, 2**61, 2**64]


def power(effect: float, residues: int, words: int, tests: int) -> float:
    """The power of Pearson's chi-square test, by its noncentral distribution, after Bonferroni's correction."""
    critical = stats.chi2.isf(LEVEL_OF_ATTEMPT / tests, residues - 1)
    return float(stats.ncx2.sf(critical, residues - 1, words * effect))


def test_sizes_find_a_generator_that_never_yields_the_largest_value() -> None:
    """At m = 4 and 16 through two masks of two clients, each with 99.5% at 1e-3: a bias of 1/(m - 1) in each mask.

    The distribution of the sum of two masks has m - 1 harmonics of (m - 1)^-2.
    """
    for modulus, words in ((4, 3_000), (16, 250_000)):
        effect = (modulus - 1) * (modulus - 1) ** -4
        assert power(effect, modulus, words, tests=4) > 0.995


def test_sizes_find_one_mask_of_bytes_modulo_251() -> None:
    often = np.bincount(np.arange(256) % 251, minlength=251) / 256
    effect = float(np.sum((often - 1 / 251) ** 2) * 251)
    assert power(effect, 251, 20_000, tests=20) > 0.995


def test_sizes_find_two_masks_of_words_modulo_three_quarters_of_the_words_range() -> None:
    """A mask falls into the first third with 1/2 and into the others with 1/4: harmonics of 1/4, of two masks 1/16."""
    assert power(2 / 16**2, 3, 8_000, tests=20) > 0.995
