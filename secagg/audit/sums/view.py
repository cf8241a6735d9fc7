"""Where a client's masked vector is among the bytes that a server sees, for any protocol.

Nothing is known about the messages of other people's protocols but their declared fields. So the audit runs a small
session twice with the same randomness and another input of one client. The field of that client's replies that changes
by exactly the change of the input is the one that holds the masked vector. If a protocol draws randomness by itself, it
is the first field that has the length and the range of a vector.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols import packing
from protocols.codec import Message
from protocols.crypto.keystream import word_dtype
from protocols.errors import ParameterError
from protocols.session import Vector
from secagg.audit.attack import Inapplicable
from secagg.audit.seeds import generator_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.stepwise import Stepwise, client_steps
from secagg.audit.sums.subject import SumSubject

_PROBE_LENGTH: Final = 67  # Long enough that a packed vector has the length of no key, hash or signature.
_SEED: Final = b"secagg audit probe"
_WORD_BYTES: Final = (1, 2, 4, 8)
_LARGEST: Final = 12  # The largest cohort that is tried.


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """The field that holds a client's masked vector.

    Attributes:
        number: The number of the step in whose reply it is.
        field: The name of the field.
    """

    number: int
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a client's replies depend on its vector, under the same randomness.

    Attributes:
        dependent: The fields that change with the vector; at least one.
        carrier: The field that holds the masked vector; None if no field does.
    """

    dependent: tuple[Carrier, ...]
    carrier: Carrier | None

    @property
    def vector_step(self) -> int:
        """The number of the step in which the vector leaves the client."""
        return self.dependent[-1].number if self.carrier is None else self.carrier.number


def carrier_of(subject: SumSubject) -> Carrier | Inapplicable:
    """Return where this protocol's clients send their masked vectors, or why that cannot be said."""
    probe = probed(subject)
    if isinstance(probe, Inapplicable):
        return probe
    return probe.carrier or Inapplicable(
        why="With the same randomness, no field of a client's reply changes by exactly the change of its vector. So no "
        "field holds a vector plus a mask modulo the session's modulus. Ciphertexts are not uniform modulo it."
    )


@lru_cache(maxsize=32)
def probed(subject: SumSubject) -> Probe | Inapplicable:
    """Return how a client's replies depend on its vector, or why that cannot be said.

    It runs two small sessions, once for each subject. What they show decides which fields are read, and nothing else.
    """
    cohort = smallest(subject, at_least=2, length=_PROBE_LENGTH)
    if isinstance(cohort, Inapplicable):
        return cohort
    victim, bystander, *_ = cohort.session.clients
    changed = generator_of(_SEED).integers(0, cohort.session.modulus, cohort.session.length, dtype=np.uint64)
    runs = Stepwise(cohort, zeros(cohort), _SEED), Stepwise(cohort, zeros(cohort) | {victim: changed}, _SEED)
    dependent: list[Carrier] = []
    masked: list[Carrier] = []
    readable: list[Carrier] = []
    repeatable, steps = True, client_steps(cohort)
    for number in steps:
        replies = [run.to_step(number).replies() for run in runs]
        if number == steps[0]:  # What another client sends first does not depend on the victim's vector.
            repeatable = replies[0].get(bystander) == replies[1].get(bystander)
        if all(victim in each for each in replies):
            one, other = (run.body(number, each[victim]) for run, each in zip(runs, replies, strict=True))
            for carrier in _different(number, one, other):
                dependent.append(carrier)
                before, after = (vector_in(cohort, message, carrier.field) for message in (one, other))
                if before is not None and after is not None:
                    readable.append(carrier)
                    masked += [carrier] * _moved_by(before, after, changed, cohort)
        if number != steps[-1]:
            for run, each in zip(runs, replies, strict=True):
                run.deliver(each)
    if not dependent:
        return Inapplicable(why="No field of a client's reply depends on its vector under the same randomness.")
    candidates = masked or ([] if repeatable else readable)
    return Probe(dependent=tuple(dependent), carrier=next(iter(candidates), None))


