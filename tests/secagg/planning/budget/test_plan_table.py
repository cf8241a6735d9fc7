"""The table of a plan, as data, as text and as a page."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.events import GaussianEvent
from dp.noise.distributed import LatticeNoise
from secagg.commands.budget_plan import plan_on_terminal
from secagg.errors import ConfigurationError
from secagg.planning.budget.page import as_html
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import BudgetRequest
from secagg.planning.budget.rows import as_text
from secagg.planning.budget.table import tabulated
from tests.support.plans import UNASKED

RUN: dict[str, Any] = {"clients": 3400, "rounds": 1500, "delta": 2.94117e-4, "epsilon": 6.0}


def test_table_has_the_plan_in_its_middle_and_the_later_rounds_in_a_row() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100, more_rounds=500), table=True)
    table = found.table
    assert table is not None
    assert table.rounds == (150, 375, 750, 1125, 1500, 2000, 2250, 3000)
    assert table.releases == (5, 12, 23, 34, 45, 59, 67, 89)
    assert table.noise_multipliers == (2.1657, 3.0627, 4.3313, 6.1254, 8.6625)
    for releases, row in zip(table.releases, table.epsilon, strict=True):
        for noise, epsilon in zip(table.noise_multipliers, row, strict=True):
            assert epsilon == guarantee({GaussianEvent(noise_multiplier=noise): releases}, delta=found.delta).epsilon
    middle = table.epsilon[4][2]
    assert isinstance(middle, float)
    assert 5.999 < middle <= 6
    assert json.loads(found.as_json())["table"]["epsilon"][4][2] == middle


def test_table_of_a_larger_cap_has_its_releases_where_it_may_be_reached() -> None:
    request = BudgetRequest(**RUN, cohort=100, cap=60)
    found = tabulated(request, GaussianEvent(noise_multiplier=5.0))
    assert found.rounds == (150, 375, 750, 1125, 1500, 2250, 3000)
    assert found.releases == (60, 60, 60, 60, 60, 67, 89)
    short = tabulated(
        BudgetRequest(clients=20, rounds=10, cohort=10, cap=6, epsilon=6.0), GaussianEvent(noise_multiplier=5.0)
    )
    assert short.rounds[:3] == (1, 3, 5)
    assert short.releases[:3] == (1, 3, 5)


def test_table_of_a_short_run_has_no_row_twice() -> None:
    found = tabulated(BudgetRequest(clients=300, rounds=1, epsilon=1.0), GaussianEvent(noise_multiplier=5.0))
    assert found.rounds == found.releases == (1, 2)


@pytest.mark.parametrize("mechanism", LatticeNoise)
def test_table_of_noise_shares_is_accounted_as_such(mechanism: LatticeNoise) -> None:
    request = BudgetRequest(
        clients=300, rounds=30, cohort=100, epsilon=6.0, mechanism=mechanism, dimension=650, bits=18
    )
    found = plan(request, table=True)
    table = found.table
    assert table is not None
    column = table.epsilon[table.rounds.index(30)]
    for noise, epsilon in zip(table.noise_multipliers, column, strict=True):
        continuous = guarantee({GaussianEvent(noise_multiplier=noise): 10}, delta=found.delta).epsilon
        assert isinstance(epsilon, float)
        assert continuous <= epsilon * (1 + 1e-9)
        assert epsilon < 1.001 * continuous


def test_table_of_a_secret_sample_is_towards_readers() -> None:
    found = plan(BudgetRequest(clients=3400, rounds=40, sampling=0.03, noise_multiplier=3.0), table=True)
    assert found.table is not None
    assert found.table.rounds == found.table.releases == (10, 20, 40, 80)
    assert found.table.epsilon[2][1] == found.epsilon
    assert "towards readers, under the conditions of the secret sample" in as_text(found)


def test_table_has_a_word_for_what_cannot_be_accounted() -> None:
    found = tabulated(
        BudgetRequest(clients=300, rounds=1, noise_multiplier=1e-30), GaussianEvent(noise_multiplier=1e-30)
    )
    assert found.epsilon[0][0] == "infinite"


def test_table_as_text_is_aligned() -> None:
    found = plan(BudgetRequest(**RUN, cohort=100), table=True)
    caption, heads, *lines = as_text(found).split("\n\n")[1].splitlines()
    assert caption.startswith("Epsilon at delta 0.000294117 by rounds and noise multiplier, towards the server, if ")
    assert heads.split("  ")[0].strip() == "Rounds"
    assert {len(each) for each in (heads, *lines)} == {len(heads)}
    figures = ["14.7746", "9.3299", "6.0000", "3.9147", "2.5823"]
    assert re.split(r" {2,}", lines[4].strip()) == ["1,500", "45", *figures]
    everybody = as_text(plan(BudgetRequest(clients=300, rounds=30, epsilon=6.0), table=True))
    assert "Releases" not in everybody


def test_page_holds_the_plan_its_table_and_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "plan.html"
    plan_on_terminal(**UNASKED | RUN | {"cohort": 100, "html": page, "as_json": True})
    printed = json.loads(capsys.readouterr().out)
    text = page.read_text(encoding="utf-8")
    assert printed["table"]["releases"][4] == 45
    for words in ("<h1>Privacy plan</h1>", "data:image/svg+xml;base64,", "Towards readers", "<td>45</td>", "25.007"):
        assert words in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert not re.search(r"<script|<link", text)


def test_page_of_figures_without_bound_still_has_a_chart() -> None:
    found = plan(BudgetRequest(clients=300, rounds=1, noise_multiplier=5.0), table=True)
    assert found.table is not None
    unbounded = msgspec.structs.replace(found.table, epsilon=(("infinite",) * 5,) * 2)
    page = as_html(msgspec.structs.replace(found, table=unbounded))
    assert page.count("<td>infinite</td>") == 10
    assert "data:image/svg+xml;base64," in page


def test_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for page, reason in ((tmp_path / "no folder" / "plan.html", "there is no folder"), (tmp_path, "it is a folder")):
        with pytest.raises(ConfigurationError, match=rf"^--html: expected a file that can be written, .*: {reason}"):
            plan_on_terminal(**UNASKED | RUN | {"cohort": 100, "html": page})
