"""Protocols by name, ours and those of other distributions."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocols import (
    Adversary,
    LightSecAgg,
    OneShot,
    ParameterError,
    PlainSum,
    SecAgg,
    SecAggPlus,
    SecureSum,
    UnknownProtocol,
    available,
    load,
    registry,
)
from secagg.interruption import Interrupted
from tests.support.plugins import install

PLUGIN = '''
from dataclasses import dataclass
from protocols import PlainSum

@dataclass(frozen=True)
class Renamed(PlainSum):
    """Another distribution's protocol."""
    name = "renamed"

nothing = 7
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another distribution, installed: metadata and a module on the path."""
    metadata = tmp_path / "other_protocols-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-protocols\nVersion: 1.0\n")
    points = "[secagg.protocols]\nrenamed = other_protocols:Renamed\nbroken = other_protocols:nothing\n"
    points += "plain = other_protocols:Renamed\nmissing = other_protocols:absent\ngone = no_such_module:x\n"
    (metadata / "entry_points.txt").write_text(points)
    (tmp_path / "other_protocols.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("other_protocols", None)


OWN = [("lightsecagg", LightSecAgg), ("plain", PlainSum), ("secagg", SecAgg), ("secagg-plus", SecAggPlus)]


@pytest.mark.parametrize(("name", "kind"), OWN)
def test_own_protocols_are_found_by_the_name_they_give_themselves(name: str, kind: type[SecureSum]) -> None:
    assert load(name) is kind
    assert kind.name == name
    assert available() == tuple(sorted(set(available())))


@pytest.mark.usefixtures("plugin")
def test_protocol_of_another_distribution_is_found() -> None:
    assert "renamed" in available()
    assert load("renamed").name == "renamed"
    assert issubclass(load("renamed"), PlainSum)


def test_protocol_that_is_installed_or_removed_later_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert "later" not in available()
    install(tmp_path, {"later": "other_protocols:Disguised"})
    assert "later" in available()
    shutil.rmtree(tmp_path / "other_protocols-1.0.dist-info")
    assert "later" not in available()


def test_distributions_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load("plain")

    def read_again(**_: str) -> None:
        raise AssertionError("the distributions are read again")

    monkeypatch.setattr("protocols.registry.entry_points", read_again)
    assert load("plain") is PlainSum
    assert "plain" in available()


@pytest.mark.usefixtures("plugin")
def test_what_is_no_protocol_is_refused() -> None:
    with pytest.raises(ParameterError, match="other_protocols:nothing"):
        load("broken")


@pytest.mark.usefixtures("plugin")
def test_name_that_two_distributions_claim_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"other_protocols:Renamed, protocols\.plain:PlainSum"):
        load("plain")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["missing", "gone"])
def test_protocol_that_cannot_be_imported_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="cannot be imported"):
        load(name)


@pytest.mark.parametrize("name", ["", "secagg+", "SecAgg", "no such protocol"])
def test_unknown_name_is_refused_and_the_known_ones_named(name: str) -> None:
    with pytest.raises(UnknownProtocol, match="secagg-plus"):
        load(name)


def test_every_registered_protocol_is_whole() -> None:
    for name in available():
        kind = load(name)
        assert kind.name == name
        protocol, threshold = kind.suggest(clients=5, adversarial=0.0, dropout=0.0)
        assert type(protocol) is kind
        assert 2 <= threshold <= 5
        assert protocol.steps
        assert len({row.name for row in protocol.steps}) == len(protocol.steps)


def test_protocol_of_another_name_than_its_base_shows_it_once() -> None:
    @dataclass(frozen=True)
    class Renamed(PlainSum):
        name = "renamed"

    assert str(Renamed()) == "renamed"


def test_protocol_is_shown_by_its_name_and_what_was_chosen() -> None:
    assert str(SecAgg()) == "secagg"
    assert str(SecAggPlus(neighbours=4, share_threshold=3)) == "secagg-plus, neighbours 4, share_threshold 3"
    assert str(OneShot(headroom=True, adversary=Adversary.MALICIOUS)) == "oneshot, adversary malicious, headroom"


@pytest.mark.parametrize("signalled", [KeyboardInterrupt(), Interrupted(15)])
def test_signal_while_a_protocol_says_what_it_is_is_no_fault_of_the_protocol(
    signalled: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise signalled

    monkeypatch.setattr(SecAggPlus, "suggest", interrupt)
    with pytest.raises(type(signalled)):
        registry.suggest(
            "secagg-plus", SecAggPlus, clients=10, adversarial=0.1, dropout=0.1, adversary=Adversary.CURIOUS
        )
    monkeypatch.setattr(registry, "_lacking", interrupt)
    with pytest.raises(type(signalled)):
        load("secagg-plus")
