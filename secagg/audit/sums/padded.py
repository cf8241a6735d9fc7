"""A check that vectors under lattice masks are uniform: the part of a message that is not encrypted."""

from typing import Final

import numpy as np

from protocols.encrypted.messages import EncryptedInput
from protocols.encrypted.protocol import EncryptedSum
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums.bonferroni import corrected
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.uniformity import by_client, by_words
from secagg.audit.sums.view import smallest, zeros

_MODULUS: Final = 2**64
_LENGTH: Final = 16_384
_LEAST_WORDS: Final = 4_096  # Fewer make the chi-square tests of bytes inexact.
_ENCRYPT: Final = 0


class PaddedWords(Attack[SumSubject]):
    """The words of zeros under a lattice mask, client by client.

    They are samples of ring learning with errors, which look uniform modulo 2^64 to anyone without the key.
    """

    id = "view.uniform.padded"
    title = "Compare vectors of zeros under lattice masks with uniform words of 64 bits, client by client"
    layer = Layer.VIEW
    tests = ("C-03",)
    subjects = SumSubject
    statistical = True

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # The sizes suffice.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=2, length=_LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        protocol = cohort.protocol
        words = protocol.payload(cohort.session).padded_bytes // 8 if isinstance(protocol, EncryptedSum) else 0
        if words < _LEAST_WORDS:
            return Inapplicable(why="No message of the protocol has a vector under a lattice mask.")
        clients = len(cohort.session.clients)
        return Plan(
            trials=clients * words,
            power="masks that lack the highest bit of their word, or of which one byte is constant",
            cpu_s=0.1,
            details=clients,
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=_LENGTH)
        run, vectors = Stepwise(cohort, zeros(cohort), seed), {}
        for client, reply in run.replies().items():
            message = run.body(_ENCRYPT, reply)
            if isinstance(message, EncryptedInput):
                vectors[client] = np.frombuffer(message.padded, dtype="<u8").astype(np.uint64)
        return corrected(by_client(vectors, _MODULUS, by_words))
