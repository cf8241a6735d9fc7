"""Every protocol refuses calls out of order and input that it cannot sum, before anything is sent."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum

import numpy as np
import pytest

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Committee,
    Finish,
    InputError,
    MemoryRecord,
    Opening,
    OrderError,
    ParameterError,
    Roster,
    Secret,
    SecureSum,
    Server,
    Session,
    Transmission,
    available,
    load,
    simulate,
)
from tests.conformance.cohorts import Run, Setting, attached_secrets, committee_of, identity, stream
from tests.support import committee_keys


def good(session: Session) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.zeros(session.length, dtype=np.uint64)


def bad_vectors(session: Session) -> dict[str, object]:
    size, modulus = session.length, session.modulus
    return {
        "floats": np.zeros(size),
        "whole floats of 32 bits": np.ones(size, dtype=np.float32),
        "NaN": np.full(size, np.nan),
        "infinity": np.full(size, np.inf),
        "booleans": np.ones(size, dtype=bool),
        "complex": np.zeros(size, dtype=complex),
        "objects": np.array([1] * size, dtype=object),
        "ints of more than 64 bits": [2**64] * size,
        "text": np.array(["1"] * size),
        "times": np.zeros(size, dtype="m8[s]"),
        "records": np.zeros(size, dtype=[("x", "u8")]),
        "negative": -np.ones(size, dtype=np.int64),
        "least of 64 bits": np.full(size, np.iinfo(np.int64).min),
        "one negative": [0] * (size - 1) + [-1],
        "at the modulus": [0] * (size - 1) + [modulus],
        "above the modulus": np.full(size, np.iinfo(np.uint64).max),
        "empty": np.zeros(0, dtype=np.uint64),
        "too short": np.zeros(size - 1, dtype=np.uint64),
        "too long": np.zeros(size + 1, dtype=np.uint64),
        "a matrix of one row": np.zeros((1, size), dtype=np.uint64),
        "a matrix of one column": np.zeros((size, 1), dtype=np.uint64),
        "a scalar": np.uint64(1),
        "zero-dimensional": np.array(1),
        "an int": 1,
        "nothing": None,
        "ragged": [[1], [1, 2]],
        "a mapping": {0: 1},
        "a string": "1" * size,
    }


def test_bad_input_is_refused_before_anything_is_sent(setting: Setting) -> None:
    session = setting.session
    for label, vector in bad_vectors(session).items():
        drawn: list[int] = []

        def entropy(size: int, drawn: list[int] = drawn) -> bytes:
            drawn.append(size)
            return bytes(size)

        with pytest.raises(InputError):
            setting.client(session.clients[0], vector, entropy)  # type: ignore[arg-type]  # that is the test
        seen: list[Transmission] = []
        inputs = {**dict.fromkeys(session.clients, good(session)), session.clients[-1]: vector}
        with pytest.raises(InputError):
            setting.simulate(inputs, tap=seen.append, entropy=entropy)  # type: ignore[arg-type]  # that is the test
        assert (drawn, seen) == ([], []), label


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "<i4", ">i8", "u8"])
def test_every_integer_dtype_is_summed(setting: Setting, dtype: str) -> None:
    vector = (np.arange(setting.session.length) % 2).astype(dtype)
    outcome = setting.simulate(dict.fromkeys(setting.session.clients, vector))
    assert outcome.total.tolist() == [len(setting.session.clients) * int(entry) for entry in vector]


@pytest.mark.parametrize("client", [4, -1, 2**32 - 1, True, False, 0.0, "0", None, np.int64(0)])
def test_client_outside_the_session_is_refused(setting: Setting, client: object) -> None:
    session = setting.session
    with pytest.raises(ParameterError):
        Client(setting.protocol, session, client, good(session), entropy=stream(b"x"))  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("shortfall", [-1, 1])
def test_entropy_of_a_wrong_length_is_refused(setting: Setting, shortfall: int) -> None:
    session = setting.session

    def entropy(size: int) -> bytes:
        return bytes(size - shortfall)

    client = setting.client(session.clients[0], good(session), entropy)
    first = Run(setting).requests[session.clients[0]]
    if setting.protocol.name == "plain":  # it draws none
        assert client.handle(first)
        return
    with pytest.raises(ParameterError):
        client.handle(first)
    assert client.closed


def test_server_refuses_calls_out_of_order(setting: Setting) -> None:
    server = Server(setting.protocol, setting.session)
    assert server.missing == frozenset()
    with pytest.raises(OrderError):
        server.receive(setting.session.clients[0], b"")
    with pytest.raises(OrderError):
        server.advance()
    server.start()
    with pytest.raises(OrderError):
        server.start()
    assert server.missing == set(setting.session.clients)


def test_finished_server_refuses_everything(setting: Setting) -> None:
    run, last = Run(setting), dict[int, bytes]()
    while not isinstance(run.step, Finish):
        last = run.replies()
        run.deliver(last)
    sender = next(iter(last))
    for call in (run.server.start, run.server.advance, lambda: run.server.receive(sender, last[sender])):
        with pytest.raises(OrderError):
            call()


def test_simulation_refuses_inputs_and_drops_that_do_not_fit(setting: Setting) -> None:
    session, protocol = setting.session, setting.protocol
    inputs = dict.fromkeys(session.clients, good(session))
    name = protocol.steps[0].name
    for missing_or_extra in ({}, {**inputs, 4: good(session)}, dict(list(inputs.items())[1:])):
        with pytest.raises(ParameterError, match="inputs: expected one for each"):
            setting.simulate(missing_or_extra)
    for drops in ({"no such step": [0]}, {name: [4]}, {name: [0, 0]}):
        with pytest.raises(ParameterError, match="drops: "):
            setting.simulate(inputs, drops=drops)
    with pytest.raises(ParameterError, match="attached, terms: expected those of clients of the session"):
        simulate(protocol, session, inputs, attached={4: ()})


def test_client_without_what_the_session_asks_for_is_refused(setting: Setting) -> None:
    """Terms if and only if there is a roster, and one attached secret of 32 bytes for each of the session's."""
    session, client = setting.session, setting.session.clients[0]
    secrets = attached_secrets(client, session)
    own = setting.member(client)
    stranger = ClientTerms(
        identity=identity(client),
        roster=Roster({client: identity(client).public}),
        sessions=MemoryRecord(),
        adversarial=0.1,
        minimum_contributors=2,
    )

    def join(attached: Sequence[object], terms: ClientTerms | None) -> None:
        entropy = stream(b"x")
        Client(
            setting.protocol,
            session,
            client,
            good(session),
            attached=attached,  # type: ignore[arg-type]  # that is the test
            terms=terms,
            keyholder=setting.keyholder(client),
            entropy=entropy,
        )

    join(secrets, own)
    with pytest.raises(ParameterError):
        join(secrets, None if own else stranger)
    with pytest.raises(ParameterError, match="attached"):
        join((*secrets, Secret(bytes(32))), own)
    for bad in (bytes(32), Secret(bytes(31)), Secret(bytes(33)), Secret(b""), None, 7):
        with pytest.raises(ParameterError, match="attached"):
            join((*secrets[1:], bad), own)


