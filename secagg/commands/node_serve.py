"""What `secagg node serve` does: a node's station in a process of its own, behind a Unix socket."""

import logging
import sys
import threading
from contextlib import suppress
from pathlib import Path

from secagg.commands.progress import write_line
from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import POLICY_NAME, Code
from secagg.engines.node.resident import HELLO, Answer, ResidentStation, listening
from secagg.engines.node.station import Station
from secagg.engines.node.training_function import Train, load_training
from secagg.engines.wire.claim import Query
from secagg.engines.wire.parcel import OVERHEAD_BYTES
from secagg.errors import ConfigurationError, SecaggError
from secagg.logger import LOGGER
from secagg.paths import escaped, expanded


def serve_node(path: Path, *, train: str | None, socket: Path | None) -> None:
    """Serve a home until the process is stopped.

    Args:
        path: The home.
        train: The training as `module:function`; None for a committee member that trains nothing.
        socket: Where to listen; None for the socket that systemd has passed on.

    Raises:
        ConfigurationError: The policy is not for a resident station, there is no such function, or the socket is not
            free.
        SecaggError: The home is not complete, is damaged, or others may use it.
    """
    home = Home.open(expanded(path))
    if home.policy.code is not Code.RESIDENT:
        raise ConfigurationError(
            f'{escaped(home.path / POLICY_NAME)}: expected code = "{Code.RESIDENT}", found "{home.policy.code}". Write '
            "it, so that no other process takes the home for its own."
        )
    training = None if train is None else load_training(train)
    limits = home.policy.limits()
    limit = limits.offer_bytes + limits.work_bytes + limits.body_bytes + OVERHEAD_BYTES
    with listening(None if socket is None else expanded(socket)) as listener:
        LOGGER.addHandler(logging.StreamHandler(sys.stderr))
        write_line(f"{escaped(home.path)}: node {home.node} answers at {escaped(listener.getsockname())}.")
        station, ended = Station(home), threading.Event()
        threading.Thread(target=forget_in_time, args=(station, ended), daemon=True).start()
        try:
            ResidentStation(_answering(home, station, training), limit=limit).serve(listener)
        finally:
            ended.set()


def forget_in_time(station: Station, ended: threading.Event, *, every_s: float = 60.0) -> None:
    """Forget the live session of a station when it has expired, also if no parcel comes any more.

    Args:
        station: The station.
        ended: Set when the station has ended.
        every_s: Seconds between two looks at the clock.
    """
    while True:
        with suppress(SecaggError):  # The home is busy or damaged: the next look may find it as it should be.
            station.forget_expired()
        if ended.wait(every_s):
            return


def _answering(home: Home, station: Station, train: Train | None) -> Answer:
    """Return the node's side: its station, which also tells which node it is."""

    def answer(parcel: bytes) -> bytes:
        if parcel == HELLO:
            return HELLO
        query = Query.of(parcel)
        return station.answer(parcel, train) if query is None else query.claim(home.identity, home.node)

    return answer
