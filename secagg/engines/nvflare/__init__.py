"""Secure means over NVIDIA FLARE: a controller, an executor and a recipe; they need the extra `nvflare`.

The names are imported when they are first used, since the check of a site's policy works without FLARE.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

from secagg.errors import MissingExtraError

if TYPE_CHECKING:
    from secagg.engines.nvflare.components import SecureAveragingRecipe, SecureController, SecureExecutor

__all__ = ["SecureAveragingRecipe", "SecureController", "SecureExecutor"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if importlib.util.find_spec("nvflare") is None:
        raise MissingExtraError("nvflare", "nvflare")
    return getattr(importlib.import_module("secagg.engines.nvflare.components"), name)
