"""An engine of somebody else that lies: nothing it says reaches the model, the ledger or a log unchecked."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.events import Trust
from dp.ledger.ledger import Ledger
from protocols import Cost, Secret
from secagg.aggregation.mean import Target
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.memory import InMemory
from secagg.errors import EncodingError, EngineError
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import ServerStep
from tests.support.federation import devices, examples, mean_for

pytestmark = pytest.mark.slow

TEST = examples(200, 99)
TARGET = Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0)
Lie = Callable[[RoundPlan, RoundResult], Any]


class Liar(InMemory):
    """An engine that runs each round honestly, and then says something else."""

    def __init__(self, lie: Lie) -> None:
        super().__init__(devices())
        object.__setattr__(self, "lie", lie)

    def run(self, plan: RoundPlan) -> RoundResult:
        result: RoundResult = self.lie(plan, super().run(plan))  # type: ignore[attr-defined]
        return result


def training(lie: Lie, path: Path, target: Target | None = TARGET) -> tuple[SecureAveraging, Ledger | None]:
    engine = Liar(lie)
    ledger = None
    if target is not None:
        ledger = Ledger.create(path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=80)
    model, mean = engine.devices.model, mean_for(engine.devices, target=target)
    step = ServerStep(momentum=0.5)
    return SecureAveraging(engine=engine, model=model, test=TEST, mean=mean, ledger=ledger, step=step), ledger


def _with(**changes: Any) -> Lie:
    return lambda _, result: replace(result, **changes)


NAN = float("nan")
LIES: dict[str, Lie] = {
    "below the threshold": _with(contributors=(0, 1, 2, 3)),
    "one": _with(contributors=(0,)),
    "none": _with(contributors=()),
    "repeated": _with(contributors=(0,) * 8),
    "unknown": _with(contributors=tuple(range(100, 108))),
    "more than there are": _with(contributors=tuple(range(9))),
    "descending": _with(contributors=tuple(range(7, -1, -1))),
    "bools": _with(contributors=(False, True, 2, 3, 4, 5)),
    "no tuple": _with(contributors=None),
    "shorter": lambda _, result: replace(result, total=result.total[:-1]),  # type: ignore[index]
    "NaN": lambda _, result: replace(result, total=np.full(len(result.total), NAN)),  # type: ignore[arg-type]
    "signed": lambda _, result: replace(result, total=result.total.astype(np.int64)),  # type: ignore[union-attr]
    "list": lambda _, result: replace(result, total=result.total.tolist()),  # type: ignore[union-attr]
    "masked": lambda _, result: replace(result, total=np.ma.masked_all_like(result.total)),  # type: ignore[no-untyped-call]
    "above the modulus": lambda plan, result: replace(
        result,
        total=np.asarray(result.total) + np.uint64(plan.session.modulus),
    ),
    "no result": lambda _, result: result.total,
    "nothing": lambda *_: None,
    "total and reason": _with(withheld="too few"),
    "reason that is no text": _with(total=None, withheld=7),
    "secrets of nobody": _with(attached={9: ()}),
    "secrets that nobody attached": _with(attached={0: (Secret(bytes(32)),)}),
    "no secrets": _with(attached=None),
    "no cost": _with(cost=None),
    "cost NaN": _with(cost=Cost(server_s=NAN)),
    "negative cost": _with(cost=Cost(client_s={0: -1.0})),
    "cost that is no mapping": _with(cost=Cost(client_s=[1.0])),  # type: ignore[arg-type]
    "step with an escape sequence": _with(dropped={"share\x1b[2J": (1,)}),
    "dropped nobody": _with(dropped={"share": (9,)}),
    "dropped no mapping": _with(dropped=None),
    "failed nobody": _with(failed={9: "why"}),
    "failed without a reason": _with(failed={1: None}),
}


@pytest.mark.parametrize("target", [TARGET, replace(TARGET, trust=Trust.LOCAL), None], ids=["noise", "local", "none"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lying_result_changes_no_model_and_commits_nothing(lie: Lie, target: Target | None, tmp_path: Path) -> None:
    """The engine names other contributors, or returns what is no sum; the budget stays reserved, and all else as is."""
    secure, ledger = training(lie, tmp_path, target)
    before = copy.deepcopy(secure.state)
    with pytest.raises(EngineError, match=r"^the engine's .*: expected .*, found .*\. Mend the engine\."):
        secure.round()
    assert secure.state.round == before.round
    assert secure.contributors == ()
    pairs = zip((*before.weights, *before.velocity), (*secure.state.weights, *secure.state.velocity), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    if ledger is not None:
        assert [entry.commitment for entry in ledger.entries()] == [None]
        ledger.close()


def test_reason_of_an_engine_is_one_printable_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The engine's reason holds an escape sequence and a second line, which could pass for a line of the log."""
    reason = "too few\x1b[2J\nround 1 releases the mean of 8 contributors"
    secure, _ = training(lambda *_: RoundResult(withheld=reason, failed={0: reason}), tmp_path, None)
    with caplog.at_level("DEBUG"):
        record = secure.round()
    for text in (record.withheld or "", record.failed[0], *(each.getMessage() for each in caplog.records)):
        assert text.isprintable()


def _overwrite(weights: Sequence[Any]) -> None:
    for array in weights:
        np.copyto(array, 9.0)


def _unlock_and_overwrite(weights: Sequence[Any]) -> None:
    for array in weights:
        array.flags.writeable = True
    _overwrite(weights)


@pytest.mark.parametrize("change", [list.clear, _overwrite, _unlock_and_overwrite])
def test_engine_that_writes_to_the_plan_leaves_the_model_as_it_is(change: Callable[[Any], object]) -> None:
    """The engine trains in place, in the arrays that it was given, and then releases nothing."""

    def lie(plan: RoundPlan, _: RoundResult) -> RoundResult:
        with contextlib.suppress(TypeError, ValueError):  # The arrays are read-only, and in a tuple.
            change(plan.weights)
        return RoundResult()

    secure, _ = training(lie, Path(), None)
    before = copy.deepcopy(secure.state.weights)
    assert secure.round().withheld == "the engine gives no reason"
    assert all(np.array_equal(one, other) for one, other in zip(before, secure.state.weights, strict=True))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_interrupted_round_stays_reserved_and_is_never_spent_twice(error: type[BaseException], tmp_path: Path) -> None:
    """The engine is interrupted once; the next round is another reservation, and only that one is committed."""
    errors = [error]

    def lie(_: RoundPlan, result: RoundResult) -> RoundResult:
        if errors:
            raise errors.pop()
        return result

    secure, ledger = training(lie, tmp_path)
    assert ledger is not None
    with ledger:
        with pytest.raises(error):
            secure.round()
        assert [entry.commitment for entry in ledger.entries()] == [None]
        secure.round()
        assert [entry.commitment is None for entry in ledger.entries()] == [True, False]


@pytest.mark.parametrize("target", [replace(TARGET, trust=Trust.LOCAL), replace(TARGET, trust=Trust.CENTRAL), None])
def test_mean_of_too_few_is_not_decoded(target: Target | None) -> None:
    """The noise of one client is enough for the ledger here, but a sum of fewer than agreed hides an update less."""
    mean = mean_for(devices(), target=target)
    session = mean.session(bytes(16))
    total = np.zeros(session.length, dtype=np.uint64)
    with pytest.raises(EncodingError, match="contributors: expected at least 5"):
        mean.decode(total, contributors=4, rotation=mean.rotation(session))
    with pytest.raises(EncodingError, match="total: expected a NumPy array"):
        mean.decode(total.tolist(), contributors=5, rotation=mean.rotation(session))
