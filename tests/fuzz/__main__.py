"""The command: `python -m tests.fuzz --inputs N [--target NAME] [--seed HEX] [--jobs N] [--out FOLDER]`.

It exits with 1 if something was found, and writes each finding to the folder, from where it can be replayed:
`python -m tests.fuzz --replay FILE`.
"""

import argparse
import multiprocessing
import resource
import secrets
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.fuzz.crashes import read_crash, write_corpus, write_crash
from tests.fuzz.engine import replay
from tests.fuzz.session import Session, write_document
from tests.fuzz.target import Entry
from tests.fuzz.targets.catalogue import all_entries, built, chosen, scratch

_MOST_MEMORY: Final = 8 * 2**30
_TELL_EVERY_S: Final = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz everything that reads bytes.")
    parser.add_argument("--inputs", type=int, default=100_000, help="Number of inputs of all targets together.")
    parser.add_argument("--target", action="append", default=[], help="Name or pattern; may be given several times.")
    parser.add_argument("--seed", default=None, help="Hexadecimal digits; drawn if it is left out.")
    parser.add_argument("--jobs", type=int, default=1, help="Number of processes.")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="Folder of findings and numbers.")
    parser.add_argument("--replay", type=Path, action="append", default=[], help="Run the input of a finding again.")
    parser.add_argument("--list", action="store_true", help="List the targets.")
    options = parser.parse_args(arguments)
    if options.list:
        sys.stdout.write("\n".join(all_entries()) + "\n")
        return 0
    _limit()
    if options.replay:
        return _replayed(options.replay)
    seed = options.seed or secrets.token_hex(8)
    bytes.fromhex(seed)
    try:
        entries = chosen(options.target)
    except LookupError as error:
        parser.error(str(error.args[0]))
    options.out.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f"{len(entries)} targets, seed {seed}\n")
    whole = sum(entry.share for entry in entries)
    jobs = min(options.jobs, len(entries))
    parts = [entries[first::jobs] for first in range(jobs)]
    work = [
        (part, round(options.inputs * sum(entry.share for entry in part) / whole), seed, options.out, number)
        for number, part in enumerate(parts)
    ]
    if jobs == 1:
        documents = [_work(*work[0])]
    else:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            documents = pool.starmap(_work, work)
    return _summary(documents)


def _limit() -> None:
    """Let memory end before that of the machine does, and let warnings count as errors, as in the tests."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", ResourceWarning)


def _work(entries: Sequence[Entry], inputs: int, seed: str, out: Path, number: int) -> dict[str, Any]:
    """Run one process's targets, and return its numbers."""
    told_s, written = time.monotonic(), set[tuple[str, str]]()

    def tell(session: Session) -> None:
        nonlocal told_s
        for crash in session.crashes:
            if (crash.target, crash.found) not in written:
                written.add((crash.target, crash.found))
                sys.stderr.write(f"FOUND {crash.target}: {crash.found}: {write_crash(out, crash)}\n")
        if time.monotonic() - told_s >= _TELL_EVERY_S:
            told_s = time.monotonic()
            write_document(out / f"numbers-{number}.json", session.document())
            sys.stderr.write(f"{session.done:,d} of {session.inputs:,d} inputs, {len(session.crashes)} findings\n")

    with scratch() as folder:
        session = Session(entries, inputs, seed, folder)
        session.run(tell)
    write_corpus(out / f"corpus-{number}.json", {name: each.campaign.grown for name, each in session.results.items()})
    document = session.document()
    write_document(out / f"numbers-{number}.json", document)
    return document


def _summary(documents: Sequence[dict[str, Any]]) -> int:
    found = sum(document["crashes"] for document in documents)
    for document in documents:
        for name, each in document["targets"].items():
            sys.stdout.write(
                f"{name:50} {each['inputs']:10,d} inputs {each['accepted']:9,d} accepted {each['lines']:5d} lines "
                f"{each['seconds']:8.1f} s {len(each['crashes'])} findings\n"
            )
    sys.stdout.write(f"{sum(document['inputs'] for document in documents):,d} inputs, {found} findings\n")
    return 1 if found else 0


def _replayed(paths: Sequence[Path]) -> int:
    failed = 0
    with scratch() as folder:
        for path in paths:
            crash = read_crash(path)
            found = replay(built(all_entries()[crash.target], folder), [crash.data])
            failed += bool(found)
            sys.stdout.write(f"{path}: {found[0] if found else 'nothing is found any more'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
