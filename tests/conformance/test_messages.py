"""Every protocol's messages: canonical bytes, bounded, and every other byte string refused with a typed error."""

from dataclasses import replace
from typing import ClassVar

import pytest

from protocols import OrderError
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.suite.alterations import AlterationTests
from protocols.testing.suite.messages import MessageTests
from tests.conformance.cohorts import settings


class TestMessages(MessageTests):
    scenarios: ClassVar = settings()


class TestAlterations(AlterationTests):
    scenarios: ClassVar = settings()


@pytest.mark.parametrize("scenario", settings(), ids=lambda each: each.label)
def test_server_closes_where_a_reply_may_have_been_taken_in_by_half(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption in the middle of a reply: delivering it again must not count it twice."""
    run = ProtocolRun(scenario)
    sender, reply = next(iter(run.replies().items()))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    row = run.server._steps[0]
    monkeypatch.setattr(run.server, "_steps", (replace(row, absorb=interrupted),))
    with pytest.raises(KeyboardInterrupt):
        run.server.receive(sender, reply)
    with pytest.raises(OrderError):
        run.server.receive(sender, reply)
