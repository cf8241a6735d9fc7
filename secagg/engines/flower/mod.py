"""A node's side in Flower: the mod that stands between the messages and the app.

The app is called to train, and for types of messages that the node's policy lets pass. Of its reply to training only
the arrays are used, less those that it was given, and the number of its examples. No metric leaves the node, and no
text of an exception: Flower would send the text to the server.

Adversary: the server, which sends messages of any type and content. It cannot reach the app but through the station.
**This does not hold against anyone who can replace the app's code**: Flower sends that code from the SuperLink. Where
the server may be malicious, run a resident station (`secagg node serve`), or an app that is installed at the node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from numpy.typing import NDArray

from secagg.engines.base import Update
from secagg.engines.flower.fan_out import ARRAYS, CONFIG
from secagg.engines.flower.payload import TYPE, unwrap, wrap
from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import Code
from secagg.engines.node.resident import ask
from secagg.engines.node.station import Station
from secagg.engines.wire.claim import Query
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, ModelError, SecaggError
from secagg.logger import LOGGER
from secagg.paths import escaped

CallNext = Callable[[Message, Context], Message]
Mod = Callable[[Message, Context, CallNext], Message]

HOME: Final = "secagg-home"
SOCKET: Final = "secagg-socket"
REFUSED: Final = 6
"""Flower's `ErrorCode.MOD_FAILED_PRECONDITION`."""

_EXAMPLES: Final = "num-examples"


def secure_mod() -> Mod:
    """Return the mod for `ClientApp(mods=[secure_mod()])`.

    It stands first in the list. Mods after it see the app's own messages, as they do without it. It belongs to the app
    and never to one function of it (`@app.train(mods=...)`), which would leave the app's other functions open.

    The node's operator names the node's home, or the socket of a resident station, when the SuperNode starts:
    `flower-supernode --node-config 'secagg-home="/var/lib/secagg"'`, or `'secagg-socket="/run/secagg/station"'`.
    """

    def mod(message: Message, context: Context, call_next: CallNext) -> Message:
        try:
            content = _answer(message, context, call_next)
        except Exception as error:  # noqa: BLE001  # Flower would send the text of the exception to the server.
            # The text of an app's own error may contain data, so it is not logged either.
            reason = str(error) if isinstance(error, SecaggError) else type(error).__name__
            LOGGER.error("a message was not answered: %s", escaped(reason))
            content = None
        if content is None:
            return Message(Error(REFUSED, "refused"), reply_to=message)
        return Message(content, reply_to=message)

    return mod


def _answer(message: Message, context: Context, call_next: CallNext) -> RecordDict | None:
    """Return the content of the reply; None if the message is refused."""
    kind = message.metadata.message_type
    parcel = unwrap(message) if kind == TYPE else None
    if parcel is None:
        return _passed(message, context, call_next)
    query = Query.of(parcel)
    if query is not None and query.address != context.node_id:
        LOGGER.warning("a query was refused: it is for another node")
        return None
    socket = context.node_config.get(SOCKET)
    if socket is not None:
        return wrap(ask(str(socket), parcel, timeout_s=message.metadata.ttl))
    home = _home(context)
    if home.policy.code is Code.RESIDENT:
        raise ConfigurationError(
            f"policy of the node: expected a home of which the code is not {Code.RESIDENT!r}, found one that is for a "
            f"resident station. Name its socket in the node config, {SOCKET}, in the place of {HOME}."
        )
    if query is not None:
        return wrap(query.claim(home.identity, home.node))
    return wrap(Station(home).answer(parcel, _Training(message=message, context=context, call_next=call_next)))


def _passed(message: Message, context: Context, call_next: CallNext) -> RecordDict | None:
    """Return the app's own reply to a message that the policy lets pass; None if it does not."""
    kind = message.metadata.message_type
    if kind != TYPE and context.node_config.get(SOCKET) is None and kind in _home(context).policy.plain_messages:
        reply = call_next(message, context)
        return reply.content if reply.has_content() else None
    LOGGER.warning("a message of type %r was refused: it is not a parcel", kind)
    return None


def _home(context: Context) -> Home:
    path = context.node_config.get(HOME)
    if not isinstance(path, str) or not path:
        raise ConfigurationError(
            f"node config: expected {HOME} or {SOCKET}, found neither. Start the SuperNode with --node-config "
            f"'{HOME}=\"...\"'."
        )
    return Home.open(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """The app as the function that trains for a station.

    Attributes:
        message: The message that carries the parcel; the app sees its metadata.
        context: The app's context.
        call_next: The rest of the mods, and the app.
    """

    message: Message
    context: Context
    call_next: CallNext

    def __call__(self, work: Work) -> Update:
        """Let the app train, and return what it has changed."""
        arrays = ArrayRecord({name: Array(array) for name, array in zip(work.names, work.arrays, strict=True)})
        self.message.content = RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord(dict(work.settings))})
        return to_update(self.call_next(self.message, self.context), work)


def to_update(reply: Message, work: Work) -> Update:
    """Return an app's reply to training, less the arrays that it was given.

    Raises:
        ModelError: The reply is an error, or has not exactly one record of arrays, of the names and shapes given.
    """
    records = list(reply.content.array_records.values()) if reply.has_content() else []
    if len(records) != 1 or set(records[0]) != set(work.names):
        raise ModelError(
            "the app's reply: expected one record of the arrays that it was given, found another one. Return "
            f'RecordDict({{"{ARRAYS}": ArrayRecord(...), "metrics": MetricRecord({{"{_EXAMPLES}": ...}})}}).'
        )
    pairs = zip(work.names, work.arrays, strict=True)
    return Update([_difference(name, records[0][name].numpy(), given) for name, given in pairs], _examples(reply))


def _difference(name: str, trained: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    if trained.shape != given.shape:
        raise ModelError(f"array {name!r} of the app's reply: expected shape {given.shape}, found {trained.shape}")
    difference: NDArray[Any] = np.subtract(trained, given, dtype=np.result_type(trained, given, np.float32))
    return difference


def _examples(reply: Message) -> int | None:
    """Return the number of examples that the app states; None if it states none."""
    for record in reply.content.metric_records.values():
        found = record.get(_EXAMPLES)
        if isinstance(found, int):
            return found
    return None
