"""Homes of the nodes of a federation, complete, with a policy that is easy to change."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from protocols.identity import Identity
from secagg.engines.home import Home
from secagg.engines.policy import NodePolicy
from secagg.engines.policy_file import POLICY_NAME
from secagg.engines.roster_file import ROSTER_NAME, RosterFile
from secagg.storage.node_keys import COORDINATOR_NAME
from secagg.storage.public_line import PublicLine, coordinator_line

FIELDS: Final[Mapping[str, Any]] = {
    "protocols": ["secagg-plus", "secagg"],
    "adversary": "curious",
    "adversarial": 0.0,
    "least_contributors": 2,
    "most_clients": 100,
    "most_coordinates": 10_000,
    "largest_clip": 10.0,
    "weighting": ["uniform", "weighted"],
    "trust": ["distributed"],
    "epsilon": 8.0,
    "delta": 1e-6,
    "plain_messages": [],
    "code": "installed",
}
"""The fields of a policy with a budget, without the folder of the live session."""

COORDINATOR: Final = Identity.generate()


def policy_text(without: Sequence[str] = (), **changes: Any) -> bytes:
    """Return the text of a policy: `FIELDS` with some changed, and some left out."""
    fields = {**FIELDS, **changes}
    lines = (f"{name} = {_toml(value)}\n" for name, value in fields.items() if name not in without)
    return "".join(lines).encode()


def exact_text(without: Sequence[str] = (), **changes: Any) -> bytes:
    """Return the text of a policy without a budget."""
    return policy_text((*without, "epsilon", "delta"), **({"noise": "none", "trust": []} | changes))


def policy(without: Sequence[str] = (), **changes: Any) -> NodePolicy:
    """Return a policy with a budget."""
    return NodePolicy.parse(policy_text(without, **changes))


def exact_policy(**changes: Any) -> NodePolicy:
    """Return a policy without a budget."""
    return NodePolicy.parse(exact_text(**changes))


def homes(folder: Path, nodes: int = 3, *, text: bytes | None = None) -> list[Path]:
    """Make complete homes in a folder, `node-0` and so on, and return their paths.

    Their live sessions are in the same folder.
    """
    paths = [folder / f"node-{number}" for number in range(nodes)]
    lines = [PublicLine(name=path.name, key=Home.create(path).public) for path in paths]
    roster = RosterFile.of(lines)
    for path in paths:
        complete(path, roster, policy_text(encrypted_live_folder=str(folder / "live")) if text is None else text)
    return paths


def complete(path: Path, roster: RosterFile, text: bytes) -> None:
    """Add to a new home what its operator adds."""
    (path / COORDINATOR_NAME).write_text(f"{coordinator_line(COORDINATOR.public)}\n")
    (path / ROSTER_NAME).write_bytes(roster.to_bytes())
    (path / POLICY_NAME).write_bytes(text)


def _toml(value: Any) -> str:
    return repr(value) if type(value) is float else json.dumps(value)
