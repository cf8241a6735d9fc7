"""A description of what a ledger is about, written by its maker: a run, its data, an organisation.

A ledger keeps the description in its first record, so the chain covers it, and a later `head` shows a change. Only the
maker of the ledger vouches for it.
"""

import re

import msgspec
from msgspec.structs import force_setattr

from dp.checks import short_text
from dp.errors import InvalidParameter


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Names for people, and a digest by which ledgers of the same data are found.

    Attributes:
        run: The name of the run, 1 to 200 printable characters; None if there is none.
        data: The name of the data set, 1 to 200 printable characters; None if there is none.
        organisation: The name of the responsible organisation, 1 to 200 printable characters; None if there is none.
        data_digest: SHA-256 of the data set, 64 lower-case hexadecimal digits, or None. No guarantee covers a digest:
            anyone who knows all examples but one can use it to check a guess of that example. So it stays in the
            ledger, and reports do not show it. Reports show a head, which is a hash over the digest and over a salt
            that they do not show.

    Raises:
        InvalidParameter: An attribute is out of range or of another kind.
    """

    run: str | None = None
    data: str | None = None
    organisation: str | None = None
    data_digest: str | None = None

    def __post_init__(self) -> None:
        for name in ("run", "data", "organisation"):
            value = getattr(self, name)
            if value is not None:
                force_setattr(self, name, short_text(name, value))
        digest: object = self.data_digest
        if digest is not None and not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise InvalidParameter(
                "data_digest: expected a SHA-256 as 64 lower-case hexadecimal digits, found something else"
            )
