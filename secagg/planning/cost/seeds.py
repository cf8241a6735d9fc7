"""The cost of sums by replicated seeds, from their messages and from what each step computes.

It holds for stream pads, and for a committee all of whose members answer. With each request, a party checks the
certificates of all members: a signature and a key agreement each.
"""

from dataclasses import dataclass
from typing import Final

from protocols.crypto.hpke import BOX_OVERHEAD_BYTES
from protocols.errors import ParameterError
from protocols.identity import SIGNATURE_BYTES
from protocols.seeds.derived import HASH_BYTES, SEED_BYTES
from protocols.seeds.sets import SeedSets, quorum
from secagg.planning.cost.operations import Counts, Operation
from secagg.planning.cost.sum_size import PartyCost, SeedMembers, SumCost, SumSize
from secagg.planning.cost.wire import INVITATION, array, binary, ids, ids_from, message

_WEIGHT: Final = 1  # The length of a weight of 1.
_REQUESTS: Final = 3  # Of a member: entries, a proposal, a certificate.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lengths:
    """The lengths of a sum's parts and messages, in bytes.

    Attributes:
        box: A client's box for one member.
        sealed: A client's hashes, boxes and signature.
        entry: A client's entry for one member.
        contribution: The message of a client.
        received: The messages that a member receives: the mean over members.
        sent: The messages that a member sends: the mean over members.
        largest_sums: The sums of the member that is asked for most.
    """

    box: int
    sealed: int
    entry: int
    contribution: float
    received: float
    sent: float
    largest_sums: int


def members_of_size(members: int, colluding: int) -> SeedMembers:
    """Return the numbers of a committee, with the least quorum.

    Raises:
        protocols.errors.ParameterError: There is no committee of this size.
    """
    return SeedMembers(sets=SeedSets(members, colluding), quorum=quorum(members, colluding))


def cost(size: SumSize) -> SumCost:
    """Return the cost of a sum with `SeedSum`.

    Raises:
        ParameterError: There is no committee of members with keys of their own.
    """
    if not isinstance(size.key, SeedMembers):
        raise ParameterError("committee: expected one, found none. Give its number of members.")
    sets, lengths = size.key.sets, _lengths(size, size.key.sets)
    moved = lengths.received + lengths.sent
    return SumCost(
        client=PartyCost(
            sent_bytes=lengths.contribution,
            received_bytes=INVITATION,
            counts={
                Operation.MESSAGE: 2,
                Operation.MESSAGE_BYTE: lengths.contribution,
                Operation.ENTRY: size.length,
                Operation.PACK: size.length,
                Operation.MASK_BYTE: sets.count * size.length * size.word_bytes,
                Operation.MAC: 2 * sets.count,
                Operation.HPKE_SEAL: sets.members,
                Operation.AGREE: sets.members,
                Operation.VERIFY: sets.members,
                Operation.HASH_BYTE: size.packed_bytes * size.signed + sets.members * lengths.box,
                Operation.SIGN: size.signed,
            },
        ),
        server=_server(size, sets, lengths, moved=moved),
        member=PartyCost(
            sent_bytes=lengths.sent, received_bytes=lengths.received, counts=_member(size, sets, lengths, moved=moved)
        ),
        server_bytes=size.contributors * (size.packed_bytes + lengths.sealed + 2 * sets.members * lengths.entry)
        + lengths.contribution
        + sets.count * size.packed_bytes
        + (2 * size.word_bytes + 8) * size.length,
        largest_field=max(size.packed_bytes, lengths.sealed, size.clients * lengths.entry, lengths.largest_sums),
        largest_reply=max(lengths.contribution, lengths.largest_sums),
    )


def _lengths(size: SumSize, sets: SeedSets) -> _Lengths:
    signature = SIGNATURE_BYTES * size.signed
    box = BOX_OVERHEAD_BYTES + SEED_BYTES * sets.held
    hashes = HASH_BYTES * sets.count
    sealed = hashes + sets.members * box + signature
    entry = HASH_BYTES + hashes + HASH_BYTES * sets.members + box + signature
    contributors = ids(size.contributors, size.clients)
    signers = ids_from(size.clients, sets.members)  # Members have the ids after those of the clients.
    asked = _asked(sets)
    received = sets.members * (
        message(contributors, binary(size.contributors * entry))
        + message(contributors, array(size.contributors) + size.contributors * _WEIGHT)
    ) + sum(
        message(signers, binary(SIGNATURE_BYTES * sets.members), array(len(each)) + sum(map(_number, each)))
        for each in asked
    )
    sent = sets.members * (message(array(0), binary(0), binary(0)) + message(binary(SIGNATURE_BYTES))) + sum(
        message(binary(HASH_BYTES * sets.held), binary(SIGNATURE_BYTES), binary(size.packed_bytes * len(each)))
        for each in asked
    )
    return _Lengths(
        box=box,
        sealed=sealed,
        entry=entry,
        contribution=message(binary(size.packed_bytes), binary(sealed)),
        received=received / sets.members,
        sent=sent / sets.members,
        largest_sums=size.packed_bytes * max(map(len, asked)),
    )


def _asked(sets: SeedSets) -> list[list[int]]:
    """Return the sets whose sums each member is asked for, as the server chooses them."""
    asked = [list[int]() for _ in range(sets.members)]
    for number, holders in enumerate(sets.holders):
        min((asked[holder] for holder in holders), key=len).append(number)
    return asked


def _number(value: int) -> int:
    """Return the length of a set's number."""
    return int(ids_from(value, 1)) - array(1)


def _server(size: SumSize, sets: SeedSets, lengths: _Lengths, *, moved: float) -> Counts:
    alive, hashed = size.contributors, size.packed_bytes * size.signed
    return {
        Operation.MESSAGE: 2 * (size.clients + _REQUESTS * sets.members),
        Operation.MESSAGE_BYTE: alive * lengths.contribution + sets.members * moved,
        Operation.ENTRY: size.length,
        Operation.ADD_PACKED: (alive + sets.count) * size.length,
        Operation.HASH: alive * (4 + 2 * sets.members),
        Operation.HASH_BYTE: 2 * alive * (hashed + sets.members * lengths.box) + sets.count * size.packed_bytes,
        Operation.VERIFY: alive * size.signed + 2 * sets.members,
    }


def _member(size: SumSize, sets: SeedSets, lengths: _Lengths, *, moved: float) -> Counts:
    alive = size.contributors
    return {
        Operation.MESSAGE: 2 * _REQUESTS,
        Operation.MESSAGE_BYTE: moved,
        Operation.HPKE_OPEN: alive,
        Operation.AGREE: _REQUESTS * sets.members,
        Operation.MAC: 2 * alive * sets.held,
        Operation.MASK_BYTE: alive * sets.held * size.length * size.word_bytes,
        Operation.PACK: sets.held * size.length,
        Operation.HASH: 4 * alive,
        Operation.HASH_BYTE: alive * lengths.entry + sets.held * size.packed_bytes,
        Operation.SIGN: 2,
        Operation.VERIFY: alive * size.signed + (_REQUESTS + 1) * sets.members,
    }
