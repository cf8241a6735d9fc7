"""The cost of a sum in the clear, the baseline."""

from secagg.planning.cost.operations import Operation
from secagg.planning.cost.sum_size import PartyCost, SumCost, SumSize
from secagg.planning.cost.wire import INVITATION, binary, message


def cost(size: SumSize) -> SumCost:
    """Return the cost of a sum with `PlainSum`."""
    reply = message(binary(size.packed_bytes))
    client = {
        Operation.MESSAGE: 2,
        Operation.MESSAGE_BYTE: reply,
        Operation.ENTRY: size.length,
        Operation.PACK: size.length,
    }
    server = {
        Operation.MESSAGE: 2 * size.clients,
        Operation.MESSAGE_BYTE: size.contributors * reply,
        Operation.ADD_PACKED: size.contributors * size.length,
    }
    return SumCost(
        client=PartyCost(sent_bytes=reply, received_bytes=INVITATION, counts=client),
        server=server,
        member=None,
        server_bytes=reply + (size.word_bytes + 8) * size.length,
        largest_field=size.packed_bytes,
        largest_reply=reply,
    )