def with_clients(session: Session, clients: tuple[int, ...]) -> Session:
    roster = None if session.roster is None else Roster({client: identity(client).public for client in clients})
    return replace(session, clients=clients, roster=roster)


def test_digest_changes_with_every_field_of_the_session(setting: Setting) -> None:
    session, protocol = setting.session, setting.protocol
    keys = {client: identity(client).public for client in session.clients}
    swapped = Roster(
        {**keys, session.clients[0]: keys[session.clients[1]], session.clients[1]: keys[session.clients[0]]}
    )
    opening = Opening(least_dropped=3, most_dropped=4)
    members = session.committee_members or (21, 22, 23)
    other_key = committee_keys.threshold_key(1, len(members), len(members))
    variants = [
        session,
        replace(session, session_id=session.session_id + b"x"),
        replace(session, context=b"x"),
        replace(session, parameters=b"x"),
        replace(session, context=b"x", parameters=b"x"),
        replace(session, clients=tuple(reversed(session.clients))),
        with_clients(session, (*session.clients[:-1], 4)),
        with_clients(session, (*session.clients, 4)),
        replace(session, roster=None if session.roster else Roster(keys)),
        replace(session, roster=swapped),
        replace(session, attached=(*session.attached, opening)),
        replace(session, attached=(opening, *session.attached, opening)),
        replace(session, attached=(*session.attached, replace(opening, least_dropped=2))),
        replace(session, attached=(*session.attached, replace(opening, most_dropped=5))),
        replace(session, committee=None if session.committee else committee_of(members)),
        replace(session, committee=committee_of(members[::-1])),
        replace(session, committee=committee_of((*members[:-1], 4))),
        replace(session, committee=committee_of((*members, 4, 6))),
        replace(session, committee=Committee(key=other_key, members=members)),
        replace(session, length=session.length + 1),
        replace(session, modulus=session.modulus - 1),
        replace(session, modulus=2**64),
    ]
    if len(session.clients) > 2:
        variants.append(replace(session, threshold=2 if session.threshold > 2 else 3))
    digests = {protocol.digest(each) for each in variants}
    assert len(digests) == len(variants)
    assert {len(digest) for digest in digests} == {32}


