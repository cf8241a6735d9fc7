"""Known answers of OneShot's masked vectors, from a slow and exact twin, with words steered onto the edges.

A masked vector is the product of a public polynomial and the key, plus errors, plus the packed vector, modulo 2^64 and
X^4096 + 1. Key and errors are discrete Gaussians of width 13/2, cut to [-127, 127]. A sample is the number of points x
with F(x) <= U, less 127, where F is the distribution function, and U is a uniform number of [0, 1). U is read from the
keystream: 16 bits first, and 64 more for as long as an F(x) lies among the numbers that begin with the bits read.

The first words are steered onto those F(x), and beside them, so that more bits are needed; those are steered onto the
next bits of the same F(x), so that even more are needed. This hardly ever happens by itself.
"""

import decimal
import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from protocols.crypto.lattice.pad import LatticePad
from protocols.encrypted.messages import EncryptedInput
from protocols.encrypted.oneshot import OneShot
from protocols.errors import ParameterError
from protocols.values import Values
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.codecs import codec_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 24
_CLIENTS: Final = 3
_DEGREE: Final = 4096
_REACH: Final = 127
_WORD: Final = 2**64
_PRECISION_BITS: Final = 400
_FIRST_BITS: Final = 16
_MORE_BITS: Final = 64
_STEERED: Final = 25  # Samples farther from 0 have too little weight for 16 bits, and longer keys are refused.


class LatticeWords(Attack[SumSubject]):
    """The twin of the module's docstring, for one client."""

    id = "replay.samplers.lattice"
    title = (
        "Masked vectors are compared with lattice masks by the definition, for random words at the borders of its "
        "Gaussian"
    )
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if not isinstance(cohort.protocol, OneShot):
            return Inapplicable(why="The protocol has no lattice masks.")
        return Plan(trials=1 if level is Level.QUICK else 4, cpu_s=0.2)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort, found = subject.cohort(_CLIENTS, length=_LENGTH), ""
        for number in range(plan.trials):
            if not _is_by_definition(cohort, seed + bytes([number])):
                found = "the masked vector is not the one of the definition"
                break
        statistic = f"masked vectors not by definition, of {plan.trials}"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


@functools.cache
def distribution() -> tuple[int, ...]:
    """Return F(x) 2^400, rounded down, for x from -127 to 126."""
    with decimal.localcontext(decimal.Context(prec=200)):
        weights = [(-decimal.Decimal(2 * x * x) / 169).exp() for x in range(-_REACH, _REACH + 1)]
        total, found, running = sum(weights), list[int](), decimal.Decimal(0)
        for weight in weights[:-1]:
            running += weight
            found.append(int(running / total * 2**_PRECISION_BITS))
    return tuple(found)


def samples(stream: bytes, count: int) -> list[int]:
    """Return the samples of a keystream by the definition; fewer if the definition needs more of it than was read."""
    position, found = count * _FIRST_BITS // 8, list[int]()
    for index in range(count):
        bits, number = _FIRST_BITS, int.from_bytes(stream[2 * index : 2 * index + 2], "little")
        while True:
            free = _PRECISION_BITS - bits
            least, most = number << free, (number + 1) << free
            if not any(least <= each < most for each in distribution()):
                break
            if position + 8 > len(stream):
                return found
            number = number << _MORE_BITS | int.from_bytes(stream[position : position + 8], "little")
            position, bits = position + 8, bits + _MORE_BITS
        found.append(sum(each < least for each in distribution()) - _REACH)
    return found


def _steered(key: bytes) -> bytes:
    """Return the beginning of a keystream: for a key, words at the edges; for a few errors, such words too."""
    drawn = hashlib.shake_256(b"secagg audit lattice" + key).digest(2 * _DEGREE)
    edges = [each >> (_PRECISION_BITS - _FIRST_BITS) for each in distribution()]
    near = edges[_REACH - _STEERED : _REACH + _STEERED]
    first = [near[(drawn[0] + at) % len(near)] + drawn[at] % 3 - 1 for at in range(2 * len(near))]
    chosen, more = b"".join(word.to_bytes(2, "little") for word in first), list[int]()
    for word in (each for each in first if each in edges):
        exact = distribution()[edges.index(word)] >> (_PRECISION_BITS - _FIRST_BITS - _MORE_BITS)
        more.append((exact + drawn[-1 - len(more)] % 3 - 1) % _WORD)
    return chosen + drawn[len(chosen) :] + b"".join(each.to_bytes(8, "little") for each in more)


def _is_by_definition(cohort: Cohort, seed: bytes) -> bool:
    if not isinstance(cohort.protocol, OneShot):
        raise TypeError("protocol: expected OneShot, found another one")
    client, vector, spy = cohort.session.clients[0], random_inputs(cohort, seed), CipherSpy(steer=_steered)
    machine, server = cohort.client(client, vector[client], Tape(seed)), cohort.server()
    with spy.watching():
        reply = machine.handle(server.start().requests[client])
    masked = codec_of(cohort).decode(0, EncryptedInput, reply).padded
    found = [int.from_bytes(masked[at : at + 8], "little") for at in range(0, len(masked), 8)]
    if len(spy.expansions) != 3:
        return False
    key, errors, public = (bytes(each.words) for each in spy.expansions)
    secret, noise = samples(key, _DEGREE), samples(errors, len(found))
    if len(secret) < _DEGREE or len(noise) < len(found):
        return False
    factor = [int.from_bytes(public[8 * at : 8 * at + 8], "little") for at in range(_DEGREE)]
    packed = _packed(cohort.protocol, cohort, vector[client].tolist())
    defined = [
        (product + error + word) % _WORD
        for product, error, word in zip(_products(factor, secret, len(found)), noise, packed, strict=True)
    ]
    return found == defined


def _products(one: Sequence[int], other: Sequence[int], count: int) -> Iterator[int]:
    """Yield the first coefficients of a product modulo X^4096 + 1."""
    for at in range(count):
        yield sum(each * (other[at - i] if i <= at else -other[_DEGREE + at - i]) for i, each in enumerate(one))


def _packed(protocol: OneShot, cohort: Cohort, vector: Sequence[int]) -> list[int]:
    """Return the words that hold a vector: entry i is in slot i // words of word i % words, above the bits of noise."""
    session = cohort.session
    bound = Values(modulus=session.modulus, value_bits=protocol.value_bits).bound
    pad = LatticePad(
        length=session.length,
        bound=bound,
        clients=len(session.clients),
        sum_bits=protocol.sum_bits(session, bound),
    )
    words = [0] * pad.words
    for index, entry in enumerate(vector):
        signed = entry if entry < session.modulus - session.modulus // 2 else entry - session.modulus
        words[index % pad.words] += (signed + bound // 2) << (pad.noise_bits + index // pad.words * pad.slot_bits)
    return words
