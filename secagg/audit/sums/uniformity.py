"""Checks that masked vectors of zeros are uniform: two clients, and one test for each client.

The tests of the clients are never pooled. Two clients add the same pairwise mask with opposite signs, so the harmonics
of a mask that is too short are opposite too, and cancel in a pooled sample. Each client alone shows them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from protocols.errors import ParameterError
from protocols.session import Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums import uniformity_tests
from secagg.audit.sums.bonferroni import SingleTest, corrected
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import Carrier, accepts, carrier_of, masked_vectors, zeros

_CLIENTS: Final = 2

_RESIDUES: Final = {4: 3_000, 16: 250_000, 5: 3_000, 17: 20_000, 192: 20_000, 251: 20_000} | {
    3 * 2 ** (bits - 2): 8_000 for bits in (16, 32, 64)
}
"""The number of words of each client, by modulus.

A mask generator that never yields m - 1 shows at 4 and 16, or at 5 and 17, through the masks of a pair and of a client.
Masks that are words of w bits modulo m show at m = 3 * 2^(w - 2), through two masks too. At the prime 251 bytes modulo
m show through one mask.
"""
_MOST_RESIDUES: Final = 256  # With a larger modulus, only thirds of the range are counted.
_FULL_BITS: Final = (16, 24, 32, 61, 64)
_FULL_WORDS: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What a check of uniformity has fixed.

    Attributes:
        carrier: Where the masked vectors are.
        words: The number of words of each client, by modulus.
    """

    carrier: Carrier
    words: dict[int, int]

    @property
    def trials(self) -> int:
        """The number of words of all clients."""
        return _CLIENTS * sum(self.words.values())


class SmallResidues(Attack[SumSubject]):
    """Masked zeros over the residues of small moduli."""

    id = "view.uniform.residues"
    title = "Compare masked vectors of zeros with uniform residues of small moduli, client by client"
    layer = Layer.VIEW
    tests = ("C-03",)
    subjects = SumSubject
    statistical = True

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # The sizes suffice.
        """See `Attack.plan`."""
        words = {modulus: count for modulus, count in _RESIDUES.items() if accepts(subject, modulus)}
        return _planned(
            subject,
            words,
            power="a mask generator that never yields m - 1 at m = 4 and 16, or at m = 5 and 17; masks that are "
            "words of w bits modulo 3 * 2^(w - 2), or one mask of bytes modulo 251",
            why="The protocol runs no cohort of two clients with a small modulus.",
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        return corrected(_tested(subject, plan.details, seed, _by_residues))


class FullWords(Attack[SumSubject]):
    """Masked zeros at moduli that fill words."""

    id = "view.uniform.words"
    title = "Compare masked vectors of zeros with uniform ones at moduli of 16 to 64 bits, by three statistics"
    layer = Layer.VIEW
    tests = ("C-03",)
    subjects = SumSubject
    statistical = True

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # The sizes suffice.
        """See `Attack.plan`."""
        words = dict.fromkeys(full_moduli(subject), _FULL_WORDS)
        return _planned(
            subject,
            words,
            power="masks that lack the highest bit of their word, or of which one byte is constant",
            why="The protocol runs no cohort of two clients with a modulus of 16 to 64 bits.",
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        return corrected(_tested(subject, plan.details, seed, by_words))


def full_moduli(subject: SumSubject) -> list[int]:
    """Return the moduli that fill 16, 24, 32, 61 and 64 bits and with which the protocol runs two clients.

    They are those that the protocol's class chooses for that many bits.
    """
    try:
        protocol = subject.cohort(_CLIENTS, length=4).protocol
    except ParameterError:
        return []
    found = []
    for bits in _FULL_BITS:
        try:
            found.append(protocol.modulus(bits))
        except ParameterError:
            continue
    return [modulus for modulus in dict.fromkeys(found) if accepts(subject, modulus)]


def _planned(subject: SumSubject, words: dict[int, int], *, power: str, why: str) -> Plan | Inapplicable:
    carrier = carrier_of(subject)
    if isinstance(carrier, Inapplicable):
        return carrier
    if not words:
        return Inapplicable(why=why)
    sampling = Sampling(carrier=carrier, words=words)
    return Plan(trials=sampling.trials, power=power, cpu_s=0.1, details=sampling)


Tests = Callable[[Vector, int], Iterator[tuple[str, float]]]
"""Yields the name and the p value of each test of one client's words at one modulus."""


def _by_residues(words: Vector, modulus: int) -> Iterator[tuple[str, float]]:
    if modulus <= _MOST_RESIDUES:
        yield "chi-square over the residues", uniformity_tests.residues(words, modulus)
    if modulus % 3 == 0:
        yield "chi-square over thirds of the range", uniformity_tests.thirds(words, modulus)


def by_words(words: Vector, modulus: int) -> Iterator[tuple[str, float]]:
    """Yield the tests of words that fill a modulus of 16 to 64 bits."""
    yield "first harmonic", uniformity_tests.harmonic(words, modulus)
    yield "Kolmogorov-Smirnov", uniformity_tests.kolmogorov(words, modulus)
    # The highest byte of a prime modulus is not exactly uniform. The harmonic and the distribution test it.
    for byte in range((modulus.bit_length() - 1) // 8):
        yield f"chi-square over byte {byte}", uniformity_tests.byte_values(words, byte)


def by_client(vectors: Mapping[int, Vector], modulus: int, tests: Tests) -> Iterator[SingleTest]:
    """Yield each test of each client's words, never pooled."""
    for client, words in vectors.items():
        for name, p_value in tests(words, modulus):
            yield SingleTest(what=f"{name} of client {client}, modulus {modulus}, {words.size} words", p_value=p_value)


def _tested(subject: SumSubject, sampling: Sampling, seed: bytes, tests: Tests) -> Iterator[SingleTest]:
    """Yield the tests of each client's words at each modulus."""
    for modulus, length in sampling.words.items():
        cohort = subject.cohort(_CLIENTS, length=length, modulus=modulus)
        vectors = masked_vectors(cohort, zeros(cohort), sampling.carrier, seed, label=f"modulus {modulus}")
        yield from by_client(vectors, modulus, tests)
