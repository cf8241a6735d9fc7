"""The file of a ledger as a target."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from secagg.audit.account.ledger_file import CHECKS, EpsilonFromBelow, LedgerFileSubject, WithinBudget
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.runner import finding, findings
from secagg.audit.targets import target_of
from secagg.errors import ConfigurationError
from tests.support.audit_checks import MASTER

Build = Callable[[Path], None]


def honest(path: Path) -> None:
    with Ledger.create(path, epsilon=8.0, delta=1e-5, population=1000) as ledger:
        for number in range(3):
            ticket = ledger.reserve(GaussianEvent(noise_multiplier=3.0), f"round {number}")
            ledger.commit(ticket, contributors=10, realised=GaussianEvent(noise_multiplier=3.5))


def found(path: Path) -> dict[str, Finding]:
    target = target_of(str(path))
    assert target.kind == "ledger"
    return {each.attack: each for each in findings(target.subjects, CHECKS, level=Level.QUICK, master=MASTER)}


def test_ledger_as_written_is_not_rejected(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    honest(path)
    before = path.read_bytes()
    results = found(path)
    assert {each.verdict for each in results.values()} == {Verdict.NOT_REJECTED}
    assert results["account.file.epsilon"].value == pytest.approx(1.0, abs=0.2)
    assert path.read_bytes() == before


def test_altered_ledger_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    honest(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"round 1")
    data[at] ^= 1
    path.write_bytes(data)
    assert found(path)["account.file.chain"].verdict is Verdict.REJECTED


class _Scaled(LedgerFileSubject):
    """A ledger that counts another epsilon than its own."""

    factor = 1.0

    def open(self) -> Ledger:
        ledger = super().open()
        spent, factor = ledger.spent(), self.factor

        class Spent:
            epsilon = spent.epsilon * factor

        ledger.spent = lambda client=None: Spent  # type: ignore[assignment, method-assign, return-value]
        return ledger


@pytest.mark.parametrize(("factor", "check"), [(0.8, EpsilonFromBelow()), (10.0, WithinBudget())])
def test_ledger_that_counts_too_little_or_too_much_is_rejected(
    factor: float, check: EpsilonFromBelow | WithinBudget, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.sqlite"
    honest(path)
    subject = _Scaled(path)
    assert finding(subject, check, level=Level.QUICK, master=MASTER).verdict is Verdict.NOT_REJECTED
    subject.factor = factor
    assert finding(subject, check, level=Level.QUICK, master=MASTER).verdict is Verdict.REJECTED


@pytest.mark.parametrize("name", ["empty", "text.txt"])
def test_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"" if name == "empty" else b"hello, world, this is text")
    with pytest.raises(ConfigurationError, match="which is none of them"):
        target_of(str(tmp_path / name))
