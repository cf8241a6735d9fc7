"""A double of Flower's grid: nodes are functions in this process, and time is simulated.

Needs flwr. The private names of Flower that the tests use are all in this module: `TaskIdentity`, without which no
message can be made outside a process of Flower, and the arguments with which Flower itself makes a received message.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.serverapp import Grid

Node = Callable[[Message], Message | None]

SERVER = 1


def set_task(run: int = 1, node: int = SERVER, task: int = 1) -> None:
    """Let this process make messages, as a process of Flower can."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:  # Before flwr 1.3x, messages had no task.
        return
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run, node, task


@dataclass(slots=True)
class SimulatedClock:
    """A clock that only `sleep` moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class GridDouble(Grid):
    """A grid over functions: each takes a message and returns the reply, or None to stay silent.

    Args:
        nodes: The functions, by Flower's node ids.
        keys: The public keys of the nodes, where they have registered.
        clock: The clock by which replies are late.
        delays: After how many seconds the reply of a node can be pulled.
    """

    def __init__(
        self,
        nodes: dict[int, Node],
        *,
        keys: dict[int, bytes] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        delays: dict[int, float] | None = None,
    ) -> None:
        set_task()
        self.nodes, self.keys, self.clock, self.delays = nodes, keys or {}, clock, delays or {}
        self.sent: list[Message] = []
        self.passed: list[Message] = []
        self.pulls: list[float] = []
        self.refuses_to_push = False
        self._replies: dict[str, tuple[float, Message]] = {}

    def set_run(self, run: Any) -> None:
        """Do nothing: there is one run."""

    @property
    def run(self) -> Any:
        return "the run"

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def get_nodes(self) -> Iterable[Any]:
        return [_NodeInfo(node, self.keys.get(node, b"")) for node in self.nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            if self.refuses_to_push:
                continue
            self.sent.append(message)
            ids.append(str(len(self.sent)))
            node = message.metadata.dst_node_id
            reply = self.nodes[node](received(message, ids[-1]))
            if reply is not None:
                self._replies[ids[-1]] = (self.clock() + self.delays.get(node, 0.0), reply)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.pulls.append(self.clock())
        ready = [key for key in message_ids if key in self._replies and self._replies[key][0] <= self.clock()]
        return [self._replies.pop(key)[1] for key in ready]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        self.passed += messages
        return self.pull_messages(list(self.push_messages(self.passed)))


@dataclass(frozen=True, slots=True)
class _NodeInfo:
    node_id: int
    public_key: bytes


def received(message: Message, message_id: str = "1") -> Message:
    """Return a message as a node receives it: with an id, and a content that is its own."""
    sent = message.metadata
    metadata = Metadata(
        run_id=sent.run_id,
        message_id=message_id,
        src_node_id=SERVER,
        dst_node_id=sent.dst_node_id,
        reply_to_message_id="",
        group_id=sent.group_id,
        created_at=sent.created_at,
        ttl=sent.ttl,
        message_type=sent.message_type,
    )
    made: Message = cast(Any, Message)(content=RecordDict(dict(message.content)), metadata=metadata)
    return made


def error_reply(message: Message, code: int) -> Message:
    """Return a reply that is an error of Flower, with a reason that nobody may pass on."""
    return Message(Error(code, "a reason with data in it"), reply_to=message)
