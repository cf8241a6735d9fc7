"""A strategy's messages as work, and the mean as the reply that a strategy takes."""

import pytest

pytest.importorskip("flwr")

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from secagg.engines.base import Release
from secagg.engines.flower.fan_out import to_reply, to_work
from secagg.engines.work import Work
from secagg.errors import ConfigurationError
from tests.support.flower_grid import received, set_task

WEIGHTS: dict[str, Any] = {"dense.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "dense.bias": np.ones(3)}
CONFIG: dict[str, Any] = {"server-round": 4, "lr": 0.1, "optimizer": "sgd", "shuffle": True}


def content(weights: dict[str, Any] = WEIGHTS, **config: Any) -> RecordDict:
    arrays = ArrayRecord({name: Array(array) for name, array in weights.items()})
    return RecordDict({"arrays": arrays, "config": ConfigRecord(CONFIG | config)})


def messages(*contents: RecordDict) -> list[Message]:
    set_task()
    return [received(Message(each, 101 + index, "train"), str(index)) for index, each in enumerate(contents)]


def work_of(*contents: RecordDict) -> Work:
    return to_work(messages(*contents), run="run", number=9)


def test_to_work_takes_arrays_settings_and_the_round() -> None:
    work = work_of(content(), content())
    assert (work.run, work.round, work.names, dict(work.settings)) == ("run", 4, tuple(WEIGHTS), CONFIG)
    for found, expected in zip(work.arrays, WEIGHTS.values(), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_to_work_counts_rounds_that_a_strategy_does_not_number() -> None:
    record = content()
    del record.config_records["config"]["server-round"]
    assert work_of(record).round == 9


def test_to_work_of_one_content_has_one_digest_and_of_another_another() -> None:
    assert work_of(content()).digest() == work_of(content()).digest()
    moved = WEIGHTS | {"dense.bias": np.ones(3) + 1e-9}
    assert len({work_of(each).digest() for each in (content(), content(moved), content(lr=0.2))}) == 3


@pytest.mark.parametrize("other", [content({"dense.weight": WEIGHTS["dense.weight"]}), content(lr=0.2)])
def test_to_work_refuses_messages_that_differ(other: RecordDict) -> None:
    with pytest.raises(ConfigurationError, match="expected the same content for all nodes"):
        work_of(content(), content(), other)


@pytest.mark.parametrize(
    "records",
    [
        {"arrays": ArrayRecord()},
        {"config": ConfigRecord(), "model": ArrayRecord()},
        {"arrays": ArrayRecord(), "config": ConfigRecord(), "more": MetricRecord()},
        {"arrays": ConfigRecord(), "config": ConfigRecord()},
    ],
    ids=["no-config", "other-key", "more", "other-kind"],
)
def test_to_work_refuses_other_records(records: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Leave arrayrecord_key and configrecord_key"):
        work_of(RecordDict(records))


@pytest.mark.parametrize("value", [b"bytes", [1, 2], [0.5]], ids=["bytes", "ints", "floats"])
def test_to_work_refuses_settings_that_are_not_plain(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="setting 'extra': expected a bool"):
        work_of(content(extra=value))


@pytest.mark.parametrize("array", [np.zeros(2, np.int64), np.zeros(2, bool)], ids=["counter", "mask"])
def test_to_work_refuses_arrays_that_are_not_floats(array: Any) -> None:
    with pytest.raises(ConfigurationError, match="array 'num_batches_tracked': expected floating-point"):
        work_of(content(WEIGHTS | {"num_batches_tracked": array}))


def test_to_reply_is_what_was_sent_plus_the_mean_and_the_number_of_contributors() -> None:
    work = work_of(content())
    mean = [np.full(array.shape, 0.25) for array in work.arrays]
    release = Release(mean=mean, contributors=(1, 2, 5), dropped={}, realised=None, rounding_bound=None)
    message = messages(content())[0]
    reply = to_reply(message, work, release, key="patients")
    assert set(reply.content) == {"arrays", "metrics"}
    assert dict(reply.content.metric_records["metrics"]) == {"patients": 3}
    assert reply.metadata.reply_to_message_id == message.metadata.message_id
    for name, sent in WEIGHTS.items():
        found = reply.content.array_records["arrays"][name].numpy()
        assert found.dtype == sent.dtype
        np.testing.assert_allclose(found, sent + 0.25)
