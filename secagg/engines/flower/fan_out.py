"""A strategy's messages of one round as the work of a secure mean, and the mean as the reply to the strategy."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from secagg.checks import listed, shown
from secagg.engines.base import Release
from secagg.engines.wire.work import Plain, Work
from secagg.errors import ConfigurationError

ARRAYS: Final = "arrays"
CONFIG: Final = "config"
METRICS: Final = "metrics"
_ROUND: Final = "server-round"


def to_work(messages: Sequence[Message], *, run: str, number: int, done: int = 0) -> Work:
    """Return what all nodes are asked to train on.

    Args:
        messages: The messages of a round, at least one.
        run: The name of the run.
        number: The number of the round, if the messages do not say it under "server-round".
        done: The number of rounds before the first one of the strategy; it is added to the round's number.

    Raises:
        ConfigurationError: The messages differ, or hold anything but floating-point arrays under "arrays" and plain
            values under "config".
    """
    content = messages[0].content
    if any(message.content is not content and message.content != content for message in messages):
        raise ConfigurationError(
            "messages of a round: expected the same content for all nodes, found different ones. A secure mean is over "
            "nodes that train on the same arrays with the same settings."
        )
    arrays, settings = content.get(ARRAYS), content.get(CONFIG)
    if (
        set(content) != {ARRAYS, CONFIG}
        or not isinstance(arrays, ArrayRecord)
        or not isinstance(settings, ConfigRecord)
    ):
        raise ConfigurationError(
            f"messages of a round: expected arrays under {ARRAYS!r} and settings under {CONFIG!r}, found records "
            f"{listed(sorted(content))}. Leave arrayrecord_key and configrecord_key of the strategy at their defaults."
        )
    plain = {name: _plain(name, value) for name, value in settings.items()}
    given = plain.get(_ROUND)
    if type(given) is int:
        number = plain[_ROUND] = given + done
    else:
        number += done
    return Work(
        run,
        number,
        {name: _floats(name, array.numpy()) for name, array in arrays.items()},
        plain,
    )


def to_reply(message: Message, work: Work, release: Release, *, key: str) -> Message:
    """Return the one reply of a round: the arrays that were sent plus the mean update, and how many are in it.

    Args:
        message: One of the messages of the round.
        work: What the nodes trained on.
        release: The mean of their updates.
        key: The name of the metric by which the strategy weights replies.
    """
    moved = {
        name: Array(np.asarray(sent + mean, dtype=sent.dtype))
        for name, sent, mean in zip(work.names, work.arrays, release.mean, strict=True)
    }
    metrics = MetricRecord({key: len(release.contributors)})
    return Message(RecordDict({ARRAYS: ArrayRecord(moved), METRICS: metrics}), reply_to=message)


def _plain(name: str, value: Any) -> Plain:
    if type(value) not in (bool, int, float, str):
        raise ConfigurationError(
            f"setting {shown(name)}: expected a bool, an int, a float or a str, found a {type(value).__name__}. Put "
            "lists and bytes into the app, or into several settings."
        )
    plain: Plain = value
    return plain


def _floats(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "f":
        raise ConfigurationError(
            f"array {shown(name)}: expected floating-point numbers, found {array.dtype}. Leave counters, such as "
            "num_batches_tracked of batch normalisation, out of the record: their steps would take most of the clip."
        )
    return array
