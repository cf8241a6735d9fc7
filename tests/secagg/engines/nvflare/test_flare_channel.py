"""The channel over FLARE: who is asked, when, how many at once, and what comes back."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from protocols.errors import OrderError
from secagg.engines.nvflare.channel import HELLO_S, PAUSE_S, FlareChannel
from secagg.engines.nvflare.message import HELLO, SHORT_BYTES, Message
from secagg.engines.nvflare.site_desk import SiteDesk
from secagg.engines.server.channel import Failure
from secagg.errors import ConfigurationError

SITES = {1: "site-1", 2: "site-2", 3: "site-3", 7: "member"}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class EchoLink:
    """FLARE's side, with a station that echoes at each site that is up. Each call takes no time unless it fails."""

    up: set[str] = field(default_factory=lambda: set(SITES.values()))
    hellos: list[tuple[str, float]] = field(default_factory=list)
    asked: list[tuple[str, bytes, float]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    raising: set[str] = field(default_factory=set)
    raising_at_hello: set[str] = field(default_factory=set)

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        if message == HELLO:
            self.hellos.append((site, timeout_s))
            if site in self.raising_at_hello:
                raise ValueError("a text of the site")
            return HELLO if site in self.up else Failure("FLARE: TIMEOUT")
        return self.ask(site, message.parcel or b"", timeout_s)

    def ask(self, site: str, parcel: bytes, timeout_s: float) -> Message | Failure:
        self.asked.append((site, parcel, timeout_s))
        if site in self.raising:
            raise RuntimeError("a record of the data")
        return Failure("FLARE: TIMEOUT") if site in self.failing else Message(parcel=parcel + site.encode())


def channel(link: EchoLink, clock: Clock, workers: int = 4) -> FlareChannel:
    return FlareChannel(link, SITES, clock=clock, wait=clock.wait, workers=workers)


def parcels(*nodes: int) -> dict[int, bytes]:
    return {node: b"%d " % node for node in nodes}


def test_each_site_gets_its_own_parcel() -> None:
    link, clock = EchoLink(), Clock(5.0)
    answers = dict(channel(link, clock).exchange(parcels(1, 2, 7), deadline=15.0))
    assert answers == {1: b"1 site-1", 2: b"2 site-2", 7: b"7 member"}
    assert sorted(link.asked) == [("member", b"7 ", 10.0), ("site-1", b"1 ", 10.0), ("site-2", b"2 ", 10.0)]


def test_hello_comes_first_and_once() -> None:
    link, clock = EchoLink(), Clock()
    over = channel(link, clock)
    for _ in range(3):
        assert len(dict(over.exchange(parcels(1, 2), deadline=10.0))) == 2
    assert sorted(link.hellos) == [("site-1", HELLO_S), ("site-2", HELLO_S)]
    assert len(link.asked) == 6


def test_a_silent_node_is_asked_again_only_after_a_hello() -> None:
    link, clock = EchoLink(failing={"site-2"}), Clock()
    over = channel(link, clock)
    assert dict(over.exchange(parcels(1, 2), 10.0))[2] == Failure("FLARE: TIMEOUT")
    link.up.discard("site-2")
    link.asked.clear()
    assert dict(over.exchange(parcels(1, 2), 10.0))[2] == Failure("silent")
    assert [site for site, _, _ in link.asked] == ["site-1"]
    link.up.add("site-2")
    link.failing.clear()
    assert dict(over.exchange(parcels(1, 2), 10.0))[2] == b"2 site-2"


def test_a_failing_request_is_a_silent_node() -> None:
    link, clock = EchoLink(raising={"site-1"}), Clock()
    over = channel(link, clock)
    assert dict(over.exchange(parcels(1, 2), 10.0)) == {1: Failure("request failed"), 2: b"2 site-2"}
    link.up.discard("site-1")
    assert dict(over.exchange(parcels(1), 10.0)) == {1: Failure("silent")}


def test_a_site_at_which_a_hello_fails_is_silent_and_ends_no_job(caplog: pytest.LogCaptureFixture) -> None:
    link, clock = EchoLink(raising_at_hello={"site-1"}), Clock()
    over = channel(link, clock)
    assert over.gather([1, 2, 3], quorum=2, patience_s=1.0, timeout_s=5.0) == (2, 3)
    assert dict(over.exchange(parcels(1, 2), 10.0)) == {1: Failure("silent"), 2: b"2 site-2"}
    assert "a hello to a FLARE site has failed: ValueError" in caplog.text
    assert "a text of the site" not in caplog.text


def test_an_id_without_a_site_is_a_failure() -> None:
    assert dict(channel(EchoLink(), Clock()).exchange(parcels(1, 4), 10.0)) == {1: b"1 site-1", 4: Failure("no site")}


def test_nothing_is_sent_after_the_deadline() -> None:
    link, clock = EchoLink(), Clock(10.0)
    assert set(dict(channel(link, clock).exchange(parcels(1, 2), 10.0)).values()) <= {Failure("silent")}
    assert link.asked == []
    assert list(channel(link, clock).exchange({}, 20.0)) == []


class Lazy(Mapping[int, bytes]):
    """Parcels that are made when they are read, until the exchange is over."""

    def __init__(self, nodes: list[int]) -> None:
        self.nodes = nodes
        self.made: list[int] = []
        self.over = False

    def __getitem__(self, node: int) -> bytes:
        if self.over:
            raise OrderError("the step is over")
        self.made.append(node)
        return b"%d " % node

    def __iter__(self) -> Iterator[int]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)


