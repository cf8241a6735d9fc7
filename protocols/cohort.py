"""A cohort: its size, the fractions of clients that misbehave or drop out, and what the server may do."""

import math
from enum import StrEnum
from typing import Final

from protocols.crypto.integers import shown
from protocols.errors import ParameterError

MAX_CLIENTS: Final = 1_000_000

_RATE_ROUNDING = 1e-14  # 0.29 * 100 is 28.999999999999996 in floating point, but means 29 clients.


class Adversary(StrEnum):
    """What the server may do, in addition to colluding with clients."""

    CURIOUS = "curious"
    """It follows the protocol."""

    SEMI_MALICIOUS = "semi-malicious"
    """It is honest until keys and graph are fixed. It may then tell clients different survivor sets."""

    MALICIOUS = "malicious"
    """It may do anything. The clients sign their keys, and agree on the keys and on the survivor set."""

    def __repr__(self) -> str:
        return f"Adversary.{self.name}"


def whole_clients(clients: int, fraction: object, name: str) -> int:
    """Return how many clients a fraction of a cohort is, rounded down; 0.57 of 100 is 57 despite binary rounding.

    Raises:
        ParameterError: The cohort's size or the fraction is out of range; the message names the fraction as `name`.
    """
    if type(clients) is not int or not 2 <= clients <= MAX_CLIENTS:
        raise ParameterError(f"clients: expected an int in [2, {MAX_CLIENTS}], found {shown(clients)}")
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
        raise ParameterError(f"{name}: expected a fraction in [0, 1), found {shown(fraction)}")
    return math.floor((fraction + _RATE_ROUNDING) * clients)


def check_cohort(clients: int, adversarial: float, dropout: float) -> None:
    """Raise `ParameterError` unless `clients` is at least 2 and both fractions are in [0, 1)."""
    if type(clients) is not int or clients < 2:
        raise ParameterError(f"clients: expected an int of at least 2, found {shown(clients)}")
    for name, fraction in (("adversarial", adversarial), ("dropout", dropout)):
        if type(fraction) not in (int, float) or not 0 <= fraction < 1:
            raise ParameterError(f"{name}: expected a fraction in [0, 1), found {shown(fraction)}")
