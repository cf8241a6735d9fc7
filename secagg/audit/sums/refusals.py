"""Inputs that cannot be summed are refused before anything is drawn or sent."""

from typing import Final

import numpy as np

from protocols.errors import LocalError, ParameterError
from protocols.session import Session
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 6


class RefusedInputs(Attack[SumSubject]):
    """A client refuses NaN, infinity, floats, truth values, objects, texts, and entries or lengths out of range.

    The refusal is one of the documented errors of a party's own mistakes, and nothing has been drawn from the tape.
    """

    id = "invariant.input.refusals"
    title = "A client is given vectors that cannot be summed, and has to refuse each of them"
    layer = Layer.INVARIANT
    tests = ("C-07",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        try:
            cohort = subject.cohort(3, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        return Plan(trials=len(unacceptable(cohort.session)), cpu_s=0.02)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(3, length=_LENGTH)
        client, found = cohort.session.clients[0], ""
        for label, vector in unacceptable(cohort.session).items():
            tape = Tape(seed, label)
            try:
                cohort.client(client, vector, tape)  # type: ignore[arg-type]  # That is the test.
            except LocalError:
                found = f"{label}: the client refused it only after it had drawn randomness" if tape.position else ""
            except Exception as error:  # noqa: BLE001 - An undocumented error is a finding here.
                found = f"{label}: the client raised {type(error).__name__}, which is not a documented refusal"
            else:
                found = f"{label}: the client accepted it"
            if found:
                break
        statistic = f"vectors not refused among {plan.trials}"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


def unacceptable(session: Session) -> dict[str, object]:
    """Return vectors that no session of this length and modulus accepts, by what is wrong with them."""
    size, modulus = session.length, session.modulus
    whole = np.ones(size, dtype=np.uint64)
    one_nan, one_infinite = np.ones(size), np.ones(size)
    one_nan[-1], one_infinite[0] = np.nan, np.inf
    found: dict[str, object] = {
        "NaN in one entry": one_nan,
        "NaN in a list": [1] * (size - 1) + [float("nan")],
        "NaN": np.full(size, np.nan),
        "NaN of 32 bits": np.full(size, np.nan, dtype=np.float32),
        "infinity in one entry": one_infinite,
        "negative infinity": np.full(size, -np.inf),
        "whole floats": np.ones(size),
        "whole floats of 16 bits": np.ones(size, dtype=np.float16),
        "fractions": np.full(size, 0.5),
        "complex numbers": np.ones(size, dtype=complex),
        "truth values": np.ones(size, dtype=bool),
        "objects": np.array([1] * size, dtype=object),
        "an object that is NaN": np.array([1] * (size - 1) + [float("nan")], dtype=object),
        "texts": np.array(["1"] * size),
        "durations": np.ones(size, dtype="m8[s]"),
        "a negative entry": [0] * (size - 1) + [-1],
        "the least integer of 64 bits": np.full(size, np.iinfo(np.int64).min),
        "an entry at the modulus": [0] * (size - 1) + [modulus],
        "integers of more than 64 bits": [2**64] * size,
        "one entry too few": whole[:-1],
        "one entry too many": np.ones(size + 1, dtype=np.uint64),
        "no entry": whole[:0],
        "a matrix of one row": whole.reshape(1, size),
        "a matrix of one column": whole.reshape(size, 1),
        "one number": 1,
        "nothing": None,
        "lists of different lengths": [[1], [1, 2]],
        "a text": "1" * size,
    }
    if modulus < 2**64:
        found["the largest integer of 64 bits"] = np.full(size, np.iinfo(np.uint64).max)
    return found
