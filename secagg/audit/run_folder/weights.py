"""Checks of a run's weights: those kept after each round, of the checkpoint and of the saved model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from dp.ledger.records import MODEL_DETAIL, VELOCITY_DETAIL
from secagg.audit.run_folder.check import HOLDS, Unreadable, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.plan import clip_of
from secagg.audit.run_folder.rounds import close
from secagg.audit.run_folder.saved_model import saved_weights
from secagg.privacy.clipping import Clip
from secagg.runs.folder import CHECKPOINT
from secagg.runs.kept_ledgers import LEDGER
from secagg.runs.kept_weights import WEIGHTS, foreign_entry, kept_rounds
from secagg.training.model_state import GlobalModel, evaluate

_STEP: float = 1e-9
"""How far a weight may be from where its velocity moves it, by rounding: relative, or absolute if that is more."""


def check_checkpoint(evidence: Evidence) -> Verdict:
    """Check that the checkpoint can be read."""
    if not (evidence.path / CHECKPOINT).exists():
        return HOLDS if not evidence.records else Verdict(found=f"There is no {CHECKPOINT}.")
    try:
        _ = evidence.state
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_round(evidence: Evidence) -> Verdict:
    """Check that the checkpoint stands at the last round of the metrics."""
    made, stands = len(evidence.records), _state(evidence).round
    if stands != made:
        return Verdict(found=f"The checkpoint stands at round {stands}, and the metrics end with round {made}.")
    return HOLDS


def check_kept(evidence: Evidence) -> Verdict:
    """Check that there are whole weights of the start and of each round, and of no other round but perhaps the next."""
    made, foreign = len(evidence.records), foreign_entry(evidence.path)
    if foreign is not None:
        return Verdict(found=f"{foreign} is not the weights of a round.")
    kept = set(kept_rounds(evidence.path))
    missing, more = set(range(made + 1)) - kept, kept - set(range(made + 2))
    if missing or more:
        which = f"no weights of round {min(missing)}" if missing else f"weights of round {min(more)}"
        return Verdict(found=f"There are {which} in {WEIGHTS}, and the metrics end with round {made}.")
    try:
        for number in range(made + 1):
            evidence.weights(number)
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_start(evidence: Evidence) -> Verdict:
    """Check that the run began with the weights that its settings lead to."""
    if not same(evidence.weights(0), evidence.initial.weights):
        return Verdict(found=f"The weights of round 0 in {WEIGHTS} are not those that the settings begin with.")
    return HOLDS


def check_last(evidence: Evidence) -> Verdict:
    """Check that the checkpoint has the weights of the last round."""
    if not same(evidence.weights(len(evidence.records)), _state(evidence).weights):
        return Verdict(found=f"The checkpoint has other weights than those of the last round in {WEIGHTS}.")
    return HOLDS


def check_withheld(evidence: Evidence) -> Verdict:
    """Check that a round that released nothing has left the weights as they were."""
    for record in evidence.records:
        before, after = evidence.weights(record.round - 1), evidence.weights(record.round)
        if not record.contributors and not same(before, after):
            return Verdict(found=f"Round {record.round} released nothing, and the weights changed.")
    return HOLDS


def check_committed(evidence: Evidence) -> Verdict:
    """Check that each commitment names the weights that were kept after its round, with the next round's clip."""
    for record in evidence.records:
        commitment = evidence.ledger.commitment_of(record.round)
        if commitment is None:
            continue
        weights, clip = evidence.weights(record.round), _clip_after(evidence, record.round)
        named = GlobalModel(weights, [], record.round, clip).digest().hex()
        if commitment.details.get(MODEL_DETAIL) != named:
            return Verdict(
                found=f"{LEDGER} does not name the weights, or the clip, that were kept after round {record.round}."
            )
    return HOLDS


def check_velocity(evidence: Evidence) -> Verdict:
    """Check that the checkpoint's velocity moved the weights last, and that the last commitment names it."""
    released = [record.round for record in evidence.records if record.contributors]
    if not released:
        raise Untested("No round has released anything, so that the server had no velocity.")
    state, last = _state(evidence), released[-1]
    rate = evidence.config.server_step.learning_rate
    before_and_after, roles = (evidence.weights(last - 1), evidence.weights(last)), evidence.prepared.devices.roles
    for before, after, velocity, role in zip(*before_and_after, state.velocity, roles, strict=True):
        if not role.is_statistic and not np.allclose(
            after, before + rate * velocity, rtol=_STEP, atol=_STEP, equal_nan=True
        ):
            return Verdict(found=f"The checkpoint's velocity is not what moved the weights in round {last}.")
    if not evidence.config.private:
        return HOLDS
    commitment = evidence.ledger.commitment_of(last)
    if commitment is None:
        raise Untested(f"Round {last} has no commitment, see run.ledger.commitments.")
    named = GlobalModel([], state.velocity, last).velocity_digest().hex()
    if commitment.details.get(VELOCITY_DETAIL) != named:
        return Verdict(found=f"{LEDGER} names another velocity after round {last} than the checkpoint has.")
    return HOLDS


def check_measured(evidence: Evidence) -> Verdict:
    """Check the loss and the accuracy of each round, measured again on the test examples."""
    prepared = evidence.prepared
    for record in evidence.records:
        found = evaluate(prepared.devices.model, evidence.weights(record.round), prepared.test)
        rel = tolerance_of(evidence)
        if not (close(record.loss, found[0], rel=rel) and close(record.accuracy, found[1], rel=rel)):
            return Verdict(found=f"The weights after round {record.round} have another loss or accuracy.")
    return HOLDS


def check_saved(evidence: Evidence) -> Verdict:
    """Check that the saved model has the weights of the checkpoint."""
    model, state = evidence.prepared.devices.model, _state(evidence)
    path = evidence.path / f"model{model.suffix}"
    if not path.is_file():
        return Verdict(found=f"There is no {path.name}.")
    model.set_weights(state.weights)
    expected = model.get_weights()
    if not same(saved_weights(path, model), expected):
        return Verdict(found=f"{path.name} has other weights than the checkpoint.")
    return HOLDS


def same(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> bool:
    """Return whether two models have the same arrays."""
    return len(found) == len(expected) and all(
        np.array_equal(one, other, equal_nan=True) for one, other in zip(found, expected, strict=True)
    )


def tolerance_of(evidence: Evidence) -> float:
    """Return the relative tolerance of figures of the model: float32 models may round otherwise on other machines."""
    kinds = {array.dtype for array in evidence.prepared.devices.model.get_weights()}
    return 1e-9 if kinds == {np.dtype(np.float64)} else 1e-5


def _state(evidence: Evidence) -> GlobalModel:
    """Return the state of the checkpoint; before the first round there is none, and the state is the initial one."""
    if not (evidence.path / CHECKPOINT).exists() and not evidence.records:
        return evidence.initial
    return evidence.state


def _clip_after(evidence: Evidence, number: int) -> Clip:
    following = next((record for record in evidence.records if record.round == number + 1), None)
    if following is not None:
        return clip_of(evidence.prepared, following.clip_bound)
    state = evidence.state
    return state.clip if isinstance(state.clip, AdaptiveClip) else evidence.prepared.clip
