"""What a FLARE site lets others do, read from its startup kit, and what of it is wider than a node of `secagg` needs.

As FLARE provisions a site, leads of every organisation may send code with a job, and a job that brings code is not held
to the site's list of classes. The default list has classes that send statistics of local data and the job's log to the
server. An error log goes to the server by itself. What is read here is what FLARE 2.9 reads: `local/authorization.json`
and `local/resources.json` (or the files of these names with the ending `.default`), `startup/fed_client.json` and
`startup/sub_start.sh`.

What no policy can narrow: a FLARE server can read every file that the site's FLARE process can read. The site runs
shell commands such as `cat` for the server, and checks the right to it only if the server says that there is one to
check (`nvflare/private/fed/client/admin.py` and `shell_cmd.py` of 2.9.0). So a node that does not trust the server has
a resident station, which runs as another user.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocols import Adversary
from secagg.checks import listed, shown
from secagg.engines.node.policy import NodePolicy
from secagg.engines.node.policy_file import POLICY_NAME, Code
from secagg.engines.nvflare.local_file import FILE_NAME, LocalFile, NodeTable
from secagg.errors import ConfigurationError, SecaggError

EXECUTOR_CLASS: Final = "secagg.engines.nvflare.components.SecureExecutor"
"""The only class that a site needs in `class_allow_list`."""

_HARMLESS: Final = frozenset({"submit_job", "clone_job", "manage_job", "download_job", "view"})
"""Rights that give nobody code or files at a site: a job can start nothing but classes of the list."""

_NARROW: Final = frozenset({"none", "no", "o:site", "org:site"})
_POLICY_KEYS: Final = ("class_allow_list", "class_list_enforcement_mode", "allow_log_streaming")
_EXTRA_RESOURCES: Final = ("*__resources.json", "*__p_resources.json", "*__j_resources.json", "job_resources.json")
_SERVER_READS: Final = (
    "The station runs in FLARE's process, so the FLARE server can read the node's home, and its keys, if it does not "
    "follow the protocol. Against such a server use a resident station: `secagg node serve`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePolicy:
    """What was found in a site's startup kit.

    Attributes:
        refusals: What is wider than a node needs, one sentence each with its remedy; empty if nothing is.
        notes: What the operator should know.
    """

    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def check_site(kit: str | Path, *, home: Path | None = None) -> SitePolicy:
    """Return what a site's startup kit lets others do.

    Args:
        kit: The site's folder, with the folders `startup` and `local`.
        home: The node's home, which a station in FLARE's process must use; None if it is not known.

    Raises:
        ConfigurationError: This is no startup kit of a client.
    """
    root = Path(kit)
    if not (root / "startup" / "fed_client.json").is_file():
        raise ConfigurationError(
            f"{root}: expected the startup kit of a FLARE client, found no startup/fed_client.json. Name the folder "
            "that holds `startup` and `local`."
        )
    node, problem = _node(root)
    refusals = [*_startup(root), *_authorization(root), *_resources(root), *problem, *_placed(root, node, home)]
    notes = (_SERVER_READS,) if node is not None and node.socket is None else ()
    return SitePolicy(refusals=tuple(refusals), notes=notes)


def check_own_station(policy: NodePolicy, home: Path) -> None:
    """Check that a station with this policy may run in FLARE's own process.

    Raises:
        ConfigurationError: The home is for a resident station, or the policy does not trust the server to follow the
            protocol.
    """
    file = home / POLICY_NAME
    if policy.code is Code.RESIDENT:
        raise ConfigurationError(
            f"{file}: expected a home of which the code is not {Code.RESIDENT}, found one that is for a resident "
            f"station. Write `socket` into {FILE_NAME} in the place of `home`."
        )
    if policy.adversary is not Adversary.CURIOUS:
        raise ConfigurationError(
            f"{file}: expected a resident station against a {policy.adversary} server, found a station in FLARE's "
            f"process, whose files a FLARE server can read. Run `secagg node serve`, and write `socket` into "
            f"{FILE_NAME}."
        )


def _startup(root: Path) -> Iterator[str]:
    settings = _json(root / "startup" / "fed_client.json")
    if settings.get("require_signed_jobs", True) is not True:
        yield "startup/fed_client.json: expected signed jobs only, found require_signed_jobs = false. Remove it."
    if not (root / "startup" / "rootCA.pem").is_file():
        yield "startup/rootCA.pem: expected a certificate, found none, so FLARE checks no signature of a job. Add it."
    client = settings.get("client")
    security = client.get("connection_security") if isinstance(client, dict) else None
    if security != "mtls":
        yield (
            f"startup/fed_client.json: expected connection_security mtls, found {shown(security)}. Provision the site "
            "with mutual TLS."
        )
    start = root / "startup" / "sub_start.sh"
    if not start.is_file() or "secure_train=true" not in start.read_text(encoding="utf-8"):
        yield (
            "startup/sub_start.sh: expected secure_train=true, without which FLARE authorises everything, found none. "
            "Use the script that FLARE has provisioned."
        )


def _authorization(root: Path) -> Iterator[str]:
    path = _first(root, "authorization.json")
    if path is None:
        yield "local/authorization.json: expected a file, found none, so FLARE authorises everything. Add it."
        return
    permissions = _json(path).get("permissions")
    if not isinstance(permissions, dict):
        yield f"local/{path.name}: expected a table of permissions, found {shown(permissions)}. Correct it."
        return
    for role, rights in permissions.items():
        wide = ["every right"] if not isinstance(rights, dict) and not _is_narrow(rights) else []
        if isinstance(rights, dict):
            wide = [right for right, rule in rights.items() if right not in _HARMLESS and not _is_narrow(rule)]
        for right in wide:
            yield (
                f"local/{path.name}: expected {right} of the role {shown(role)} to be none or o:site, found more. Give "
                "the role its rights one by one, with byoc none."
            )


def _resources(root: Path) -> Iterator[str]:
    path = _first(root, "resources.json")
    settings = {} if path is None else _json(path)
    where = "local/resources.json" if path is None else f"local/{path.name}"
    allowed = settings.get("class_allow_list")
    if allowed != [EXECUTOR_CLASS]:
        found = listed(allowed) if isinstance(allowed, list) else shown(allowed)
        yield f"{where}: expected class_allow_list to have {EXECUTOR_CLASS} only, found {found}. Correct it."
    if settings.get("class_list_enforcement_mode", "enforce") != "enforce":
        yield f"{where}: expected class_list_enforcement_mode enforce, found another. Correct it."
    if settings.get("allow_log_streaming") is not False:
        yield (
            f"{where}: expected allow_log_streaming = false, found another, so that the error log goes to the server. "
            "Set it to false."
        )
    for folder in ("startup", "local"):
        for extra in sorted(path for pattern in _EXTRA_RESOURCES for path in (root / folder).glob(pattern)):
            for key in sorted(set(_json(extra)).intersection(_POLICY_KEYS)):
                yield f"{folder}/{extra.name}: expected {key} in local/resources.json alone, found it here. Remove it."


def _node(root: Path) -> tuple[NodeTable | None, tuple[str, ...]]:
    try:
        return LocalFile.read(root / "local").station(root.resolve().name), ()
    except ConfigurationError as error:
        return None, (str(error),)


def _placed(root: Path, node: NodeTable | None, expected: Path | None) -> Iterator[str]:
    """Check where the home is, and that its policy is for a station in FLARE's process."""
    if node is None or node.home is None:
        return
    home = Path(node.home)
    if expected is not None and home.resolve() != expected.resolve():
        yield f"local/{FILE_NAME}: expected the home {expected}, found {node.home}. Correct one of them."
    if home.resolve().is_relative_to(root.resolve()):
        yield f"home: expected a folder outside of the startup kit, found {node.home}. Move it."
    try:
        check_own_station(NodePolicy.read(home / POLICY_NAME), home)
    except SecaggError as error:
        yield str(error)


def _is_narrow(rule: object) -> bool:
    """Return whether a rule of FLARE gives a right to nobody, or to the site's own organisation alone.

    FLARE grants the right if any condition holds and no condition after `not` does. A rule of conditions after `not`
    alone grants it to everybody else.
    """
    conditions = [rule] if isinstance(rule, str) else rule
    if not isinstance(conditions, list) or not all(isinstance(each, str) for each in conditions):
        return False
    granted = [words for words in (each.lower().split() for each in conditions) if words[:1] != ["not"]]
    return bool(granted) and all(len(words) == 1 and words[0] in _NARROW for words in granted)


def _first(root: Path, name: str) -> Path | None:
    """Return the file that FLARE reads: the operator's own, or else the default one."""
    for path in (root / "local" / name, root / "local" / f"{name}.default"):
        if path.exists():
            return path
    return None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: expected JSON, found none ({type(error).__name__}). Correct it.") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: expected a table, found {shown(found)}. Correct it.")
    return found
