"""The cost of pairwise masking, from its messages and from what each step computes.

It holds for clients without attached secrets.
"""

from typing import Final

from protocols.crypto.sealing import SEAL_OVERHEAD_BYTES
from protocols.crypto.shamir import SHARE_BYTES
from protocols.identity import SIGNATURE_BYTES
from protocols.lanes import Lanes
from protocols.pairwise.schedule import HASH_BYTES
from secagg.planning.cost.operations import Counts, Operation
from secagg.planning.cost.sum_size import PartyCost, SumCost, SumSize
from secagg.planning.cost.wire import INVITATION, array, binary, message

_KEY_BYTES: Final = 32
_SHARES: Final = 2  # Of the self-mask's seed and of the masking key.
_SEALED_BYTES: Final = _SHARES * SHARE_BYTES + SEAL_OVERHEAD_BYTES
_EDGE_BYTES: Final = 400  # What the server holds of each pair of neighbours, in either order: objects and their tables.


def cost(size: SumSize, *, neighbours: int, share_threshold: int, headroom: bool) -> SumCost:
    """Return the cost of a sum with `SecAgg` or `SecAggPlus`.

    Args:
        size: The size of the sum.
        neighbours: The degree of the graph.
        share_threshold: The number of shares that rebuild a secret.
        headroom: Whether sums have headroom, so that several entries may share one word of a mask.
    """
    mask_bytes = Lanes(length=size.length, modulus=size.modulus, headroom=headroom).memory_bytes
    holders, signature = neighbours + 1, SIGNATURE_BYTES if size.signed else 0
    advertised = 2 * binary(_KEY_BYTES) + binary(signature)
    bitmap = binary(-(-size.clients // 8))
    requests = [
        INVITATION,
        message(binary(HASH_BYTES * size.clients), array(neighbours) + neighbours * (array(3) + advertised)),
        message(
            bitmap,
            array(neighbours) + neighbours * binary(_SHARES * HASH_BYTES),
            array(neighbours) + neighbours * binary(_SEALED_BYTES),
        ),
        message(bitmap),
    ]
    masked = message(binary(HASH_BYTES), binary(size.packed_bytes), array(0))
    replies = [
        message(advertised),
        message(
            binary(HASH_BYTES),
            binary(_SHARES * HASH_BYTES * holders),
            array(neighbours) + neighbours * binary(_SEALED_BYTES),
            binary(signature),
        ),
        masked,
        message(binary(SHARE_BYTES * holders)),
    ]
    # `advertised` are three fields, which `message` counts as one: no list has a longer header for that.
    if size.signed:
        replies.append(message(binary(SIGNATURE_BYTES)))
        requests.append(message(bitmap, binary(SIGNATURE_BYTES * size.threshold)))
    sent, received = sum(replies), sum(requests)
    party = PartyCost(
        sent_bytes=sent,
        received_bytes=received,
        counts=_client(size, neighbours, share_threshold, mask_bytes, messages=2 * len(replies), moved=sent + received),
    )
    return SumCost(
        client=party,
        server=_server(size, neighbours, share_threshold, mask_bytes, messages=2 * len(replies), moved=sent + received),
        member=None,
        server_bytes=(
            mask_bytes + 8 * size.length + masked + size.clients * (holders * _EDGE_BYTES + HASH_BYTES) + requests[1]
        ),
        largest_field=max(size.packed_bytes, HASH_BYTES * size.clients, SIGNATURE_BYTES * size.threshold * size.signed),
        largest_reply=max(replies),
    )


def _client(
    size: SumSize, neighbours: int, share_threshold: int, mask_bytes: int, *, messages: int, moved: float
) -> Counts:
    holders = neighbours + 1
    return {
        Operation.MESSAGE: messages,
        Operation.MESSAGE_BYTE: moved,
        Operation.ENTRY: size.length,
        Operation.PACK: size.length,
        Operation.MASK_BYTE: holders * mask_bytes,
        Operation.KEY_PAIR: 4,
        Operation.AGREE: 2 * neighbours,
        Operation.DERIVE: 3 * neighbours + 2,
        Operation.SEAL: 2 * neighbours,
        Operation.HASH: holders * (1 + 2 * _SHARES),
        Operation.SHARE_TERM: _SHARES * share_threshold * holders,
        Operation.DIRECTORY_ENTRY: size.clients,
        Operation.PEER: neighbours,
        Operation.SIGN: 3 * size.signed,
        Operation.VERIFY: (neighbours + size.threshold) * size.signed,
    }


def _server(
    size: SumSize, neighbours: int, share_threshold: int, mask_bytes: int, *, messages: int, moved: float
) -> Counts:
    alive = size.contributors
    rebuilt = size.dropped * neighbours * alive / size.clients  # Masks between those that left and those that stayed.
    complete = neighbours == size.clients - 1  # Then all secrets have the same holders, and so the same weights.
    return {
        Operation.MESSAGE: size.clients * messages,
        Operation.MESSAGE_BYTE: size.clients * moved,
        Operation.ADD_PACKED: alive * size.length,
        Operation.MASK_BYTE: (alive + rebuilt) * mask_bytes,
        Operation.KEY_PAIR: size.dropped,
        Operation.AGREE: 2 * size.clients + rebuilt,
        Operation.DERIVE: alive + rebuilt,
        Operation.HASH: 2 * size.clients + alive * (neighbours + 1),
        Operation.COMBINE_TERM: size.clients * share_threshold,
        Operation.WEIGHT_TERM: (1 if complete else size.clients) * share_threshold**2,
        Operation.DIRECTORY_ENTRY: size.clients,
        Operation.EDGE: size.clients * neighbours,
        Operation.VERIFY: (2 * size.clients + alive) * size.signed,
    }
