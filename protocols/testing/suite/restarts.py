"""Runs whose machines are kept as snapshots and restored, as by processes that end and start again."""

from collections.abc import Iterator

from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Finish
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.suite.malformed import flipped


def server_again(run: ProtocolRun) -> Server:
    """Return the server as another process would go on with it."""
    data = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server's nonce"))
    return Server.restore(run.scenario.protocol, run.scenario.session, data, key=SNAPSHOT_KEY)


def client_again(run: ProtocolRun, client: int) -> Client:
    """Return a party as another process would go on with it, whose records have survived."""
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    entropy = repeatable_entropy(b"later%d" % client)
    return run.scenario.restored(client, data, entropy, run.records[client], run.openings[client])


def finish_restoring(run: ProtocolRun, *, gone: int | None = None) -> Finish:
    """Finish, and restore each client before its request, and the server in the middle and at the end of each step."""
    while isinstance(run.progress, Continue):
        for client in run.requests:
            run.clients[client] = client_again(run, client)
        replies = {
            client: run.clients[client].handle(run.requests[client]) for client in run.requests if client != gone
        }
        for index, (client, reply) in enumerate(replies.items()):
            if index == len(replies) // 2:
                run.server = server_again(run)
            run.server.receive(client, reply)
        run.server = server_again(run)
        run.progress = run.server.advance()
    return run.progress


def finish_without(run: ProtocolRun, gone: int) -> Finish:
    """Finish without one party, and restore nothing."""
    while isinstance(run.progress, Continue):
        asked = [client for client in run.requests if client != gone]
        run.deliver({client: run.clients[client].handle(run.requests[client]) for client in asked})
    return run.progress


def damaged(data: bytes) -> Iterator[object]:
    """Yield objects that are not the snapshot: cut, altered or longer bytes, and other types."""
    yield from (data[:length] for length in (0, 1, 11, 12, 27, 28, len(data) // 2, len(data) - 1))
    for position in {*range(0, len(data), 1 + len(data) // 40), len(data) - 1}:
        yield flipped(data, position, position % 8)
    yield from (data + b"\x00", data + data, "text", None, 7, bytes(len(data)))
