"""Errors of the product: one hierarchy, each message names what was expected, what was found and what to do."""

import sys
from typing import Any, Final

_LIMITED: Final = {"example-level": ("tensorflow-privacy", (3, 12))}
"""Extras that some versions of Python cannot have: the package that sets the limit, and the first version without it.

In pyproject.toml the same limits are markers.
"""


class SecaggError(Exception):
    """Base of every error that the package `secagg` raises on purpose."""


class ConfigurationError(SecaggError, ValueError):
    """A setting, or a combination of settings, that cannot work; nothing has been run."""


class DataError(SecaggError, ValueError):
    """Examples, labels or a file of them that are damaged, of an unknown format or out of range."""


class VectorFileError(SecaggError, ValueError):
    """A file of a long vector that cannot be read, or a place at which none can be made."""


class DataWarning(UserWarning):
    """Something about a data set that is probably a mistake, though training can go on."""


class ModelError(SecaggError, ValueError):
    """A model, or weights for it, that cannot be used as asked."""


class TrainingDiverged(ModelError):
    """A client's training that has left the range of finite numbers."""


class MissingExtraError(SecaggError, ImportError):
    """A package of an optional extra that is not installed.

    Args:
        package: The name under which the missing package is imported.
        extra: The extra of this distribution that brings it.
        python: The version of Python to check, by default the running one.
    """

    def __init__(self, package: str, extra: str, *, python: tuple[int, int] = sys.version_info[:2]) -> None:
        limiting, limit = _LIMITED.get(extra, (package, None))
        if limit is not None and python >= limit:
            found, above = ".".join(map(str, python)), ".".join(map(str, limit))
            super().__init__(
                f"The extra {extra} (--unit example) needs {limiting}, which supports Python below {above}: expected "
                f"Python 3.11, found {found}. Use Python 3.11, or protect whole clients (--unit client)."
            )
        else:
            super().__init__(
                f'{package} is not installed. Install it, in a clone of secagg, by: pip install ".[{extra}]"'
            )


class EncodingError(SecaggError, ValueError):
    """An update, a weight or a cohort that the encoding cannot carry without loss; nothing has been sent."""


class ModulusTooSmall(EncodingError):
    """The sum of a whole cohort, with its noise, could wrap around the modulus.

    Args:
        clients: The number of clients in the cohort.
        modulus_bits: The bits that were asked for.
        enough_bits: The bits that are enough.
        because: What is wrong with the modulus; None if it is too small for the sum.

    Attributes:
        enough_bits: The bits that are enough; above 62, only fewer clients or another amount of noise help.
        because: What is wrong with the modulus; None if it is too small for the sum.
    """

    def __init__(self, *, clients: int, modulus_bits: int, enough_bits: int, because: str | None = None) -> None:
        possible = enough_bits <= 62
        if because is None and possible:
            message = (
                f"modulus_bits: expected at least {enough_bits} for the sum of {clients} clients and its noise, found "
                f"{modulus_bits}. Use {enough_bits} bits."
            )
        elif because is None:
            message = (
                f"modulus_bits: expected more than 62, which is the most, for the sum of {clients} clients and its "
                f"noise, found {modulus_bits}. Use fewer clients. Less noise (a larger epsilon) also helps, but "
                "weakens the guarantee."
            )
        else:
            advice = f"{enough_bits} bits" if possible else "fewer clients or more noise (a smaller epsilon)"
            message = f"modulus_bits: expected at least {enough_bits}, found {modulus_bits}: {because}. Use {advice}."
        super().__init__(message)
        self.enough_bits = enough_bits
        self.because = because


class UnusableMean(SecaggError, ArithmeticError):
    """A released sum without a mean: noise or rounding left no positive total weight; its cost is spent."""


class NothingReleased(SecaggError, RuntimeError):
    """A round without a release: too few parties are left, or noise left no mean; what was reserved stays spent.

    Args:
        reason: Why nothing is released.
        result: What came back from the clients, a `secagg.engines.base.RoundResult`.

    Attributes:
        result: What came back from the clients.
    """

    def __init__(self, reason: str | None, *, result: Any) -> None:
        super().__init__(f"nothing is released: {reason}")
        self.result = result
        self.reason = reason


class CohortsExhausted(SecaggError, RuntimeError):
    """A round that cannot be drawn, because too few clients are below the cap on participation; nobody was asked."""


class CoordinatorError(SecaggError, RuntimeError):
    """A coordinator's folder that is missing, damaged or in use, or a state of it that needs its owner's decision."""


class OpeningUnfinished(CoordinatorError):
    """A sum may have been opened, too few parties answer to finish it, and nodes add no noise.

    Args:
        reason: Why it cannot be finished.
        least: The least number of clients in which another cohort must differ.
    """

    def __init__(self, reason: str | None, *, least: int) -> None:
        super().__init__(
            f"a sum may have been opened and cannot be finished now: {reason}. Run it again when the nodes are back. "
            "Coordinator.abandon gives it up; nodes will then answer for the same clients, or for a set of which at "
            f"least {least} were not in that sum."
        )


class OpeningExpired(CoordinatorError):
    """A sum may have been opened, its session has expired, and nodes add no noise.

    Args:
        reason: Why no node answers in the session any more.
        least: The least number of clients in which another cohort must differ.
    """

    def __init__(self, reason: str, *, least: int) -> None:
        super().__init__(
            f"a sum may have been opened, and no node answers in its session any more: {reason} Coordinator.abandon "
            "gives it up; nodes will then answer for the same clients, or for a set of which at least "
            f"{least} were not in that sum."
        )


class ServerRolledBack(CoordinatorError):
    """Nodes have seen later attempts than the coordinator's folder: it was restored from a backup.

    Args:
        expected: The serial of the attempt that they refused.
        found: The greatest serial that some node has seen which does not collude.
    """

    def __init__(self, *, expected: int, found: int) -> None:
        super().__init__(
            f"serial: expected no later attempt than {expected}, found nodes that have seen {found}. The coordinator's "
            "folder is an older copy, and so may be its ledger. Restore the latest copy. If it is lost, "
            f"rollback={found} goes on, and the ledger lacks the releases since then."
        )
        self.found = found


class EngineError(SecaggError, ValueError):
    """A result of a round that no engine may return; nothing is released, and the cost of the round is spent."""


class CheckpointError(SecaggError, ValueError):
    """A run's folder whose files are missing, damaged or from another run."""


class TranscriptError(SecaggError, ValueError):
    """A transcript that cannot be read, written or replayed."""


class TranscriptAltered(TranscriptError):
    """A transcript with a record that no recorder writes there: it was damaged, altered or moved."""


class TranscriptTruncated(TranscriptError):
    """A transcript whose last record is not whole, as a crash leaves it; every record before it is."""
