"""Boxes that repeat: HPKE draws from the operating system, so in these tests the same box is made once a process."""

from functools import lru_cache

import pytest

from protocols.crypto import hpke


@pytest.fixture(autouse=True)
def repeatable_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal the same content for the same key and use once, and return that box again."""
    monkeypatch.setattr(hpke, "seal", remembered_seal)


remembered_seal = lru_cache(maxsize=4096)(hpke.seal)
"""HPKE that seals the same content for the same key and use once, and returns that box again."""
