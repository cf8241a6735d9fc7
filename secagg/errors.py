"""Errors of the product: one hierarchy, each naming what was expected, what was found and what would work."""


class SecaggError(Exception):
    """Base of every error that the package `secagg` raises on purpose."""


class ConfigurationError(SecaggError, ValueError):
    """A setting, or a combination of settings, that cannot work; nothing has been run."""


class DataError(SecaggError, ValueError):
    """Examples, labels or a file of them that are damaged, foreign or out of range."""


class DataWarning(UserWarning):
    """Something about a data set that is probably a mistake, though training can go on."""


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


class ModulusTooSmall(EncodingError):
    """The sum of a whole cohort, with its noise, could wrap around the modulus.

    Args:
        clients: Of the cohort.
        modulus_bits: What was asked for.
        enough_bits: What would do.

    Attributes:
        enough_bits: What would do; beyond 62 nothing does but fewer clients or less noise.
    """

    def __init__(self, *, clients: int, modulus_bits: int, enough_bits: int) -> None:
        advice = f"{enough_bits} bits would do" if enough_bits <= 62 else "fewer clients or less noise would do"
        super().__init__(
            f"a cohort of {clients} clients and its noise do not fit a modulus of {modulus_bits} bits; {advice}"
        )
        self.enough_bits = enough_bits


class UnusableMean(SecaggError, ArithmeticError):
    """Noise or rounding has left no positive total weight, so the released sum has no mean; its cost is spent."""


class CheckpointError(SecaggError, ValueError):
    """A run's folder whose files are missing, damaged or of another run."""