@dataclass
class GatedLink(EchoLink):
    """A link whose replies wait for the test."""

    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0
    most: int = 0

    def ask(self, site: str, parcel: bytes, timeout_s: float) -> Message | Failure:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.entered.release()
        self.gate.acquire()
        with self.lock:
            self.now -= 1
        return super().ask(site, parcel, timeout_s)


def test_no_more_threads_than_workers_ask() -> None:
    link, clock, made = GatedLink(), Clock(), Lazy([1, 2, 3, 7])
    answers: list[tuple[int, bytes | Failure]] = []
    reader = threading.Thread(target=lambda: answers.extend(channel(link, clock, workers=2).exchange(made, 10.0)))
    reader.start()
    for _ in range(2):  # Two are asked at once, and no third one before one of them has answered.
        link.entered.acquire()
    link.gate.release(4)
    reader.join()
    assert len(answers) == 4
    assert link.most == 2
    assert sorted(made.made) == [1, 2, 3, 7]


def test_parcels_are_made_when_they_are_sent_and_not_after_the_end() -> None:
    link, clock, made = GatedLink(), Clock(), Lazy([1, 2, 3, 7])
    answers = channel(link, clock, workers=1).exchange(made, 10.0)
    link.gate.release()
    first, _ = next(answers)
    answers.close()  # type: ignore[attr-defined]  # It is a generator.
    made.over = True
    link.gate.release(3)
    assert made.made[0] == first
    assert len(made.made) <= 2


@dataclass
class Echo:
    """A site that replies with as many bytes as it is sent, of its own kind."""

    fill: bytes

    def is_there(self) -> bool:
        return True

    def answer(self, parcel: bytes) -> bytes:
        return self.fill * len(parcel)


@dataclass
class DeskLink:
    """A link to sites that join and hand out pieces, and that answer when all of them have the parcel."""

    together: threading.Barrier
    desks: dict[str, SiteDesk]

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        if message.parcel is None and message.at is None:
            self.together.wait(timeout=30)
        elif message.at is not None:
            threading.Event().wait(0.02)  # Others have time to make a parcel that there is no room for.
        return self.desks[site].answer(message)


class CountedBytes(bytes):
    """Bytes that note when they are made and when they are gone."""

    alive: ClassVar[list[int]] = []

    def __init__(self, _: int) -> None:
        self.alive.append(len(self))

    def __del__(self) -> None:
        self.alive.pop()


class Counted(Mapping[int, bytes]):
    """Long parcels, of which it is noted how many are in memory at once."""

    def __init__(self, nodes: list[int], size: int) -> None:
        self.nodes, self.size = nodes, size
        self.most = 0

    def __getitem__(self, node: int) -> bytes:
        parcel = CountedBytes(self.size)
        self.most = max(self.most, len(parcel.alive))
        return parcel

    def __iter__(self) -> Iterator[int]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)


