"""Bad twins of LightSecAgg's messages."""

from collections.abc import Iterator
from typing import Any, Final

from tests.vectors.wire_twins_pairwise import flipped

_STRANGER: Final = 4_000_000_000
_NOT_CANONICAL: Final = b"\xff" * 31 + b"\x7f"


def lightsecagg_twins(
    name: str, direction: str, party: int, body: list[Any], *, answers_to_spare: int
) -> Iterator[tuple[str, str, list[Any]]]:
    """What one step does not take: what is wrong, the error, and the body.

    A wrong answer in the last step is found and named if at least two more parties answer than have to.
    """
    match name, direction:
        case "advertise_keys", "replies":
            (key,) = body
            yield "low_order_key", "RemoteError", [bytes(32)]
            yield "long_key", "MalformedMessage", [key + b"\x00"]
            yield "not_canonical_key", "MalformedMessage", [_NOT_CANONICAL]
        case "share_masks", "requests":
            clients, keys = body
            yield "missing_key", "RemoteError", [clients, keys[1:]]
            yield "repeated_key", "RemoteError", [clients, [keys[1], *keys[1:]]]
            yield "low_order_key", "RemoteError", [clients, [bytes(32), *keys[1:]]]
            yield "not_canonical_key", "RemoteError", [clients, [_NOT_CANONICAL, *keys[1:]]]
            yield from _bad_cohorts(party, clients, keys)
        case "share_masks", "replies":
            (ciphertexts,) = body
            yield "short_shares", "MalformedMessage", [ciphertexts[1:]]
            yield "long_shares", "MalformedMessage", [ciphertexts + b"\x00"]
        case "mask_input", "requests":
            clients, ciphertexts = body
            yield "missing_share", "RemoteError", [clients, ciphertexts[1:]]
            yield "other_share", "RemoteError", [clients, [flipped(ciphertexts[0], 0), *ciphertexts[1:]]]
            yield "exchanged_shares", "RemoteError", [clients, [ciphertexts[1], ciphertexts[0], *ciphertexts[2:]]]
            yield from _bad_cohorts(party, clients, ciphertexts)
        case "mask_input", "replies":
            (packed,) = body
            yield "short_vector", "MalformedMessage", [packed[1:]]
            yield "entry_out_of_range", "MalformedMessage", [b"\xff" * len(packed)]
        case "aggregate_shares", "requests":
            (clients,) = body
            yield "receiver_left_out", "RemoteError", [[client for client in clients if client != party]]
            yield "unordered", "RemoteError", [clients[::-1]]
            yield "repeated_client", "RemoteError", [[clients[0], *clients]]
            yield "stranger", "RemoteError", [[*clients[:-1], _STRANGER]]
            yield "too_few", "RemoteError", [[party]]
        case "aggregate_shares", "replies":
            survivors, packed = body
            yield "other_survivors", "RemoteError", [survivors[1:], packed]
            yield "short_share", "MalformedMessage", [survivors, packed[1:]]
            yield "entry_out_of_range", "MalformedMessage", [survivors, b"\xff" * len(packed)]
            if answers_to_spare >= 2:
                yield "other_share_noticed_late", "RemoteError", [survivors, flipped(packed, 0)]


def _bad_cohorts(party: int, clients: list[int], pieces: list[bytes]) -> Iterator[tuple[str, str, list[Any]]]:
    """Other clients of a session that a client does not believe in, each with a piece of its own."""
    yield "receiver_among_others", "RemoteError", [sorted([party, *clients[1:]]), pieces]
    yield "unordered", "RemoteError", [clients[::-1], pieces[::-1]]
    yield "repeated_client", "RemoteError", [[clients[0], clients[0], *clients[2:]], pieces]
    yield "stranger", "RemoteError", [sorted([*clients[:-1], _STRANGER]), pieces]
    yield "too_few", "RemoteError", [clients[:1], pieces[:1]]
