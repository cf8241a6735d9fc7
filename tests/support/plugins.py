"""Another distribution with protocols, as an installer leaves it: metadata with entry points, and a module."""

from collections.abc import Mapping
from pathlib import Path

BASELINE = '''
from dataclasses import dataclass
from protocols import PlainSum

@dataclass(frozen=True)
class Disguised(PlainSum):
    """A baseline of another distribution [/not markup]."""
    name = "disguised"

print("other people's modules may print")
nothing = 7
'''


def install(folder: Path, points: Mapping[str, str], *, name: str = "other-protocols", module: str = BASELINE) -> None:
    """Put a distribution into a folder, which is then to be put on the path.

    Args:
        folder: The folder.
        points: What its protocols' names stand for, such as "other_protocols:Disguised".
        name: The name of the distribution; its module has the same name, with underscores.
        module: The module's text.
    """
    importable = name.replace("-", "_")
    metadata = folder / f"{importable}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (metadata / "entry_points.txt").write_text(f"[secagg.protocols]\n{lines}")
    (folder / f"{importable}.py").write_text(module)
