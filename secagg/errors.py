"""Errors of the product: one hierarchy, each naming what was expected, what was found and what would work."""


class SecaggError(Exception):
    """Base of every error that the package `secagg` raises on purpose."""


class ConfigurationError(SecaggError, ValueError):
    """A setting, or a combination of settings, that cannot work; nothing has been run."""


class DataError(SecaggError, ValueError):
    """Examples, labels or a file of them that are damaged, foreign or out of range."""


class ModelError(SecaggError, ValueError):
    """A model, or weights for it, that cannot be used as asked."""


class MissingExtraError(SecaggError, ImportError):
    """A package of one of the optional extras is not installed.

    Args:
        package: The name under which the missing package is imported.
        extra: The extra of this distribution that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed; install it with: pip install "secagg-toolkit[{extra}]"')


class EncodingError(SecaggError, ValueError):
    """An update, a weight or a cohort that the encoding cannot carry without loss; nothing has been sent."""


class CheckpointError(SecaggError, ValueError):
    """A run's folder whose files are missing, damaged or of another run."""
