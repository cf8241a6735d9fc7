"""What the toolkit claims, by the ids of the table of claims in `threat_model.md`.

A check names the claims that it tests, and a subject names the claims that it makes. A subject of other people may make
the same claims under the same ids, with parameters of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Parameter = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement that a subject makes of itself, and that a check can reject.

    Attributes:
        id: The id in the table of claims, such as "C-03".
        text: The statement, a sentence without a full stop.
        parameters: The numbers and names that make the statement definite, such as `{"relation": "zero-out"}`.
    """

    id: str
    text: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


_TEXTS: Final = {
    "C-01": "a released sum is exactly the sum of its contributors' vectors modulo the modulus",
    "C-02": "no sum of fewer contributors than the session's threshold is released; if too many clients drop "
    "out, the session ends without a sum",
    "C-03": "the server's view of one session shows nothing about single vectors beyond their sum",
    "C-04": "the server's view and all secrets of the stated number of colluding clients together show nothing "
    "about the other clients' vectors beyond their sum",
    "C-05": "a malicious server learns at most one sum in a session, or in a batch of it: that of the one set of "
    "clients that the clients, or the committee, agreed on",
    "C-06": "a message of one session, step or client is not accepted in the place of a message of another",
    "C-07": "a client refuses an input that is not finite, or of a wrong type, length or range, before it sends "
    "anything",
    "C-08": "if a message is altered or forged, it is refused, or the session ends without a sum, or the sum is right",
    "C-09": "fewer committee members than the committee's threshold, and with `seeds` any t of them, can open nothing; "
    "the committee opens at most one sum in a session, or in a batch of it",
    "C-10": "each ciphertext is randomised, has room for the sum, and comes with a proof that is valid only "
    "under the session's key",
    "C-11": "every secret of a session is drawn in full from the randomness that the party was given, and none "
    "is used twice",
    "C-12": "no secret occurs in a log record, repr, pickle or error, or in a message that does not have to contain it",
    "C-13": "a party that is restored, or asked a second time, never uses one mask for two vectors",
    "C-14": "the noise in every released sum has at least the planned variance, even without the noise shares of "
    "colluding clients",
    "C-15": "noise shares have exactly the distribution that the accounting assumes",
    "C-16": "every client draws its noise anew for every release",
    "C-17": "replacing one client's contribution by zero changes the integer sum by at most the declared sensitivity",
    "C-18": "every update is clipped as planned, before rounding and noise",
    "C-19": "a client's weight is limited, is counted in the sensitivity, and is not revealed",
    "C-20": "rounding to integers uses secret randomness, and is unbiased except that it is repeated until the "
    "norm is within its bound",
    "C-21": "each released mean is computed only from integers that contain the noise, and from public numbers",
    "C-22": "a sum does not wrap around the modulus, except with the stated probability",
    "C-23": "examples are sampled independently in each step, with the probability that the accounting assumes",
    "C-24": "all releases together satisfy differential privacy with the stated epsilon and delta",
    "C-25": "each release is reserved in the ledger before any client is asked",
    "C-26": "the epsilon that a ledger states is at least that of all its releases together",
    "C-27": "after a crash at any instant, the ledger counts at least what was released",
    "C-28": "a ledger that was altered, cut or rebuilt is refused, if a head was kept elsewhere",
    "C-29": "a delta of 1 / population or more is refused, and so is a release that exceeds the budget or a "
    "client's cap",
    "C-30": "in the folder of a finished run, the settings, ledger, metrics, weights, summary and report agree "
    "with each other",
    "C-31": "the messages of a transcript belong to its sessions, and lead to the recorded sums",
    "C-32": "a node trains only on the work whose digest is in its session",
    "C-33": "a node computes by itself what a session costs, and counts on no noise of nodes that it takes to be "
    "corrupt",
    "C-34": "a node with a budget reserves each session in its own ledger before it trains, and refuses a session for "
    "which the budget does not suffice",
    "C-35": "a node takes part in no session whose serial is not above all that it has recorded",
    "C-36": "clients with records of openings do not help to open two sums of one context whose contributors differ in "
    "fewer clients than the session's threshold",
    "C-37": "a node that does not answer says one code of a closed list, and the text of an error of training is "
    "neither sent nor logged",
    "C-38": "a request that the node's coordinator has not signed is refused and changes no file of the node",
    "C-39": "a coordinator that ends while a sum is opened asks for no other sum of the same work",
}

CLAIMS: Final[Mapping[str, Claim]] = {key: Claim(id=key, text=text) for key, text in _TEXTS.items()}
"""All claims of the toolkit, by id."""


def claimed(*ids: str, **parameters: Parameter) -> tuple[Claim, ...]:
    """Return the claims of these ids, all with these parameters."""
    return tuple(Claim(id=key, text=_TEXTS[key], parameters=parameters) for key in ids)
