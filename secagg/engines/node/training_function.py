"""A node's training, by the name of a function that the node's operator has installed."""

import importlib
from collections.abc import Callable

from secagg.checks import shown
from secagg.engines.base import Update
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError

Train = Callable[[Work], Update]


def load_training(name: str) -> Train:
    """Return a node's training function.

    Args:
        name: `module:function`, both installed at the node.

    Raises:
        ConfigurationError: The module cannot be imported, or has no such function.
    """
    module, separator, attribute = name.partition(":")
    if not (module and separator and attribute):
        raise ConfigurationError(f"train: expected module:function, found {shown(name)}. Name both.")
    try:
        found: Train = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # The module is the operator's own, and may raise anything.
        raise ConfigurationError(
            f"train: expected a function that is installed at this node, found {shown(name)}, which cannot be imported "
            f"({type(error).__name__}: {error}). Install its package in this environment."
        ) from error
    if not callable(found):
        raise ConfigurationError(f"train: expected a function at {shown(name)}, found {shown(found)}. Name a function.")
    return found
