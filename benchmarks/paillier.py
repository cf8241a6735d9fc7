"""What packed Paillier costs beside phe, on the same values: python -m benchmarks.paillier --json paillier.json.

Both use gmpy2 and one core.  Each repeat measures phe and then this package, in processor time, and the ratio is the
median of the repeats' own ratios.  phe encrypts, adds and decrypts value by value, as it is made to; here the values
lie in 32-bit slots of one ciphertext with s = 2, and encryption includes packing, decryption unpacking.  A committee's
proof for a whole vector is set beside our own proofs of one ciphertext each (`paillier_proofs`).
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.paillier_proofs import ProofCost, measure_proofs
from protocols.crypto.integers import fastest
from protocols.crypto.paillier import phe_exchange
from protocols.crypto.paillier.ciphertext_pairs import Pair, Total, from_bytes, to_bytes
from protocols.crypto.paillier.encryptor import Encryptor, Exponents
from protocols.crypto.paillier.private import PrivateKey, PublicKey
from protocols.crypto.paillier.slots import Slots

BITS = 3072
S = 2
VALUE_BITS = 16
CLIENTS = 1000
GUARD_BITS = 6
PHE_VALUES = 20
MESSAGES = 20
PROVEN_VALUES = 10**6
REPEATS = 5

LEAST_RATIOS = {"encrypt, 512-bit exponents": 7000, "encrypt, strict exponents": 2000, "add": 150, "decrypt": 80}
MOST_BYTES = 6.1

Work = Callable[[], object]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work, per value, in microseconds of processor time; medians over the repeats.

    Attributes:
        work: Which.
        phe_us: phe's.
        ours_us: This package's.
        ratio: The median of phe's over this package's in the same repeat.
        ratios: Of each repeat.
        target: The ratio to reach, at least.
    """

    work: str
    phe_us: float
    ours_us: float
    ratio: float
    ratios: list[float]
    target: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured.

    Attributes:
        machine: Where.
        bits: Of n.
        s: Messages are modulo n^s.
        slot_bits: Of one value.
        slots: Values in one ciphertext.
        rows: The work, beside phe.
        bytes_per_value: As they are sent.
        phe_bytes_per_value: Of the ciphertext alone, without its exponent.
        generate_s: Processor time of one key.
        table_s: Of the table for each kind of exponents.
        check_us: Of reading and checking one ciphertext, in a batch.
        rerandomise_us: Of one ciphertext, its check included.
        proof: Of a committee member's partial decryption of `PROVEN_VALUES` values.
    """

    machine: Machine
    bits: int
    s: int
    slot_bits: int
    slots: int
    rows: list[Row]
    bytes_per_value: float
    phe_bytes_per_value: float
    generate_s: float
    table_s: dict[str, float]
    check_us: float
    rerandomise_us: float
    proof: ProofCost


def took(work: Work) -> float:
    """Processor time of one call, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


class Sides:
    """Both implementations with keys of the same size, and ciphertexts of the same values."""

    def __init__(self) -> None:
        self.generate_s = took(self._generate)
        self.public: PublicKey = self.private.public_key
        self.slots = Slots(
            value_bits=VALUE_BITS,
            clients=CLIENTS,
            guard_bits=GUARD_BITS,
            message_modulus=int(self.public.message_modulus),
        )
        self.encryptors: dict[Exponents, Encryptor] = {}
        self.table_s = {exponents.value: took(partial(self._build, exponents)) for exponents in Exponents}
        half = 2 ** (VALUE_BITS - 1)
        self.values: NDArray[np.int64] = np.random.default_rng().integers(-half, half, MESSAGES * self.slots.count)
        self.made = self.encrypt(Exponents.SHORT)
        self.sent = to_bytes(self.public, self.made)
        self.total = Total(self.public, len(self.made))
        self.add()
        self.ciphertexts = self.total.ciphertexts()

        # phe has s = 1 alone: the same primes, and the same values one by one.
        self.phe_private = phe_exchange.private_key_to_phe(PrivateKey.from_primes(*self.private.reveal_primes()))
        self.phe_public = self.phe_private.public_key
        self.phe_values = [int(value) for value in self.values[:PHE_VALUES]]
        self.phe_made: list[Any] = self.phe_encrypt()
        self.phe_more: list[Any] = self.phe_encrypt()

    def _generate(self) -> None:
        self.private = PrivateKey.generate(BITS, S)

    def _build(self, exponents: Exponents) -> None:
        self.encryptors[exponents] = Encryptor(self.public, exponents=exponents)

    def encrypt(self, exponents: Exponents) -> list[Pair]:
        """Pack and encrypt all values."""
        return self.encryptors[exponents].encrypt_pairs(self.slots.pack(self.values))

    def add(self) -> None:
        """Add all ciphertexts to the running total, as a server does for each client."""
        self.total.add(self.made)

    def decrypt(self) -> NDArray[np.int64]:
        """Decrypt and unpack all values."""
        return self.slots.unpack(self.private.decrypt(self.ciphertexts), self.values.size, clients=1)

    def phe_encrypt(self) -> list[Any]:
        """Encrypt each of its values."""
        return [self.phe_public.encrypt(value) for value in self.phe_values]

    def phe_add(self) -> list[Any]:
        """Add each ciphertext to one of the same value."""
        return [one + other for one, other in zip(self.phe_made, self.phe_more, strict=True)]

    def phe_decrypt(self) -> list[int]:
        """Decrypt each of its ciphertexts."""
        return [self.phe_private.decrypt(one) for one in self.phe_made]

    def check(self) -> None:
        """Raise unless both sides decrypt their sums to the right values."""
        self.add()
        doubled = self.slots.unpack(self.private.decrypt(self.total.ciphertexts()), self.values.size, clients=2)
        theirs = [self.phe_private.decrypt(one) for one in self.phe_add()]
        if not np.array_equal(doubled, 2 * self.values) or theirs != [2 * value for value in self.phe_values]:
            raise RuntimeError("a wrong sum")


