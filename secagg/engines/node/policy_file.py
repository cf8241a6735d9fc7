"""The fields of a node's policy, as its operator writes them into `policy.toml`.

Every field that permits something must be there: a missing one is an error that names it, and so is an unknown one.
Nothing has a default that permits more than the operator has written.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from dp.events import Trust
from protocols.cohort import MAX_CLIENTS, Adversary
from protocols.registry import LONGEST_NAME
from protocols.session import MAX_LENGTH
from secagg.aggregation.weighting import Weighting
from secagg.checks import shown
from secagg.errors import ConfigurationError
from secagg.paths import expanded
from secagg.storage.labelled_file import read_regular
from secagg.suggestions import did_you_mean

POLICY_NAME: Final = "policy.toml"
MOST_BYTES: Final = 2**16
MOST_SESSIONS: Final = 2**31 - 1
NO_NOISE: Final = "none"

_Choice = TypeVar("_Choice", bound=StrEnum)


class PolicyError(ConfigurationError):
    """A policy file that is damaged, incomplete, or permits nothing."""


class Code(StrEnum):
    """Where the code that trains at the node comes from."""

    INSTALLED = "installed"
    """The node's operator has installed it, and the engine runs nothing else at the node."""

    RESIDENT = "resident"
    """A resident station of another user runs it; what the engine sends to the node runs apart from it."""

    SENT = "sent"
    """The engine's server may send code to the node, which can read the home and send updates in the clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """What a node's operator has written.

    Attributes:
        protocols: The names of the protocols in which the node takes part.
        adversary: The weakest server that a protocol may protect from.
        adversarial: The fraction of the roster, in [0, 1), that may be corrupt and collude with the server. All of
            these nodes may be invited into one session.
        least_contributors: The least number of contributors of a sum, at least 2.
        most_clients: The largest number of clients of a session.
        most_coordinates: The largest number of entries of an update.
        largest_clip: The largest bound on the l2 norm of an update.
        weighting: How clients may count in a mean.
        trust: Who may add the noise.
        epsilon: The epsilon of all releases together; None with `noise = "none"`.
        delta: The delta of all releases together; None with `noise = "none"`.
        plain_messages: The types of the engine's own messages that may reach the node's app without protection.
        code: Where the code that trains comes from.
        live_folder: A folder in memory for the live session; None for the one of the system.
        encrypted_live_folder: A folder on an encrypted disk for the live session; None if that is in memory.
        ledger: The ledger of another home, in which this home's releases count too; None for a ledger of its own.
        cap: The most sessions in which the node sends something that depends on its update, over all sessions of its
            identity; None for any number.
    """

    protocols: tuple[str, ...]
    adversary: Adversary
    adversarial: float
    least_contributors: int
    most_clients: int
    most_coordinates: int
    largest_clip: float
    weighting: tuple[Weighting, ...]
    trust: tuple[Trust, ...]
    epsilon: float | None
    delta: float | None
    plain_messages: tuple[str, ...]
    code: Code
    live_folder: Path | None
    encrypted_live_folder: Path | None
    ledger: Path | None
    cap: int | None

    @property
    def has_budget(self) -> bool:
        """Whether the node counts releases in a ledger; without a budget it takes part in exact sums."""
        return self.epsilon is not None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the policy in a file.

        Raises:
            PolicyError: The file is not a whole policy; the message names the field at fault.
            KeyFileError: The file cannot be read.
        """
        data = read_regular(path, most_bytes=MOST_BYTES)
        try:
            return cls.parse(data)
        except PolicyError as error:
            raise PolicyError(f"{path}: {error}") from None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the policy that these bytes are.

        Raises:
            PolicyError: They are not a whole policy; the message names the field at fault.
        """
        try:
            table = tomllib.loads(data.decode("utf-8"))
        except RecursionError:
            raise PolicyError("policy: expected a table of fields, found one nested too deeply.") from None
        except ValueError as error:  # Not only what tomllib raises itself: numbers of thousands of digits, for one.
            raise PolicyError(f"policy: expected valid TOML, found: {error}.") from None
        _check_names(table)
        fields = {name: read(name, table[name]) for name, read in _REQUIRED.items()}
        fields |= {name: read(name, table[name]) if name in table else None for name, read in _OPTIONAL.items()}
        policy = cls(**fields)
        policy._check()
        return policy

    def _check(self) -> None:
        """Refuse fields that contradict each other."""
        if self.least_contributors > self.most_clients:
            raise PolicyError(
                f"least_contributors: expected at most most_clients, which is {self.most_clients}, found "
                f"{self.least_contributors}. Lower it, or raise most_clients."
            )
        if self.has_budget and not self.trust:
            raise PolicyError(
                "trust: expected who may add the noise, since there is a budget, found nobody. Name at least one of "
                f"{', '.join(Trust)}."
            )
        if self.has_budget and Trust.CENTRAL in self.trust and self.adversary is not Adversary.CURIOUS:
            raise PolicyError(
                f"trust: expected noise of the clients only, since the policy has a budget and a {self.adversary} "
                f"server, found {Trust.CENTRAL}. Such a server need not add the noise that it claims, and sees exact "
                f'sums. Leave {Trust.CENTRAL} out of trust, or set adversary = "{Adversary.CURIOUS}".'
            )
        if not self.has_budget and set(self.trust) - {Trust.CENTRAL}:
            # See NodePolicy: noise of the clients gives each attempt a context of its own, and nothing would count it.
            raise PolicyError(
                f'trust: expected [] or ["{Trust.CENTRAL}"] with noise = "{NO_NOISE}", found '
                f"{', '.join(self.trust)}. Set epsilon and delta in the place of noise, or leave these out of trust."
            )
        if self.live_folder is not None and self.encrypted_live_folder is not None:
            raise PolicyError(
                "live_folder, encrypted_live_folder: expected at most one of them, found both. Remove one."
            )
        if not self.has_budget and self.ledger is not None:
            raise PolicyError(
                f'ledger: expected none with noise = "{NO_NOISE}", found one. Set epsilon and delta in the place of '
                "noise, or remove it."
            )


def _check_names(table: Mapping[str, Any]) -> None:
    """Refuse a table with an unknown field, or without one that must be there."""
    known = (*_REQUIRED, *_OPTIONAL, "noise")
    for name in table:
        if name not in known:
            meant = did_you_mean(name, known)
            raise PolicyError(f"{shown(name)}: expected a field of a policy, found an unknown one{meant or '.'}")
    for name in _REQUIRED:
        if name not in table:
            raise PolicyError(f"{name}: expected this field, which has no default, found none. Write it.")
    budget = [name for name in ("epsilon", "delta") if name in table]
    if "noise" in table:
        if table["noise"] != NO_NOISE or budget:
            found = f"{shown(table['noise'])}{' beside ' + budget[0] if budget else ''}"
            raise PolicyError(f'noise: expected "{NO_NOISE}" alone, or epsilon and delta in its place, found {found}.')
    elif len(budget) != 2:
        missing = "noise" if not budget else "delta" if budget == ["epsilon"] else "epsilon"
        raise PolicyError(
            f'{missing}: expected epsilon and delta of all releases together, or noise = "{NO_NOISE}" for none, found '
            "this field missing. Write it."
        )


def _texts(name: str, value: object) -> tuple[str, ...]:
    if type(value) is not list or any(
        type(each) is not str or not 1 <= len(each) <= LONGEST_NAME or not each.isprintable() for each in value
    ):
        raise PolicyError(f"{name}: expected a list of names, found {shown(value)}.")
    if len(set(value)) != len(value):
        raise PolicyError(f"{name}: expected each name once, found one twice in {shown(value)}. Remove it.")
    return tuple(value)


def _some_texts(name: str, value: object) -> tuple[str, ...]:
    if not (found := _texts(name, value)):
        raise PolicyError(f"{name}: expected at least one name, found none. Such a policy accepts nothing. Name one.")
    return found


def _one_of(kind: type[_Choice]) -> Callable[[str, object], _Choice]:
    def read(name: str, value: object) -> _Choice:
        if type(value) is not str or value not in tuple(kind):
            raise PolicyError(f"{name}: expected one of {', '.join(kind)}, found {shown(value)}.")
        return kind(value)

    return read


def _some_of(
    kind: type[_Choice], texts: Callable[[str, object], tuple[str, ...]]
) -> Callable[[str, object], tuple[_Choice, ...]]:
    one = _one_of(kind)

    def read(name: str, value: object) -> tuple[_Choice, ...]:
        return tuple(one(name, each) for each in texts(name, value))

    return read


def _integer(least: int, most: int) -> Callable[[str, object], int]:
    def read(name: str, value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise PolicyError(f"{name}: expected a whole number from {least} to {most}, found {shown(value)}.")
        return value

    return read


def _number(words: str, holds: Callable[[float], bool]) -> Callable[[str, object], float]:
    def read(name: str, value: object) -> float:
        if type(value) not in (int, float):
            raise PolicyError(f"{name}: expected {words}, found {shown(value)}.")
        try:
            found = float(value)  # type: ignore[arg-type]  # It is a number, as was just checked.
        except OverflowError:
            found = math.inf
        if not holds(found):
            raise PolicyError(f"{name}: expected {words}, found {shown(value)}.")
        return found

    return read


def _path(name: str, value: object) -> Path:
    if type(value) is not str or not value or not value.isprintable():
        raise PolicyError(f"{name}: expected a path as text, found {shown(value)}.")
    try:
        path = expanded(value)
    except ConfigurationError as error:
        raise PolicyError(f"{name}: {error}") from None
    if not path.is_absolute():
        raise PolicyError(f"{name}: expected an absolute path, found {shown(value)}. Write it in full.")
    return path


_positive = _number("a number above 0, at most 1e30", lambda value: 0 < value <= 1e30)

_REQUIRED: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "protocols": _some_texts,
    "adversary": _one_of(Adversary),
    "adversarial": _number("a fraction in [0, 1)", lambda value: 0 <= value < 1),
    "least_contributors": _integer(2, MAX_CLIENTS),
    "most_clients": _integer(2, MAX_CLIENTS),
    "most_coordinates": _integer(1, MAX_LENGTH),
    "largest_clip": _positive,
    "weighting": _some_of(Weighting, _some_texts),
    "trust": _some_of(Trust, _texts),
    "plain_messages": _texts,
    "code": _one_of(Code),
}
_OPTIONAL: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "epsilon": _positive,
    "delta": _number("a number in (0, 1)", lambda value: 0 < value < 1),
    "live_folder": _path,
    "encrypted_live_folder": _path,
    "ledger": _path,
    "cap": _integer(1, MOST_SESSIONS),
}

TEMPLATE: Final = """\
# What this node accepts. Every field must be there: if one is missing, the node accepts nothing. Remove the mark # at
# the beginning of each field, and write what holds for this node.

