"""The messages of `SeedSum`, a pair for each step."""

from protocols.codec import Message


class SeedInput(Message, frozen=True):
    """The only message of a client.

    Attributes:
        padded: The vector with the pads of all seeds added.
        sealed: A hash of each seed, a box for each committee member, and the client's signature if the session has a
            roster; each has a fixed length.
    """

    padded: memoryview
    sealed: memoryview


class Entries(Message, frozen=True):
    """The clients that have sent their message, ascending, and for each, joined, what one member needs of it.

    Attributes:
        clients: Ids of the clients.
        entries: For each of them: a hash of the padded vector (zeros without a roster), a hash of each seed, a hash of
            each member's box, the receiving member's box, and the client's signature if the session has a roster.
    """

    clients: tuple[int, ...]
    entries: memoryview


class Complaints(Message, frozen=True):
    """The clients whose entries a member refuses, ascending, and for each its reason and the member's signature.

    Attributes:
        clients: Ids of the clients.
        reasons: One byte for each of them: the value of a `Reason`.
        signatures: For each of them, joined, the member's signature over the entry and the reason.
    """

    clients: tuple[int, ...]
    reasons: memoryview
    signatures: memoryview


class Proposal(Message, frozen=True):
    """The contributors whose sum the server proposes, ascending, and for each its public weight."""

    contributors: tuple[int, ...]
    weights: tuple[int, ...]


class Agreement(Message, frozen=True):
    """A member's signature over the root of the proposal. It has recorded the proposal before."""

    signature: memoryview


class Certificate(Message, frozen=True):
    """The signatures of a quorum over one root, and the sets of which one member is to send the opening.

    Attributes:
        signers: Ids of the members that have signed, ascending.
        signatures: Their signatures, joined, in the same order.
        sets: Numbers of the sets whose openings the receiving member is to send, ascending.
    """

    signers: tuple[int, ...]
    signatures: memoryview
    sets: tuple[int, ...]


class SumShares(Message, frozen=True):
    """What a member reveals of the contributors' pads.

    Attributes:
        claims: For each of the member's sets, ascending, a hash of the set's opening, joined.
        signature: The member's signature over all of the claims.
        sums: For each set that the certificate asks for, its opening, joined: the sum of the set's pads, and what else
            the kind of pads needs (`protocols.seeds.pads`).
    """

    claims: memoryview
    signature: memoryview
    sums: memoryview
