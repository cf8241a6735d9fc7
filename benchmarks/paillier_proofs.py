"""What proving a partial decryption of a vector costs, beside proving each of its ciphertexts; for `paillier`.

Proving and checking are counted, the partial decryption itself is not.  The vector is as long as one of 10^6 values;
its ciphertexts are powers of one, so that a product each gives their partial decryptions, which would take minutes:
the numbers are as long as any, and proof and check do the same with them.
"""

import os
import statistics
import time
from itertools import accumulate
from typing import Final

import msgspec

from benchmarks.committee import KEY, SHARES
from protocols.crypto.integers import fastest
from protocols.crypto.paillier.decryption_proof import check_proof, prove
from protocols.crypto.paillier.partial_decryption import decrypt_partially

LEAST_RATIO: Final = 100

_STATEMENT: Final = b"benchmark"


class ProofCost(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time of proof and check, in milliseconds; medians over the repeats.

    Attributes:
        ciphertexts: In the vector.
        prove_ms: The proof of the vector.
        check_ms: Its check.
        alone_ms: Proof and check of one ciphertext.
        ratio: The median of `alone_ms` over that of the vector, for each ciphertext, in the same repeat.
        ratios: Of each repeat.
        target: The ratio to reach, at least.
    """

    ciphertexts: int
    prove_ms: float
    check_ms: float
    alone_ms: float
    ratio: float
    ratios: list[float]
    target: float


def measure_proofs(ciphertexts: int, repeats: int) -> ProofCost:
    """The cost for a vector of that number of ciphertexts, with 3072 bits, s = 2, and 3 of 5 members."""
    modulus = KEY.public_key.modulus
    first = KEY.public_key.encrypt_raw(1)
    image = decrypt_partially(SHARES[0], [first], statement=_STATEMENT).values[0]

    def powers(base: int) -> list[int]:
        steps = accumulate([fastest().integer(base)] * ciphertexts, lambda power, step: power * step % modulus)
        return [int(power) for power in steps]

    vector, images = powers(first), powers(image)
    batch = [_costs_ms(vector, images) for _ in range(repeats)]
    alone = [sum(_costs_ms([first], [image])) for _ in range(repeats)]
    ratios = [one / (sum(both) / ciphertexts) for one, both in zip(alone, batch, strict=True)]
    return ProofCost(
        ciphertexts=ciphertexts,
        prove_ms=statistics.median(prove_ms for prove_ms, _ in batch),
        check_ms=statistics.median(check_ms for _, check_ms in batch),
        alone_ms=statistics.median(alone),
        ratio=statistics.median(ratios),
        ratios=ratios,
        target=LEAST_RATIO,
    )


def _costs_ms(ciphertexts: list[int], values: list[int]) -> tuple[float, float]:
    """Of the proof, and of its check."""
    start = time.process_time()
    proof = prove(SHARES[0], ciphertexts, values, statement=_STATEMENT, entropy=os.urandom)
    proven = time.process_time()
    check_proof(KEY, SHARES[0].index, ciphertexts, values, proof, statement=_STATEMENT)
    return 1e3 * (proven - start), 1e3 * (time.process_time() - proven)
