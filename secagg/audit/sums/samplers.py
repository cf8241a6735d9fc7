"""Known answers of the samplers of masks, from slow and exact twins, with words steered onto the edges of ranges.

The keystreams are those that a spy sees at the cipher. Their first words are replaced, for all parties alike, by words
at the edges: 0, 1, the modulus and its neighbours, the largest word of as many bits, and the largest word. What a
client then sends must be its vector plus what the definition makes of the keystreams that it has read:

- Pairwise masking: each mask is the keystream in little-endian words of the smallest type that holds the modulus,
  modulo the modulus, a power of two. The self-mask is added, and each mask of a pair is added or subtracted.
- LightSecAgg: the mask is the words of the smallest type that holds the prime, cut to its bits, without those that are
  not below the prime.

No statistics can tell words at or above a large prime that are reduced from words that are skipped.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import numpy as np

from protocols import packing
from protocols.codec import Message
from protocols.errors import ParameterError
from protocols.lightsecagg import messages as coded
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.pairwise import messages as pairwise
from protocols.pairwise.protocol import PairwiseMasking
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums.cipher_spy import CipherSpy, Expansion
from secagg.audit.sums.codecs import codec_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import Recorded, record, tapes_of
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 24
_CLIENTS: Final = 3
_MASKING: Final = "mask_input"
_EDGE_WORDS: Final = 20

Words = Sequence[int]


class MaskWords(Attack[SumSubject]):
    """The twins of the module's docstring for masks, at the largest moduli of several numbers of bits."""

    id = "replay.samplers.masks"
    title = "Masked vectors are compared with masks by the definition, for random words at the borders of their range"
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        bits = (8, 16, 24, 31, 61) if level is Level.FULL else (16, 24, 61)
        try:
            cohorts = [subject.cohort(_CLIENTS, length=_LENGTH)]
            kind = type(cohorts[0].protocol)
            moduli = [kind.modulus(each) for each in bits]
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if not isinstance(cohorts[0].protocol, PairwiseMasking | LightSecAgg):
            return Inapplicable(why="The protocol draws no masks by a definition that this check knows.")
        return Plan(trials=len(moduli), cpu_s=0.1, details=moduli)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        found = ""
        for modulus in plan.details:
            if found:
                break
            cohort = subject.cohort(_CLIENTS, length=_LENGTH, modulus=modulus)
            spy = CipherSpy(steer=_Edges(modulus, seed))
            with spy.watching():
                recorded = record(cohort, random_inputs(cohort, seed), tapes_of(seed), watcher=spy)
            for client in cohort.session.clients:
                if not _is_by_definition(recorded, client, spy.expansions):
                    found = f"modulus {modulus}: what client {client} adds to its vector is no mask by the definition"
                    break
        statistic = f"masked vectors not by definition, at {plan.trials} moduli"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


class _Edges:
    """The first words of each keystream: edges of the range, in an order that depends on the key."""

    def __init__(self, modulus: int, seed: bytes) -> None:
        self._seed = seed
        self._size = word_bytes(modulus)
        bits, most = (modulus - 1).bit_length(), 2 ** (8 * self._size) - 1
        around = {modulus - 2, modulus - 1, modulus, modulus + 1, 2**bits - 1, 2**bits, most, most - 1, 0, 1, 2}
        high = most ^ (2**bits - 1)
        self._words = sorted(word for word in around | {high | each for each in around} if 0 <= word <= most)

    def __call__(self, key: bytes) -> bytes:
        chosen = hashlib.shake_256(self._seed + key).digest(_EDGE_WORDS)
        return b"".join(self._words[each % len(self._words)].to_bytes(self._size, "little") for each in chosen)


def word_bytes(modulus: int) -> int:
    """Return the number of bytes of the smallest unsigned type that holds every residue."""
    return next(size for size in (1, 2, 4, 8) if 256**size >= modulus)


def reduced(stream: bytes, modulus: int, length: int) -> list[int]:
    """Return the mask of a keystream by the definition of pairwise masking."""
    return [word % modulus for word in _words(stream, modulus)][:length]


def rejected(stream: bytes, prime: int, length: int) -> list[int]:
    """Return the mask of a keystream by the definition of LightSecAgg."""
    bits, found = prime.bit_length(), list[int]()
    for word in _words(stream, prime):
        if len(found) == length:
            break
        if word % 2**bits < prime:
            found.append(word % 2**bits)
    return found


def _words(stream: bytes, modulus: int) -> Iterator[int]:
    size = word_bytes(modulus)
    for start in range(0, len(stream) - size + 1, size):
        yield int.from_bytes(stream[start : start + size], "little")


def _is_by_definition(recorded: Recorded, client: int, expansions: Sequence[Expansion]) -> bool:
    """Return whether a client's masked vector less its vector is what the definition makes of its keystreams."""
    session = recorded.cohort.session
    read = [bytes(each.words) for each in expansions if (each.moment.party, each.moment.step) == (client, _MASKING)]
    masked = _masked(recorded, client)
    vector = np.asarray(recorded.inputs[client]).tolist()
    added = [(one - other) % session.modulus for one, other in zip(masked, vector, strict=True)]
    if isinstance(recorded.cohort.protocol, LightSecAgg):
        return any(added == rejected(stream, session.modulus, session.length) for stream in read)
    masks = [reduced(stream, session.modulus, session.length) for stream in read]
    whole = len(masks) == _CLIENTS and all(len(mask) == session.length for mask in masks)
    return whole and any(
        added == [sum(map(int.__mul__, signs, column)) % session.modulus for column in zip(*masks, strict=True)]
        for signs in product((1, -1), repeat=len(masks))
    )


def _masked(recorded: Recorded, client: int) -> list[int]:
    cohort, session = recorded.cohort, recorded.cohort.session
    (reply,) = (each for each in recorded.replies(client) if each.step == _MASKING)
    number = [row.name for row in cohort.protocol.steps].index(_MASKING)
    kind: type[pairwise.MaskedInput] | type[coded.MaskedInput]
    kind = coded.MaskedInput if isinstance(cohort.protocol, LightSecAgg) else pairwise.MaskedInput
    message: Message = codec_of(cohort).decode(number, kind, reply.data)
    packed: memoryview = message.packed  # type: ignore[attr-defined]  # Both kinds have it.
    return [int(each) for each in packing.unpack(packed, session.length, session.modulus)]
