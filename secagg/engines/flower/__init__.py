"""Secure means over Flower: `SecureGrid` for the ServerApp, `secure_mod` for the ClientApp; needs the extra `flower`.

The names are imported when they are first used: every message to a node starts a process there, which needs the mod
alone. Nor does the garbage collector run meanwhile: to search all that Flower has imported takes 0.1 seconds, a third
of the import.
"""

import gc
import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from secagg.errors import MissingExtraError

if TYPE_CHECKING:
    from secagg.engines.flower.grid import SecureGrid
    from secagg.engines.flower.mod import secure_mod
    from secagg.engines.flower.nodes import read_node_key

__all__ = ["SecureGrid", "read_node_key", "secure_mod"]

_HOMES = {"SecureGrid": "grid", "read_node_key": "nodes", "secure_mod": "mod"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("flwr") is None:
        raise MissingExtraError("flwr", "flower")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    finally:
        if collecting:
            gc.enable()