@pytest.mark.parametrize("fit", [1, 2])
def test_long_parcels_are_in_memory_only_as_far_as_they_fit_and_all_sites_train_at_once(fit: int) -> None:
    size, clock = 3 * SHORT_BYTES, Clock()
    nodes = list(SITES)
    desks = {site: SiteDesk(Echo(b"%d" % node)) for node, site in SITES.items()}
    link = DeskLink(threading.Barrier(len(nodes)), desks)
    over = FlareChannel(link, SITES, clock=clock, wait=clock.wait, in_flight_bytes=fit * size)
    sent = Counted(nodes, size)
    answers = dict(over.exchange(sent, 60.0))
    assert answers == {node: b"%d" % node * size for node in nodes}
    assert sent.most <= fit


def test_small_parcels_wait_for_no_room() -> None:
    clock, size = Clock(), SHORT_BYTES
    desks = {site: SiteDesk(Echo(b"x")) for site in SITES.values()}
    link = DeskLink(threading.Barrier(1), desks)
    over = FlareChannel(link, SITES, clock=clock, wait=clock.wait, in_flight_bytes=1)
    answers = over.exchange(Counted(list(SITES), size), 60.0)
    assert {node: len(answer) for node, answer in answers if isinstance(answer, bytes)} == dict.fromkeys(SITES, size)


def test_present_nodes_are_asked_before_silent_ones() -> None:
    link, clock = EchoLink(failing={"site-1"}), Clock()
    over = channel(link, clock, workers=1)
    dict(over.exchange(parcels(1, 2, 3), 10.0))
    link.failing.clear()
    assert [node for node, _ in over.exchange(parcels(1, 2, 3), 10.0)] == [2, 3, 1]


def test_gather_waits_for_nodes_that_were_never_heard() -> None:
    link, clock = EchoLink(up={"site-1", "site-2"}), Clock()
    over = channel(link, clock)
    assert over.gather([1, 2, 3], quorum=2, patience_s=2.0, timeout_s=60.0) == (1, 2)
    assert clock.now == pytest.approx(2.0, abs=PAUSE_S)
    assert over.gather([1, 2, 3], quorum=2, patience_s=2.0, timeout_s=60.0) == (1, 2)
    assert clock.now == pytest.approx(2.0, abs=PAUSE_S)


def test_gather_asks_a_known_silent_node_once() -> None:
    link, clock = EchoLink(), Clock()
    over = channel(link, clock)
    assert over.gather([1, 2, 3], quorum=2, patience_s=2.0, timeout_s=60.0) == (1, 2, 3)
    link.failing.add("site-3")
    link.up.discard("site-3")
    dict(over.exchange(parcels(3), 10.0))
    link.hellos.clear()
    assert over.gather([1, 2, 3], quorum=2, patience_s=2.0, timeout_s=60.0) == (1, 2)
    assert [site for site, _ in link.hellos] == ["site-3"]
    assert clock.now == 0.0


def test_gather_gives_up_without_a_quorum() -> None:
    link, clock = EchoLink(up={"site-1"}), Clock()
    assert channel(link, clock).gather([1, 2, 3], quorum=2, patience_s=2.0, timeout_s=5.0) == (1,)
    assert clock.now == pytest.approx(5.0, abs=2 * PAUSE_S)


def test_gather_ends_when_the_job_is_over() -> None:
    link, clock = EchoLink(up=set()), Clock()
    over = channel(link, clock)
    assert over.gather([1, 2], quorum=2, patience_s=2.0, timeout_s=60.0, is_over=lambda: clock.now >= 1.0) == ()
    assert clock.now == pytest.approx(1.0, abs=2 * PAUSE_S)


def test_sites_have_different_names() -> None:
    clock = Clock()
    for sites in ({}, {1: "a", 2: "a"}):
        with pytest.raises(ConfigurationError, match="roster"):
            FlareChannel(EchoLink(), sites, clock=clock, wait=clock.wait)
