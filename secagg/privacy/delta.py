"""The delta of a budget over clients: its default and its bound, for `secagg train` and `secagg budget plan`."""

from typing import Final

from dp.checks import check_delta
from dp.errors import InvalidParameter
from secagg.errors import ConfigurationError

DELTA: Final = 1e-3


def default_delta(clients: int) -> float:
    """Return the delta that is used if none is given: 0.001, or clients^-1.1 if 0.001 is not below 1/clients."""
    return DELTA if DELTA * clients < 1 else float(f"{clients**-1.1:.2e}")


def check_client_delta(delta: float, *, clients: int) -> None:
    """Refuse a delta that protects nobody: one of at least 1/clients.

    Raises:
        ConfigurationError: Delta is at least 1/clients, or not a number above 0.
    """
    try:
        check_delta(delta, population=clients)
    except InvalidParameter as error:
        if not delta * clients >= 1:
            raise ConfigurationError(str(error)) from None
        raise ConfigurationError(
            f"delta: expected less than 1/{clients}, one over the number of clients, found {delta}: a mechanism that "
            f"publishes one random client's data would satisfy it. Use at most {0.9 / clients:.2g}."
        ) from None
