"""Coded masks, ours and FedML's: `python -m benchmarks.lightsecagg --fedml PATH`.

PATH is FedML's python/fedml/core/mpc/lightsecagg.py, taken from a clone of its repository; it is run from there, and
without it ours alone is measured.  Its functions that need torch are not called, so torch need not be installed.

For N = 20 clients, U = 16 of whom respond, T = 10 collude, a vector of a million entries: CPU time to encode one
client's mask into all N shares, random part included, and to decode the sum of all masks from U answers.  Both sides
get the same masks, in one process, in turn, with one thread; each figure is the least of `REPEATS`.  Then the sums
that they decode are compared with the masks' own sum.  FedML cuts vectors whose length its pieces divide, so both
get the least such length from a million on.

"Ours, as FedML" computes all N shares from T random pieces at points of nobody's, without the drawn shares that make
ours cheaper (`protocols.lightsecagg.coding`): what is left is the arithmetic alone.
"""

import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from protocols import SecureSum, Session, simulate
from protocols.crypto.field import Field
from protocols.crypto.keystream import Words
from protocols.crypto.secret import Secret
from protocols.lightsecagg.coding import MaskCode
from protocols.lightsecagg.protocol import LightSecAgg

CLIENTS: Final = 20
RESPONDERS: Final = 16
PRIVACY: Final = 10
PIECES: Final = RESPONDERS - PRIVACY
LENGTH: Final = -(-1_000_000 // PIECES) * PIECES
PRIMES: Final = (2**31 - 1, 2**15 - 19)
REPEATS: Final = 5
ENCODING_TARGET: Final = 0.5

_ONE_THREAD: Final = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """One side's code.

    Attributes:
        name: In the table.
        dtype: Of the masks and shares that it takes.
        encode: From a mask, shape `(LENGTH,)`, all N shares, one after the other.
        decode: From U shares by position, or sums of such, the mask, or the masks' sum.
    """

    name: str
    dtype: np.dtype[Any]
    encode: Callable[[Any], list[Any]]
    decode: Callable[[Mapping[int, Any]], Any]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What one side took at one prime.

    Attributes:
        prime: The field.
        side: Whose code.
        encode_s: CPU seconds to encode one mask into all N shares.
        decode_s: CPU seconds to decode the sum of N masks from U answers.
        right: Whether that is the sum.
        encode_over_fedml: Time over FedML's; None without it.
        decode_over_fedml: Time over FedML's; None without it.
    """

    prime: int
    side: str
    encode_s: float
    decode_s: float
    right: bool
    encode_over_fedml: float | None
    decode_over_fedml: float | None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """One whole sum of ours, keys and sealing included, a client dropping out in each of the last three rounds.

    Attributes:
        prime: The field.
        client_s: CPU seconds of a client that stays, median.
        server_s: CPU seconds of the server.
        sent_bytes: Of one client that stays.
        received_bytes: By one client that stays.
    """

    prime: int
    client_s: float
    server_s: float
    sent_bytes: int
    received_bytes: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON."""

    machine: Machine
    clients: int
    responders: int
    privacy: int
    length: int
    repeats: int
    cases: list[Case]
    wholes: list[Whole]


def ours(prime: int) -> Coder:
    """Our code: T shares drawn, the others computed, everything as the protocol does it."""
    code = MaskCode(field=Field(prime), privacy=PRIVACY, responders=RESPONDERS)
    size = code.piece_length(LENGTH)

    def encode(mask: Words) -> list[Words]:
        drawn = {holder: code.field.uniform(Secret(os.urandom(32)), size) for holder in range(PRIVACY)}
        return [*drawn.values(), *code.encode(mask, drawn, range(PRIVACY, CLIENTS))]

    return Coder(name="ours", dtype=code.field.dtype, encode=encode, decode=code.decode)


def ours_computing_all(prime: int) -> Coder:
    """Our arithmetic for FedML's code: the random pieces are at points of no holder."""
    code = MaskCode(field=Field(prime), privacy=PRIVACY, responders=RESPONDERS)
    size = code.piece_length(LENGTH)

    def encode(mask: Words) -> list[Words]:
        drawn = {CLIENTS + index: code.field.uniform(Secret(os.urandom(32)), size) for index in range(PRIVACY)}
        return list(code.encode(mask, drawn, range(CLIENTS)))

    return Coder(name="ours, as FedML", dtype=code.field.dtype, encode=encode, decode=code.decode)


def fedml(prime: int, path: Path) -> Coder:
    """FedML's functions, called as its client and its aggregator call them."""
    module = _load(path)

    def encode(mask: Any) -> list[Any]:
        return list(module.mask_encoding(LENGTH, CLIENTS, RESPONDERS, PRIVACY, prime, mask.reshape(-1, 1)))

    def decode(shares: Mapping[int, Any]) -> Any:
        answers = np.stack(list(shares.values()))
        points, targets = np.array(list(shares)) + 1, np.arange(RESPONDERS) + CLIENTS + 1
        return module.LCC_decoding_with_points(answers, points, targets, prime).reshape(-1)[:LENGTH]

    return Coder(name="FedML", dtype=np.dtype(np.int64), encode=encode, decode=decode)


def _load(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location("fedml_lightsecagg", path)
    if specification is None or specification.loader is None:
        raise typer.BadParameter(f"{path} is no Python file")
    if "torch" not in sys.modules and importlib.util.find_spec("torch") is None:
        sys.modules["torch"] = types.ModuleType("torch")  # imported at the top, used in functions not called here
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def measure(prime: int, coders: list[Coder]) -> list[Case]:
    """All sides at one prime, in turn; the last is the one to compare with, if it is FedML."""
    generator = np.random.default_rng(prime)
    masks = [generator.integers(0, prime, LENGTH, dtype=np.uint64) for _ in range(CLIENTS)]
    expected = np.sum(masks, axis=0, dtype=np.uint64) % np.uint64(prime)
    answers = [_answers(coder, masks, prime) for coder in coders]
    encode_s, decode_s = ([float("inf")] * len(coders) for _ in range(2))
    right = [False] * len(coders)
    for _ in range(REPEATS):
        for index, coder in enumerate(coders):
            mask = masks[0].astype(coder.dtype)
            begun = time.process_time()
            coder.encode(mask)
            encode_s[index] = min(encode_s[index], time.process_time() - begun)
            begun = time.process_time()
            decoded = coder.decode(answers[index])
            decode_s[index] = min(decode_s[index], time.process_time() - begun)
            right[index] = bool((decoded == expected).all())
    compared = coders[-1].name == "FedML"
    return [
        Case(
            prime=prime,
            side=coder.name,
            encode_s=encode_s[index],
            decode_s=decode_s[index],
            right=right[index],
            encode_over_fedml=encode_s[index] / encode_s[-1] if compared else None,
            decode_over_fedml=decode_s[index] / decode_s[-1] if compared else None,
        )
        for index, coder in enumerate(coders)
    ]


def _answers(coder: Coder, masks: list[Words], prime: int) -> dict[int, Any]:
    """Sums of all masks' shares, of the last U holders."""
    sums = np.zeros((CLIENTS, LENGTH // PIECES), dtype=np.uint64)
    for mask in masks:
        for total, share in zip(sums, coder.encode(mask.astype(coder.dtype)), strict=True):
            total += share.astype(np.uint64)
    sums %= np.uint64(prime)
    return {holder: sums[holder].astype(coder.dtype) for holder in range(CLIENTS - RESPONDERS, CLIENTS)}


def measure_whole(prime: int) -> Whole:
    """One sum of the protocol, checked."""
    clients = tuple(range(CLIENTS))
    protocol: SecureSum = LightSecAgg(privacy=PRIVACY, responders=RESPONDERS)
    session = Session(session_id=os.urandom(16), clients=clients, threshold=RESPONDERS, length=1_000_000, modulus=prime)
    generator = np.random.default_rng(prime)
    inputs = {client: generator.integers(0, prime, session.length, dtype=np.uint64) for client in clients}
    drops = {row.name: [client] for client, row in enumerate(protocol.steps) if client}
    outcome = simulate(protocol, session, inputs, drops=drops, clock=time.process_time)
    expected = np.sum([inputs[client] for client in outcome.contributors], axis=0, dtype=np.uint64) % np.uint64(prime)
    if not np.array_equal(outcome.total, expected):
        raise RuntimeError(f"a wrong sum modulo {prime}")
    stayed, cost = [client for client in clients if client not in outcome.dropped], outcome.cost
    return Whole(
        prime=prime,
        client_s=float(np.median([cost.client_s[client] for client in stayed])),
        server_s=cost.server_s,
        sent_bytes=cost.sent_bytes[stayed[0]],
        received_bytes=cost.received_bytes[stayed[0]],
    )


def table(report: Report) -> Table:
    """One line for each side and prime."""
    shown = Table(
        title=f"coded masks, N={report.clients} U={report.responders} T={report.privacy} d={report.length:,}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    shown.add_column("prime", no_wrap=True)
    shown.add_column("side", no_wrap=True)
    for heading in ("encode\nms", "of\nFedML", "decode\nms", "of\nFedML", "sum\nright"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for case in report.cases:
        ratios = ["" if ratio is None else f"{ratio:.3f}" for ratio in (case.encode_over_fedml, case.decode_over_fedml)]
        shown.add_row(
            "2^31 - 1" if case.prime == 2**31 - 1 else "2^15 - 19",
            case.side,
            f"{1e3 * case.encode_s:.1f}",
            ratios[0],
            f"{1e3 * case.decode_s:.1f}",
            ratios[1],
            "yes" if case.right else "NO",
        )
    return shown


def main(
    fedml_path: Annotated[
        Path | None, typer.Option("--fedml", help="FedML's core/mpc/lightsecagg.py.", exists=True, dir_okay=False)
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure encoding and decoding of coded masks."""
    if any(os.environ.get(name) != value for name, value in _ONE_THREAD.items()):
        # Read when numpy is loaded, so this process starts anew.
        again = [sys.executable, "-m", "benchmarks.lightsecagg", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | _ONE_THREAD)  # noqa: S606  # this very program
    cases = []
    for prime in PRIMES:
        theirs = [] if fedml_path is None else [fedml(prime, fedml_path)]
        cases.extend(measure(prime, [ours(prime), ours_computing_all(prime), *theirs]))
    report = Report(
        machine=Machine.here(("numpy", "cryptography", "msgspec")),
        clients=CLIENTS,
        responders=RESPONDERS,
        privacy=PRIVACY,
        length=LENGTH,
        repeats=REPEATS,
        cases=cases,
        wholes=[measure_whole(prime) for prime in PRIMES],
    )
    console = Console()
    console.print(table(report))
    for whole in report.wholes:
        console.print(
            f"one sum modulo {whole.prime}: client {1e3 * whole.client_s:.0f} ms, server {1e3 * whole.server_s:.0f} "
            f"ms; a client sends {whole.sent_bytes / 1e6:.2f} MB and receives {whole.received_bytes / 1e6:.2f} MB",
            highlight=False,
        )
    for case in report.cases:
        if case.side == "ours" and case.encode_over_fedml is not None:
            met = "met" if case.encode_over_fedml <= ENCODING_TARGET else "MISSED"
            console.print(
                f"encoding modulo {case.prime} takes {case.encode_over_fedml:.3f} of FedML's time; at most "
                f"{ENCODING_TARGET} is the target: {met}",
                highlight=False,
            )
    if fedml_path is None:
        console.print("ours alone; to compare, give --fedml the path of FedML's core/mpc/lightsecagg.py")
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
