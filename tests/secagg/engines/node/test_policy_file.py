import math
from pathlib import Path
from typing import Any

import pytest

from dp.events import Trust
from protocols import Adversary
from secagg.aggregation.weighting import Weighting
from secagg.engines.node.policy_file import MOST_BYTES, TEMPLATE, Code, PolicyError, PolicyFile
from secagg.storage.labelled_file import KeyFileError
from tests.support.homes import FIELDS, exact_text, policy_text

REQUIRED = [name for name in FIELDS if name not in ("epsilon", "delta")]


def test_policy_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes(policy_text(ledger="/elsewhere/ledger.db", live_folder="/run/secagg"))
    found = PolicyFile.read(tmp_path / "policy.toml")
    assert found.protocols == ("secagg-plus", "secagg")
    assert found.adversary is Adversary.CURIOUS
    assert found.weighting == (Weighting.UNIFORM, Weighting.WEIGHTED)
    assert found.trust == (Trust.DISTRIBUTED,)
    assert (found.epsilon, found.delta, found.has_budget) == (8.0, 1e-6, True)
    assert found.plain_messages == ()
    assert found.code is Code.INSTALLED
    assert (found.ledger, found.live_folder) == (Path("/elsewhere/ledger.db"), Path("/run/secagg"))
    assert (found.encrypted_live_folder, found.cap) == (None, None)
    assert (PolicyFile.parse(policy_text(cap=45)).cap, PolicyFile.parse(exact_text(cap=1)).cap) == (45, 1)


def test_policy_without_noise_is_one_in_words() -> None:
    found = PolicyFile.parse(exact_text())
    assert (found.epsilon, found.delta, found.has_budget, found.trust) == (None, None, False, ())
    assert PolicyFile.parse(exact_text(trust=["central"])).trust == (Trust.CENTRAL,)


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_field_is_refused_by_name(name: str) -> None:
    for text in (policy_text([name]), exact_text([name])):
        with pytest.raises(PolicyError, match=f"^{name}: expected this field, which has no default"):
            PolicyFile.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (policy_text(["epsilon", "delta"]), "^noise: expected epsilon and delta of all releases together, or"),
        (policy_text(["epsilon"]), "^epsilon: expected epsilon and delta of all releases"),
        (policy_text(["delta"]), "^delta: expected epsilon and delta of all releases"),
        (policy_text(noise="none"), '^noise: expected "none" alone'),
        (exact_text(noise="off"), '^noise: expected "none" alone'),
        (exact_text(noise=False), '^noise: expected "none" alone'),
        (exact_text() + b"delta = 1e-5", "^noise: .* found 'none' beside delta"),
        (policy_text(adversarail=0.1), "^'adversarail': expected a field of a policy.*adversarial"),
        (policy_text(trust=[]), "^trust: expected who may add the noise"),
        (exact_text(trust=["distributed"]), '^trust: expected .* with noise = "none"'),
        (policy_text(trust=["central"], adversary="malicious"), '^trust: expected noise of the clients .*"curious"'),
        (policy_text(trust=["local", "central"], adversary="semi-malicious"), "^trust: .* found central"),
        (exact_text(trust=["central", "local"]), '^trust: expected .* with noise = "none"'),
        (exact_text(ledger="/l"), "^ledger: expected none"),
        (policy_text(least_contributors=101), "^least_contributors: expected at most most_clients, which is 100"),
        (policy_text(live_folder="/a", encrypted_live_folder="/b"), "^live_folder, encrypted_live_folder: "),
        (b"", "^protocols: "),
        (b"\xff", "^policy: expected valid TOML"),
        (b"a = ", "^policy: expected valid TOML"),
        pytest.param(b"a = " + b"9" * 5000, "^policy: expected valid TOML", id="long number"),
        pytest.param(b"a = " + b"[" * 5000, "^policy: expected", id="nested"),
    ],
)
def test_policy_that_contradicts_itself_or_is_none_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        PolicyFile.parse(text)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("protocols", ("secagg", [], [1], [""], ["a\n"], ["secagg", "secagg"], True, ["x" * 201])),
        ("adversary", ("none", "Curious", 1, ["curious"], "")),
        ("adversarial", (-0.1, 1, 1.0, True, "0.1", math.nan, math.inf)),
        ("least_contributors", (1, 0, -5, 2.0, True, 10**7, "2")),
        ("most_clients", (1, 2.5, True, 10**7)),
        ("most_coordinates", (0, 1e6, 2**41, True)),
        ("largest_clip", (0, -1.0, math.inf, math.nan, 1e31, True, "1")),
        ("weighting", ([], "uniform", ["both"], [True], ["uniform", "uniform"])),
        ("trust", ("distributed", ["anyone"], ["local", "local"], [1])),
        ("epsilon", (0, -1.0, math.inf, math.nan, True, "8")),
        ("delta", (0, 1, 1.5, -1e-9, True, math.nan)),
        ("plain_messages", ("train", ["train", "train"], [1])),
        ("code", ("mine", True, ["installed"])),
        ("live_folder", ("", "relative/folder", 3, "/a\n")),
        ("encrypted_live_folder", ("relative", True)),
        ("ledger", ("ledger.db", ["/a"])),
        ("cap", (0, -1, 2.0, True, "3", 2**31)),
    ],
)
def test_value_of_another_kind_or_range_is_refused_by_name(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(PolicyError, match=f"^{name}: expected "):
            PolicyFile.parse(policy_text(**{name: value}))


def test_whole_number_of_thousands_of_digits_is_no_fraction() -> None:
    with pytest.raises(PolicyError, match=r"^largest_clip: expected a number"):
        PolicyFile.parse(policy_text(["largest_clip"]) + b"largest_clip = 1" + b"0" * 400)


def test_file_that_cannot_be_read_or_is_too_long_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"policy.toml: cannot be read"):
        PolicyFile.read(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_bytes(policy_text() + b"#" * MOST_BYTES)
    with pytest.raises(PolicyError, match=r"policy.toml: protocols: expected this field"):
        PolicyFile.read(tmp_path / "policy.toml")


def test_template_sets_nothing_and_explains_every_field() -> None:
    with pytest.raises(PolicyError, match=r"^protocols: expected this field"):
        PolicyFile.parse(TEMPLATE.encode())
    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines() if " = " in line and line.startswith("# ")]
    fields = [line for line in lines if line.split(" = ")[0].isidentifier()]
    written = "\n".join(line for line in fields if not line.startswith(("noise", "encrypted_live_folder")))
    found = PolicyFile.parse(written.encode())
    assert found.adversary is Adversary.MALICIOUS
    assert found.code is Code.INSTALLED
    names = {line.split(" = ")[0] for line in fields}
    assert names == {*FIELDS, "noise", "live_folder", "encrypted_live_folder", "ledger", "cap"}
