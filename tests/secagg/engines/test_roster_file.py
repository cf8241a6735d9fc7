import json
from pathlib import Path
from typing import Any

import pytest

from protocols.identity import Identity
from secagg.engines.roster_file import MOST_BYTES, RosterFile
from secagg.errors import ConfigurationError
from secagg.storage.labelled_file import DamagedKeyFile
from secagg.storage.public_line import PublicLine

KEYS = [Identity.generate().public for _ in range(4)]
LINES = [PublicLine(name=f"node-{number}", key=key) for number, key in enumerate(KEYS)]
ROSTER = RosterFile.of(LINES)


def altered(change: Any) -> bytes:
    document = json.loads(ROSTER.to_bytes())
    change(document)
    return json.dumps(document, indent=1).encode() + b"\n"


def test_roster_is_read_as_it_was_written(tmp_path: Path) -> None:
    ROSTER.write(tmp_path / "roster.json")
    found = RosterFile.read(tmp_path / "roster.json")
    assert found == ROSTER
    assert found.fingerprint == ROSTER.fingerprint
    assert dict(found.roster) == dict(enumerate(KEYS))
    assert found.names == {number: f"node-{number}" for number in range(4)}
    with pytest.raises(ConfigurationError, match="found one that exists"):
        ROSTER.write(tmp_path / "roster.json")


def test_ids_are_given_in_order_or_kept() -> None:
    assert [node.id for node in RosterFile.of(LINES[::-1]).nodes] == [0, 1, 2, 3]
    assert RosterFile.of(LINES[::-1]).nodes[0].key == KEYS[3]
    kept = [PublicLine(id=number, name=line.name, key=line.key) for number, line in zip((9, 0, 5), LINES, strict=False)]
    assert [(node.id, node.name) for node in RosterFile.of(kept).nodes] == [(0, "node-1"), (5, "node-2"), (9, "node-0")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "at least 2 nodes, found 0"),
        (LINES[:1], "at least 2 nodes, found 1"),
        ([LINES[0], PublicLine(name="node-0", key=KEYS[1])], "a different name"),
        ([LINES[0], PublicLine(name="other", key=KEYS[0])], "a different key"),
        ([LINES[0], PublicLine(id=0, name="other", key=KEYS[1])], "found none in that of node-0"),
        ([PublicLine(id=3, name=line.name, key=line.key) for line in LINES], "a different id"),
    ],
)
def test_lines_that_contradict_each_other_are_refused(lines: list[PublicLine], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RosterFile.of(lines)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 5000,
        ROSTER.to_bytes()[:-1],
        ROSTER.to_bytes() + b"\n",
        ROSTER.to_bytes().replace(b"\n", b"\r\n"),
        json.dumps(json.loads(ROSTER.to_bytes())).encode(),
        altered(lambda each: each.update(format=2)),
        altered(lambda each: each.update(more=1)),
        altered(lambda each: each["nodes"].reverse()),
        altered(lambda each: each["nodes"].pop(0) and each["nodes"].clear()),
        altered(lambda each: each["nodes"][0].update(more=1)),
        altered(lambda each: each["nodes"][0].pop("name")),
        altered(lambda each: each["nodes"][0].update(id=1)),
        altered(lambda each: each["nodes"][0].update(id=True)),
        altered(lambda each: each["nodes"][0].update(id=-1)),
        altered(lambda each: each["nodes"][0].update(id=2**40)),
        altered(lambda each: each["nodes"][0].update(key=KEYS[0].hex()[:-2])),
        altered(lambda each: each["nodes"][0].update(key=KEYS[1].hex())),
        altered(lambda each: each["nodes"][0].update(key=" " + KEYS[0].hex())),
        altered(lambda each: each["nodes"][0].update(key="zz" * 32)),
        altered(lambda each: each["nodes"][0].update(name="two words")),
        b" " * MOST_BYTES,
    ],
)
def test_bytes_that_are_no_roster_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        RosterFile.from_bytes(data)
    (tmp_path / "roster.json").write_bytes(data)
    with pytest.raises(DamagedKeyFile, match=r"roster.json: "):
        RosterFile.read(tmp_path / "roster.json")


def test_fingerprint_depends_on_all_of_a_roster() -> None:
    others = [
        RosterFile.of(LINES[:3]),
        RosterFile.of(LINES[::-1]),
        RosterFile.of([*LINES[:3], PublicLine(name="other", key=KEYS[3])]),
        RosterFile.of([*LINES[:3], PublicLine(name="node-3", key=Identity.generate().public)]),
    ]
    assert len({ROSTER.fingerprint, *(other.fingerprint for other in others)}) == 5
