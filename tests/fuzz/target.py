"""A target of the fuzzer: one entry of the code that reads bytes, with the errors that it documents."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import Mutator


class Finding(Exception):
    """Something that an entry does with an input although its documentation rules it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One entry of the code, with inputs to begin from.

    Attributes:
        seeds: Inputs to begin from; most of them are accepted.
        run: Gives an input to the entry. It returns if the input was accepted, raises one of the `refusals`, or raises
            `Finding` if it sees for itself that a promise was broken.
        mutate: Makes an input from another one.
        refusals: The errors that the entry documents.
        covers: Dotted names of the functions that the target must reach, as `module:Class.function`.
        others: Further inputs to take parts from, such as messages of other steps and sessions.
        canaries: Texts of secrets that the entry holds. None of them may occur in an error.
        memory_base: The most bytes that the entry may allocate at one time, for an input of no length.
        memory_factor: By how many bytes each further byte of the input may raise that.
    """

    seeds: tuple[bytes, ...]
    run: Callable[[bytes], object]
    mutate: Mutator
    refusals: tuple[type[Exception], ...]
    covers: tuple[str, ...]
    others: tuple[bytes, ...] = ()
    canaries: tuple[str, ...] = ()
    memory_base: int = 2**20
    memory_factor: int = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A target before it is built, which may take a while.

    Attributes:
        name: The target's name, such as `codec/secagg/share_keys/reply`.
        share: How many of all inputs it gets, relative to the others: cheap entries get more.
        build: Builds it; the argument is a folder of its own for files.
    """

    name: str
    share: float
    build: Callable[[Path], Target]


def placed(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """Write a file that only its owner may read, and return its path."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    return path
