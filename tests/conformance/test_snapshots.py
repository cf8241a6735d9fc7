"""Every machine can be kept and restored in the middle of every round, and what is kept is of no use to others."""

from dataclasses import replace

import pytest

from protocols import (
    Client,
    DamagedSnapshot,
    Finish,
    OrderError,
    ParameterError,
    Role,
    Secret,
    Server,
    SessionReused,
    TooFewSurvivors,
    packing,
)
from protocols.machine import Continue
from protocols.snapshot import write_state
from tests.conformance.cohorts import SNAPSHOT_KEY, Run, Setting, stream
from tests.conformance.test_secrets import IDENTITIES, outliving, secrets_in


def server_again(run: Run) -> Server:
    """The server as another process would go on with it."""
    data = run.server.snapshot(SNAPSHOT_KEY, entropy=stream(b"server's nonce"))
    return Server.restore(run.setting.protocol, run.setting.session, data, key=SNAPSHOT_KEY)


def client_again(run: Run, client: int) -> Client:
    """A party as another process would go on with it, whose records have survived."""
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    return run.setting.restored(client, data, stream(b"later%d" % client), run.records[client], run.openings[client])


def play_on(run: Run, *, gone: int | None = None) -> Finish:
    """Finish, with every machine kept and restored before each request, and the server in the middle of each round."""
    while isinstance(run.step, Continue):
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
        run.step = run.server.advance()
    return run.step


def play_without(run: Run, gone: int) -> Finish:
    """Finish, in the ordinary way, without one client."""
    while isinstance(run.step, Continue):
        asked = [client for client in run.requests if client != gone]
        run.deliver({client: run.clients[client].handle(run.requests[client]) for client in asked})
    return run.step


def test_machines_that_are_restored_all_the_time_sum_exactly(setting: Setting) -> None:
    run = Run(setting)
    outcome = play_on(run)
    assert outcome.contributors == tuple(sorted(setting.session.clients))
    assert run.is_exact(outcome)
    untouched = Run(setting).finish()
    assert outcome.attached == untouched.attached


def test_machines_restored_in_one_round_sum_exactly(point: tuple[Setting, int]) -> None:
    """The server after half of the replies; half of the clients before they answer, half after."""
    setting, number = point
    run = Run(setting).to_round(number)
    requests = dict(run.requests)
    before = set(list(requests)[::2])
    replies = {}
    for client, request in requests.items():
        if client in before:
            run.clients[client] = client_again(run, client)
        replies[client] = run.clients[client].handle(request)
        if client not in before and not run.clients[client].closed:
            run.clients[client] = client_again(run, client)
    for index, (client, reply) in enumerate(replies.items()):
        if index == len(replies) // 2:
            missing = run.server.missing
            run.server = server_again(run)
            assert run.server.missing == missing == set(list(replies)[index:])
        run.server.receive(client, reply)
    run.step = run.server.advance()
    assert run.is_exact(run.finish())


def test_restored_machines_end_as_the_first_ones_when_one_vanishes(point: tuple[Setting, int]) -> None:
    """The exact sum of the others where the parameters allow it, and the same refusal where they do not."""
    setting, number = point
    gone = setting.asked(number)[1]
    ends: list[tuple[str, tuple[int, ...]]] = []
    for restoring in (False, True):
        run = Run(setting).to_round(number)
        try:
            outcome = play_on(run, gone=gone) if restoring else play_without(run, gone)
        except TooFewSurvivors as error:
            ends.append((str(error), ()))
            continue
        assert run.is_exact(outcome)
        assert set(outcome.contributors) >= set(setting.session.clients) - {gone}
        ends.append((str(outcome.total.tolist()), outcome.contributors))
    assert ends[0] == ends[1]