def measure(sides: Sides, work: str, theirs: Work, ours: Work, *, calls: int) -> Row:
    """One row; each side is called `calls` times in each repeat."""

    def each(call: Work, values: int) -> float:
        return 1e6 * sum(took(call) for _ in range(calls)) / (calls * values)

    pairs = [(each(theirs, PHE_VALUES), each(ours, sides.values.size)) for _ in range(REPEATS)]
    ratios = [phe_us / ours_us for phe_us, ours_us in pairs]
    return Row(
        work=work,
        phe_us=statistics.median(pair[0] for pair in pairs),
        ours_us=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(ratios),
        ratios=ratios,
        target=LEAST_RATIOS[work],
    )


def measure_all() -> Report:
    """All rows, on one key."""
    sides = Sides()
    sides.check()
    short, strict = Exponents.SHORT, Exponents.STRICT
    rows = [
        measure(sides, "encrypt, 512-bit exponents", sides.phe_encrypt, lambda: sides.encrypt(short), calls=1),
        measure(sides, "encrypt, strict exponents", sides.phe_encrypt, lambda: sides.encrypt(strict), calls=1),
        measure(sides, "add", sides.phe_add, sides.add, calls=20),
        measure(sides, "decrypt", sides.phe_decrypt, sides.decrypt, calls=1),
    ]

    def each_us(work: Work) -> float:
        return 1e6 * statistics.median(took(work) for _ in range(REPEATS)) / len(sides.made)

    return Report(
        machine=Machine.here(("phe", "gmpy2", "numpy")),
        bits=BITS,
        s=S,
        slot_bits=sides.slots.width,
        slots=sides.slots.count,
        rows=rows,
        bytes_per_value=len(sides.sent) / sides.values.size,
        phe_bytes_per_value=-(-sides.phe_public.nsquare.bit_length() // 8),
        generate_s=sides.generate_s,
        table_s=sides.table_s,
        check_us=each_us(lambda: from_bytes(sides.public, sides.sent, MESSAGES)),
        rerandomise_us=each_us(lambda: sides.encryptors[short].rerandomise(sides.ciphertexts)),
        proof=measure_proofs(sides.slots.messages(PROVEN_VALUES), REPEATS),
    )


def table(rows: Sequence[Row]) -> Table:
    """One line for each kind of work."""
    shown = Table(title="per value, one core", box=box.SIMPLE_HEAD, show_edge=False)
    shown.add_column("work", no_wrap=True)
    for heading in ("phe\nus", "ours\nus", "ratio", "target", ""):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = (f"{row.phe_us:,.1f}", f"{row.ours_us:.3f}", f"{row.ratio:,.0f}", f"{row.target:,.0f}")
        shown.add_row(row.work, *figures, "met" if row.ratio >= row.target else "MISSED")
    return shown


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure packed Paillier beside phe."""
    if fastest().name != "gmpy2":
        raise typer.BadParameter('gmpy2 is not installed. Install it by: pip install ".[paillier]"')
    report = measure_all()
    console = Console()
    console.print(table(report.rows))
    met = "met" if report.bytes_per_value <= MOST_BYTES else "MISSED"
    console.print(
        f"{report.bytes_per_value:.2f} bytes a value, at most {MOST_BYTES} is the target: {met}; phe "
        f"{report.phe_bytes_per_value:.0f}\n{report.bits} bits, s = {report.s}, {report.slots} slots of "
        f"{report.slot_bits} bits; key {report.generate_s:.1f} s, table {report.table_s['short']:.1f} s, strict "
        f"{report.table_s['strict']:.1f} s; a ciphertext's check {report.check_us:.0f} us, re-randomisation "
        f"{report.rerandomise_us:.0f} us\n{report.machine}",
        highlight=False,
    )
    proof = report.proof
    console.print(
        f"proof of {proof.ciphertexts:,} partial decryptions {proof.prove_ms:,.0f} ms, check {proof.check_ms:,.0f} ms; "
        f"both for one {proof.alone_ms:,.0f} ms: {proof.ratio:,.0f} times as much for each, at least "
        f"{proof.target:,.0f} is the target: {'met' if proof.ratio >= proof.target else 'MISSED'}",
        highlight=False,
    )
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
