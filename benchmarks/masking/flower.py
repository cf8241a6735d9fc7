"""Flower's SecAgg+ under a stop-watch: its client mod and its server workflow, unchanged, behind a grid of ours.

The grid carries messages within the process.  Each one becomes the bytes that Flower would put on its wire and is
parsed again, so no two parties share an object, and bytes are Flower's own; that work is off the clock, in Flower's
favour.  Weights are equal, so the mean that comes out is compared with the vectors' own.

Needs the distribution `flwr`; nothing else of this repository imports it.
"""

import copy
import logging
import os
import time
from collections.abc import Iterable
from typing import Any, Final, cast

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, RECORD_KEY_STATE, Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_concat
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.compat.common import recorddict_compat
from flwr.proto.message_pb2 import Message as WireMessage
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, generate_key_pairs, public_key_to_bytes
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from benchmarks.masking.report import Stages

CLIPPING_RANGE: Final = 8.0
TARGET_RANGE: Final = 2**22
MODULUS: Final = 2**32
STAGES: Final = (Stage.SETUP, Stage.SHARE_KEYS, Stage.COLLECT_MASKED_VECTORS, Stage.UNMASK)

_WEIGHT: Final = 1000  # examples of every client, and the largest weight that is allowed
_SERVER: Final = 2**32
_LOST: Final = 1  # the error code of a node that is gone

logging.getLogger("flwr").setLevel(logging.CRITICAL)
TaskIdentity.task_id = TaskIdentity.run_id = 1
TaskIdentity.node_id = _SERVER


class FlowerFailed(RuntimeError):
    """Flower's round halted, or its mean is wrong."""


class Node:
    """One client: Flower's mod around an app that has been trained already.

    Args:
        number: The node's id, at least 1.
        vector: What it contributes, shape `(length,)`, float32.
    """

    def __init__(self, number: int, vector: NDArray[np.float32]) -> None:
        self.number = number
        self._vector = vector
        self._context = _context(number)

    def answer(self, wire: bytes) -> tuple[bytes, float]:
        """The reply to one message, and the CPU seconds that Flower's mod took to make it."""
        message, trained = _parsed(wire), self._trained()

        def app(received: Message, _: Context) -> Message:
            return Message(trained, reply_to=received)

        begun = time.process_time()
        reply = secaggplus_mod(message, self._context, app)
        taken = time.process_time() - begun
        return _wire(reply), taken

    def state(self) -> Any:
        """A copy of the mod's state between two messages."""
        return copy.deepcopy(self._context.state.config_records[RECORD_KEY_STATE])

    def restore(self, state: Any) -> None:
        """Go back to a state, to answer the same message once more."""
        self._context.state.config_records[RECORD_KEY_STATE] = copy.deepcopy(state)

    def _trained(self) -> RecordDict:
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([self._vector]), _WEIGHT, {})
        return recorddict_compat.fitres_to_recorddict(result, keep_input=False)


class LoneClient:
    """One of Flower's clients among neighbours of whom there are only the messages: its stages are quick to repeat.

    Args:
        neighbours: How many it has.
        threshold: Shares that rebuild a secret.
        vector: What it contributes, shape `(length,)`, float32.

    Attributes:
        sent_bytes: By stage, the bytes of its reply on Flower's wire.
        payload_bytes: Those of the masked vector alone.
    """

    def __init__(self, *, neighbours: int, threshold: int, vector: NDArray[np.float32]) -> None:
        self._node = Node(1, vector)
        others = list(range(2, neighbours + 2))
        masking, sealing = ({number: generate_key_pairs() for number in others} for _ in range(2))
        advertised, _ = self._node.answer(_instruction(1, _setup(neighbours + 1, threshold)))
        own = _configs(advertised)
        directory = {"1": [own[Key.PUBLIC_KEY_1], own[Key.PUBLIC_KEY_2]]}
        for number in others:
            directory[str(number)] = [public_key_to_bytes(pair[number][1]) for pair in (masking, sealing)]
        self._directory = _instruction(1, {**directory, Key.STAGE: Stage.SHARE_KEYS})
        self._before_sharing = self._node.state()

        shared, _ = self._node.answer(self._directory)
        self._before_masking = self._node.state()
        sizes = [len(self._before_masking[f"{name}:V"][0]) for name in ("rd_seed_share_dict", "sk1_share_dict")]
        own_key = bytes_to_public_key(own[Key.PUBLIC_KEY_2])
        ciphertexts = [
            encrypt(
                generate_shared_key(sealing[number][0], own_key),
                share_keys_plaintext_concat(number, 1, *map(os.urandom, sizes)),
            )
            for number in others
        ]
        stage: dict[str, Any] = {Key.STAGE: Stage.COLLECT_MASKED_VECTORS}
        self._delivered = _instruction(1, {**stage, Key.CIPHERTEXT_LIST: ciphertexts, Key.SOURCE_LIST: others})
        masked, _ = self._node.answer(self._delivered)
        lists = {Key.ACTIVE_NODE_ID_LIST: [1, *others], Key.DEAD_NODE_ID_LIST: []}
        revealed, _ = self._node.answer(_instruction(1, {**lists, Key.STAGE: Stage.UNMASK}))

        replies = (advertised, shared, masked, revealed)
        self.sent_bytes = {stage: len(reply) for stage, reply in zip(STAGES, replies, strict=True)}
        self.payload_bytes = len(_configs(masked)[Key.MASKED_PARAMETERS][1])

    def share_keys_s(self) -> float:
        """CPU seconds of the stage in which it shares its secrets."""
        self._node.restore(self._before_sharing)
        return self._node.answer(self._directory)[1]

    def mask_s(self) -> float:
        """CPU seconds of the stage in which it opens shares, quantises its vector and masks it."""
        self._node.restore(self._before_masking)
        return self._node.answer(self._delivered)[1]


