"""Secure, private federated training: encoding, secure means, models, data and the command `secagg`."""

from secagg._shadowing import refuse_foreign_packages

refuse_foreign_packages()

from dp.version import VERSION  # noqa: E402 - nothing of ours may be imported before the check
from secagg.devices import Devices  # noqa: E402
from secagg.encoding import Encoding, Weighting  # noqa: E402
from secagg.errors import (  # noqa: E402
    CheckpointError,
    ConfigurationError,
    DataError,
    EncodingError,
    MissingExtraError,
    ModelError,
    SecaggError,
    UnusableMean,
)
from secagg.mean import Contribution, Release, SecureMean  # noqa: E402
from secagg.noise import Target  # noqa: E402
from secagg.records import RoundRecord  # noqa: E402
from secagg.training import PlainAveraging, SecureAveraging  # noqa: E402

__version__ = VERSION

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
