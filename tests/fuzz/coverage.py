"""The lines of the packages that an input runs, by `sys.settrace`: which inputs reach something new.

Tracing makes an entry several times slower, so the engine traces only a sample of the inputs (`tests.fuzz.engine`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = tuple(f"{ROOT / name}/" for name in ("dp", "protocols", "secagg"))

Tracer = Callable[[FrameType, str, Any], Any]


class Coverage:
    """The lines that inputs have reached so far.

    Args:
        prefixes: Beginnings of the paths of the files that count.

    Attributes:
        lines: Each line that was reached, with its code object.
        grown: Whether a line was added since this was last set to False.
    """

    def __init__(self, prefixes: tuple[str, ...] = PACKAGES) -> None:
        self.lines: set[tuple[CodeType, int]] = set()
        self.grown = False
        self._prefixes = prefixes
        self._counted: dict[str, bool] = {}

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Record the lines that run in the block."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def functions(self) -> set[str]:
        """Return the functions that were reached, as `module:Class.function`."""
        found = set()
        for code in {code for code, _ in self.lines}:
            if code.co_filename.startswith(f"{ROOT}/"):
                module = ".".join(Path(code.co_filename).relative_to(ROOT).with_suffix("").parts)
                found.add(f"{module.removesuffix('.__init__')}:{code.co_qualname}")
        return found

    def _call(self, frame: FrameType, event: str, argument: Any) -> Tracer | None:
        name = frame.f_code.co_filename
        counted = self._counted.get(name)
        if counted is None:
            counted = self._counted[name] = name.startswith(self._prefixes)
        return self._line if counted else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Tracer:
        if event == "line":
            line = (frame.f_code, frame.f_lineno)
            if line not in self.lines:
                self.lines.add(line)
                self.grown = True
        return self._line
