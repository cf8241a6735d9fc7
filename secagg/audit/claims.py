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
    "C-02": "no sum of fewer contributors than the threshold is released; too many dropouts end the session",
    "C-03": "the server's view of one session shows nothing of single vectors except their sum",
    "C-04": "this also holds together with all secrets of the stated number of colluding clients",
    "C-05": "a malicious server learns no sum of a set of clients other than the one set that the clients agreed on",
    "C-06": "no message of one session, step or client is accepted in the place of another",
    "C-07": "an input that cannot be summed safely is refused before anything is sent",
    "C-08": "an altered or forged message is refused, or the session ends without a sum",
    "C-09": "fewer committee members than the threshold open nothing, and the committee opens one sum of a session",
    "C-10": "each encryption is randomised, has room for the sum, and is proven under the key of the session",
    "C-11": "every secret is drawn in full from the entropy that the party was given, and none is used twice",
    "C-12": "no secret occurs in a message, log record, repr, pickle, error or file",
    "C-13": "a party that is restored or asked again never uses a mask for two vectors",
    "C-14": "the noise in every released sum has at least the planned size, without the shares of colluding clients",
    "C-15": "noise shares have exactly the distribution that the accounting assumes",
    "C-16": "noise is fresh in every release and for every client",
    "C-17": "replacing one client's contribution by zero changes the integer sum by at most the declared sensitivity",
    "C-18": "every update is clipped as planned, before rounding and noise",
    "C-19": "weights are limited, counted in the sensitivity, and not revealed",
    "C-20": "rounding to integers is unbiased and uses secret randomness",
    "C-21": "everything that is released is a function of integers with lattice noise, and of public numbers",
    "C-22": "a sum does not wrap around the modulus, except with the stated probability",
    "C-23": "examples are sampled independently in each step, with the probability that the accounting assumes",
    "C-24": "the released values satisfy the stated epsilon and delta",
    "C-25": "each release is reserved in the ledger before any client is asked",
    "C-26": "the epsilon of a ledger bounds the composition of all its releases from above",
    "C-27": "a crash at any instant leaves a ledger that counts at least what was released",
    "C-28": "a ledger that was altered, cut or rebuilt is refused, if a head was kept elsewhere",
    "C-29": "a budget that cannot protect is refused, such as a delta of 1 / population or more",
    "C-30": "the folder of a finished run is consistent: every figure follows from settings, ledger and weights",
    "C-31": "a transcript holds the server's view of its sessions, which lead to the recorded sums",
}

CLAIMS: Final[Mapping[str, Claim]] = {key: Claim(id=key, text=text) for key, text in _TEXTS.items()}
"""All claims of the toolkit, by id."""


def claimed(*ids: str, **parameters: Parameter) -> tuple[Claim, ...]:
    """Return the claims of these ids, all with these parameters."""
    return tuple(Claim(id=key, text=_TEXTS[key], parameters=parameters) for key in ids)
