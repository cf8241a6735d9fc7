"""Protocols of other distributions on the command line: broken ones, and a baseline under a name of its own."""

import html
import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from dp.events import Trust
from protocols import Adversary, load
from secagg.commands.protocols import rows
from secagg.reports.wording import assumed_server, protection
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.tolerance import Cohort
from tests.support.commands import SMALL, secagg
from tests.support.plugins import BASELINE, install

OWN: Final = ("lightsecagg", "oneshot", "paillier", "plain", "secagg", "secagg-plus", "seeds")
BROKEN: Final = {
    "raises": (
        "raise ValueError('no\\nluck \\x1b[31m today')",
        "ValueError: no luck \N{REPLACEMENT CHARACTER}[31m today",
    ),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "exits-silently": ("import sys; sys.exit()", "SystemExit"),
    "lacks": ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
    "speechless": ("class E(Exception):\n    def __str__(self): raise KeyError\nraise E", "E"),
    "endless": ("raise RuntimeError('x' * 10**6)", "xxx..."),
    "syntax": ("def", "SyntaxError: invalid syntax"),
    "wireless": (
        "from protocols import SecureSum\nclass protocol(SecureSum): name = 'wireless'",
        "TypeError: protocol.wire: expected the version of its bytes, an int, found none. State one; start with 1.",
    ),
}
LOADED: Final = {
    "no-sum": ("protocol = 7", "is not a subclass of SecureSum"),
    "half": (
        "from protocols import SecureSum\nclass protocol(SecureSum): name, wire = 'half', 1",
        "does not define _validate, client_party",
    ),
    "nameless": (
        "from protocols.encrypted import EncryptedSum\n"
        "class protocol(EncryptedSum):\n    def payload(self, session): pass",
        "has no name",
    ),
    "boastful": (
        "from protocols import PlainSum\nclass protocol(PlainSum): name, adversaries = 'boastful', 'everyone'",
        "not a tuple of Adversary",
    ),
    "misnumbered": (
        "from protocols import PlainSum\nclass protocol(PlainSum): name, wire = 'misnumbered', '2'",
        "its `wire` is not an int",
    ),
    "doubtful": (
        "from protocols import PlainSum\nclass protocol(PlainSum): name, experimental = 'doubtful', True",
        "its `experimental` is not a str",
    ),
    "failing": (
        "from protocols import PlainSum\nclass protocol(PlainSum):\n    @classmethod\n"
        "    def suggest(cls, **_): raise TypeError('not today')",
        "fails to suggest parameters: TypeError: not today",
    ),
    "leaving": (
        "from protocols import PlainSum\nclass protocol(PlainSum):\n    @classmethod\n"
        "    def suggest(cls, **_): raise SystemExit(0)",
        "fails to suggest parameters: SystemExit: 0",
    ),
    "exchanged": (
        "from protocols import PlainSum, SecAgg\nclass protocol(SecAgg):\n    name = 'exchanged'\n    @classmethod\n"
        "    def suggest(cls, **_): return PlainSum(), 2",
        "exchanged.suggest: expected a protocol and an int, found PlainSum, int",
    ),
}
_PLAIN: Final = "from protocols import Adversary, Extra, PlainSum, SecAgg\n"
LYING: Final = {
    "made-secure": (
        f"{_PLAIN}class protocol(PlainSum): name = 'made-secure'\nprotocol.protects = True",
        "contradicts itself: `protects` is not False",
    ),
    "by-a-base": (
        f"{_PLAIN}class Base:\n    def __init_subclass__(cls): cls.protects = True\n"
        "class protocol(Base, PlainSum): name = 'by-a-base'",
        "contradicts itself: `protects` is not False",
    ),
    "by-its-object": (
        f"{_PLAIN}class protocol(PlainSum):\n    name = 'by-its-object'\n"
        "    def __getattribute__(self, name): return name == 'protects' or super().__getattribute__(name)",
        "found another protects",
    ),
    "proven-later": (
        f"{_PLAIN}class protocol(SecAgg):\n    name, experimental = 'proven-later', 'nobody has checked it'\n"
        "    def __post_init__(self): object.__setattr__(self, 'experimental', '')",
        "found another experimental",
    ),
    "taking-all": (
        f"{_PLAIN}class protocol(PlainSum):\n    name = 'taking-all'\n"
        "    def __init__(self): object.__setattr__(self, 'accepts', frozenset(Extra))",
        "found another accepts",
    ),
    "unvalidated": (
        f"{_PLAIN}class protocol(PlainSum): name = 'unvalidated'\nprotocol.validate = lambda self, session: None",
        "has a `validate` of its own",
    ),
    "inheriting": (
        f"{_PLAIN}class Base:\n    def validate(self, session): pass\n"
        "class protocol(Base, PlainSum): name = 'inheriting'",
        "TypeError: protocol: expected its checks in `_validate`, found a `validate` of its own",
    ),
    "descending": (
        f"{_PLAIN}class protocol(SecAgg):\n    name = 'descending'\n"
        "    adversaries = (Adversary.MALICIOUS, Adversary.CURIOUS)",
        "not in ascending order, each once",
    ),
    "painted": (
        f"{_PLAIN}class protocol(PlainSum): name = 'painted\\x1b[2J'",
        "its name is not a text of 1 to 200 printable characters",
    ),
    "doubtful-colours": (
        f"{_PLAIN}class protocol(SecAgg): name, experimental = 'doubtful-colours', '\\x1b[8m not proven'",
        "its `experimental` is not at most 300 printable characters",
    ),
    "huge-wire": (
        f"{_PLAIN}class protocol(PlainSum): name, wire = 'huge-wire', 2**70",
        "its `wire` is not in [1, 2147",
    ),
    "undecided": (
        f"{_PLAIN}class No:\n    def __bool__(self): raise KeyError\n"
        "class protocol(PlainSum): name, needs_committee = 'undecided', No()",
        "its `needs_committee` is not a bool",
    ),
    "secretive": (
        f"{_PLAIN}class Meta(type(PlainSum)):\n    def __getattribute__(cls, name):\n"
        "        if name == '__abstractmethods__': raise SystemExit('not \\x1b[2J told')\n"
        "        return super().__getattribute__(name)\n"
        "class protocol(PlainSum, metaclass=Meta): name = 'secretive'",
        "fails to say what it is: SystemExit: not \N{REPLACEMENT CHARACTER}[2J told",
    ),
    "undocumented": (
        f"{_PLAIN}class Meta(type(PlainSum)):\n    def __getattribute__(cls, name):\n"
        "        if name == '__doc__': raise SystemExit(0)\n"
        "        return super().__getattribute__(name)\n"
        "class protocol(PlainSum, metaclass=Meta): name = 'undocumented'",
        "fails to say what it is: SystemExit: 0",
    ),
    "stepless": (
        f"{_PLAIN}class protocol(PlainSum):\n    name = 'stepless'\n    @property\n"
        "    def steps(self): raise SystemExit(0)",
        "fails to name its steps: SystemExit: 0",
    ),
    "endless-steps": (
        f"{_PLAIN}import itertools\nclass protocol(PlainSum): name, steps = 'endless-steps', itertools.count()",
        "steps: expected a tuple of Step",
    ),
    "vast": (
        f"{_PLAIN}class protocol(PlainSum):\n    name = 'vast'\n    @classmethod\n"
        "    def suggest(cls, **_): return cls(), 10**6000",
        "found an integer of 19932 bits",
    ),
}

