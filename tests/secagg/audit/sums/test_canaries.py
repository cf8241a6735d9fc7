import base64
import hashlib

import numpy as np
import pytest

from secagg.audit.sums.canaries import Canaries

SECRET = hashlib.sha256(b"canary").digest()
LONG = hashlib.shake_256(b"long").digest(96)
VECTOR = np.random.default_rng(1).integers(0, 2**24, 40, dtype=np.uint64)


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    found = Canaries()
    found.add("secret", SECRET)
    found.add("nonce", LONG)
    found.add_whole("plaintext", bytes(range(100, 140)))
    found.add_vector("vector", VECTOR, 2**24)
    return found


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"xx" + SECRET + b"yy", "secret"),
        (b"x" + SECRET[7:23], "secret"),
        (SECRET[::-1][:16], "secret"),
        (SECRET.hex().encode(), "secret"),
        (SECRET[:15] + bytes(30), None),
        (LONG[20:68], "nonce"),
        (LONG[:47] + bytes(30), None),
        (bytes(range(100, 140)), "plaintext"),
        (bytes(range(100, 139)), None),
        (VECTOR[10:20].astype("<u4").tobytes(), "vector"),
        (VECTOR[10:20].astype(">u8").tobytes(), "vector"),
        pytest.param(bytes(1000), None, id="zeros"),
    ],
)
def test_secret_is_found_in_bytes(canaries: Canaries, data: bytes, name: str | None) -> None:
    assert canaries.in_bytes(data) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"key {SECRET.hex()}", "secret"),
        (f"key {SECRET.hex().upper()}", "secret"),
        (f"key {SECRET!r}", "secret"),
        (f"key {base64.b64encode(SECRET).decode()}", "secret"),
        (f"key {list(SECRET)}", "secret"),
        (f"key {int.from_bytes(SECRET, 'big')}", "secret"),
        (f"vector {VECTOR}", "vector"),
        (f"vector {VECTOR.tolist()[20:23]}", "vector"),
        (f"vector {VECTOR.tolist()[20:22]}", None),
        ("session 0011: 12 parties are asked", None),
    ],
)
def test_secret_is_found_in_a_text(canaries: Canaries, text: str, name: str | None) -> None:
    assert canaries.in_text(text) == name
