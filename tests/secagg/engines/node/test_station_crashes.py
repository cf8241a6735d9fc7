"""A station that is killed at every point, once and twice, in every protocol; and nodes without one of its rules.

What must hold: no step is answered in two ways; whatever may have been opened was reserved before, once; no two sums of
the same inputs differ in few clients; a vector that was sent counts, and no more than the cap allows are; and a node
that has dropped out of one attempt takes part in the next.
"""

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest

from protocols import Adversary
from tests.support.crashing_node import Broken, Fate, Play, Rules
from tests.support.stations import Cohort

pytestmark = pytest.mark.slow

MALICIOUS: Final = Adversary.MALICIOUS
PLAYS: Final = {
    "secagg": (Cohort(), 5),
    "secagg, noise": (Cohort(private=True), 5),
    "secagg, malicious": (Cohort(adversary=MALICIOUS), 5),
    "secagg-plus": (Cohort(protocol="secagg-plus"), 5),
    "secagg-plus, malicious": (Cohort(protocol="secagg-plus", adversary=MALICIOUS), 5),
    "lightsecagg": (Cohort(protocol="lightsecagg"), 5),
    "paillier, client": (Cohort(protocol="paillier"), 5),
    "paillier, both": (Cohort(protocol="paillier"), 2),
    "paillier, member": (Cohort(protocol="paillier"), 21),
    "paillier, malicious, both": (Cohort(protocol="paillier", adversary=MALICIOUS), 2),
    "oneshot, malicious, both": (Cohort(protocol="oneshot", adversary=MALICIOUS), 2),
    "seeds, client": (Cohort(protocol="seeds"), 5),
    "seeds, both": (Cohort(protocol="seeds"), 2),
    "seeds, member": (Cohort(protocol="seeds"), 21),
    "seeds, malicious, both": (Cohort(protocol="seeds", adversary=MALICIOUS), 2),
}

THOROUGH: Final = ("secagg",)
"""The plays with a kill and a power cut at every point; in the others, a point has one of the four fates."""

SLOW: Final = {
    "secagg, noise": 2,
    "secagg, malicious": 2,
    "secagg-plus": 2,
    "secagg-plus, malicious": 3,
    "lightsecagg": 2,
    "paillier, client": 1,
    "paillier, both": 1,
    "paillier, member": 1,
    "paillier, malicious, both": 2,
    "oneshot, malicious, both": 4,
    "seeds, client": 1,
    "seeds, both": 2,
    "seeds, member": 2,
    "seeds, malicious, both": 3,
}
"""The plays that take longest, and the distance of the points that are tried in them. The long test tries all."""


def play_of(folder: Path, name: str) -> Play:
    return Play(folder, *PLAYS[name])


def schedules(name: str, points: int) -> Iterator[tuple[tuple[int, ...], Fate]]:
    """Yield crashes at every point, or at every few, and some pairs of them."""
    for index, point in enumerate(range(0, points, SLOW.get(name, 1))):
        fates = (Fate.KILL, Fate.POWER_CUT) if name in THOROUGH else (list(Fate)[index % 4],)
        for fate in fates:
            yield (point,), fate
    for first in range(0, 0 if name in SLOW else points, 8):
        yield (first, first + 1 + first % 5), (Fate.KILL, Fate.POWER_CUT)[first % 2]


@pytest.mark.parametrize("name", PLAYS)
def test_crash_at_any_point_breaks_nothing(tmp_path: Path, name: str) -> None:
    play = play_of(tmp_path, name)
    for crashes, fate in schedules(name, play.run()):
        play.run(crashes, fate)


@pytest.mark.parametrize("name", ["secagg, malicious", "paillier, both"])
def test_node_sends_no_more_vectors_than_its_cap_through_any_crash(tmp_path: Path, name: str) -> None:
    play = Play(tmp_path, *PLAYS[name], cap=1)
    for crashes, fate in schedules(name, play.run()):
        play.run(crashes, fate)


@pytest.mark.parametrize("name", ["secagg", "paillier, client"])
def test_node_that_counts_a_session_after_its_reply_breaks(tmp_path: Path, name: str) -> None:
    with pytest.raises(Broken, match="1 vectors are sent, and 0 are counted"):
        play_of(tmp_path, name).run(rules=Rules(counts=False))


@pytest.mark.long
@pytest.mark.parametrize("name", PLAYS)
def test_crashes_at_any_two_points_break_nothing(tmp_path: Path, name: str) -> None:
    play = play_of(tmp_path, name)
    points = play.run()
    for fate in Fate:
        for crashes in itertools.combinations_with_replacement(range(points), 2):
            play.run(crashes, fate)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("secagg", Rules(records=False)),
        ("secagg", Rules(syncs=False)),
        ("secagg", Rules(in_memory=False)),
        ("secagg, malicious", Rules(in_memory=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(field for field in vars_of(value)),
)
def test_node_without_a_rule_breaks(tmp_path: Path, name: str, rules: Rules) -> None:
    assert "is answered in two ways" in first_breach(play_of(tmp_path, name), rules)


def first_breach(play: Play, rules: Rules) -> str:
    """Return what breaks first without some rules, in any single crash but that of a process alone."""
    points = play.run()
    for point, fate in itertools.product(range(points), (Fate.POWER_CUT, Fate.OLDER_LIVE, Fate.RESTORED)):
        try:
            play.run([point], fate, rules)
        except Broken as error:
            return str(error)
    return ""


def vars_of(rules: Rules) -> list[str]:
    """Return the names of the rules that are left out."""
    return [name for name, kept in asdict(rules).items() if not kept]