CHOOSY: Final = '''
from protocols import ParameterError, SecAgg

class Choosy(SecAgg):
    """Sums of three."""
    name = "choosy"

    @classmethod
    def suggest(cls, *, clients, adversarial, dropout, adversary="curious"):
        if clients != 3:
            raise ParameterError("three clients, no more, no fewer")
        return super().suggest(clients=3, adversarial=adversarial, dropout=dropout, adversary=adversary)
'''


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of every process that is started, for other distributions."""
    found = tmp_path / "site"
    found.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(found), os.environ.get("PYTHONPATH")])))
    return found


def listed(cwd: Path) -> dict[str, dict[str, Any]]:
    found = secagg("protocols", "--json", cwd=cwd)
    assert found.returncode == 0, found.stderr
    return {row["name"]: row for row in json.loads(found.stdout)}


def test_protocols_that_are_broken_have_a_row_that_says_why(path: Path, tmp_path: Path) -> None:
    for number, (name, (text, _)) in enumerate((BROKEN | LOADED | LYING).items()):
        install(path, {name: f"other_{number}:protocol"}, name=f"other-{number}", module=text)
    install(path, {"choosy": "other_choosy:Choosy"}, name="other-choosy", module=CHOOSY)
    install(path, {"disguised": "other_protocols:Disguised", "absent": "other_protocols:no", "odd": "?!"})
    install(path, {"secagg": "other_claim:protocol"}, name="other-claim", module="")
    found = listed(tmp_path)
    assert found.keys() == {*OWN, *BROKEN, *LOADED, *LYING, "choosy", "disguised", "absent", "odd"}
    for name, (_, reason) in (BROKEN | LOADED | LYING).items():
        assert reason in found[name]["error"], name
        assert "\n" not in found[name]["error"]
        assert len(found[name]["error"]) < 500
    assert "no attribute 'no'" in found["absent"]["error"]
    assert "cannot be imported" in found["odd"]["error"]
    assert "other_claim:protocol, protocols.pairwise:SecAgg" in found["secagg"]["error"]
    assert "other-claim, secagg-toolkit" in found["secagg"]["error"]
    assert found["choosy"] == {
        "name": "choosy", "server": ["curious", "malicious"], "needs_committee": False, "rounds": [],
        "about": "Sums of three.", "error": None, "note": "three clients, no more, no fewer", "experimental": "",
    }  # fmt: skip
    assert found["disguised"]["server"] == []
    assert found["oneshot"]["experimental"] == "there is no proof against a malicious server"
    assert found["seeds"]["experimental"] == "its argument has not been reviewed outside the project"
    assert [name for name in OWN if found[name].get("experimental")] == ["oneshot", "seeds"]
    assert found["disguised"]["error"] is None
    assert all(found[name]["error"] is None for name in OWN if name != "secagg")
    shown = secagg("protocols", cwd=tmp_path)
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout
    assert "cannot be loaded" in shown.stdout
    assert "[/not markup]" in shown.stdout
    assert all(name in shown.stdout for name in found)


@pytest.mark.parametrize(
    "points",
    [
        b"[secagg.protocols]\nno equals sign\n",
        b"no section = here\n",
        b"[secagg.protocols\nx = y:z\n",
        b"[secagg.protocols]\n\xff\xfe = \x80\n",
    ],
)
def test_damaged_metadata_of_one_distribution_hide_no_protocol(
    points: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, {"disguised": "sound_protocols:Disguised"}, name="sound-protocols")
    (tmp_path / "damaged-1.0.dist-info").mkdir()
    (tmp_path / "damaged-1.0.dist-info" / "entry_points.txt").write_bytes(points)
    monkeypatch.syspath_prepend(tmp_path)
    assert {*OWN, "disguised"} <= {row.name for row in rows() if row.error is None}


@pytest.mark.parametrize("name", ["raises", "exits", "leaving", "secretive", "by-its-object", "vast"])
def test_training_with_a_broken_protocol_is_one_clear_line(name: str, path: Path, tmp_path: Path) -> None:
    text, reason = (BROKEN | LOADED | LYING)[name]
    install(path, {name: "other_protocols:protocol"}, module=text)
    found = secagg(
        "train", *SMALL, "--protocol", name, "--rounds", "1", "--epsilon", "60", "--out", "run", cwd=tmp_path
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert "\x1b" not in found.stderr
    assert found.stderr.startswith("secagg: ")
    assert found.stderr.count("\n") == 1
    assert name in found.stderr
    assert reason in found.stderr
    assert not (tmp_path / "run").exists()


def test_advice_of_training_survives_a_broken_protocol(path: Path, tmp_path: Path) -> None:
    for number, (name, (text, _)) in enumerate((BROKEN | LOADED | LYING).items()):
        if name == "proven-later":  # Its class can be loaded, and is advised with its doubts.
            continue
        install(path, {f"broken-{number}": f"other_{number}:protocol"}, name=f"other-{number}", module=text)
    for options, advice in {
        ("--protocol", "plain", "--adversary", "malicious"): (
            "paillier, secagg or secagg-plus (oneshot is experimental: there is no proof against a malicious server; "
            "seeds is experimental: its argument has not been reviewed outside the project)."
        ),
        (
            "--protocol",
            "secagg",
            "--committee",
            "keys",
        ): f"secagg needs no committee, found {tmp_path / 'keys'}. Leave out --committee.",
    }.items():
        found = secagg("train", *SMALL, *options, "--out", "run", cwd=tmp_path)
        assert found.returncode == 2
        assert found.stderr.endswith(f"{advice}\n")


def test_texts_of_a_plug_in_reach_no_terminal_with_escape_sequences(path: Path, tmp_path: Path) -> None:
    """Names of entry points, names of steps and reasons of refusals, in the listing and in errors of `train`."""
    module = (
        f"{_PLAIN}from dataclasses import replace\nfrom protocols import ParameterError\n"
        "class protocol(SecAgg):\n    name = 'painted'\n    @property\n"
        "    def steps(self): return tuple(replace(row, name='\\x1b[2Jfirst') for row in super().steps)\n"
        "class refusing(SecAgg):\n    name = 'refusing'\n    @classmethod\n"
        "    def suggest(cls, **_): raise ParameterError('\\x1b[2Jno\\nsecagg: all is well')\n"
    )
    points = {"painted": "other_protocols:protocol", "refusing": "other_protocols:refusing", "a\x1b[8mb": "\x1b[2J:x"}
    install(path, points, module=module)
    shown = secagg("protocols", cwd=tmp_path)
    assert shown.returncode == 0
    assert "?[2Jfirst" in shown.stdout
    assert "\x1b" not in shown.stdout + shown.stderr
    for name in ("nothing", "refusing", "a\x1b[8mb"):
        found = secagg("train", *SMALL, "--protocol", name, "--out", "run", cwd=tmp_path)
        assert found.returncode == 2
        assert "\x1b" not in found.stdout + found.stderr
        assert found.stderr.count("\n") == 1


def test_protocol_row_of_a_module_that_prints_is_json_all_the_same(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(path, {"disguised": "printing_protocols:Disguised"}, name="printing-protocols")
    monkeypatch.syspath_prepend(path)
    assert "disguised" in {row.name for row in rows()}
    assert capsys.readouterr().out == ""


def test_registered_baseline_is_insecure_as_a_class_and_as_an_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, {"disguised": "sound_baseline:Disguised"}, name="sound-baseline")
    monkeypatch.syspath_prepend(tmp_path)
    kind = load("disguised")
    chosen, _ = kind.suggest(clients=10, adversarial=0.0, dropout=0.0)
    assert kind.protects is chosen.protects is False
    assert protection("disguised", private=True, adversary=Adversary.CURIOUS) == "noised, but not secure"
    assert assumed_server("disguised", Adversary.CURIOUS, trust=Trust.DISTRIBUTED) == "trusted with every update"
    cohort = Cohort.of(TrainingConfig(protocol="disguised"), minimum_contributors=2, target=None)
    assert cohort.colluding is None


def test_registered_baseline_is_called_insecure_whatever_its_name(path: Path, tmp_path: Path) -> None:
    """By the command's header and summary, in its JSON and in the report."""
    install(path, {"fortress": "other_protocols:Disguised"}, module=BASELINE.replace('print("', '#("'))
    options = ("--protocol", "fortress", "--rounds", "1", "--epsilon", "60", "--no-compare", "--out")
    found = secagg("train", *SMALL, *options, "run", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "an insecure baseline: the server sees every update" in found.stderr
    assert "noised, but not secure" in found.stdout
    assert "trusted with every update" in found.stdout
    assert "secure and private" not in found.stdout + found.stderr
    assert "curious" not in found.stdout + found.stderr
    page = RunFolder(tmp_path / "run").report.read_text(encoding="utf-8")
    assert "The server saw every client" in page
    assert "noised, but not secure" in page
    assert "trusted with every update" in page
    assert "secure and private" not in page
    assert "any single client's update" not in page
    assert "no server by the protocol, which shows it every client" in page
    assert "shows every client's vector to the server" in html.unescape(page)  # The ledger's record of the release.
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary["hides_updates"] is False
    assert summary["colluding"] is None
    refused = secagg("train", *SMALL, *options, "other", "--adversary", "malicious", cwd=tmp_path)
    assert refused.returncode == 2
    assert "expected one that protects from a malicious server, found fortress" in refused.stderr
