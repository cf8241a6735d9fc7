"""One run of the fuzzer over many targets: inputs are shared out, and results are kept as they come."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.fuzz.crashes import CORPUS, read_corpus
from tests.fuzz.engine import Campaign, Crash
from tests.fuzz.target import Entry
from tests.fuzz.targets.catalogue import built

SLICES: Final = 10
"""Every target gets its inputs in so many parts, in turn, so that a run that is ended early has fuzzed all of them."""

LEAST: Final = 12
"""The least number of inputs of a target, beside its seeds and corpus."""


@dataclass(slots=True)
class Result:
    """What was done for one target.

    Attributes:
        campaign: The inputs that were run.
        wanted: How many inputs it is to get.
        seconds: CPU time that it took so far, building excluded.
    """

    campaign: Campaign
    wanted: int
    seconds: float = 0.0


@dataclass(slots=True)
class Session:
    """A run over some targets.

    Args:
        entries: The targets.
        inputs: The number of all inputs together, or a few more.
        seed: All choices follow from it.
        folder: A folder for the files of targets.

    Attributes:
        results: What was done, by the target's name.
    """

    entries: Sequence[Entry]
    inputs: int
    seed: str
    folder: Path
    results: dict[str, Result] = field(default_factory=dict)

    def run(self, told: Callable[["Session"], None] = lambda _: None) -> None:
        """Run everything; `told` is called after each part of each target. Nothing is logged meanwhile."""
        logging.disable()
        try:
            self._run(told)
        finally:
            logging.disable(logging.NOTSET)

    def _run(self, told: Callable[["Session"], None]) -> None:
        whole = sum(entry.share for entry in self.entries)
        corpus = read_corpus() if CORPUS.exists() else {}
        for part in range(1, SLICES + 1):
            for entry in self.entries:
                result = self.results.get(entry.name)
                if result is None:
                    target = built(entry, self.folder)
                    kept = corpus.get(entry.name, [])
                    least = LEAST + len(target.seeds) + len(kept)
                    campaign = Campaign(entry.name, target, seed=self.seed, kept=kept)
                    result = Result(campaign, max(least, round(self.inputs * entry.share / whole)))
                    self.results[entry.name] = result
                began = time.process_time()
                result.campaign.run(result.wanted * part // SLICES - result.campaign.tally.inputs)
                result.seconds += time.process_time() - began
                told(self)

    @property
    def done(self) -> int:
        """How many inputs were run."""
        return sum(result.campaign.tally.inputs for result in self.results.values())

    @property
    def crashes(self) -> list[Crash]:
        """All crashes that were found."""
        return [crash for result in self.results.values() for crash in result.campaign.tally.crashes.values()]

    def document(self) -> dict[str, Any]:
        """Return the numbers of all targets."""
        return {
            "seed": self.seed,
            "inputs": self.done,
            "crashes": len(self.crashes),
            "targets": {name: _numbers(result) for name, result in self.results.items()},
        }


def _numbers(result: Result) -> dict[str, Any]:
    campaign = result.campaign
    return {
        "inputs": campaign.tally.inputs,
        "accepted": campaign.tally.accepted,
        "refused": dict(sorted(campaign.tally.refused.items())),
        "crashes": sorted(campaign.tally.crashes),
        "corpus": len(campaign.corpus),
        "lines": len(campaign.coverage.lines),
        "seconds": round(result.seconds, 2),
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write numbers as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
