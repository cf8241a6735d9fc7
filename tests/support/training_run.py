"""A caller that moves a model by a coordinator's releases, keeps a checkpoint, and starts again after every crash.

The coordinator's files, its ledger and the checkpoint are on the disk of `LossyFolder`. Who answers changes with every
crash. What must hold afterwards is checked at the end, and at every opening.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from protocols.replay import MemoryOpenings
from secagg.aggregation.mean import Target
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.wire.work import Work
from secagg.errors import OpeningUnfinished
from secagg.files import write_whole
from tests.support.coordinators import CLIENTS, LEAST, Nodes, coordinator_of, make_ledger
from tests.support.lossy_folder import Crash, LossyFolder

_CHECKPOINT: Final = "checkpoint"
RUN: Final = "run"


class TrainingRun:
    """The run, and the nodes that it asks.

    Args:
        folder: A new coordinator's folder.
        target: The noise; None for exact sums.
        goes_back: Whether a caller without a rule goes back to the beginning by itself after a crash.
    """

    def __init__(self, folder: Path, target: Target | None, *, goes_back: bool = False) -> None:
        self.nodes = Nodes()
        self._folder, self._target, self._goes_back = folder, target, goes_back
        self._moved: dict[int, list[float]] = {}
        if target is not None:
            make_ledger(folder / "ledger.sqlite").close()

    def run(
        self,
        patch: pytest.MonkeyPatch,
        crashes: tuple[int, ...] = (),
        *,
        rounds: int,
        cuts: tuple[bool, ...] = (),
    ) -> int:
        """Run all rounds to their end, with a new process after each crash; return how many points were passed.

        Args:
            patch: For the disk.
            crashes: Where the process ends.
            rounds: The number of rounds.
            cuts: Whether each crash is a power cut.

        Raises:
            AssertionError: What must hold does not.
        """
        disk, ended = LossyFolder(self._folder, patch, crashes), 0
        self.nodes.on_asking = disk.pass_point
        while True:
            try:
                self._life(disk, rounds, started_again=ended > 0)
                break
            except Crash:
                if cuts[ended]:
                    disk.cut_power()
                disk.start()
                ended += 1
                self.nodes.silent = {CLIENTS[0]}  # Another cohort would answer next time.
            except OpeningUnfinished:
                self.nodes.silent = set()  # The owner waits until the nodes are back.
        self._check(rounds, ended)
        return disk.points

    def _life(self, disk: LossyFolder, rounds: int, *, started_again: bool) -> None:
        done, model = (0, [0.5, 1.0]) if self._goes_back and started_again else self._checkpoint()
        with coordinator_of(self._folder, target=self._target) as (coordinator, ledger):
            self.nodes.on_opening = partial(self._opening, disk, ledger)
            for number in range(done + 1, rounds + 1):
                model = self._moved_by(coordinator, number, model)
                disk.pass_point()
                write_whole(self._folder / _CHECKPOINT, partial(_fill, json.dumps([number, model])))
                coordinator.forget(number, run=RUN)

    def _checkpoint(self) -> tuple[int, list[float]]:
        path = self._folder / _CHECKPOINT
        number, model = json.loads(path.read_text()) if path.exists() else (0, [0.5, 1.0])
        return number, model

    def _moved_by(self, coordinator: Coordinator, number: int, model: list[float]) -> list[float]:
        release = coordinator.run(Work(RUN, number, [np.array(model)]), CLIENTS, self.nodes)
        mean = [float(value) for value in release.mean[0]]
        assert self._moved.setdefault(number, mean) == mean, f"round {number} has moved the model in two ways"
        return [value + 0.1 * change for value, change in zip(model, mean, strict=True)]

    def _opening(self, disk: LossyFolder, ledger: Ledger | None) -> None:
        if ledger is not None:
            assert len(ledger.entries()) > len(self._moved), "nothing is opened that was not reserved"
        disk.pass_point()

    def _check(self, rounds: int, crashes: int) -> None:
        """Check what must hold after all crashes, as `docs/engines/crashes.md` numbers it."""
        opened = list(dict.fromkeys(self.nodes.opened))
        if self._target is None:
            self._check_exact(opened)
            return
        with Ledger.open(self._folder / "ledger.sqlite") as ledger:
            entries = ledger.entries()
        committed = [each for each in entries if each.commitment is not None]
        assert len(committed) == len(self._moved) == rounds, "3: each release is committed, and moves the model, once"
        assert rounds <= len(entries) <= rounds + crashes, "2: a run counts nothing twice"
        assert len(entries) >= len({session for *_, session in opened}), "2: what may have been opened was reserved"

    def _check_exact(self, opened: list[tuple[bytes, tuple[int, ...], bytes]]) -> None:
        """Check that no two sums of one context were opened whose contributors differ in few."""
        record: Any = MemoryOpenings()
        for number, (context, contributors, _) in enumerate(opened):
            record.record(
                key=bytes(32),
                session_id=number.to_bytes(16, "big"),
                context=context,
                contributors=contributors,
                minimum=LEAST,
            )


def _fill(content: str, path: Path) -> None:
    path.write_text(content)
