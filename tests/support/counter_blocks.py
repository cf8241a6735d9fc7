"""Counter mode computed another way: block by block."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def counter_blocks(key: bytes, counter: int, size: int) -> bytes:
    """Return bytes of AES-256 in counter mode, made of single blocks of AES and a 128-bit big-endian counter."""
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # one block at a time is what a counter mode is
    count = -(-size // 16)
    return b"".join(block.update(((counter + i) % 2**128).to_bytes(16, "big")) for i in range(count))[:size]