# The protocols in which the node takes part; `secagg protocols` lists them.
# protocols = ["secagg-plus"]

# The weakest server that a protocol may protect from: "curious" or "malicious".
# adversary = "malicious"

# The fraction of the roster that may be corrupt and collude with the server.
# adversarial = 0.1

# The least number of contributors of a sum. The node's update is hidden among that number, less the corrupt ones.
# least_contributors = 10

# The largest session: its clients, the entries of an update, and the bound on the l2 norm of an update.
# most_clients = 100
# most_coordinates = 10_000_000
# largest_clip = 1.0

# How clients may count in a mean: "uniform", "weighted", or both. The total weight of all contributors is revealed.
# weighting = ["uniform"]

# Who may add the noise. "distributed": every client adds a part. "local": every client adds enough alone. "central":
# the server sees exact sums and promises to add noise, which this node cannot check; not with a budget and a malicious
# server.
# trust = ["distributed"]

# The epsilon and delta of all releases together, which the node counts in a ledger of its own.
# epsilon = 8.0
# delta = 1e-6
# In their place, for exact sums without differential privacy (then trust = [] or ["central"]):
# noise = "none"

# The types of the engine's own messages that may pass without protection. None is safe.
# plain_messages = []

# Where the code that trains comes from. "installed": the operator has installed it, and nothing else runs. "resident":
# a resident station of another user. "sent": the engine's server may send code; then no policy protects from it.
# code = "installed"

# Optional: a folder in memory for the live session. Without it: $XDG_RUNTIME_DIR/secagg.
# live_folder = "/run/secagg"
# Or a folder on a disk, if that disk is encrypted:
# encrypted_live_folder = "/var/lib/secagg-live"

# Optional: the ledger of another home that holds the same people's data, so that both count together.
# ledger = "/var/lib/secagg-other/record/ledger.db"

# Optional: the most sessions in which this node sends something that depends on its update. Sessions that end without a
# sum count too. Without it: any number. A larger number weakens the guarantee for this node's data.
# cap = 50
"""
"""The file that a new home gets: every field with its meaning, and none set."""
