"""The cost of LightSecAgg, from its messages and from what each step computes."""

from typing import Final

from protocols.crypto.sealing import KEY_BYTES, SEAL_OVERHEAD_BYTES
from protocols.packing import packed_bytes
from secagg.planning.cost.operations import Counts, Operation
from secagg.planning.cost.sum_size import PartyCost, SumCost, SumSize
from secagg.planning.cost.wire import INVITATION, array, binary, ids, message

_PUBLIC_BYTES: Final = 32
_PAIR_BYTES: Final = 300  # What the server holds of each sealed share beside its bytes: a view and its place in lists.
_SEED: Final = binary(KEY_BYTES + SEAL_OVERHEAD_BYTES)


def cost(size: SumSize, *, privacy: int, responders: int) -> SumCost:
    """Return the cost of a sum with `LightSecAgg`.

    Args:
        size: The size of the sum.
        privacy: T, the number of clients that may collude.
        responders: U, the number of answers that decode the sum of the masks.
    """
    others, computed = size.clients - 1, size.clients - 1 - privacy
    share = -(-size.length // (responders - privacy))
    share_bytes = packed_bytes(share, size.modulus)
    sealed = computed * (share_bytes + SEAL_OVERHEAD_BYTES) + (others - computed) * (KEY_BYTES + SEAL_OVERHEAD_BYTES)
    named, survivors = ids(others, size.clients), ids(size.contributors, size.clients)
    requests = [
        INVITATION,
        message(named, array(others) + others * binary(_PUBLIC_BYTES)),
        message(
            named,
            array(others) + computed * binary(share_bytes + SEAL_OVERHEAD_BYTES) + (others - computed) * _SEED,
        ),
        message(survivors),
    ]
    replies = [
        message(binary(_PUBLIC_BYTES)),
        message(binary(sealed)),
        message(binary(size.packed_bytes)),
        message(survivors, binary(share_bytes)),
    ]
    sent, received = sum(replies), sum(requests)
    kept = max(0, size.contributors - responders) + responders
    memory = max(
        size.clients * sealed + requests[2] + size.clients * others * _PAIR_BYTES,
        (2 * kept + 2 * responders) * share * size.word_bytes + 8 * size.length,
    )
    return SumCost(
        client=PartyCost(
            sent_bytes=sent,
            received_bytes=received,
            counts=_client(size, privacy, responders, share=share, sealed=sealed, moved=sent + received),
        ),
        server=_server(size, privacy, responders, share=share, moved=sent + received),
        member=None,
        server_bytes=memory + size.word_bytes * size.length,
        largest_field=max(size.packed_bytes, sealed),
        largest_reply=max(replies),
    )


def _client(size: SumSize, privacy: int, responders: int, *, share: int, sealed: int, moved: float) -> Counts:
    others, rows = size.clients - 1, size.clients - privacy
    mask = (responders - privacy) * share
    return {
        Operation.MESSAGE: 8,
        Operation.MESSAGE_BYTE: moved,
        Operation.ENTRY: 2 * size.length,
        Operation.PACK: size.length + (rows + 1) * share,
        Operation.ADD_PACKED_PRIME: max(0, size.contributors - privacy) * share,
        Operation.KEY_PAIR: 2,
        Operation.AGREE: 2 * others,
        Operation.DERIVE: 2 * others + privacy + 3,
        Operation.SEAL: 2 * others,
        Operation.SEAL_BYTE: 2 * sealed,
        Operation.UNIFORM_ENTRY: 2 * mask + 2 * privacy * share,
        Operation.FIELD_TERM: rows * responders * share,
        Operation.FIELD_ENTRY: rows * share,
        Operation.KNOT_TERM: responders**2 + 2 * responders * rows,
        Operation.CIRCLE_ENTRY: 4 * others * size.clients,
        Operation.PEER: others,
    }


def _server(size: SumSize, privacy: int, responders: int, *, share: int, moved: float) -> Counts:
    answers = size.contributors
    rows = responders - privacy + max(0, answers - responders)
    return {
        Operation.MESSAGE: 8 * size.clients,
        Operation.MESSAGE_BYTE: size.clients * moved,
        Operation.ADD_PACKED_PRIME: answers * (size.length + share),
        Operation.AGREE: size.clients,
        Operation.FIELD_TERM: rows * responders * share,
        Operation.FIELD_ENTRY: rows * share,
        Operation.KNOT_TERM: responders**2 + 2 * responders * rows,
        Operation.CIRCLE_ENTRY: 4 * size.clients**2,
        Operation.ENTRY: 2 * size.length,
    }
