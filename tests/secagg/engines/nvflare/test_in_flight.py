"""The room for long messages: who waits, and how long a message may keep its room."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from secagg.engines.nvflare.in_flight import InFlight, Room


def taken(in_flight: InFlight, size: int) -> Room:
    room = in_flight.take(size, 100.0)
    assert room is not None
    return room


def test_a_message_waits_until_it_fits() -> None:
    in_flight = InFlight(10, lambda: 0.0)
    first, second = taken(in_flight, 6), taken(in_flight, 4)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(taken, in_flight, 5)
        in_flight.give(second)
        assert not third.done()
        in_flight.give(first)
        assert third.result().size == 5
    assert in_flight.take(6, 0.0) is None


def test_a_message_longer_than_the_limit_passes_alone() -> None:
    in_flight = InFlight(10, lambda: 0.0)
    room = taken(in_flight, 11)
    assert in_flight.take(1, 0.0) is None
    in_flight.give(room)
    assert taken(in_flight, 1).size == 1
    assert in_flight.take(11, 0.0) is None


def test_a_room_changes_its_size_without_waiting() -> None:
    in_flight = InFlight(10, lambda: 0.0)
    room = taken(in_flight, 0)
    in_flight.resize(room, 20)
    assert in_flight.take(1, 0.0) is None
    in_flight.resize(room, 4)
    taken(in_flight, 6)
    in_flight.give(room)
    taken(in_flight, 4)


@pytest.mark.parametrize("waiting", [0, 1, 4])
def test_a_room_is_kept_for_an_equal_share_of_the_time(waiting: int) -> None:
    now = [20.0]
    in_flight = InFlight(10, lambda: now[0])
    room = taken(in_flight, 10)
    with ThreadPoolExecutor(5) as pool:
        others = [pool.submit(in_flight.take, 1, 100.0) for _ in range(waiting)]
        while in_flight.left(room) != 80.0 / (1 + waiting):
            threading.Event().wait(0.001)
        now[0] = 20.0 + 80.0 / (1 + waiting)
        assert in_flight.left(room) == 0.0
        in_flight.close()
        assert [other.result() for other in others] == [None] * waiting


def test_after_the_end_nobody_gets_room() -> None:
    in_flight = InFlight(10, lambda: 0.0)
    room = taken(in_flight, 1)
    assert in_flight.left(room) == 100.0
    in_flight.close()
    assert in_flight.take(1, 100.0) is None
    assert in_flight.left(room) == 0.0


def test_at_the_deadline_nobody_gets_room() -> None:
    assert InFlight(10, lambda: 5.0).take(1, 5.0) is None
