"""Several machines of one server that take in the replies to the first step, each some of them."""

import os

import pytest

from protocols import Adversary, DamagedSnapshot, OneShot, OrderError, PaillierSum, ParameterError, SecAgg, Secret
from protocols.encrypted.protocol import EncryptedSum
from protocols.machine import Server
from protocols.testing import SNAPSHOT_KEY, ProtocolRun
from tests.conformance.cohorts import IDS, setting

CLIENTS = IDS[:4]


def begun(protocol: EncryptedSum) -> ProtocolRun:
    return ProtocolRun(setting(protocol, CLIENTS, 3))


def another(run: ProtocolRun) -> Server:
    """Return another machine of the same server, in the first step."""
    server = Server(run.scenario.protocol, run.scenario.session)
    server.start()
    return server


def snapshot(server: Server) -> bytes:
    return server.snapshot(SNAPSHOT_KEY, entropy=os.urandom)


@pytest.mark.parametrize(
    "protocol", [PaillierSum(), PaillierSum(adversary=Adversary.MALICIOUS), OneShot(adversary=Adversary.MALICIOUS)]
)
def test_merged_machines_send_the_same_bytes_and_come_to_the_same_sum(protocol: EncryptedSum) -> None:
    alone, parted = begun(protocol), begun(protocol)
    alone.to_step(1)
    replies = parted.replies()
    one, other = another(parted), another(parted)
    for at, (client, reply) in enumerate(replies.items()):
        (parted.server, one, other)[at % 3].receive(client, reply)
    for server in (one, other):
        parted.server.merge(snapshot(server), key=SNAPSHOT_KEY)
    assert parted.server.missing == frozenset()
    parted.progress = parted.server.advance()
    assert dict(parted.requests) == dict(alone.requests)
    finish = parted.finish()
    assert parted.is_exact(finish)
    assert finish.contributors == alone.finish().contributors == tuple(sorted(CLIENTS))


def test_merged_machines_cannot_count_a_client_twice() -> None:
    run = begun(PaillierSum())
    client, reply = next(iter(run.replies().items()))
    other = another(run)
    for server in (run.server, other):
        server.receive(client, reply)
    before = run.server.missing
    with pytest.raises(DamagedSnapshot, match="of the same one"):
        run.server.merge(snapshot(other), key=SNAPSHOT_KEY)
    assert run.server.missing == before


def test_machines_are_merged_in_the_first_step_of_one_session_alone() -> None:
    run = begun(PaillierSum())
    held = snapshot(another(run))
    with pytest.raises(DamagedSnapshot):
        run.server.merge(held, key=Secret(bytes(32)))
    with pytest.raises(DamagedSnapshot):
        run.server.merge(snapshot(another(begun(OneShot()))), key=SNAPSHOT_KEY)
    later = begun(PaillierSum()).to_step(1)
    with pytest.raises(DamagedSnapshot, match="in the first step"):
        run.server.merge(snapshot(later.server), key=SNAPSHOT_KEY)
    with pytest.raises(OrderError):
        later.server.merge(held, key=SNAPSHOT_KEY)


def test_machines_whose_replies_belong_together_are_not_merged() -> None:
    run = ProtocolRun(setting(SecAgg(), CLIENTS, 3))
    with pytest.raises(ParameterError, match="can be taken in apart"):
        run.server.merge(snapshot(another(run)), key=SNAPSHOT_KEY)