def test_server_restored_before_it_advances_makes_the_same_requests(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    for client, reply in run.replies().items():
        run.server.receive(client, reply)
    once, twice = server_again(run), server_again(run)
    outcomes = [machine.advance() for machine in (run.server, once, twice)]
    if isinstance(outcomes[0], Finish):
        totals = [each.total.tolist() for each in outcomes if isinstance(each, Finish)]
        assert totals == [totals[0]] * 3
        return
    for each in outcomes[1:]:
        assert isinstance(each, Continue)
        assert each.step == outcomes[0].step
        assert dict(each.requests) == dict(outcomes[0].requests)


def test_restored_server_refuses_what_the_first_one_refuses(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    replies = run.replies()
    sender = min(replies)
    run.server.receive(sender, replies[sender])
    machine = server_again(run)
    with pytest.raises(OrderError):
        machine.start()
    with pytest.raises(Exception, match="has answered this step already"):
        machine.receive(sender, replies[sender])
    with pytest.raises(Exception, match="was not asked"):
        machine.receive(4, replies[sender])


def damaged(data: bytes) -> dict[str, object]:
    variants: dict[str, object] = {
        f"cut to {n}": data[:n] for n in (0, 1, 11, 12, 27, 28, len(data) // 2, len(data) - 1)
    }
    for position in {*range(0, len(data), 1 + len(data) // 40), len(data) - 1}:
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        variants[f"bit of byte {position}"] = bytes(flipped)
    return variants | {
        "one byte more": data + b"\x00",
        "twice": data + data,
        "no bytes": "text",
        "nothing": None,
        "a number": 7,
        "zeros": bytes(len(data)),
    }


def test_snapshot_that_is_none_of_this_machine_is_refused(point: tuple[Setting, int]) -> None:
    own, number = point
    session, protocol = own.session, own.protocol
    run = Run(own).to_round(number)
    for client, reply in list(run.replies().items())[::2]:
        run.server.receive(client, reply)
    of_server = run.server.snapshot(SNAPSHOT_KEY, entropy=stream(b"nonce"))
    fresh = Run(own).to_round(number)
    client = own.asked(number)[0]
    of_client = fresh.clients[client].snapshot(SNAPSHOT_KEY)
    other = replace(own, session=replace(session, context=b"another"))

    def server(data: object, *, key: Secret = SNAPSHOT_KEY, whose: Setting = own) -> Server:
        return Server.restore(whose.protocol, whose.session, data, key=key)  # type: ignore[arg-type]  # that is the test

    def restored(data: object, *, whose: Setting = own) -> Client:
        return whose.restored(client, data, stream(b"x"))  # type: ignore[arg-type]  # that is the test

    server(of_server)  # that they would be taken, so that the refusals below mean something
    restored(of_client)
    for bad in (*damaged(of_server).values(), of_client):
        with pytest.raises(DamagedSnapshot):
            server(bad)
    for bad in (*damaged(of_client).values(), of_server):
        with pytest.raises(DamagedSnapshot):
            restored(bad)
    for key in (Secret(bytes(32)), Secret(b"\xff" * 32)):
        with pytest.raises(DamagedSnapshot):
            server(of_server, key=key)
    with pytest.raises(DamagedSnapshot):
        server(of_server, whose=other)
    with pytest.raises(DamagedSnapshot):
        restored(of_client, whose=other)
    longer = replace(session, session_id=session.session_id + b"x")
    with pytest.raises(DamagedSnapshot):
        Server.restore(protocol, longer, of_server, key=SNAPSHOT_KEY)


@pytest.mark.parametrize("key", [Secret(b""), Secret(bytes(16)), Secret(bytes(31)), Secret(bytes(33)), bytes(32), None])
def test_snapshot_under_something_that_is_no_key_is_refused(setting: Setting, key: object) -> None:
    run = Run(setting)
    run.replies()
    with pytest.raises(ParameterError):
        run.server.snapshot(key, entropy=stream(b"nonce"))  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ParameterError):
        Run(setting).clients[setting.session.clients[0]].snapshot(key)  # type: ignore[arg-type]  # that is the test


def test_machine_that_has_closed_or_not_begun_keeps_nothing(setting: Setting) -> None:
    with pytest.raises(OrderError):
        Server(setting.protocol, setting.session).snapshot(SNAPSHOT_KEY, entropy=stream(b"nonce"))
    run = Run(setting)
    run.finish()
    with pytest.raises(OrderError):
        run.server.snapshot(SNAPSHOT_KEY, entropy=stream(b"nonce"))
    for machine in run.clients.values():
        with pytest.raises(OrderError):
            machine.snapshot(SNAPSHOT_KEY)


def test_snapshots_show_no_secret_and_no_input(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    lasting = outliving(setting)
    for client in run.requests:
        machine = run.clients[client]
        data = machine.snapshot(SNAPSHOT_KEY)
        again = machine.snapshot(SNAPSHOT_KEY)
        assert data[:12] != again[:12], "a nonce that repeats"
        vectors = [run.inputs[client]] if client in run.inputs else []
        forms = {packing.pack(vector, setting.session.modulus) for vector in vectors}
        forms |= {vector.astype(dtype).tobytes() for vector in vectors for dtype in ("<u8", ">u8", "<u4", "<u2")}
        windows = {form[start : start + 16] for form in forms for start in range(8, len(form) - 24)}
        secrets = secrets_in(machine)
        assert not any(secret in data for secret in secrets)
        assert not any(window in data for window in windows)
        # The same bytes unsealed do hold the secrets that the machine still needs, but its identity is not among them,
        # and no share of a key.
        state = bytes(write_state(machine._party.state))
        assert all(secret in state for secret in secrets - lasting)
        assert not any(secret in state for secret in lasting)
    for client, reply in run.replies().items():
        run.server.receive(client, reply)
    secrets = secrets_in(run.server)
    data = run.server.snapshot(SNAPSHOT_KEY, entropy=stream(b"nonce"))
    assert not any(secret in data for secret in secrets)


def test_party_with_a_record_answers_no_round_twice(point: tuple[Setting, int]) -> None:
    """A crash, and a restart with a snapshot from before the last answers: the record has survived."""
    setting, number = point
    if setting.session.roster is None and setting.protocol.steps[number].role is Role.CLIENT:
        return  # such a client takes its server's word for everything, and keeps no record
    party = setting.asked(number)[0]
    run, kept, requests = Run(setting), list[bytes](), list[bytes]()
    for _ in range(number + 1):
        if party in run.requests:
            kept.append(run.clients[party].snapshot(SNAPSHOT_KEY))
            requests.append(run.requests[party])
        run.deliver(run.replies())
    assert kept
    for data, request in zip(kept, requests, strict=True):
        machine = setting.restored(party, data, stream(b"another life"), run.records[party], run.openings[party])
        with pytest.raises(SessionReused):
            machine.handle(request)
        assert machine.closed
        assert secrets_in(machine) <= IDENTITIES
        with pytest.raises(OrderError):
            machine.handle(request)


def test_client_without_its_record_resumes_no_session(point: tuple[Setting, int]) -> None:
    setting, number = point
    if setting.session.roster is None or number == 0 or setting.protocol.steps[number].role is Role.COMMITTEE:
        return  # nothing to resume, or what has a record of its own, of openings
    client = next(party for party in setting.asked(number) if party in setting.session.clients)
    run = Run(setting).to_round(number)
    machine = setting.restored(client, run.clients[client].snapshot(SNAPSHOT_KEY), stream(b"another life"))
    with pytest.raises(SessionReused):
        machine.handle(run.requests[client])
    assert machine.closed


def test_session_id_that_was_used_before_is_refused(setting: Setting) -> None:
    if setting.session.roster is None:
        return
    client = setting.session.clients[0]
    run = Run(setting)
    vector, request = run.inputs[client], run.requests[client]
    run.deliver(run.replies())
    again = setting.client(client, vector, stream(b"another"), run.records[client])
    with pytest.raises(SessionReused):
        again.handle(request)
    assert again.closed
    # Another context makes it another session to everyone else, but not to this record.
    other = replace(setting, session=replace(setting.session, context=b"another round of training"))
    machine = other.client(client, vector, stream(b"another"), run.records[client])
    with pytest.raises(SessionReused):
        machine.handle(Run(other).requests[client])
    fresh = replace(setting, session=replace(setting.session, session_id=b"a session of its own"))
    assert fresh.client(client, vector, stream(b"another"), run.records[client]).handle(Run(fresh).requests[client])
