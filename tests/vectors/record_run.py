"""Makes the run of tests/vectors/checkpoint/run: python -m tests.vectors.record_run FOLDER.

It takes a folder that does not exist, since the recorded run is to be kept: a later version has to read what this one
wrote.  Its noise and the times it took are others each time.
"""

import sys
from pathlib import Path
from typing import Any, Final

from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.training.records import RoundRecord

SETTINGS: Final[dict[str, Any]] = {
    "dataset": "digits",
    "model": "numpy-softmax",
    "clients": 12,
    "rounds": 3,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "dropout": 0.1,
    "clipping": "adaptive",
    "modulus_bits": 24,
    "seed": 7,
    "organisation": "Example Ltd",
    "compare": True,
}
GOAL: Final = 2
"""The round that the run ends with; its settings have one more, so that it can be gone on with."""


def observe(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def main(path: Path) -> None:
    """Run it."""
    folder, settings = RunFolder(path), parse(SETTINGS)
    folder.begin(settings)
    folder.set_goal(GOAL)
    run_training(prepare(settings), folder, resume=False, observe=observe)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
