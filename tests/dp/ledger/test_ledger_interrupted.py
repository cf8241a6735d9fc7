import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from dp.errors import LedgerUnavailable
from dp.ledger.ledger import Ledger
from tests.support.ledgers import EVENT


class InterruptingTracer:
    """A trace function that raises KeyboardInterrupt at one line run in the ledger's code, counted from 1."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: object) -> "InterruptingTracer | None":
        if Path(frame.f_code.co_filename).parts[-2:] not in {
            ("ledger", "ledger.py"),
            ("ledger", "log.py"),
            ("ledger", "sqlite_log.py"),
            ("ledger", "account.py"),
            ("ledger", "view.py"),
            ("ledger", "charges.py"),
        }:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def interrupted(at: int, call: Callable[[Ledger], object], ledger: Ledger) -> bool:
    """Call, with an interruption at the given line; return whether there was one."""
    before = sys.gettrace()
    sys.settrace(InterruptingTracer(at))
    try:
        call(ledger)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def goes_on(ledger: Ledger) -> bool:
    """Return whether the ledger still takes a reservation, having counted it; otherwise it must be closed."""
    before = len(ledger.entries())
    try:
        number = ledger.reserve(EVENT, "three")
    except LedgerUnavailable as error:
        if "closed" in str(error):
            return False
        raise
    assert number == len(ledger.entries()) == before + 1
    return True


# An interruption at any line either changes nothing, or closes the ledger, and then the file counts at least as much.
@pytest.mark.parametrize(
    "step",
    [lambda ledger: ledger.reserve(EVENT, "two"), lambda ledger: ledger.commit(1, contributors=100)],
    ids=["reserve", "commit"],
)
def test_interrupted_steps_never_undercount(
    memory: Path, request: pytest.FixtureRequest, step: Callable[[Ledger], object]
) -> None:
    went_on: list[bool] = []
    while True:
        path = memory / f"{request.node.name} {len(went_on)}"
        with Ledger.create(path, epsilon=8.0, delta=1e-3, population=300) as ledger:
            ledger.reserve(EVENT, "one")
            if not interrupted(len(went_on) + 1, step, ledger):
                break
            went_on.append(goes_on(ledger))
            in_memory, spent = ledger.entries(), ledger.spent()
        with Ledger.open(path) as reopened:
            if went_on[-1]:
                assert (reopened.entries(), reopened.spent()) == (in_memory, spent)
            assert len(reopened.entries()) >= len(in_memory)
            assert reopened.spent().epsilon >= spent.epsilon
            assert reopened.reserve(EVENT, "four") == len(reopened.entries())
    assert went_on.count(True) > 5
    assert went_on.count(False) > 15
