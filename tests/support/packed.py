"""MessagePack by hand, for tests of bytes that are independent of the library which makes them."""

import struct


def packed(value: object) -> bytes:
    """The shortest MessagePack of a value, by its specification."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int() if 0 <= value < 2**7:
            return bytes([value])
        case int():
            head, size = next(each for each in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)) if value < 256 ** each[1])
            return bytes([head]) + value.to_bytes(size, "big")
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data
        case bytes():
            size = next(size for size in (1, 2, 4) if len(value) < 2 ** (8 * size))
            return bytes([{1: 0xC4, 2: 0xC5, 4: 0xC6}[size]]) + len(value).to_bytes(size, "big") + value
        case list() if len(value) < 2**16:
            count = len(value)
            header = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
            return header + b"".join(map(packed, value))
        case dict() if len(value) < 16:
            pairs = sorted(value.items())
            return bytes([0x80 | len(pairs)]) + b"".join(packed(key) + packed(each) for key, each in pairs)
    raise AssertionError(f"no MessagePack by hand of {value!r}")
