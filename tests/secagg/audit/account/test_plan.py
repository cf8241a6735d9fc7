"""A training's settings as a target."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from secagg.audit.account.plan import CHECKS, TrainingSubject
from secagg.audit.attack import Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.runner import findings
from secagg.audit.targets import target_of
from secagg.runs.parsing import parse
from secagg.runs.prepare import Prepared, prepare
from tests.support.audit_checks import MASTER

SETTINGS: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 16,
    "delta": 0.01,
    "rounds": 4,
}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(parse(SETTINGS))


def found(prepared: Prepared) -> dict[str, Finding]:
    subject = TrainingSubject("settings", prepared)
    return {each.attack: each for each in findings([subject], CHECKS, level=Level.QUICK, master=MASTER)}


def test_plan_is_not_rejected(prepared: Prepared) -> None:
    results = found(prepared)
    assert results.keys() == {check.id for check in CHECKS}
    assert {each.verdict for each in results.values()} == {Verdict.NOT_REJECTED}


def test_plan_of_more_rounds_than_the_budget_allows_is_rejected(prepared: Prepared) -> None:
    longer = replace(prepared, config=msgspec.structs.replace(prepared.config, rounds=5))
    assert found(longer)["account.plan.budget"].verdict is Verdict.REJECTED


def test_plan_with_too_little_noise_is_rejected(prepared: Prepared) -> None:
    mean, target = prepared.mean, prepared.mean.target
    assert mean.noise is not None
    assert target is not None
    for changed in (
        replace(mean, noise=replace(mean.noise, l2_sensitivity=0.9 * mean.noise.l2_sensitivity)),
        replace(mean, noise=replace(mean.noise, dimension=3)),
        replace(mean, target=replace(target, colluding=target.colluding + 1)),
    ):
        assert found(replace(prepared, mean=changed))["account.plan.noise"].verdict is Verdict.REJECTED


def test_plan_without_noise_claims_nothing_of_it() -> None:
    results = found(prepare(parse(SETTINGS | {"epsilon": float("inf")})))
    assert results.keys() == {"account.plan.threshold"}


def test_settings_are_a_target(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in SETTINGS.items()))
    target = target_of(str(path))
    assert (target.kind, target.name) == ("configuration", "settings.toml")
    assert target.limits
