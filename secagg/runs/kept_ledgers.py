"""The ledgers of runs that were replaced in a folder: kept beside the new run, and counted with it.

What a run has spent stays spent when the run is replaced.  So its ledger is renamed, never removed: `ledger-1.sqlite`
is the first one's, `ledger-2.sqlite` the second's.  A renaming is one step, so that an end at any moment leaves a
ledger under its old name or under its new one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dp.errors import DpError, LedgerCorrupt
from dp.events import PrivacyEvent
from dp.ledger.connection import sync_names
from dp.ledger.journal import journal_of
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget
from secagg.errors import CheckpointError
from secagg.privacy.several_ledgers import together

LEDGER: Final = "ledger.sqlite"
_KEPT: Final = re.compile(r"ledger-([1-9][0-9]*)\.sqlite")
_PARTS: Final = re.compile(rf"{_KEPT.pattern}(?:-journal)?")


def is_kept(name: str) -> bool:
    """Return whether a file of this name is the ledger of a run that was replaced, or its journal."""
    return _PARTS.fullmatch(name) is not None


def kept_ledgers(folder: Path) -> tuple[Path, ...]:
    """Return the ledgers of the runs that were replaced in a folder, the first one's first."""
    found = [(int(match[1]), path) for path in folder.glob("ledger-*") if (match := _KEPT.fullmatch(path.name))]
    return tuple(path for _, path in sorted(found))


def settle(ledger: Path) -> None:
    """Make a ledger one whole file: roll back what a killed writer left unfinished; remove one that counts nothing.

    Raises:
        CheckpointError: It is a link to a missing file.
        LedgerLocked: Another process is using it.
        LedgerUnavailable: It cannot be written.
    """
    if ledger.is_symlink() and not ledger.exists():
        raise CheckpointError(
            f"{ledger}: expected a ledger, found a link to a missing file. What it counted must not be lost. Bring "
            "the file back, or use another folder."
        )
    if not ledger.exists():
        return
    spent = bool(ledger.stat().st_size)  # Empty, its making was interrupted.
    if spent:
        try:
            with Ledger.open(ledger) as opened:
                spent = bool(opened.entries())
        except LedgerCorrupt:
            return  # It is kept as it is: other software may still read it.
    if not spent:
        ledger.unlink()


def keep(ledger: Path) -> Path | None:
    """Give a settled ledger, and its journal if it has one, the next name of those that are kept.

    Returns:
        Its new path, or None if there is no ledger.
    """
    if not ledger.exists():
        return None
    numbers = [int(match[1]) for path in kept_ledgers(ledger.parent) if (match := _KEPT.fullmatch(path.name))]
    kept = ledger.with_name(f"{ledger.stem}-{max(numbers, default=0) + 1}{ledger.suffix}")
    # The journal first: between the two steps the next attempt still finds the ledger, and gives it the same name.
    if journal_of(ledger).exists():
        journal_of(ledger).rename(journal_of(kept))
    ledger.rename(kept)
    sync_names(ledger.parent)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLedgers:
    """What the ledgers of the runs that were replaced in a folder have cost, alone and with the folder's run.

    Attributes:
        counted: Names of the files that are added up.
        apart: Names of the others, each with the reason.
        cost: What the counted ones and the run cost together, in words; None if none is counted.
    """

    counted: tuple[str, ...]
    apart: tuple[str, ...]
    cost: str | None

    @classmethod
    def of(cls, folder: Path, *, planned: Mapping[PrivacyEvent, int] | None = None) -> "EarlierLedgers":
        """Read all ledgers of a folder.

        Args:
            folder: The folder of the run.
            planned: Releases of the folder's run that are still to come, with how often each.

        Raises:
            DpError: The run's own ledger cannot be read.
        """
        own, older = folder / LEDGER, kept_ledgers(folder)
        budget = _budget(own) if own.exists() and older else None
        readable, apart = [], []
        for path in older:
            try:
                found = _budget(path)
            except DpError:
                apart.append(f"{path.name} (cannot be read)")
                continue
            budget = budget or found
            if (found.unit, found.relation) == (budget.unit, budget.relation):
                readable.append(path)
            else:
                apart.append(f"{path.name} (unit {found.unit.value}, relation {found.relation.value})")
        if not readable:
            return cls(counted=(), apart=tuple(apart), cost=None)
        if not own.exists():
            whole = together(readable)
            return cls(
                counted=tuple(path.name for path in readable),
                apart=tuple(apart),
                cost=(whole.everything or whole.sums[0]).in_words,
            )
        same = together([own, *readable], planned=planned).sums[0]
        counted = [path for path in readable if path in {ledger.path for ledger in same.ledgers}]
        apart += [f"{path.name} (of other data)" for path in readable if path not in counted]
        return cls(
            counted=tuple(path.name for path in counted),
            apart=tuple(apart),
            cost=same.in_words if counted else None,
        )

    def in_words(self, *, private: bool) -> str:
        """Return what there is, what it cost and what that does not cover, for a line; empty without ledgers.

        Args:
            private: Whether the folder's run has noise.
        """
        said = []
        if self.counted:
            said.append(f"Ledgers of earlier runs here are kept: {', '.join(self.counted)}.")
            if private:
                said.append(f"Together with this run: {self.cost}.")
            else:
                said.append(f"Together these earlier runs cost: {self.cost}.")
                said.append("This run has no noise: nothing bounds what it reveals in addition.")
        if self.apart:
            said.append(
                f"Not included in this figure: {', '.join(self.apart)}. Their cost comes on top for everyone whose "
                "data are in them too."
            )
        return " ".join(said)


def _budget(path: Path) -> Budget:
    with Ledger.open_to_read(path) as ledger:
        return ledger.budget
