"""A client that records its step after the reply was made: the conformance suite notices it in every secure sum.

In `PlainSum` the reply is the vector, and no state shows that it was made.
"""

from collections.abc import Callable
from typing import Any

import pytest

from protocols.machine import Client
from protocols.testing.scenario import Scenario
from protocols.testing.suite.participation import ParticipationTests
from tests.conformance.test_participation import SMALL


def record_after_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, handled = Client._record_step, Client.handle
    late: list[Callable[[], None]] = []

    def record(self: Client, number: int, *, vector: bool) -> None:
        late.append(lambda: recorded(self, number, vector=vector))

    def handle(self: Client, request: bytes) -> Any:
        reply = handled(self, request)
        while late:
            late.pop()()
        return reply

    monkeypatch.setattr(Client, "_record_step", record)
    monkeypatch.setattr(Client, "handle", handle)


@pytest.mark.parametrize(
    "scenario", [each for each in SMALL if each.protocol.protects], ids=lambda scenario: scenario.label
)
def test_late_record_is_noticed(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    record_after_the_reply(monkeypatch)
    with pytest.raises(AssertionError):
        ParticipationTests().test_vector_is_not_sent_before_it_is_counted(scenario)
