"""What can be reached from an object, and the secrets among it, to show that a machine or an error holds none."""

import re
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

from protocols import packing
from protocols.committee import CommitteeShare
from protocols.crypto.secret import Secret
from protocols.session import Vector
from protocols.testing.scenario import Scenario

_OPAQUE: Final = {*sys.stdlib_module_names, "numpy"}
"""Packages whose objects hold no part of a party, other than containers."""


def parts(value: object, seen: set[int]) -> Iterator[object]:
    """Yield everything that can be reached from an object through attributes and containers.

    Args:
        value: The object.
        seen: The ids of objects that are left out; those that are yielded are added.
    """
    if id(value) in seen or isinstance(value, str | bytes | int | np.ndarray | type):
        return
    seen.add(id(value))
    yield value
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, tuple | list | set | frozenset):
        inner = list(value)
    elif type(value).__module__.partition(".")[0] not in _OPAQUE:
        names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        names += getattr(value, "__struct_fields__", ())
        inner = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in names)]
    else:
        inner = []
    for each in inner:
        yield from parts(each, seen)


def secrets_in(value: object) -> set[bytes]:
    """Return every secret that an object holds. An empty one stands for a secret that is gone."""
    found = list(parts(value, set()))
    secrets = {each.reveal() for each in found if isinstance(each, Secret) and each.reveal()}
    return secrets.union(*(share_secrets(each) for each in found if isinstance(each, CommitteeShare)))


def share_secrets(share: CommitteeShare) -> set[bytes]:
    """Return the secret number or bytes of a committee member's key share, if it has a method `reveal`."""
    revealed = share.reveal() if hasattr(share, "reveal") else None
    if isinstance(revealed, bytes):
        return {revealed}
    return {revealed.to_bytes(-(-revealed.bit_length() // 8), "big")} if isinstance(revealed, int) else set()


def identities(scenario: Scenario) -> set[bytes]:
    """Return the secret keys of the clients' identities. A closed machine may hold its own: it outlives the session."""
    return {terms.identity.secret.reveal() for terms in scenario.all_terms().values()}


def outliving(scenario: Scenario) -> set[bytes]:
    """Return the secrets that parties bring to every session, and that no snapshot holds: identities and key shares."""
    return identities(scenario).union(*(secrets_in(each.share) for each in scenario.keyholders().values()))


def gives_away(text: str, secret: bytes) -> bool:
    """Return whether a text contains a secret in hexadecimal, as Python's bytes, or as a number."""
    forms = (
        secret.hex(),
        repr(secret)[2:-1],
        str(int.from_bytes(secret, "little")),
        str(int.from_bytes(secret, "big")),
    )
    return any(form.lower() in text.lower() for form in forms)


def shows_input(text: str, vector: Vector, modulus: int) -> bool:
    """Return whether a text contains three entries of a vector in a row as decimals, or a part of its packed bytes."""
    entries = r"\D+".join(map(str, vector.tolist()[1:4]))
    return re.search(rf"(?<!\d){entries}(?!\d)", text) is not None or gives_away(
        text, packing.pack(vector, modulus)[8:24]
    )


def windows(vector: Vector, modulus: int) -> set[bytes]:
    """Return parts of 16 bytes of a vector as it may be written: packed, or in words of 2, 4 or 8 bytes.

    The first and the last entry of a scenario's inputs are not random. Everything between them is, so such a part turns
    up elsewhere by chance with a probability of 2^-100.
    """
    dtypes = ("<u8", ">u8", "<u4", ">u4", "<u2", ">u2")
    forms = {packing.pack(vector, modulus), *(vector.astype(dtype).tobytes() for dtype in dtypes)}
    return {form[start : start + 16] for form in forms for start in range(8, len(form) - 24)}
