import os
import random
import secrets
import sys
import threading
import uuid
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from secagg.audit.seeds import Tape
from secagg.audit.trapped import counted_randomness


def _by_default(source: Callable[[int], bytes] = os.urandom) -> bytes:
    return source(3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: os.urandom(3),
        _by_default,
        lambda: secrets.token_bytes(3),
        lambda: random.SystemRandom().random(),
        random.random,
        lambda: random.Random(7).random(),
        lambda: random.randint(1, 3),
        uuid.uuid4,
        lambda: np.random.rand(3),
        lambda: np.random.default_rng(3).integers(3),
        lambda: np.random.Generator(np.random.PCG64(3)).integers(3),
        lambda: np.random.RandomState(3).rand(),
        X25519PrivateKey.generate,
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: AESGCM.generate_key(128),
    ],
    ids=range(15),
)
def test_other_randomness_is_counted(draw: Callable[[], object]) -> None:
    with counted_randomness() as counts:
        draw()
    assert sum(counts.values()) >= 1


def test_tape_and_arithmetic_are_not_counted() -> None:
    with counted_randomness() as counts:
        Tape(b"seed")(100)
        X25519PrivateKey.from_private_bytes(bytes(32)).public_key()
        np.arange(3).sum()
    assert not counts


def test_randomness_of_a_thread_is_counted() -> None:
    with counted_randomness() as counts:
        thread = threading.Thread(target=_by_default)
        thread.start()
        thread.join()
    assert counts["urandom"] == 1


def test_trap_is_removed_at_the_end() -> None:
    before, generator = sys.getprofile(), np.random.default_rng
    with counted_randomness() as counts:
        pass
    os.urandom(1)
    assert sys.getprofile() is before
    assert np.random.default_rng is generator
    assert not counts
