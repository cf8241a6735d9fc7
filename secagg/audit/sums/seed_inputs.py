"""Clients of `SeedSum` send what the definition makes of their randomness, and what no t members can read."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np

from protocols import SeedSum, packing
from protocols.errors import ParameterError
from protocols.seeds import PadKind
from protocols.session import Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.seed_twin import ENCAPSULATION_BYTES, INPUT, SEED_BYTES, Parts, SeedTwin
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_difference, modular_sum

_LENGTH: Final = 40
_CLIENTS: Final = 3


class SeedsByDefinition(Attack[SumSubject]):
    """A client's message is compared with that of a second implementation, which has the client's tape.

    The seeds are the tape's bytes, 32 for each set. Their hashes, the padded vector and the content of each box follow
    from them. Each box opens only under its own use. The library's randomness cannot be given, so of that it is checked
    only that no two boxes begin alike, neither in one session nor in two with the same tapes.
    """

    id = "replay.samplers.seeds"
    title = "Messages of clients of replicated seeds are compared with those by the definition, and boxes are opened"
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return planned(subject, trials=_CLIENTS)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        inputs = random_inputs(cohort, seed)
        found = next(_differences(cohort, inputs, seed), "")
        statistic = f"messages not by the definition, of {plan.trials}"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


class SeedColluders(Attack[SumSubject]):
    """As many members as may be corrupt open their boxes, and try to remove all pads from a client's vector.

    For a set that none of them is in, they try every seed that they have.
    """

    id = "attack.seed_colluders"
    title = "As many committee members as may be corrupt try to read a vector with all seeds that they hold"
    layer = Layer.ATTACK
    tests = ("C-04",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return planned(subject, trials=1)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        inputs, client = random_inputs(cohort, seed), cohort.session.clients[0]
        sent, twin = parts_of(cohort, inputs, seed)[client], SeedTwin(cohort=cohort)
        for coalition in combinations(range(twin.sets.members), twin.sets.colluding):
            if reads(twin, client, sent, coalition, inputs[client]):
                found = f"The members at the places {list(coalition)} read the vector of client {client}."
                return Result(
                    statistic="attacks that succeeded", value=1.0, threshold=1.0, rejected=True, evidence=found
                )
        return Result(statistic="attacks that succeeded", value=0.0, threshold=1.0)


class CopiedMachine(Attack[SumSubject]):
    """A machine that was copied draws the same seeds in two sessions, and as two clients: the pads must differ."""

    id = "attack.copied_machine"
    title = "A client of replicated seeds draws the same seeds in two sessions and as two clients"
    layer = Layer.ATTACK
    tests = ("C-13",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return planned(subject, trials=2)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        other = subject.cohort(_CLIENTS, length=_LENGTH, session_id=b"secagg audit another")
        one, two, *_ = cohort.session.clients
        first = _padded(cohort, one, random_inputs(cohort, seed)[one], seed)
        for where, client, elsewhere in (("in another session", one, other), ("as another client", two, cohort)):
            vector = random_inputs(elsewhere, seed + b"2")[client]
            second = _padded(elsewhere, client, vector, seed)
            modulus = cohort.session.modulus
            if np.array_equal(
                modular_difference(first, second, modulus),
                modular_difference(random_inputs(cohort, seed)[one], vector, modulus),
            ):
                found = (
                    f"Client {one} was copied and drew the same seeds {where}. Its padded vectors show a difference."
                )
                return Result(
                    statistic="attacks that succeeded", value=1.0, threshold=1.0, rejected=True, evidence=found
                )
        return Result(statistic="attacks that succeeded", value=0.0, threshold=1.0)


def planned(subject: SumSubject, *, trials: int) -> Plan | Inapplicable:
    """Return the plan of a check of replicated seeds, or why there is none."""
    try:
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
    except ParameterError as error:
        return Inapplicable(why=str(error))
    if not isinstance(cohort.protocol, SeedSum):
        return Inapplicable(why="The protocol has no committee of replicated seeds.")
    if cohort.protocol.pads is not PadKind.STREAM:
        return Inapplicable(why="The second implementation has stream pads only.")
    return Plan(trials=trials, cpu_s=0.1)


def parts_of(cohort: Cohort, inputs: dict[int, Vector], seed: bytes) -> dict[int, Parts]:
    """Return the message of every client, taken apart."""
    run, twin, found = Stepwise(cohort, inputs, seed), SeedTwin(cohort=cohort), {}
    for client, reply in run.replies().items():
        found[client] = twin.parts(run.body(INPUT, reply))  # type: ignore[arg-type]  # The step's message.
    return found


def reads(twin: SeedTwin, client: int, sent: Parts, coalition: tuple[int, ...], vector: Vector) -> bool:
    """Return whether these members get a client's vector, given the places of the members in the committee."""
    session = twin.cohort.session
    known = dict[int, bytes]()
    for member in coalition:
        opened = twin.opened(client, sent, member) or b""
        for place, number in enumerate(twin.sets.of(member)):
            known[number] = opened[place * SEED_BYTES : (place + 1) * SEED_BYTES]
    known = {number: seed for number, seed in known.items() if len(seed) == SEED_BYTES}
    left = packing.unpack(sent.padded, session.length, session.modulus)
    for number, seed in known.items():
        left = modular_difference(left, twin.pad(seed, client, number), session.modulus)
    missing = [number for number in range(twin.sets.count) if number not in known]
    if not missing:
        return bool(np.array_equal(left, vector))
    for seed in known.values():
        rest = left
        for number in missing:
            rest = modular_difference(rest, twin.pad(seed, client, number), session.modulus)
        if np.array_equal(rest, vector):
            return True
    return False


