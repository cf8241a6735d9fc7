import base64
import importlib
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dp.accounting import guarantee
from dp.errors import MissingExtra
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent
from dp.ledger import Ledger
from dp.report import BudgetReport, rounded_up

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def report(tmp_path: Path) -> BudgetReport:
    with Ledger.create(tmp_path / "l", epsilon=8, delta=1e-3, population=300, clock=lambda: 1e9) as ledger:
        ledger.commit(ledger.reserve(EVENT, "first"), contributors=120, details={"accuracy": 0.5})
        ledger.reserve(EVENT, "<script>alert(1)</script>")
        ledger.commit(ledger.reserve(GaussianEvent(noise_multiplier=3.0), "third"), contributors=5)
        return BudgetReport.from_ledger(ledger)


@pytest.fixture
def empty(tmp_path: Path) -> BudgetReport:
    with Ledger.create(tmp_path / "e", epsilon=8, delta=1e-3, population=300, clock=lambda: 1e9) as ledger:
        return BudgetReport.from_ledger(ledger)


def test_report_collects_the_ledger(report: BudgetReport) -> None:
    gaussian = GaussianEvent(noise_multiplier=3.0)
    assert report.spent == guarantee({EVENT: 2, gaussian: 1}, delta=1e-3)
    assert report.continuous == guarantee({GaussianEvent(noise_multiplier=2.0): 2, gaussian: 1}, delta=1e-3)
    assert [release.epsilon_after for release in report.releases] == [
        guarantee({EVENT: 1}, delta=1e-3).epsilon,
        guarantee({EVENT: 2}, delta=1e-3).epsilon,
        report.spent.epsilon,
    ]
    assert [release.contributors for release in report.releases] == [120, None, 5]
    assert report.uncommitted == (2,)
    assert [count for _, count in report.mechanisms] == [2, 1]
    deltas, epsilons = zip(*report.epsilon_by_delta, strict=True)
    assert list(deltas) == sorted(deltas, reverse=True)
    assert list(epsilons) == sorted(epsilons)
    assert dict(report.epsilon_by_delta)[1e-3] == report.spent.epsilon


def test_text_says_what_is_guaranteed(report: BudgetReport) -> None:
    text = report.as_text()
    for words in (
        f"({rounded_up(report.spent.epsilon)}, 0.001)-differentially private for one client, relation zero-out",
        "2 x distributed discrete Gaussian, local sigma 20 from at least 100 clients",
        "1 x Gaussian, noise multiplier 3",
        "Renyi DP (arXiv 2102.06387v4",
        "2 (counted as spent)",
        f"epsilon {rounded_up(report.continuous.epsilon)} at the same noise multiplier",
        "below 0.00333",
        "Vectors are summed",
        "adds its whole share",
        report.head,
    ):
        assert words in text
    assert re.search(r"^ +2 .*uncommitted", text, re.MULTILINE)


def test_json_is_versioned_and_complete(report: BudgetReport) -> None:
    document = json.loads(report.as_json())
    assert (document["schema"], document["version"]) == ("secagg-budget-report", 1)
    assert document["spent"]["epsilon"] == report.spent.epsilon
    assert document["spent"]["relation"] == "zero-out"
    assert document["budget"]["unit"] == "client"
    assert document["uncommitted"] == [2]
    assert document["releases"][0]["details"] == {"accuracy": 0.5}
    assert document["releases"][1]["contributors"] is None
    assert len(document["assumptions"]) == 5
    assert len(document["epsilon_by_delta"]) == 45


def test_html_is_one_file_with_charts_for_both_schemes(report: BudgetReport) -> None:
    page = report.as_html()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r'(src|href|srcset)="(?!data:)', page)
    assert "url(" not in page
    drawings = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(set(drawings)) == 6
    for drawing in drawings:
        assert ElementTree.fromstring(base64.b64decode(drawing)).tag.endswith("svg")
    for words in ("zero-out", "uncommitted", rounded_up(report.spent.epsilon), report.head, "prefers-color-scheme"):
        assert words in page
    assert page == report.as_html()


def test_empty_ledger_has_a_report(empty: BudgetReport) -> None:
    assert "(0.0000, 0.001)-differentially private" in empty.as_text()
    assert json.loads(empty.as_json())["releases"] == []
    assert "<img" not in empty.as_html()


def test_epsilon_is_never_rounded_down() -> None:
    assert rounded_up(7.99990001) == "8.0000"
    assert rounded_up(1.00001) == "1.0001"
    assert rounded_up(2.0) == "2.0000"
    assert rounded_up(math.inf) == "infinite"
    assert rounded_up(2.0**1000) == f"{2**1000}.0000"


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_html_names_the_extra_it_needs(report: BudgetReport, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == module:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
    with pytest.raises(MissingExtra, match=rf'{module}.*pip install "secagg-toolkit\[report\]"'):
        report.as_html()
    assert report.as_text()


def test_importing_the_package_is_light() -> None:
    code = "import sys, dp; print([m for m in ('scipy', 'dp_accounting', 'jinja2', 'matplotlib') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert run.stdout == "[]\n"
    assert sorted(importlib.import_module("dp").__all__) == importlib.import_module("dp").__all__
