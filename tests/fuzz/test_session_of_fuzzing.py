"""All targets with a fixed seed: nothing is found; every decoder of the code is a target; past findings stay mended."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from protocols import Adversary
from protocols.registry import available, load
from tests.fuzz.__main__ import main
from tests.fuzz.coverage import ROOT
from tests.fuzz.crashes import VECTORS, read_crash
from tests.fuzz.engine import replay
from tests.fuzz.record import PAGE, RECORD, with_record
from tests.fuzz.session import Session
from tests.fuzz.targets.catalogue import all_entries, built, chosen, scratch
from tests.fuzz.targets.messages import entries as message_entries
from tests.fuzz.targets.protocol_runs import scenarios

INPUTS: Final = 100_000
SEED: Final = "5ecadd"

PARSER: Final = re.compile(
    r"(msgpack|json|DECODER|decoder)\.decode$|(tomllib|json)\.loads?$|\bnp\.load$|frombuffer$|from_bytes$|unpackbits$"
    r"|\bunpack$|gzip\.open$|sqlite3\.connect$|zipfile\.ZipFile$"
)
"""The names of calls that make values from bytes: whatever calls one of them is a decoder."""

TRUSTED: Final = {
    "dp.ledger.sqlite_log:SqliteLog.create": "randomness of this process",
    "dp.noise.discrete_gaussian": "a keystream",
    "protocols.crypto.integers": "randomness of this process",
    "protocols.crypto.lattice.gaussian": "a keystream",
    "protocols.crypto.lattice.pad:_public": "a keystream",
    "protocols.crypto.paillier.decryption_proof:_challenge": "a hash",
    "protocols.crypto.paillier.decryption_proof:_nonce": "a hash",
    "protocols.crypto.paillier.decryption_proof:_weights": "a hash",
    "protocols.crypto.paillier.plaintext_proof:_challenges": "a hash",
    "protocols.crypto.paillier.slots:Slots.pack": "numbers of this process",
    "protocols.crypto.shamir:share": "randomness of this process",
    "protocols.pairwise.graph": "a keystream",
    "secagg.audit.epsilon": "values of the auditor's own process",
    "secagg.audit.mechanisms": "values of the auditor's own process",
    "secagg.audit.planted": "values of the auditor's own process",
    "secagg.audit.seeds": "a hash",
    "secagg.audit.sums": "messages of an audited protocol, whose errors are findings",
    "protocols.testing": "for tests",
    "secagg.aggregation": "a hash or a keystream",
    "secagg.engines.flower.launcher": "a process of the same user",
    "secagg.engines.flower.warm": "a process of the same user",
    "secagg.engines.node.resident": "the operating system, and a process of the same user",
    "secagg.engines.nvflare.rounds:CheckpointFile": "a file of this process, with a checksum",
    "secagg.engines.server.channel": "what the coordinator has kept",
    "secagg.engines.server.coordinator": "what the coordinator has kept",
    "secagg.engines.server.folder": "files of the coordinator, with checksums; their contents have targets",
    "secagg.engines.server.reply_worker": "a process of its own",
    "secagg.engines.server.worker_socket": "a process of its own",
    "secagg.models.poisson": "randomness of this process",
    "secagg.models.private": "randomness of this process",
    "secagg.planning.calibration": "values of this process",
    "secagg.runs.comparison:ComparisonProcess._decode": "a process of its own",
    "secagg.runs.comparison:main": "a process of its own",
    "secagg.runs.folder:_digest": "a hash",
    "secagg.training.cohorts:draw_by_poisson": "randomness of this process",
    "secagg.transcripts.description:_committee_key": "a key, whose reading has targets; the cache may have it before",
    "secagg.storage.store:Store._fill": "a file that it has just made",
    "secagg.storage.vector_files:SumFile": "a file of this process",
}
"""Functions whose bytes nobody else chooses, and where these come from; each entry is the beginning of their names."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with scratch() as found:
        yield found


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    session = Session(chosen([]), INPUTS, SEED, folder)
    session.run()
    return session


@pytest.fixture(scope="module")
def reached(session: Session) -> frozenset[str]:
    found = (result.campaign.coverage.functions() for result in session.results.values())
    return frozenset().union(*found)


def test_nothing_is_found(session: Session) -> None:
    assert [(crash.target, crash.found, crash.data) for crash in session.crashes] == []
    assert session.done >= INPUTS
    assert session.results.keys() == all_entries().keys()


def test_every_target_is_reached_and_accepts_some_of_its_inputs(session: Session) -> None:
    for name, result in session.results.items():
        missing = set(result.campaign.covers) - result.campaign.coverage.functions()
        assert not missing, f"{name} never runs {missing}"
        assert result.campaign.tally.accepted, f"{name} refuses everything"
        assert result.campaign.tally.refused, f"{name} refuses nothing"


def test_every_step_of_every_protocol_is_a_target_on_both_sides() -> None:
    names = {entry.name for entry in message_entries()}
    for protocol in available():
        for adversary in load(protocol).adversaries:
            label = protocol if adversary is Adversary.CURIOUS else f"{protocol}-{adversary}"
            assert label in scenarios(), f"{protocol}: expected a run against a {adversary} server, found none"
        assert protocol in scenarios()
    for label, scenario in scenarios().items():
        for row in scenario.protocol.steps:
            assert {f"codec/{label}/{row.name}/{side}" for side in ("request", "reply")} <= names
            assert {f"{side}/{label}/{row.name}" for side in ("client", "server")} <= names
        assert {
            f"snapshot/{label}/{side}/{layer}" for side in ("client", "server") for layer in ("sealed", "content")
        } <= names


def _parsing() -> Iterator[tuple[str, str]]:
    """Yield each function of the packages that makes values from bytes, with its module."""
    for package in ("dp", "protocols", "secagg"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield from ((module, name) for name in _parsing_functions(ast.parse(path.read_text()), ""))


def _parsing_functions(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _parsing_functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            calls = (ast.unparse(each.func) for each in ast.walk(child) if isinstance(each, ast.Call))
            if any(PARSER.search(call) for call in calls):
                yield f"{prefix}{child.name}"


def test_every_function_that_makes_values_from_bytes_is_fuzzed(reached: frozenset[str]) -> None:
    parsing = list(_parsing())
    assert len(parsing) > 30
    for module, name in parsing:
        function = f"{module}:{name}"
        if not function.startswith(tuple(TRUSTED)):
            assert function in reached, f"{function}: expected a target that runs it, found none. Add one."


def test_every_trusted_function_still_makes_values_from_bytes() -> None:
    parsing = {f"{module}:{name}" for module, name in _parsing()}
    for beginning in TRUSTED:
        assert any(function.startswith(beginning) for function in parsing), f"{beginning} reads no bytes any more"


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_mended_finding_stays_mended(path: Path, folder: Path) -> None:
    crash = read_crash(path)
    assert replay(built(all_entries()[crash.target], folder), [crash.data]) == []


def test_command_fuzzes_one_target_and_lists_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--inputs", "50", "--target", "shamir", "--seed", "00", "--out", str(tmp_path)]) == 0
    assert "shamir" in capsys.readouterr().out
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == list(all_entries())


def test_command_refuses_a_target_that_is_none() -> None:
    with pytest.raises(SystemExit):
        main(["--target", "nothing"])


def test_page_shows_the_numbers_of_the_recorded_run() -> None:
    document = json.loads(RECORD.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert with_record(page, document) == page
    assert f"\n{document['inputs']:,d} inputs" in page
    assert document["crashes"] == 0
