"""Secure, private federated training: encoding, secure means, models, data and the command `secagg`.

The names below are imported when they are first used, so that the command can answer a Ctrl-C before numpy is loaded.
"""

import importlib

from secagg._shadowing import refuse_foreign_packages

refuse_foreign_packages()

TYPE_CHECKING = False  # Type checkers assume True; importing `typing` itself takes milliseconds.
__version__: str

if TYPE_CHECKING:
    from secagg.aggregation.contribution import Contribution
    from secagg.aggregation.encoding import Encoding
    from secagg.aggregation.long_updates import write_contribution
    from secagg.aggregation.mean import SecureMean
    from secagg.aggregation.weighting import Weighting
    from secagg.data.load import load_dataset
    from secagg.engines.base import Engine, PrivateTraining, Release, RoundPlan, RoundResult
    from secagg.engines.client import contribute
    from secagg.engines.memory import InMemory, simulate_mean
    from secagg.engines.statistics import SharedStatistics
    from secagg.errors import (
        CheckpointError,
        CohortsExhausted,
        ConfigurationError,
        DataError,
        EncodingError,
        EngineError,
        MissingExtraError,
        ModelError,
        SecaggError,
        TranscriptError,
        UnusableMean,
        VectorFileError,
    )
    from secagg.models.base import ArrayRole, Metrics, Model
    from secagg.models.keras import KerasModel
    from secagg.models.softmax import SoftmaxRegression
    from secagg.privacy.noise import Sample, Target
    from secagg.runs.config import TrainingConfig
    from secagg.simulation.devices import Devices
    from secagg.storage.frame_inbox import FrameInbox
    from secagg.storage.vector_files import SumFile, VectorFile
    from secagg.training.averaging import SecureAveraging
    from secagg.training.cohorts import Draw
    from secagg.training.drawing import Cohorts, Drawn
    from secagg.training.model_state import GlobalModel, ServerStep
    from secagg.training.plain import PlainAveraging
    from secagg.training.records import RoundRecord
    from secagg.transcripts.recorder import Recorder

__all__ = [
    "ArrayRole",
    "CheckpointError",
    "Cohorts",
    "CohortsExhausted",
    "ConfigurationError",
    "Contribution",
    "DataError",
    "Devices",
    "Draw",
    "Drawn",
    "Encoding",
    "EncodingError",
    "Engine",
    "EngineError",
    "FrameInbox",
    "GlobalModel",
    "InMemory",
    "KerasModel",
    "Metrics",
    "MissingExtraError",
    "Model",
    "ModelError",
    "PlainAveraging",
    "PrivateTraining",
    "Recorder",
    "Release",
    "RoundPlan",
    "RoundRecord",
    "RoundResult",
    "Sample",
    "SecaggError",
    "SecureAveraging",
    "SecureMean",
    "ServerStep",
    "SharedStatistics",
    "SoftmaxRegression",
    "SumFile",
    "Target",
    "TrainingConfig",
    "TranscriptError",
    "UnusableMean",
    "VectorFile",
    "VectorFileError",
    "Weighting",
    "contribute",
    "load_dataset",
    "simulate_mean",
    "write_contribution",
]

_HOMES = {
    "secagg.aggregation.contribution": ("Contribution",),
    "secagg.aggregation.encoding": ("Encoding",),
    "secagg.aggregation.long_updates": ("write_contribution",),
    "secagg.aggregation.mean": ("SecureMean",),
    "secagg.aggregation.weighting": ("Weighting",),
    "secagg.data.load": ("load_dataset",),
    "secagg.engines.base": (
        "Engine",
        "PrivateTraining",
        "Release",
        "RoundPlan",
        "RoundResult",
    ),
    "secagg.engines.client": ("contribute",),
    "secagg.engines.memory": (
        "InMemory",
        "simulate_mean",
    ),
    "secagg.engines.statistics": ("SharedStatistics",),
    "secagg.errors": (
        "CheckpointError",
        "CohortsExhausted",
        "ConfigurationError",
        "DataError",
        "EncodingError",
        "EngineError",
        "MissingExtraError",
        "ModelError",
        "SecaggError",
        "TranscriptError",
        "UnusableMean",
        "VectorFileError",
    ),
    "secagg.models.base": (
        "ArrayRole",
        "Metrics",
        "Model",
    ),
    "secagg.models.keras": ("KerasModel",),
    "secagg.models.softmax": ("SoftmaxRegression",),
    "secagg.privacy.noise": (
        "Sample",
        "Target",
    ),
    "secagg.runs.config": ("TrainingConfig",),
    "secagg.simulation.devices": ("Devices",),
    "secagg.storage.frame_inbox": ("FrameInbox",),
    "secagg.storage.vector_files": (
        "SumFile",
        "VectorFile",
    ),
    "secagg.training.averaging": ("SecureAveraging",),
    "secagg.training.cohorts": ("Draw",),
    "secagg.training.drawing": (
        "Cohorts",
        "Drawn",
    ),
    "secagg.training.model_state": (
        "GlobalModel",
        "ServerStep",
    ),
    "secagg.training.plain": ("PlainAveraging",),
    "secagg.training.records": ("RoundRecord",),
    "secagg.transcripts.recorder": ("Recorder",),
}
_HOME_OF = {name: (home, name) for home, names in _HOMES.items() for name in names}
_HOME_OF["__version__"] = ("dp.version", "VERSION")


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    refuse_foreign_packages()  # Checked again, since the import path may have changed.
    home, attribute = _HOME_OF[name]
    found = globals()[name] = getattr(importlib.import_module(home), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
