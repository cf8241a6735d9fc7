"""Which clients were left when their vectors were due.

A protocol does not declare the step in which a client sends its vector. So this is found out by trying: in a session of
the run's own cohort, with vectors of one entry, one client drops out in a step, and is a contributor or not.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from protocols import ClientTerms, Role, SecureSum, simulate
from protocols.errors import TooFewSurvivors
from secagg.runs.prepare import Prepared
from secagg.training.records import RoundRecord


def asking_steps(protocol: SecureSum) -> list[str]:
    """Return the steps that ask clients, in order."""
    return [row.name for row in protocol.steps if row.role is Role.CLIENT]


def refusing_steps(prepared: Prepared, records: Sequence[RoundRecord]) -> frozenset[str]:
    """Return the steps up to that of the vectors: who drops out there does not contribute.

    Args:
        prepared: The run.
        records: Its rounds; only steps in which somebody dropped out are tried.
    """
    used = {name for record in records for name, clients in record.dropped.items() if clients}
    steps = [name for name in asking_steps(prepared.mean.protocol) if name in used]
    # One session tries all steps, if the cohort withstands a dropout in each.
    trials = [steps] if len(steps) <= prepared.cohort.vanishing else [[step] for step in steps]
    return frozenset(step for trial in trials if trial for step in _refusing(prepared, trial))


def present_in(asked: Sequence[int], record: RoundRecord, refusing: frozenset[str]) -> list[int]:
    """Return the clients that had not dropped out of a round when their vectors were due.

    Args:
        asked: The clients that were asked.
        record: The round.
        refusing: As from `refusing_steps`.
    """
    gone = {client for name, clients in record.dropped.items() if name in refusing for client in clients}
    return [client for client in asked if client not in gone]


def drawn_again(prepared: Prepared, rounds: int) -> tuple[tuple[int, ...], ...]:
    """Return the clients of each round of a run without noise, whose cohorts follow from its settings."""
    cohorts = prepared.cohorts
    if cohorts is None:
        return (tuple(prepared.devices.clients),) * rounds
    return tuple(cohorts.next(number).clients for number in range(1, rounds + 1))


def _refusing(prepared: Prepared, steps: Sequence[str]) -> list[str]:
    """Return which of these steps refuse a client, by a session in which one client drops out in each."""
    mean = prepared.mean
    session = replace(mean.session(os.urandom(16)), length=1, attached=(), context=os.urandom(16))
    gone = dict(zip(steps, mean.clients, strict=False))
    try:
        outcome = simulate(
            mean.protocol,
            session,
            {client: np.zeros(1, dtype=np.uint64) for client in mean.clients},
            terms=_without_a_cap(prepared.terms),
            keyholders=prepared.keyholders,
            drops={step: [client] for step, client in gone.items()},
        )
    except TooFewSurvivors:
        if len(steps) > 1:
            return [refusing for step in steps for refusing in _refusing(prepared, [step])]
        return list(steps)  # A round in which somebody drops out there releases nothing.
    return [step for step, client in gone.items() if client not in outcome.contributors]


def _without_a_cap(terms: Mapping[int, ClientTerms] | None) -> dict[int, ClientTerms] | None:
    """Return terms under which the same clients take part in each session that is tried."""
    return None if terms is None else {client: replace(each, cap=None) for client, each in terms.items()}
