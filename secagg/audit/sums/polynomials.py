"""No polynomial of Shamir's secret sharing is used twice, and each is the one of the definition.

Every polynomial is interpolated from its shares, slowly and exactly. No two secrets are shared by polynomials that have
a coefficient in common, apart from the constant, and none of the coefficients is zero.

By the definition of `protocols.crypto.shamir`, the coefficients but the constant are the next 49 bytes each of a
keystream, as little-endian numbers modulo 2^256 + 297. Its first words are steered onto edges: multiples of that prime
and numbers beside them, and the largest number.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocols.crypto import shamir
from protocols.errors import ParameterError
from protocols.pairwise.protocol import PairwiseMasking
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.everywhere import replaced_everywhere
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 16
_CLIENTS: Final = 5
_SHARING: Final = "share_keys"
_WORD_BYTES: Final = 49


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sharing:
    """One call of Shamir's secret sharing.

    Attributes:
        secret: The secret.
        threshold: The number of shares that determine it.
        shares: By holder, the shares.
    """

    secret: bytes
    threshold: int
    shares: dict[int, bytes]


def noted_sharing(calls: list[Sharing]) -> tuple[Callable[..., Any], Callable[..., list[bytes]]]:
    """Return `shamir.share`, and a function to take its place that appends each call to a list."""
    original = shamir.share

    def share(secret: Any, *, threshold: int, holders: Sequence[int], entropy: Any) -> list[bytes]:
        shares = original(secret, threshold=threshold, holders=holders, entropy=entropy)
        dealt = dict(zip(holders, shares, strict=True))
        calls.append(Sharing(secret=secret.reveal(), threshold=threshold, shares=dealt))
        return shares

    return original, share


class PolynomialsOnce(Attack[SumSubject]):
    """The rules of the module's docstring, for a session of five clients in which nobody drops out."""

    id = "replay.streams.polynomials"
    title = "The polynomial of every shared secret is interpolated, and coefficients are compared with each other"
    layer = Layer.REPLAY
    tests = ("C-04", "C-11")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if not isinstance(cohort.protocol, PairwiseMasking):
            return Inapplicable(why="The protocol shares no secret by the polynomials that this check knows.")
        return Plan(trials=1, cpu_s=0.1)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort, calls = subject.cohort(_CLIENTS, length=_LENGTH), list[Sharing]()
        with replaced_everywhere([noted_sharing(calls)]):
            record(cohort, random_inputs(cohort, seed), tapes_of(seed))
        found = _faulty(calls)
        statistic = f"faults of {len(calls)} polynomials"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


class CoefficientWords(Attack[SumSubject]):
    """The definition of the module's docstring, for all clients of a session of five."""

    id = "replay.samplers.polynomials"
    title = (
        "The coefficients of shared secrets are compared with those by the definition, for random words at the borders"
    )
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        return PolynomialsOnce().plan(subject, level)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort, calls, found = subject.cohort(_CLIENTS, length=_LENGTH), list[Sharing](), ""
        spy = CipherSpy(steer=_edges)
        with spy.watching(), replaced_everywhere([noted_sharing(calls)]):
            record(cohort, random_inputs(cohort, seed), tapes_of(seed), watcher=spy)
        read = [bytes(each.words) for each in spy.expansions if each.moment.step == _SHARING]
        defined = Counter(word for stream in read for word in _coefficients(stream))
        drawn = Counter(each for call in calls for each in interpolated(call.shares)[1 : call.threshold])
        if not calls:
            found = "no secret was shared"
        elif drawn != defined:
            found = f"{(drawn - defined).total()} of {drawn.total()} coefficients are not those of the definition"
        statistic = f"coefficients not by definition, of {drawn.total()}"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


def _coefficients(stream: bytes) -> Iterator[int]:
    for start in range(0, len(stream) - _WORD_BYTES + 1, _WORD_BYTES):
        yield int.from_bytes(stream[start : start + _WORD_BYTES], "little") % shamir.PRIME


def _edges(key: bytes) -> bytes:
    """Return the first two words of a keystream: edges of the range, chosen by the key."""
    most = 256**_WORD_BYTES - 1
    multiple = most // shamir.PRIME * shamir.PRIME
    words = [shamir.PRIME + 1, shamir.PRIME - 1, 2 * shamir.PRIME + 3, multiple + 1, multiple - 1, most]
    return b"".join(words[each % len(words)].to_bytes(_WORD_BYTES, "little") for each in key[:2])


def _faulty(calls: Sequence[Sharing]) -> str:
    """Return what is wrong with the polynomials, in words; empty if nothing is."""
    if not calls:
        return "no secret was shared"
    seen: set[int] = set()
    for call in calls:
        constant, *others = interpolated(call.shares)
        others += [0] * (call.threshold - 1 - len(others))
        if constant != int.from_bytes(call.secret, "little") or any(others[call.threshold - 1 :]):
            return f"the shares do not lie on a polynomial of degree {call.threshold - 1} through the secret"
        if 0 in others[: call.threshold - 1]:
            return f"a coefficient is zero in the sharing of a secret with threshold {call.threshold}"
        if not seen.isdisjoint(others[: call.threshold - 1]):
            return "two secrets are shared with the same coefficient"
        seen |= set(others[: call.threshold - 1])
    return ""


def interpolated(shares: dict[int, bytes]) -> list[int]:
    """Return the coefficients, the constant first, of the polynomial through all shares (Newton's divided differences).

    The evaluation point of a holder is its id plus one, and a share is its little-endian value modulo 2^256 + 297.
    """
    prime = shamir.PRIME
    points = [holder + 1 for holder in shares]
    values = [int.from_bytes(share, "little") for share in shares.values()]
    for level in range(1, len(points)):
        for at in range(len(points) - 1, level - 1, -1):
            difference = (values[at] - values[at - 1]) * pow(points[at] - points[at - level], -1, prime)
            values[at] = difference % prime
    coefficients = [0] * len(points)
    for point, value in zip(reversed(points), reversed(values), strict=True):
        shifted = [value, *coefficients[:-1]]
        coefficients = [(new - point * old) % prime for new, old in zip(shifted, coefficients, strict=True)]
    return coefficients