def _differences(cohort: Cohort, inputs: dict[int, Vector], seed: bytes) -> Iterator[str]:
    """Yield what differs from the definition, in words."""
    twin, sent = SeedTwin(cohort=cohort), parts_of(cohort, inputs, seed)
    for client, parts in sent.items():
        yield from _of_client(twin, client, parts, inputs[client], Tape(seed, f" party {client}"))
    again = parts_of(cohort, inputs, seed)
    begun = [box[:ENCAPSULATION_BYTES] for each in (sent, again) for parts in each.values() for box in parts.boxes]
    if len(set(begun)) != len(begun):
        yield "two boxes were made with the same randomness"


def _of_client(twin: SeedTwin, client: int, parts: Parts, vector: Vector, tape: Tape) -> Iterator[str]:
    session = twin.cohort.session
    seeds = [tape(SEED_BYTES) for _ in range(twin.sets.count)]
    for number, seed in enumerate(seeds):
        if parts.hashes[number] != twin.seed_hash(seed, client, number):
            yield f"client {client}: the hash of its seed for set {number} is not that of the seed that it drew"
    for member in range(twin.sets.members):
        opened = twin.opened(client, parts, member)
        if opened is None:
            yield f"client {client}: its box for the member at place {member} does not open under its use"
        elif opened != b"".join(seeds[number] for number in twin.sets.of(member)):
            yield f"client {client}: its box for the member at place {member} holds other seeds than it drew"
    expected = vector
    for number, seed in enumerate(seeds):
        expected = modular_sum(expected, twin.pad(seed, client, number), session.modulus)
    if not np.array_equal(packing.unpack(parts.padded, session.length, session.modulus), expected):
        yield f"client {client}: what it adds to its vector is not the sum of the pads of its seeds"
    if not twin.is_signed(client, parts):
        yield f"client {client}: it has not signed what it sends"


def _padded(cohort: Cohort, client: int, vector: Vector, seed: bytes) -> Vector:
    """Return a client's padded vector, drawn from one tape that is the same for every client."""
    run = Stepwise(cohort, {client: vector} | {c: vector for c in cohort.session.clients if c != client}, seed)
    machine = cohort.client(client, vector, Tape(seed, "copied machine"))
    message = run.body(INPUT, machine.handle(run.requests[client]))
    parts = SeedTwin(cohort=cohort).parts(message)  # type: ignore[arg-type]  # The step's message.
    return packing.unpack(parts.padded, cohort.session.length, cohort.session.modulus)
