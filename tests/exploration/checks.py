"""The checks of a client of pairwise masking against a malicious server, by name.

Each is one condition of the client's code (`protocols.pairwise.client` and what it calls), and one condition of the
model (`tests.exploration.pairwise`). `tests.exploration.removals` takes a check out of the code.
"""

from enum import StrEnum


class Check(StrEnum):
    """A check that a client makes before it answers."""

    PINNED_ROSTER = "session: identities are the pinned ones"
    SAFE_THRESHOLD = "session: threshold for the corrupt clients"
    OWN_KEYS = "directory: own keys"
    MATCHING_KEYS = "directory: keys match their hash"
    SIGNED_KEYS = "directory: keys are signed"
    KEYS_OF_SESSION = "directory: keys are signed for this session"
    ENOUGH_PRESENT = "directory: enough clients"
    SHARER_ITSELF = "sharers: this client among them"
    SHARERS_PRESENT = "sharers: all in the directory"
    ENOUGH_SHARERS = "sharers: enough clients"
    SURVIVOR_ITSELF = "survivors: this client among them"
    SURVIVORS_SHARED = "survivors: all have shared"
    ENOUGH_SURVIVORS = "survivors: enough clients"
    SIGNERS_SURVIVE = "confirmations: all signers survive"
    ENOUGH_SIGNERS = "confirmations: enough signers"
    CONFIRMED = "confirmations: signatures are valid"
    SAME_DIRECTORY = "confirmations: same directory"
    SAME_SHARERS = "confirmations: same sharers"
    SAME_SURVIVORS = "confirmations: same survivors"
    ONE_SECRET = "reveal: one secret of each client"
    RECORD = "record of answered steps"
