"""Who may take part, how often, and how a ledger accounts for it: the choices of a ledger's first record.

`docs/participation.md` has the theorems and their proofs.
"""

import enum
import hashlib
import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from dp.checks import integer_at_least
from dp.errors import InvalidParameter

MAXIMUM_CLIENTS: Final = 1 << 22
"""The most clients of a population whose participation is counted."""

MAXIMUM_CAP: Final = (1 << 32) - 1


class Accounting(enum.StrEnum):
    """What may depend on the results of earlier releases, and how releases are charged; fixed when a ledger is made."""

    FIXED = "fixed"
    """Events and their number are fixed beforehand. If there is one kind of event only, cohorts and the time to stop
    may depend on results (Theorem A)."""

    GAUSSIAN_FILTER = "gaussian-filter"
    """Noise, clip, cohorts and the number of rounds may depend on results (Theorem B). Releases without sampling, with
    Gaussian noise or with noise that Gaussian noise dominates."""

    RENYI_FILTER = "renyi-filter"
    """The same may depend on results, for all releases, by Renyi DP at one order (Theorem C)."""


class Participation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A population of which each release asks some.

    Attributes:
        clients: SHA-256 of the ordered list of the population's identities (`clients_digest`), 64 lower-case
            hexadecimal digits. So client i is the same person for the life of the ledger.
        cap: The most reservations that may ask one client, 1 to 2**32 - 1; None: no cap.
        size: The number of clients, 1 to 2**22. None: the population of the budget, which counts clients if the privacy
            unit is the client. It must be given if the unit is one example.
        adaptive: Whether cohorts, or the time to stop, may depend on earlier releases.

    Raises:
        InvalidParameter: An attribute is out of range or of another kind.
    """

    clients: str
    cap: int | None = None
    size: int | None = None
    adaptive: bool = True

    def __post_init__(self) -> None:
        digest: object = self.clients
        if not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise InvalidParameter(
                "clients: expected a SHA-256 as 64 lower-case hexadecimal digits, found something else. Use "
                "`clients_digest`."
            )
        if self.cap is not None:
            force_setattr(self, "cap", integer_at_least("cap", self.cap, 1, maximum=MAXIMUM_CAP))
        if self.size is not None:
            force_setattr(self, "size", integer_at_least("size", self.size, 1, maximum=MAXIMUM_CLIENTS))
        if not isinstance(self.adaptive, bool):
            raise InvalidParameter(f"adaptive: expected True or False, found {type(self.adaptive).__name__}")


def clients_digest(identities: Iterable[bytes]) -> str:
    """Return the digest of an ordered list of identities, for `Participation.clients`.

    Args:
        identities: What identifies each client for the life of the ledger, such as its public key, in the order of the
            clients' numbers.

    Returns:
        SHA-256 over the number of bytes of each identity (8 bytes, big-endian) and its bytes, as 64 hexadecimal digits.

    Raises:
        InvalidParameter: An identity is not of type bytes.
    """
    digest = hashlib.sha256()
    for identity in identities:
        if type(identity) is not bytes:
            raise InvalidParameter(
                f"identities: expected bytes for each client, such as a public key, found {type(identity).__name__}"
            )
        digest.update(len(identity).to_bytes(8))
        digest.update(identity)
    return digest.hexdigest()
