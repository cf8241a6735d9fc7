"""Sums of encrypted vectors that a committee decrypts: `PaillierSum` and `OneShot`."""

from protocols.encrypted.oneshot import OneShot
from protocols.encrypted.paillier_sum import PaillierSum
from protocols.encrypted.protocol import EncryptedSum

__all__ = ["EncryptedSum", "OneShot", "PaillierSum"]