def test_digest_does_not_confuse_neighbouring_fields(setting: Setting) -> None:
    left = replace(setting.session, session_id=b"a" * 17, context=b"b")
    right = replace(setting.session, session_id=b"a" * 16, context=b"ab")
    assert setting.protocol.digest(left) != setting.protocol.digest(right)


def test_digest_changes_with_every_parameter_of_the_protocol(setting: Setting) -> None:
    protocol: SecureSum = setting.protocol
    assert is_dataclass(protocol)
    variants: list[SecureSum] = []
    for each in fields(protocol):
        value = getattr(protocol, each.name)
        if isinstance(value, Adversary):
            others: list[object] = [other for other in protocol.adversaries if other is not value]
        elif isinstance(value, Enum):
            others = [other for other in type(value) if other is not value]
        elif isinstance(value, bool):
            others = [not value]
        elif each.name == "value_bits":
            others = [1, 8, 16]
        else:
            assert type(value) is int, f"this test does not know how to change {each.name}"
            others = [value + 1, value + 256]
        variants += [replace(protocol, **{each.name: other}) for other in others]
    digests = {each.digest(setting.session) for each in (protocol, *variants)}
    assert len(digests) == 1 + len(variants)


def test_digests_of_different_protocols_differ() -> None:
    session = Session(session_id=bytes(16), clients=(0, 1, 2), threshold=2, length=1, modulus=2**16)
    suggested = [load(name).suggest(clients=3, adversarial=0.0, dropout=0.0)[0] for name in available()]
    assert len({protocol.digest(session) for protocol in suggested}) == len(suggested)


@pytest.mark.parametrize(
    "cohort",
    [
        {"clients": 0},
        {"clients": 1},
        {"clients": -5},
        {"clients": True},
        {"clients": 10.0},
        {"clients": None},
        {"adversarial": -0.1},
        {"adversarial": 1.0},
        {"adversarial": float("nan")},
        {"adversarial": float("inf")},
        {"adversarial": True},
        {"adversarial": None},
        {"dropout": -0.1},
        {"dropout": 1},
        {"dropout": float("nan")},
        {"dropout": float("inf")},
        {"dropout": "0.1"},
    ],
)
def test_suggestion_for_an_impossible_cohort_is_refused(cohort: dict[str, object]) -> None:
    arguments: dict[str, object] = {"clients": 100, "adversarial": 0.1, "dropout": 0.1} | cohort
    for name in available():
        with pytest.raises(ParameterError):
            load(name).suggest(**arguments)  # type: ignore[arg-type]  # that is the test
