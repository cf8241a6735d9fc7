"""Canaries: byte strings and vectors that must not turn up, and all forms in which they would.

In bytes, a secret is found by any part of it of some length, forwards or backwards, or as a text. In texts, it is found
in hexadecimal, in Base64, as Python's bytes, as a number, or as a list of numbers.

The parts have 16 bytes, or half of the secret if that is more: the nonce of a proof is longer than what it hides, by
128 bits or more, and a response shows its leading bits by design.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from protocols import packing
from protocols.session import Vector

LEAST: Final = 16
"""The number of bytes of the shortest secret that is searched, and of a part that gives it away."""

_LONGEST_NUMBER: Final = 1024  # Python prints no number of more than 4,300 digits.
_NUMBERS: Final = re.compile(r"\d+")


class Canaries:
    """Secrets by name, in the forms in which they are searched."""

    def __init__(self) -> None:
        self._parts: dict[int, dict[bytes, str]] = defaultdict(dict)
        self._whole: dict[bytes, str] = {}
        self._forms: dict[str, str] = {}
        self._triples: dict[tuple[str, str, str], str] = {}

    def add(self, name: str, secret: bytes) -> None:
        """Search for any part of a secret of at least 16 bytes."""
        size = max(LEAST, len(secret) // 2)
        for form in (secret, secret[::-1]):
            for start in range(len(form) - size + 1):
                self._parts[size].setdefault(form[start : start + size], name)
        self.add_whole(name, secret)

    def add_whole(self, name: str, secret: bytes) -> None:
        """Search for a secret of at least 16 bytes as a whole only, since parts of it may be shown."""
        if len(secret) >= LEAST:
            self._whole.setdefault(secret, name)
            for form in _forms(secret):
                self._forms.setdefault(form.lower(), name)
                self._whole.setdefault(form.encode(), name)

    def add_vector(self, name: str, vector: Vector, modulus: int) -> None:
        """Search for parts of a vector: packed, in words of 2, 4 and 8 bytes, and three entries in a row in a text."""
        forms = {packing.pack(vector, modulus)}
        for kind in ("<u2", ">u2", "<u4", ">u4", "<u8", ">u8"):
            if modulus <= 2 ** (8 * np.dtype(kind).itemsize):
                forms.add(vector.astype(kind).tobytes())
        for form in forms:
            for start in range(len(form) - LEAST + 1):
                self._parts[LEAST].setdefault(form[start : start + LEAST], name)
        entries = [str(entry) for entry in vector.tolist()]
        for triple in zip(entries, entries[1:], entries[2:], strict=False):
            self._triples.setdefault(triple, name)

    def in_bytes(self, data: bytes) -> str | None:
        """Return the name of a secret that these bytes hold; None if they hold none."""
        for size, parts in self._parts.items():
            for start in range(len(data) - size + 1):
                if (name := parts.get(data[start : start + size])) is not None:
                    return name
        return next((name for secret, name in self._whole.items() if secret in data), None)

    def in_text(self, text: str) -> str | None:
        """Return the name of a secret that a text shows; None if it shows none."""
        lower = text.lower()
        numbers = _NUMBERS.findall(text)
        for (one, two), (_, three) in pairwise(pairwise(numbers)):
            if (name := self._triples.get((one, two, three))) is not None:
                return name
        return next((name for form, name in self._forms.items() if form in lower), None)


def _forms(secret: bytes) -> Iterator[str]:
    yield secret.hex()
    yield secret.hex(" ")
    yield base64.b64encode(secret).decode().rstrip("=")
    yield base64.urlsafe_b64encode(secret).decode().rstrip("=")
    yield repr(secret)[2:-1]
    yield ", ".join(map(str, secret))
    if len(secret) <= _LONGEST_NUMBER:
        yield str(int.from_bytes(secret, "little"))
        yield str(int.from_bytes(secret, "big"))
