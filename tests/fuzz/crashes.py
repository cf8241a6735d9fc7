"""Files of inputs: those with which something was found, and the corpus, of those that reached something new.

A mended finding becomes a vector in `tests/vectors/fuzz/crashes`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.engine import Crash

CORPUS: Final = Path(__file__).parents[1] / "vectors" / "fuzz" / "corpus.json"
VECTORS: Final = Path(__file__).parents[1] / "vectors" / "fuzz" / "crashes"


def write_crash(folder: Path, crash: Crash) -> Path:
    """Write a crash as JSON, and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{crash.target.replace('/', '_')}-{hashlib.sha256(crash.data).hexdigest()[:8]}.json"
    content = {"target": crash.target, "found": crash.found, "data": base64.b64encode(crash.data).decode()}
    (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder / name


def read_crash(path: Path) -> Crash:
    """Return the crash of a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return Crash(content["target"], base64.b64decode(content["data"]), content["found"])


def write_corpus(path: Path, corpus: Mapping[str, Sequence[bytes]]) -> None:
    """Write inputs by target as JSON."""
    content = {name: [base64.b64encode(each).decode() for each in inputs] for name, inputs in corpus.items() if inputs}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_corpus(path: Path = CORPUS) -> dict[str, list[bytes]]:
    """Return the inputs of a file that `write_corpus` wrote, by target."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: [base64.b64decode(each) for each in inputs] for name, inputs in content.items()}