class Grid:
    """Carries the messages of one round within the process, and keeps the time.

    Args:
        nodes: The clients.
        dropped: Whose masked vector, and everything after it, never comes.
    """

    def __init__(self, nodes: list[Node], dropped: frozenset[int]) -> None:
        self._nodes = {node.number: node for node in nodes}
        self._dropped = dropped
        self.client_s: list[list[float]] = []
        self.server_s: list[float] = []
        self._resumed = time.process_time()

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:  # noqa: ARG002  # Flower's signature
        """Ask each node in turn."""
        self._lap()
        late = len(self.client_s) >= STAGES.index(Stage.COLLECT_MASKED_VECTORS)
        taken: list[float] = []
        replies = []
        for message in messages:
            if late and message.metadata.dst_node_id in self._dropped:
                replies.append(Message(Error(_LOST), reply_to=message))
                continue
            reply, seconds = self._nodes[message.metadata.dst_node_id].answer(_wire(message))
            taken.append(seconds)
            replies.append(_parsed(reply))
        self.client_s.append(taken)
        self._resumed = time.process_time()
        return replies

    def finish(self) -> None:
        """The workflow has come to its end."""
        self._lap()

    def _lap(self) -> None:
        self.server_s.append(time.process_time() - self._resumed)


class _Strategy:
    """As little as the workflow needs: every client takes part, and the mean is kept."""

    def __init__(self, grid: Grid, numbers: list[int]) -> None:
        self._proxies = [GridClientProxy(number, cast("Any", grid), run_id=1) for number in numbers]
        self.mean: NDArray[np.float64] | None = None

    def configure_fit(self, _round: int, parameters: Parameters, _manager: object) -> list[tuple[Any, FitIns]]:
        """Ask everyone."""
        return [(proxy, FitIns(parameters, {})) for proxy in self._proxies]

    def aggregate_fit(
        self, _round: int, results: list[tuple[Any, FitRes]], _failures: object
    ) -> tuple[None, dict[str, float]]:
        """Keep the mean, which the workflow has written into every result."""
        (self.mean,) = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}


def run_round(vectors: NDArray[np.float32], *, threshold: int, dropped: frozenset[int]) -> Stages:
    """One round on the complete graph.

    Args:
        vectors: Shape `(clients, length)`, entries within the clipping range.
        threshold: Shares that rebuild a secret.
        dropped: Rows whose clients drop out after sharing their keys, the only dropouts that the workflow stands.

    Raises:
        FlowerFailed: The round halted, or the mean is not that of the other rows.
    """
    clients = len(vectors)
    numbers = list(range(1, clients + 1))
    grid = Grid(
        [Node(number, vector) for number, vector in zip(numbers, vectors, strict=True)],
        frozenset(row + 1 for row in dropped),
    )
    strategy = _Strategy(grid, numbers)
    context = LegacyContext(_context(_SERVER), strategy=cast("Any", strategy), client_manager=SimpleClientManager())
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    none_yet = ndarrays_to_parameters([np.zeros(1)])
    context.state.array_records[MAIN_PARAMS_RECORD] = recorddict_compat.parameters_to_arrayrecord(none_yet, True)
    workflow = SecAggPlusWorkflow(
        1.0,
        threshold / clients,
        max_weight=float(_WEIGHT),
        clipping_range=CLIPPING_RANGE,
        quantization_range=TARGET_RANGE,
        modulus_range=MODULUS,
    )
    workflow(cast("Any", grid), context)
    grid.finish()

    kept = np.delete(vectors, sorted(dropped), axis=0).astype(np.float64)
    step = 2 * CLIPPING_RANGE / TARGET_RANGE
    if strategy.mean is None or not np.allclose(strategy.mean, kept.mean(axis=0), rtol=0, atol=2 * step):
        raise FlowerFailed(f"Flower's round of {clients} clients halted, or its mean is wrong")
    return Stages(
        of="Flower",
        clients=clients,
        length=vectors.shape[1],
        client_s={stage: min(taken) for stage, taken in zip(STAGES, grid.client_s, strict=True)},
        server_s=dict(zip(STAGES, grid.server_s[1:], strict=True)),
        total_s=sum(map(sum, grid.client_s)) + sum(grid.server_s),
    )


def quantise_s(vector: NDArray[np.float32]) -> float:
    """CPU seconds to round a vector to integers at random."""
    begun = time.process_time()
    quantize(cast("Any", [vector]), CLIPPING_RANGE, TARGET_RANGE)
    return time.process_time() - begun


def _setup(clients: int, threshold: int) -> dict[str, Any]:
    return {
        Key.STAGE: Stage.SETUP,
        Key.SAMPLE_NUMBER: clients,
        Key.SHARE_NUMBER: clients,
        Key.THRESHOLD: threshold,
        Key.CLIPPING_RANGE: CLIPPING_RANGE,
        Key.TARGET_RANGE: TARGET_RANGE,
        Key.MOD_RANGE: MODULUS,
        Key.MAX_WEIGHT: float(_WEIGHT),
    }


def _context(number: int) -> Context:
    return Context(run_id=1, node_id=number, node_config={}, state=RecordDict(), run_config={})


def _instruction(number: int, configs: dict[str, Any]) -> bytes:
    content = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord(configs)})
    return _wire(Message(content, dst_node_id=number, message_type="train", group_id="1"))


def _configs(wire: bytes) -> Any:
    return _parsed(wire).content.config_records[RECORD_KEY_CONFIGS]


def _wire(message: Message) -> bytes:
    return cast("bytes", message_to_proto(message).SerializeToString())


def _parsed(wire: bytes) -> Message:
    return message_from_proto(WireMessage.FromString(wire))
