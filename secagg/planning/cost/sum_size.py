"""The numbers that the cost of a secure sum depends on, and the cost."""

from dataclasses import dataclass, field
from functools import lru_cache

from protocols.crypto.keystream import word_dtype
from protocols.crypto.paillier.public import PublicKey
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.seeds.sets import SeedSets
from secagg.planning.cost.operations import Counts
from secagg.planning.cost.timing_key import N, S


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMembers:
    """The numbers of a committee by replicated seeds.

    Attributes:
        sets: The sets of its members.
        quorum: The number of members that must agree.
    """

    sets: SeedSets
    quorum: int

    @property
    def members(self) -> int:
        """The number of members."""
        return self.sets.members

    @property
    def threshold(self) -> int:
        """The number of members that a sum needs: to agree, to cover all sets, and to verify it if that is possible."""
        return max(self.quorum, self.sets.needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SumSize:
    """The size of one secure sum.

    Attributes:
        clients: The number of clients that are asked.
        length: The number of coordinates of a vector.
        modulus: The modulus of its entries.
        threshold: The least number of contributors.
        dropped: The number of clients that do not answer when they are asked for their vectors. They have answered all
            steps before: that is what costs the server most.
        signed: Whether the session has a roster, as it has against a malicious server.
        key: The committee's key, in protocols that have one, of which only the sizes count; or the numbers of a
            committee by replicated seeds. None otherwise.
    """

    clients: int
    length: int
    modulus: int
    threshold: int
    dropped: int
    signed: bool = False
    key: ThresholdKey | SeedMembers | None = None

    @property
    def contributors(self) -> int:
        """The number of clients whose vectors are in the sum."""
        return self.clients - self.dropped

    @property
    def bits(self) -> int:
        """The number of bits of an entry."""
        return (self.modulus - 1).bit_length()

    @property
    def packed_bytes(self) -> int:
        """The number of bytes of a bit-packed vector."""
        return -(-self.length * self.bits // 8)

    @property
    def word_bytes(self) -> int:
        """The number of bytes of an entry in memory."""
        return word_dtype(self.modulus).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyCost:
    """What one party spends in one sum.

    Attributes:
        sent_bytes: The bytes that it sends: the mean over parties of its kind that stay to the end.
        received_bytes: The bytes that it receives, in the same sense.
        counts: Its operations.
        starting: The operations of each new process before its first sum.
    """

    sent_bytes: float
    received_bytes: float
    counts: Counts
    starting: Counts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SumCost:
    """What one secure sum costs.

    Attributes:
        client: A client that stays to the end.
        server: The server's operations.
        member: A committee member that is no client; None without a committee.
        server_bytes: The most memory that the server's machine holds at once, in bytes.
        largest_field: The length of the longest byte string in a message, in bytes.
        largest_reply: The length of the longest reply, in bytes.
    """

    client: PartyCost
    server: Counts
    member: PartyCost | None
    server_bytes: float
    largest_field: float
    largest_reply: float


@lru_cache(maxsize=64)
def key_of_size(members: int, threshold: int) -> ThresholdKey:
    """Return a key of public numbers, with the sizes of a key by `secagg keys committee`; it protects nothing.

    Raises:
        protocols.errors.ParameterError: There is no committee of this size.
    """
    return ThresholdKey(
        public_key=PublicKey(N, S),
        base=4,
        threshold=threshold,
        verification_base=4,
        verification_keys=(4,) * members,
    )
