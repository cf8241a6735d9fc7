"""What a startup kit may let others do. The kit is as nvflare 2.9.0 provisions it, then as the documentation has it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from secagg.commands.node_check import FAULTY, check_on_terminal
from secagg.engines.nvflare.site_policy import EXECUTOR_CLASS, check_site
from secagg.errors import ConfigurationError
from tests.support.homes import exact_text, homes

LEAD = {
    "submit_job": "any",
    "clone_job": "n:submitter",
    "manage_job": "n:submitter",
    "download_job": "n:submitter",
    "view": "any",
    "operate": "o:site",
    "shell_commands": "o:site",
    "byoc": "any",
    "server-predeployed-flwr": "none",
}
PROVISIONED = {
    "format_version": "1.0",
    "permissions": {"project_admin": "any", "lead": LEAD, "member": {"view": "any"}},
}
NARROW = {
    "format_version": "1.0",
    "permissions": {
        "project_admin": LEAD | {"byoc": "none"},
        "lead": LEAD | {"byoc": "o:site"},
        "member": {"view": "any"},
    },
}
RESOURCES = {
    "format_version": 2,
    "class_list_enforcement_mode": "enforce",
    "class_allow_list": [EXECUTOR_CLASS],
    "allow_log_streaming": False,
}
STARTUP = {"format_version": 2, "client": {"connection_security": "mtls"}}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    root = tmp_path / "site-1"
    write(root / "startup" / "fed_client.json", STARTUP)
    write(root / "startup" / "rootCA.pem", "certificate")
    write(root / "startup" / "sub_start.sh", "python3 -m nvflare --set secure_train=true uid=site-1")
    write(root / "local" / "authorization.json.default", PROVISIONED)
    write(root / "local" / "authorization.json", NARROW)
    write(root / "local" / "resources.json.default", {"class_allow_list": ["nvflare.app_common."]})
    write(root / "local" / "resources.json", RESOURCES)
    write(root / "local" / "secagg.toml", '[node]\nsocket = "/run/secagg/node.sock"\n')
    return root


def test_a_narrow_kit_is_accepted(kit: Path) -> None:
    found = check_site(kit)
    assert found.refusals == ()
    assert found.notes == ()


def own_station(kit: Path, home: Path, **changes: Any) -> None:
    write(kit / "local" / "secagg.toml", f'[node]\nhome = "{home}"\n')
    write(home / "policy.toml", exact_text(**changes).decode())


def test_a_station_in_the_process_is_noted(kit: Path) -> None:
    own_station(kit, kit.parent / "homes" / "{site}")
    (kit.parent / "homes" / "{site}").rename(kit.parent / "homes" / "site-1")
    found = check_site(kit)
    assert found.refusals == ()
    assert [note for note in found.notes if "FLARE server can read" in note]


@pytest.mark.parametrize(
    ("changes", "what"), [({"adversary": "malicious"}, "malicious server"), ({"code": "resident"}, "resident")]
)
def test_a_station_in_the_process_must_trust_the_server(kit: Path, changes: dict[str, str], what: str) -> None:
    own_station(kit, kit.parent / "home", **changes)
    refusals = check_site(kit).refusals
    assert len(refusals) == 1
    assert what in refusals[0]
    assert "`socket`" in refusals[0]


def test_a_home_without_a_policy_is_refused(kit: Path) -> None:
    write(kit / "local" / "secagg.toml", f'[node]\nhome = "{kit.parent}/none"\n')
    assert "policy.toml" in check_site(kit).refusals[0]


def test_a_kit_as_provisioned_is_refused(kit: Path) -> None:
    (kit / "local" / "authorization.json").unlink()
    (kit / "local" / "resources.json").unlink()
    (kit / "local" / "secagg.toml").unlink()
    refusals = check_site(kit).refusals
    for what in ("every right of the role 'project_admin'", "byoc of the role 'lead'", "class_allow_list", "streaming"):
        assert [refusal for refusal in refusals if what in refusal], what
    assert len(refusals) == 5  # The fifth is the missing secagg.toml.


def without(key: str, table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


CHANGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "unsigned jobs": (
        "require_signed_jobs",
        lambda kit: write(kit / "startup" / "fed_client.json", STARTUP | {"require_signed_jobs": False}),
    ),
    "no root certificate": ("rootCA.pem", lambda kit: (kit / "startup" / "rootCA.pem").unlink()),
    "no client certificates": (
        "connection_security",
        lambda kit: write(kit / "startup" / "fed_client.json", STARTUP | {"client": {"connection_security": "tls"}}),
    ),
    "no security": ("secure_train", lambda kit: write(kit / "startup" / "sub_start.sh", "--set secure_train=false")),
    "no start script": ("sub_start.sh", lambda kit: (kit / "startup" / "sub_start.sh").unlink()),
    "no permissions": ("permissions", lambda kit: write(kit / "local" / "authorization.json", {})),
    "any class": (
        "class_allow_list",
        lambda kit: write(kit / "local" / "resources.json", RESOURCES | {"class_allow_list": ["*"]}),
    ),
    "one class more": (
        "class_allow_list",
        lambda kit: write(
            kit / "local" / "resources.json",
            RESOURCES | {"class_allow_list": [EXECUTOR_CLASS, "nvflare.app_common.np.np_trainer.NPTrainer"]},
        ),
    ),
    "default classes": (
        "class_allow_list",
        lambda kit: write(kit / "local" / "resources.json", without("class_allow_list", RESOURCES)),
    ),
    "classes that are only warned of": (
        "enforce",
        lambda kit: write(kit / "local" / "resources.json", RESOURCES | {"class_list_enforcement_mode": "warn"}),
    ),
    "the log by default": (
        "allow_log_streaming",
        lambda kit: write(kit / "local" / "resources.json", without("allow_log_streaming", RESOURCES)),
    ),
    "the log by another file": (
        "allow_log_streaming",
        lambda kit: write(kit / "startup" / "more__j_resources.json", {"allow_log_streaming": True}),
    ),
    "the home in the kit": (
        "startup kit",
        lambda kit: own_station(kit, kit / "home"),
    ),
    "a relative home": ("absolute", lambda kit: write(kit / "local" / "secagg.toml", '[node]\nhome = "home"\n')),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_wide_setting_is_refused(kit: Path, change: str) -> None:
    what, make = CHANGES[change]
    make(kit)
    refusals = check_site(kit).refusals
    assert len(refusals) == 1
    assert what in refusals[0]


@pytest.mark.parametrize(
    ("rule", "narrow"),
    [
        ("none", True),
        ("o:site", True),
        ("ORG:Site", True),
        (["none", "o:site"], True),
        (["o:site", "not n:intern@a.org"], True),
        ("any", False),
        ("all", False),
        ("o:b", False),
        ("o:submitter", False),
        ("n:lead@b.org", False),
        ("not o:b", False),
        (["not o:b", "not o:c"], False),
        (["o:site", "any"], False),
        ([], False),
        (True, False),
    ],
)
@pytest.mark.parametrize("right", ["byoc", "shell_commands", "cat", "operate", "server-predeployed-flwr"])
def test_a_right_over_code_or_files_is_for_the_own_organisation_at_most(
    kit: Path, right: str, rule: object, narrow: bool
) -> None:
    write(kit / "local" / "authorization.json", {"permissions": {"lead": {"submit_job": "any", right: rule}}})
    assert bool(check_site(kit).refusals) is not narrow


def test_another_folder_is_no_kit(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="startup kit"):
        check_site(tmp_path)


def test_a_damaged_file_is_named(kit: Path) -> None:
    (kit / "local" / "resources.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"resources\.json"):
        check_site(kit)


def test_another_home_is_refused(kit: Path) -> None:
    own_station(kit, kit.parent / "home")
    assert check_site(kit, home=kit.parent / "home").refusals == ()
    (refusal,) = check_site(kit, home=kit.parent / "other").refusals
    assert "other" in refusal


def test_node_check_prints_what_the_site_lets_others_do(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = homes(tmp_path, 2, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))[0]
    write(kit / "local" / "secagg.toml", f'[node]\nhome = "{home}"\n')
    check_on_terminal(home, flare=kit)
    said = capsys.readouterr().out
    assert "Its FLARE site lets no code in" in said
    assert "WARNING: The station runs in FLARE's process" in said
    (kit / "local" / "authorization.json").unlink()
    with pytest.raises(typer.Exit) as ended:
        check_on_terminal(home, flare=kit)
    assert ended.value.exit_code == FAULTY
    assert "FAULT: local/authorization.json.default: expected byoc of the role 'lead'" in capsys.readouterr().out
