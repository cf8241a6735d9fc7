"""What travels between the FLARE server and a site: a parcel, a reply, or pieces of them.

A long parcel goes to a site in pieces, which the site joins. The site then trains, and answers with the length of its
reply, which the server fetches in pieces when it has room for it. So neither FLARE nor the server holds more than one
copy of a message, and nothing is held while a site trains.

A call of the server is one of these:

| parcel | number | at | what the site does |
|---|---|---|---|
| empty | | | says hello, by an empty parcel |
| whole | yes | | answers the parcel |
| piece | yes | yes | joins the piece to those before; answers without content |
| | yes | | answers the joined parcel |
| | yes | yes | sends the piece of its reply that begins there |

An answer to a parcel has the reply, if it is short, or its `size`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

PIECE_BYTES: Final = 2**21
"""The length of a piece, but for the last one."""

SHORT_BYTES: Final = 2**18
"""The length of the longest parcel or reply that travels whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A call of the server, or a site's answer.

    Attributes:
        parcel: A parcel, a reply, or a piece of one.
        number: The number of the parcel, which no other parcel of the job has.
        at: Where a piece begins.
        size: The length of a reply that the server is to fetch.
    """

    parcel: bytes | None = field(default=None, repr=False)
    number: int | None = None
    at: int | None = None
    size: int | None = None

    def fields(self) -> dict[str, bytes | int]:
        """Return the fields that are there, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Message | None":
        """Return the message that has these fields, and ignore others; None if one has another type."""
        parcel = found.get("parcel")
        numbers = {name: found.get(name) for name in ("number", "at", "size")}
        if not (parcel is None or type(parcel) is bytes):
            return None
        if any(value is not None and (type(value) is not int or value < 0) for value in numbers.values()):
            return None
        return cls(parcel=parcel, **numbers)


HELLO: Final = Message(parcel=b"")
