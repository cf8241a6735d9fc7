"""The server's side in Flower: a grid that answers a strategy's messages with the mean of a secure sum.

Nothing passes beside the sum. Every message that a node would answer in the clear is refused here, unless its type was
named as passing; the nodes refuse it too, unless their policies name it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from protocols.errors import RemoteError
from secagg.checks import check_integer, check_positive, listed
from secagg.engines.flower.channel import FlowerChannel
from secagg.engines.flower.fan_out import to_reply, to_work
from secagg.engines.flower.nodes import NodeDirectory
from secagg.engines.flower.payload import TYPE
from secagg.engines.flower.strategies import check_strategy, weight_key
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.coordinator import Coordinator
from secagg.errors import ConfigurationError, NothingReleased
from secagg.logger import LOGGER

_NO_KEYS: Final[Mapping[int, bytes]] = {}


class SecureGrid(Grid):
    """A grid over another one, for a strategy that uses nothing of the replies but their mean.

    Train messages become one secure mean, and one reply: the arrays that were sent, plus the mean update. If nothing
    was released, because too few nodes are left or nodes broke the protocol, there is no reply, and the strategy keeps
    the model as it is.

    A node that was silent in a round is left out until it has answered a query, for which no round waits. After a round
    that has released nothing, the next one waits for it as long as for one step.

    Args:
        grid: The grid of the ServerApp.
        strategy: The strategy that uses this grid: `FedAvg`, `FedProx`, `FedAvgM`, `FedAdam`, `FedYogi`, `FedAdagrad`,
            or one whose class says `uses_mean_only = True`.
        coordinator: The server's side of all rounds.
        deadline: The seconds after which a step of the protocol ends without the nodes that are missing. It is also the
            time to live of the messages.
        passing: The types of messages that pass in the clear, such as "evaluate". **What nodes answer to them, the
            server sees.**
        keys: The public key with which the node of each id must have registered at the SuperLink, as
            `secagg.engines.flower.read_node_key` returns it. Ids that have none are left out. Without any keys, it is
            not checked how nodes have registered.
        group: The number of nodes that are asked at once, if large messages of all nodes do not fit into the SuperLink;
            None asks all of them at once.
        done: The number of rounds that are in the arrays that the strategy starts from, if they are a checkpoint. The
            numbers of rounds go on from there, and the coordinator forgets releases up to it, but for the last two.
            A caller that has saved a later round calls `coordinator.forget` with its number.
        clock: A clock in seconds that never goes back.
        sleep: Waits for a number of seconds.

    Raises:
        ConfigurationError: The strategy may use more than the mean, a number is out of range, "train" is to pass, or
            the coordinator has no folder.
        CoordinatorError: There is no roster in the coordinator's folder.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        strategy: Strategy,
        coordinator: Coordinator,
        deadline: float,
        passing: Iterable[str] = (),
        keys: Mapping[int, bytes] = _NO_KEYS,
        group: int | None = None,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_strategy(strategy)
        self._grid, self._coordinator = grid, coordinator
        self._weight_key = weight_key(strategy)
        self._deadline = check_positive("deadline", deadline)
        self._passing = _passing(passing)
        self._done = check_integer("done", done, minimum=0)
        self._rounds, self._is_patient = 0, True
        self._nodes = NodeDirectory(
            grid, roster=coordinator.roster, run=coordinator.run_id, keys=keys, clock=clock, sleep=sleep
        )
        self._channel = FlowerChannel(grid, self._nodes, clock=clock, sleep=sleep, group=group)
        self._engine = ChannelEngine(self._channel, clock=clock, step_s=self._deadline)
        coordinator.forget(self._done)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Return the one reply of a round of training, or the replies to messages that pass.

        Args:
            messages: The messages of a strategy.
            timeout: Applies only to messages that pass; a round of training has the grid's deadline for each step.

        Raises:
            ConfigurationError: A type of message may not pass, or the messages of training are not alike.
        """
        sent = list(messages)
        if sent and all(message.metadata.message_type == TYPE for message in sent):
            return self._train(sent)
        self._check_passing(sent)
        replies: Iterable[Message] = self._grid.send_and_receive(sent, timeout=timeout) if sent else []
        return replies

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages that pass; messages of training need `send_and_receive`."""
        sent = list(messages)
        self._check_passing(sent)
        ids: Iterable[str] = self._grid.push_messages(sent)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull the replies to messages that passed."""
        replies: Iterable[Message] = self._grid.pull_messages(message_ids)
        return replies

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes of Flower."""
        ids: Iterable[int] = self._grid.get_node_ids()
        return ids

    def get_nodes(self) -> Iterable[Any]:
        """Return what Flower tells of its nodes."""
        nodes: Iterable[Any] = self._grid.get_nodes()
        return nodes

    def set_run(self, run: Any) -> None:
        """Set the run."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """The run of Flower."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a new message; nothing is sent."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def _train(self, messages: list[Message]) -> list[Message]:
        self._rounds += 1
        work = to_work(messages, run=self._coordinator.run_id, number=self._rounds, done=self._done)
        self._nodes.refresh(self._deadline, patient=self._is_patient)
        asked = {message.metadata.dst_node_id for message in messages}
        clients = sorted(party for party, node in self._nodes.items() if node in asked)
        if len(clients) < len(asked):
            LOGGER.warning("round %d: %d of %d nodes are left out", work.round, len(asked) - len(clients), len(asked))
        self._is_patient = True
        try:
            release = self._coordinator.run(work, clients, self._engine)
        except (NothingReleased, RemoteError) as error:
            LOGGER.error("round %d released nothing: %s", work.round, error)
            return []
        finally:
            self._nodes.forget(self._channel.take_silent())
        self._is_patient = False
        return [to_reply(messages[0], work, release, key=self._weight_key)]

    def _check_passing(self, messages: list[Message]) -> None:
        refused = sorted({message.metadata.message_type for message in messages} - self._passing)
        if refused:
            raise ConfigurationError(
                f"messages: expected those of one round of training, found also or only {listed(refused)}. What nodes "
                "answer to them is not summed up. Switch federated evaluation off (fraction_evaluate=0.0), or let the "
                'server see the answers: SecureGrid(..., passing=("evaluate",)).'
            )


def _passing(types: Iterable[str]) -> frozenset[str]:
    found = frozenset([types] if isinstance(types, str) else types)
    if TYPE in found:
        raise ConfigurationError(
            f"passing: expected types of messages other than {TYPE!r}, found it. Updates are summed up, never passed."
        )
    return found
