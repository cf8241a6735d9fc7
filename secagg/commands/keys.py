"""The dealer of a committee's key, as a person sees it: a search with progress, key files, and what they are good for.

Keys have s = 2: with 3072 bits a ciphertext of 1152 bytes then carries 192 values of 32 bits, which is 6 bytes a
value, where s = 1 takes 8; s = 3 would take 5.3 and twice the time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from protocols.crypto.paillier.private import DEFAULT_BITS
from protocols.crypto.paillier.public import LEAST_BITS, MOST_BITS
from protocols.crypto.paillier.safe_primes import expected_candidates
from protocols.crypto.paillier.threshold import LEAST_THRESHOLD, MOST_MEMBERS, ThresholdKey, deal
from secagg.commands.prime_search import two_safe_primes
from secagg.commands.progress import shows_bars, write_line
from secagg.errors import ConfigurationError
from secagg.paths import escaped, expanded
from secagg.simulation.committee import warn_without_gmpy2
from secagg.storage.key_files import MODES_ARE_CHECKED, PUBLIC_NAME, check_free, member_name, write_committee

S: Final = 2
_LINE_EVERY_S: Final = 30.0


def deal_on_terminal(out: Path, *, members: int, threshold: int, bits: int, allow_112_bit_security: bool) -> None:
    """Arguments to key files, with progress on standard error and what to do with them on standard output.

    Args:
        out: The folder of the files; empty, or made.
        members: 2 to 64.
        threshold: Number of members that open a sum, more than half of them.
        bits: The number of bits of n, even.
        allow_112_bit_security: Allow fewer than 3072 bits, of at least 2048.

    Raises:
        ConfigurationError: The arguments do not make a safe committee; nothing has been generated.
        KeyFileError: The folder is not free.
        OSError: It cannot be written.
    """
    check_committee(members, threshold)
    least = LEAST_BITS if allow_112_bit_security else DEFAULT_BITS
    if bits % 2 or not least <= bits <= MOST_BITS:
        risk = "" if least == LEAST_BITS else f" --allow-112-bit-security allows weaker keys, from {LEAST_BITS} bits."
        raise ConfigurationError(f"--bits: expected an even number from {least} to {MOST_BITS}, found {bits}.{risk}")
    out = expanded(out)
    check_free(out)
    warn_without_gmpy2()
    with _progress(bits // 2) as observe:
        p, q = two_safe_primes(bits // 2, observe)
    key, shares = deal(p, q, S, members=members, threshold=threshold)
    write_committee(out, key, shares)
    console = Console()
    for line in account(out, key):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def check_committee(members: int, threshold: int) -> None:
    """Refuse a committee that could open two sums of one session without any member's fault.

    Raises:
        ConfigurationError: There are too few or too many members, or the threshold is not more than half of them.
    """
    if not LEAST_THRESHOLD <= members <= MOST_MEMBERS:
        raise ConfigurationError(f"--members: expected {LEAST_THRESHOLD} to {MOST_MEMBERS}, found {members}.")
    least = members // 2 + 1
    if threshold < least:
        raise ConfigurationError(
            f"--threshold: expected at least {least} of {members} members, found {threshold}: two groups without a "
            f"common member could open two different sums of one session. Use {least} or more."
        )
    if threshold > members:
        raise ConfigurationError(f"--threshold: expected {least} to {members}, found {threshold}.")


def account(out: Path, key: ThresholdKey) -> Iterator[str]:
    """Yield lines that say what was written, what to do with it, and what it protects from."""
    members, threshold, bits = key.members, key.threshold, key.bits
    absent, shared = members - threshold, 2 * threshold - members
    yield f"{escaped(out)}: a key of {bits} bits for {members} members, any {threshold} of whom open a sum"
    yield f"  {PUBLIC_NAME}: public. Give it to every client, the server and all members."
    yield f"    fingerprint, to be compared over a channel that the server does not control: {key.fingerprint.hex()}"
    yield f"  {member_name(1)} to {member_name(members)}: secret. Each is for one member."
    if not MODES_ARE_CHECKED:
        yield "    WARNING: on this system secagg neither restricts nor checks who may read these files. First restrict"
        yield "    each of them to its owner by the system's own means (on Windows: icacls)."
    yield "    Give each secret file to its member over a private channel, then delete it here. The member keeps it"
    yield "    readable by its owner alone (mode 0600)."
    yield "    For `secagg train`, which simulates all members, make a separate key. Never use it for anything else."
    yield "This process has seen the complete key. Anyone who reads its memory, or enough of the secret files, can"
    yield "decrypt every single contribution. Keep no copy and no backup, and wipe this machine."
    yield f"  secrecy: fewer than {threshold} corrupt members learn only the sums that are opened"
    yield f"  availability: sums are opened if at most {absent} of the members are absent"
    yield f"  one sum in each session, if the server is malicious too: if {_fewer(shared)}, because two groups of"
    yield f"    {threshold} members have at least {shared} in common, and an honest member opens only one sum. A higher"
    yield "    threshold tolerates more corrupt members here, and fewer absent ones."


def _fewer(shared: int) -> str:
    return "no member is corrupt" if shared == 1 else f"at most {shared - 1} members are corrupt"


@contextmanager
def _progress(bits: int) -> Iterator[Callable[[int, int], None]]:
    """Show a bar over the candidates that are expected for two primes; a search may take twice as many, or half."""
    expected, console = 2 * expected_candidates(bits), Console(stderr=True)
    if not shows_bars(console):
        yield _lines(expected)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[tested]:,d} of some {task.total:,.0f} candidates"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=expected, tested=0)

        def observe(tested: int, found: int) -> None:
            # A full bar would stop the clock.
            done = expected if found == 2 else min(tested, expected - 1)
            progress.update(task, description=f"{found} of 2 safe primes found", completed=done, tested=tested)

        observe(0, 0)
        yield observe


def _lines(expected: float) -> Callable[[int, int], None]:
    """Return a function that shows a line for each prime that is found, and one from time to time."""
    told, told_s = -1, time.monotonic()

    def observe(tested: int, found: int) -> None:
        nonlocal told, told_s
        if found != told or time.monotonic() - told_s >= _LINE_EVERY_S:
            told, told_s = found, time.monotonic()
            write_line(f"{found} of 2 safe primes found after {tested:,d} of some {expected:,.0f} candidates")

    observe(0, 0)
    return observe
