import hashlib

import pytest

from protocols.identity import Identity
from secagg.errors import ConfigurationError
from secagg.storage.public_line import (
    PublicLine,
    check_name,
    coordinator_line,
    fingerprint,
    parse_coordinator_line,
)

KEY = Identity.generate().public


def test_line_of_a_node_is_read_as_it_was_written() -> None:
    for line in (PublicLine(name="hospital-a", key=KEY), PublicLine(name="a.b_c@d", key=KEY, id=0)):
        assert PublicLine.parse(str(line)) == line
        assert PublicLine.parse(f"  {line}\n") == line
    assert str(PublicLine(name="a", key=KEY, id=7)) == f"7 a secagg-node-{KEY.hex()}"


def test_line_of_a_coordinator_is_read_as_it_was_written() -> None:
    assert parse_coordinator_line(f"{coordinator_line(KEY)}\n") == KEY


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hospital",
        f"secagg-node-{KEY.hex()}",
        f"a b c secagg-node-{KEY.hex()}",
        f"-1 a secagg-node-{KEY.hex()}",
        f"01 a secagg-node-{KEY.hex()}",
        f"+1 a secagg-node-{KEY.hex()}",
        f"\u0661 a secagg-node-{KEY.hex()}",
        f"{2**32 - 1} a secagg-node-{KEY.hex()}",
        f"a secagg-node-{KEY.hex().upper()}Z",
        f"a secagg-node-{KEY.hex()[:-2]}",
        f"a secagg-node-{KEY.hex()}00",
        f"a {KEY.hex()}",
        f"hospit\u00e4l secagg-node-{KEY.hex()}",
        f"{'a' * 65} secagg-node-{KEY.hex()}",
    ],
)
def test_other_line_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        PublicLine.parse(line)


def test_line_of_a_coordinator_is_none_of_a_node_and_the_other_way_round() -> None:
    with pytest.raises(ConfigurationError, match="found that of a coordinator"):
        PublicLine.parse(f"hospital {coordinator_line(KEY)}")
    for line in (f"secagg-node-{KEY.hex()}", f"coordinator {coordinator_line(KEY)}", coordinator_line(KEY)[:-1]):
        with pytest.raises(ConfigurationError, match="expected secagg-coordinator-"):
            parse_coordinator_line(line)


def test_node_with_a_bad_name_or_key_cannot_be_made() -> None:
    for name in ("", "a b", "a\n", "../x", "a/b", 3, None):
        with pytest.raises(ConfigurationError, match="name of a node"):
            check_name(name)
    with pytest.raises(ConfigurationError, match="expected 32 bytes"):
        PublicLine(name="a", key=KEY[:-1])
    with pytest.raises(ConfigurationError, match="expected an int in"):
        PublicLine(name="a", key=KEY, id=-1)


def test_fingerprint_is_a_hash_with_a_domain_of_its_own() -> None:
    assert fingerprint(KEY) == hashlib.sha256(b"secagg identity fingerprint v1" + KEY).hexdigest()
