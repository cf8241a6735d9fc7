"""A federation on Flower in one process: homes, a coordinator's folder, and an app behind the mod at each node."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from protocols.identity import Identity
from secagg.engines.flower.mod import HOME, secure_mod
from secagg.engines.node.home import Home
from secagg.storage.key_files import PUBLIC_NAME, member_name, write_committee
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine
from secagg.storage.roster_file import ROSTER_NAME, RosterFile
from tests.support import committee_keys
from tests.support.flower_grid import GridDouble, Node
from tests.support.homes import exact_text
from tests.support.seed_folders import give_seed_committee

WEIGHTS: Final = {"weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "bias": np.zeros(4, np.float32)}
FIRST_NODE: Final = 1001
"""Flower's node id of client 0; those of the others follow."""


def step_of(client: int, name: str) -> Any:
    """Return by how much a client moves an array in training; all of a client's have a norm below 0.5."""
    sent = WEIGHTS[name]
    return np.random.default_rng([client, len(name)]).normal(scale=0.05, size=sent.shape).astype(sent.dtype)


def trained(message: Message, client: int) -> Message:
    """Train as an app of Flower does, and tell the server much beside the arrays."""
    record = message.content.array_records["arrays"]
    arrays = {name: Array(array.numpy() + step_of(client, name)) for name, array in record.items()}
    metrics = MetricRecord({"num-examples": 10 + client, "loss": 0.123456789})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@dataclass(kw_only=True)
class FlowerFederation:
    """Homes and what is known of them.

    Attributes:
        folder: A folder for all files.
        clients: The number of nodes that train; their ids are 0, 1, 2 and so on.
        protocol: The protocol that the nodes' policies accept. For "seeds", the committee is one by replicated seeds.
        policy: Fields of the nodes' policies that are not those of `tests.support.homes`.
        members: The members of the committee; none without one.
        asked: For each call of an app, the client and the type of the message.
        template: A federation of the same kind, never used, that is copied, since making homes takes a while.
    """

    folder: Path
    clients: int = 5
    protocol: str = "secagg"
    policy: dict[str, Any] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    asked: list[tuple[int, str]] = field(default_factory=list)
    template: "FlowerFederation | None" = None
    coordinator: Identity = field(init=False)

    def __post_init__(self) -> None:
        if self.template is None:
            self._make()
        else:
            shutil.copytree(self.template.folder, self.folder, dirs_exist_ok=True)
            self.coordinator = self.template.coordinator
        self.write_policies(**self.policy)

    def write_policies(self, **policy: Any) -> None:
        """Write the policy of every node, with some fields that are not the usual ones."""
        fields: dict[str, Any] = {
            "protocols": [self.protocol],
            "largest_clip": 1.0,
            "encrypted_live_folder": str(self.folder / "live"),
        } | policy
        for client in range(self.clients):
            (self.home(client) / "policy.toml").write_bytes(exact_text(**fields))

    def _make(self) -> None:
        self.coordinator = create_coordinator(self.coordinator_folder)
        lines = [
            PublicLine(name=f"node-{client}", key=Home.create(self.home(client)).public)
            for client in range(self.clients)
        ]
        RosterFile.of(lines).write(self.coordinator_folder / ROSTER_NAME)
        shared = [COORDINATOR_NAME, ROSTER_NAME]
        if self.members and self.protocol != "seeds":
            keys = self.folder / "committee"
            count, enough = len(self.members), len(self.members) // 2 + 1
            write_committee(
                keys,
                committee_keys.threshold_key(1, count, enough),
                committee_keys.key_shares(1, count, enough),
            )
            shutil.copy(keys / PUBLIC_NAME, self.coordinator_folder)
            for index, member in enumerate(self.members, start=1):
                shutil.copy(keys / member_name(index), self.home(member))
            shared.append(PUBLIC_NAME)
        for client in range(self.clients):
            for name in shared:
                shutil.copy(self.coordinator_folder / name, self.home(client))
        if self.members and self.protocol == "seeds":
            homes = {client: self.home(client) for client in range(self.clients)}
            members = [homes.pop(member) for member in self.members]
            give_seed_committee(self.folder / "committee", members, [*homes.values(), self.coordinator_folder])

    @property
    def coordinator_folder(self) -> Path:
        """The coordinator's folder."""
        return self.folder / "coordinator"

    def home(self, client: int) -> Path:
        """Return the home of a node."""
        return self.folder / f"node-{client}"

    def app(self, client: int, train: Callable[[Message, int], Message] = trained) -> ClientApp:
        """Return the app of a node, with functions for every category of messages."""
        app = ClientApp(mods=[secure_mod()])

        def answer(message: Message, context: Context) -> Message:
            self.asked.append((client, message.metadata.message_type))
            return train(message, client)

        for register in (app.train, app.evaluate, app.query):
            register()(answer)
        return app

    def context(self, client: int, config: dict[str, Any] | None = None) -> Context:
        """Return the context of a node's app, with the home in the node config unless another one is given."""
        given: dict[str, Any] = {HOME: str(self.home(client))} if config is None else config
        return Context(run_id=1, node_id=FIRST_NODE + client, node_config=given, state=RecordDict(), run_config={})

    def nodes(self, train: Callable[[Message, int], Message] = trained) -> dict[int, Node]:
        """Return the nodes for a `GridDouble`."""

        def node(client: int) -> Node:
            return lambda message: self.app(client, train)(message, self.context(client))

        return {FIRST_NODE + client: node(client) for client in range(self.clients)}

    def grid(self) -> GridDouble:
        """Return a grid over all nodes."""
        return GridDouble(self.nodes())

    def mean_step(self, name: str, clients: range | tuple[int, ...]) -> Any:
        """Return the mean of some clients' steps."""
        return np.mean([step_of(client, name).astype(np.float64) for client in clients], axis=0)
