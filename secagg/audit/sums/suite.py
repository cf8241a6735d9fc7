"""The checks of secure sums by invariants and replay, and the toolkit's own protocols as subjects."""

from typing import Any, Final

from protocols import PlainSum, loadable
from secagg.audit.attack import Attack
from secagg.audit.subject import Subject
from secagg.audit.sums.encryption import BoundProofs, FreshCiphertexts
from secagg.audit.sums.exponents import EncryptionWords
from secagg.audit.sums.invariants import ExactSum, TooManyDropouts
from secagg.audit.sums.lattice import LatticeWords
from secagg.audit.sums.polynomials import CoefficientWords, PolynomialsOnce
from secagg.audit.sums.refusals import RefusedInputs
from secagg.audit.sums.replay import SameTape, TapeBytes
from secagg.audit.sums.samplers import MaskWords
from secagg.audit.sums.secrecy import NoSecrets
from secagg.audit.sums.seed_inputs import SeedsByDefinition
from secagg.audit.sums.streams import StreamsOnce
from secagg.audit.sums.subject import SumSubject

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    ExactSum(),
    TooManyDropouts(),
    RefusedInputs(),
    NoSecrets(),
    FreshCiphertexts(),
    BoundProofs(),
    SameTape(),
    TapeBytes(),
    StreamsOnce(),
    PolynomialsOnce(),
    CoefficientWords(),
    MaskWords(),
    SeedsByDefinition(),
    EncryptionWords(),
    LatticeWords(),
)
"""All checks of this area but those of the server's view."""

_PACKAGE: Final = "protocols"


def shipped() -> tuple[Subject, ...]:
    """Return every protocol of this distribution that protects its clients, for each server that it protects from."""
    return tuple(
        SumSubject.suggested(kind, adversary=adversary)
        for kind in loadable().values()
        if kind.__module__.partition(".")[0] == _PACKAGE
        for adversary in kind.adversaries
    )


def plain() -> SumSubject:
    """Return the insecure baseline, which the checks have to reject."""
    return SumSubject.suggested(PlainSum)
