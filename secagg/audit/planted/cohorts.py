"""Planted bugs of cohorts: runs whose ledger, draw or claim is not what the settings promise."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache
from typing import Any, Final

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import PrivacyEvent
from dp.ledger.charges import FilteredCharges
from dp.ledger.ledger import Ledger
from dp.ledger.rounds import Rounds
from secagg.audit.planted.base import Planted
from secagg.audit.planted.files import SETTINGS, kept_folder
from secagg.audit.planted.patch import replaced
from secagg.audit.run_folder.subject import RunSubject
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.training import drawing
from secagg.training.cohorts import draw_in_turn

_COHORTS: Final = {"cohort": 8, "rounds": 3, "dropout": 0.13, "minimum_contributors": 6}


def _run(name: str, *patches: tuple[object, str, object]) -> RunSubject:
    """Return the folder of a run with cohorts, made while attributes are replaced."""
    folder, settings = RunFolder(kept_folder() / name), parse({**SETTINGS, **_COHORTS})
    folder.begin(settings)
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(replaced(*patch))
        run_training(prepare(settings), folder, resume=False, observe=lambda *_: None)
    return RunSubject(folder.path)


@cache
def _once_too_often() -> RunSubject:
    """Return a run whose ledger lets the same clients take part in a third round, where the cap is 2."""
    return _run(
        "planted-35",
        (drawing, "draw_in_turn", lambda *_, cohort, **__: tuple(range(cohort))),
        (Rounds, "check_cap", lambda *_: None),
        (FilteredCharges, "admits", lambda *_, **__: True),
    )


@cache
def _one_left_out() -> RunSubject:
    """Return a run whose ledger never counts the first client that a round asks."""
    reserve, commit, counted = Ledger.reserve, Ledger.commit, set[int]()

    def reserve_others(
        self: Ledger, event: PrivacyEvent, label: str, *, contributors: int, participants: Iterable[int]
    ) -> int:
        _, *others = sorted(participants)
        counted.clear()
        counted.update(others)
        return reserve(self, event, label, contributors=contributors - 1, participants=others)

    def commit_others(self: Ledger, number: int, *, contributors: Iterable[int], **named: Any) -> None:
        commit(self, number, contributors=counted & set(contributors), **named)

    return _run("planted-75", (Ledger, "reserve", reserve_others), (Ledger, "commit", commit_others))


@cache
def _less_than_the_budget() -> RunSubject:
    """Return a run that states what was spent, where its ledger's filter guarantees the budget alone."""
    return _run(
        "planted-76",
        (Guarantee, "claim", property(lambda _: Claim.SPENT)),
        (Guarantee, "epsilon", property(lambda found: found.least_bound)),
    )


@cache
def _another_draw() -> RunSubject:
    """Return a run that goes through the population in another order than its seed says."""
    return _run(
        "planted-77", (drawing, "draw_in_turn", lambda order, *rest, **named: draw_in_turn(order[::-1], *rest, **named))
    )


@cache
def _absent_contributors() -> RunSubject:
    """Return a run whose ledger counts everybody as a contributor who was asked."""
    reserve, commit, asked = Ledger.reserve, Ledger.commit, list[int]()

    def noting(self: Ledger, event: PrivacyEvent, label: str, *, participants: Iterable[int], **named: Any) -> int:
        asked[:] = participants
        return reserve(self, event, label, participants=asked, **named)

    def commit_all(self: Ledger, number: int, *, contributors: Iterable[int], **named: Any) -> None:  # noqa: ARG001
        commit(self, number, contributors=asked, **named)

    return _run("planted-78", (Ledger, "reserve", noting), (Ledger, "commit", commit_all))


PLANTED: Final[tuple[Planted, ...]] = (
    Planted(
        number=35,
        bug="a client that is asked once more than the cap allows",
        claim="C-30",
        caught_by="run.ledger.cap",
        subject=_once_too_often,
    ),
    Planted(
        number=75,
        bug="a ledger that does not count one of the clients that a round asks",
        claim="C-30",
        caught_by="run.ledger.asked",
        subject=_one_left_out,
    ),
    Planted(
        number=76,
        bug="a run that states what was spent, although only the budget is guaranteed",
        claim="C-30",
        caught_by="run.account.recount",
        subject=_less_than_the_budget,
    ),
    Planted(
        number=77,
        bug="a run that draws other cohorts than its settings",
        claim="C-30",
        caught_by="run.ledger.asked",
        subject=_another_draw,
    ),
    Planted(
        number=78,
        bug="a ledger that counts clients that dropped out as contributors",
        claim="C-30",
        caught_by="run.ledger.missing",
        subject=_absent_contributors,
    ),
)
"""Planted bugs 35, and 75 to 78 for runs with cohorts."""
