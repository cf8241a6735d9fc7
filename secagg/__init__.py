"""Secure, private federated training: encoding, secure means, models, data and the command `secagg`.

The names below are imported when they are first used: the command can so answer a Ctrl-C before numpy is there.
"""

import importlib

from secagg._shadowing import refuse_foreign_packages

refuse_foreign_packages()

TYPE_CHECKING = False  # As type checkers take it; `typing` itself takes milliseconds to import.
__version__: str

if TYPE_CHECKING:
    from secagg.aggregation.encoding import Encoding, Weighting
    from secagg.aggregation.mean import Contribution, Release, SecureMean
    from secagg.errors import (
        CheckpointError,
        ConfigurationError,
        DataError,
        EncodingError,
        MissingExtraError,
        ModelError,
        SecaggError,
        UnusableMean,
    )
    from secagg.privacy.noise import Target
    from secagg.simulation.devices import Devices
    from secagg.training.averaging import SecureAveraging
    from secagg.training.plain import PlainAveraging
    from secagg.training.records import RoundRecord

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "Contribution",
    "DataError",
    "Devices",
    "Encoding",
    "EncodingError",
    "MissingExtraError",
    "ModelError",
    "PlainAveraging",
    "Release",
    "RoundRecord",
    "SecaggError",
    "SecureAveraging",
    "SecureMean",
    "Target",
    "UnusableMean",
    "Weighting",
]

_HOMES = {
    "secagg.simulation.devices": ("Devices",),
    "secagg.aggregation.encoding": ("Encoding", "Weighting"),
    "secagg.errors": (
        "CheckpointError",
        "ConfigurationError",
        "DataError",
        "EncodingError",
        "MissingExtraError",
        "ModelError",
        "SecaggError",
        "UnusableMean",
    ),
    "secagg.aggregation.mean": ("Contribution", "Release", "SecureMean"),
    "secagg.privacy.noise": ("Target",),
    "secagg.training.records": ("RoundRecord",),
    "secagg.training.plain": ("PlainAveraging",),
    "secagg.training.averaging": ("SecureAveraging",),
}
_HOME_OF = {name: (home, name) for home, names in _HOMES.items() for name in names}
_HOME_OF["__version__"] = ("dp.version", "VERSION")


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    refuse_foreign_packages()  # Again: the import path may have changed since.
    home, attribute = _HOME_OF[name]
    found = globals()[name] = getattr(importlib.import_module(home), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
