"""Files of inputs with which something was found. A mended one becomes a vector in `tests/vectors/fuzz/crashes`."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Final

from tests.fuzz.engine import Crash

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