def _different(number: int, one: Message, other: Message) -> Iterator[Carrier]:
    """Yield the fields in which two messages of a step differ."""
    for name in one.__struct_fields__:
        if getattr(one, name) != getattr(other, name):
            yield Carrier(number=number, field=name)


def vector_in(cohort: Cohort, message: Message, field: str) -> Vector | None:
    """Return the vector that a field holds, bit-packed, in words of whole bytes or as a list; None if it holds none."""
    value, session = getattr(message, field), cohort.session
    if isinstance(value, bytes | memoryview):
        return _from_bytes(value, session.length, session.modulus)
    if isinstance(value, tuple | list) and len(value) == session.length and all(type(each) is int for each in value):
        found = np.array(value, dtype=object)
        return found.astype(np.uint64) if found.min() >= 0 and found.max() < session.modulus else None
    return None


def masked_vectors(
    cohort: Cohort, inputs: Mapping[int, ArrayLike], carrier: Carrier, seed: bytes, label: str = ""
) -> dict[int, Vector]:
    """Return each client's masked vector, from the bytes that a server sees in a run up to that step."""
    run = Stepwise(cohort, inputs, seed, label=label).to_step(carrier.number)
    return read_vectors(run, carrier, run.replies())


def read_vectors(run: Stepwise, carrier: Carrier, replies: Mapping[int, bytes]) -> dict[int, Vector]:
    """Return the masked vectors in these replies.

    Raises:
        LookupError: A reply holds none.
    """
    found = {}
    for client, reply in replies.items():
        vector = vector_in(run.cohort, run.body(carrier.number, reply), carrier.field)
        if vector is None:
            raise LookupError(f"{carrier.field}: expected a masked vector, found other data")
        found[client] = vector
    return found


def zeros(cohort: Cohort) -> dict[int, NDArray[np.uint64]]:
    """Return vectors of zeros for all clients."""
    return dict.fromkeys(cohort.session.clients, np.zeros(cohort.session.length, dtype=np.uint64))


def smallest(
    subject: SumSubject, *, at_least: int, length: int, dropouts: int = 0, context: bytes = b""
) -> Cohort | Inapplicable:
    """Return the smallest cohort that the protocol runs with at least this many clients and dropouts."""
    for clients in range(at_least, _LARGEST + 1):
        try:
            cohort = subject.cohort(clients, length=length, context=context)
        except ParameterError:
            continue
        if clients - cohort.session.threshold >= dropouts:
            return cohort
    without = f" that still gives a sum if {dropouts} drop out" if dropouts else ""
    return Inapplicable(why=f"The protocol runs no cohort of {at_least} to {_LARGEST} clients{without}.")


def accepts(subject: SumSubject, modulus: int) -> bool:
    """Return whether the protocol runs a cohort of two clients with this modulus."""
    try:
        subject.cohort(2, length=4, modulus=modulus)
    except ParameterError:
        return False
    return True


def _from_bytes(data: bytes | memoryview, length: int, modulus: int) -> Vector | None:
    if len(data) == packing.packed_bytes(length, modulus):
        try:
            return packing.unpack(data, length, modulus)
        except ValueError:
            return None
    for size in _WORD_BYTES:
        if len(data) == size * length and size >= word_dtype(modulus).itemsize:
            words = np.frombuffer(data, dtype=f"<u{size}").astype(np.uint64)
            return words if int(words.max()) < modulus else None
    return None


def _moved_by(before: Vector, after: Vector, change: Vector, cohort: Cohort) -> bool:
    return bool(np.array_equal(after, modular_sum(before, change, cohort.session.modulus)))


def modular_sum(one: Vector, other: Vector, modulus: int) -> Vector:
    """Return the sum of two vectors modulo a modulus of at most 2^64."""
    total = one + other  # It wraps around at 2^64.
    if modulus == 2**64:
        return total
    wraps = (total < one) | (total >= np.uint64(modulus))
    return np.where(wraps, total - np.uint64(modulus), total)


def modular_difference(one: Vector, other: Vector, modulus: int) -> Vector:
    """Return the difference of two vectors modulo a modulus of at most 2^64."""
    difference = one - other
    if modulus == 2**64:
        return difference
    return np.where(one < other, difference + np.uint64(modulus), difference)
