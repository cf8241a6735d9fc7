"""The pytest plugin of audits: options, fixtures, and one test for each check of a class derived from an audit.

pytest loads it in every project that has secagg installed. So it imports nothing of the toolkit until an audit is
collected.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from secagg.audit.attack import Level
    from secagg.audit.finding import Finding

_FIXED_SEED = hashlib.sha256(b"secagg audit in tests").hexdigest()
_FINDINGS = pytest.StashKey["list[Finding]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of audits."""
    group = parser.getgroup("secagg", "audits of secagg")
    group.addoption("--audit-level", choices=("quick", "full"), default="quick", help="Level of audits.")
    group.addoption(
        "--audit-seed",
        metavar="HEX",
        type=_as_seed,
        default=_FIXED_SEED,
        help="Master seed of audits, 64 hexadecimal digits; the same in every run by default.",
    )
    group.addoption(
        "--audit-json", type=Path, metavar="FILE", help="File for the findings of all audits as JSON lines."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the list of findings."""
    config.stash[_FINDINGS] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each check of an audit."""
    if "audit_case" not in metafunc.fixturenames:
        return
    from secagg.audit.testing import ClaimsAudit

    if metafunc.cls is None or not issubclass(metafunc.cls, ClaimsAudit):
        return
    cases = metafunc.cls.cases()
    metafunc.parametrize("audit_case", cases, ids=[f"{subject.name}-{attack.id}" for subject, attack in cases])


@pytest.fixture(scope="session")
def audit_level(request: pytest.FixtureRequest) -> "Level":
    """Return the level of audits."""
    from secagg.audit.attack import Level

    return Level(request.config.getoption("--audit-level"))


@pytest.fixture(scope="session")
def audit_seed(request: pytest.FixtureRequest) -> bytes:
    """Return the master seed of audits."""
    return bytes(request.config.getoption("--audit-seed"))


def _as_seed(digits: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
        raise argparse.ArgumentTypeError(f"expected 64 hexadecimal digits, found {digits!r}")
    return bytes.fromhex(digits)


@pytest.fixture
def audit_findings(request: pytest.FixtureRequest) -> Iterator["list[Finding]"]:
    """Return the list to which each check adds its finding; the file of `--audit-json` gets every new one."""
    kept = request.config.stash[_FINDINGS]
    before = len(kept)
    yield kept
    path = request.config.getoption("--audit-json")
    if path is not None:
        from secagg.audit.document import finding_as_json

        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{finding_as_json(found)}\n" for found in kept[before:])
