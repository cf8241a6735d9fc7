"""No protocol gives its secrets away: not to the server, not by repr, pickling, copying or error texts."""

import copy
import pickle
import traceback
from collections.abc import Iterator

import numpy as np
import pytest

from protocols import Client, Finish, ProtocolError, Transmission, packing
from protocols.crypto.paillier.threshold import KeyShare
from protocols.crypto.secret import Secret
from protocols.snapshot import State
from tests.conformance.cohorts import IDS, Checkpoint, Run, Setting, identity

INSECURE = {"plain"}  # the baseline; that it fails shows that the test can


def test_servers_view_holds_no_input(setting: Setting) -> None:
    inputs = setting.inputs(seed=1)
    view: list[Transmission] = []
    setting.simulate(inputs, tap=view.append)
    seen = b"".join(each.data for each in view)
    for vector in inputs.values():
        words = {vector.astype(dtype).tobytes() for dtype in ("<u8", ">u8", "<u4", ">u4", "<u2", ">u2")}
        forms = {packing.pack(vector, setting.session.modulus), *words}
        # The first and last entry are 0 and modulus - 1; a window of 16 random bytes inside is no coincidence.
        windows = {form[start : start + 16] for form in forms for start in range(8, len(form) - 24)}
        shown = any(window in seen for window in windows)
        assert shown == (setting.protocol.name in INSECURE)


def parts(value: object, seen: set[int]) -> Iterator[object]:
    """Everything that can be reached from an object through attributes and containers."""
    if id(value) in seen or isinstance(value, str | bytes | int | np.ndarray | type):
        return
    seen.add(id(value))
    yield value
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, tuple | list | set | frozenset):
        inner = list(value)
    elif type(value).__module__.startswith("protocols"):
        names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        names += getattr(value, "__struct_fields__", ())
        inner = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in names)]
    else:
        inner = []
    for each in inner:
        yield from parts(each, seen)


def secrets_in(value: object) -> set[bytes]:
    """Every secret that an object holds.  An empty one stands for a secret that is gone."""
    found = list(parts(value, set()))
    secrets = {each.reveal() for each in found if isinstance(each, Secret) and each.reveal()}
    return secrets | {share_bytes(each) for each in found if isinstance(each, KeyShare)}


def share_bytes(share: KeyShare) -> bytes:
    """A committee member's share, without zeros before it."""
    return share.reveal().to_bytes(-(-share.reveal().bit_length() // 8), "big")


IDENTITIES = {identity(client).secret.reveal() for client in IDS}
"""Identities outlive every session, so a machine that has closed may hold its own still."""


def outliving(setting: Setting) -> set[bytes]:
    """Secrets that parties bring to every session, and that no snapshot holds: identities and shares of keys."""
    shares = [each.share for each in setting.keyholders().values()]
    return IDENTITIES | {share_bytes(share) for share in shares if isinstance(share, KeyShare)}


def gives_away(text: str, secret: bytes) -> bool:
    forms = (
        secret.hex(),
        repr(secret)[2:-1],
        str(int.from_bytes(secret, "little")),
        str(int.from_bytes(secret, "big")),
    )
    return any(form.lower() in text.lower() for form in forms)


def test_reprs_of_parties_give_no_secret_away(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    run.replies()  # the clients are now as they are between this round and the next
    found = 0
    for machine in (*run.clients.values(), run.server):
        secrets = secrets_in(machine)
        found += len(secrets - IDENTITIES)
        for part in parts(machine, set()):
            assert not any(gives_away(repr(part), secret) for secret in secrets)
    closed = number == len(setting.protocol.steps) - 1
    assert (found == 0) == (closed or setting.protocol.name in INSECURE)


def test_server_holds_no_secret_before_shares_are_revealed(setting: Setting) -> None:
    run = Run(setting)
    while not isinstance(run.step, Finish):
        assert secrets_in(run.server) == set()
        assert not any(isinstance(each, Client | Secret) for each in parts(run.server, set()))
        run.deliver(run.replies())


def test_clients_refuse_pickling_and_copying(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    machine = next(iter(run.clients.values()))
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(machine)


def test_error_texts_give_no_secret_away(point: tuple[Setting, int]) -> None:
    setting, number = point
    checkpoint = Checkpoint(Run(setting).to_round(number))
    sample = checkpoint.resume()
    client = min(sample.requests)
    request = sample.requests[client]
    inputs = {packing.pack(vector, setting.session.modulus)[8:24] for vector in sample.inputs.values()}
    texts: list[tuple[str, set[bytes]]] = []
    for position in range(1, len(request), 1 + len(request) // 25):
        machine = checkpoint.resume(clients=[client]).clients[client]
        secrets = secrets_in(machine) | inputs
        try:
            machine.handle(request[:position] + bytes([request[position] ^ 1]) + request[position + 1 :])
        except ProtocolError as error:
            texts.append((f"{error!r} {error}", secrets))
    assert texts
    assert not any(gives_away(text, secret) for text, secrets in texts for secret in secrets)


def test_client_that_closed_over_an_error_is_empty(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    machine = run.clients[min(run.requests)]
    party = machine._party
    assert setting.protocol.name in INSECURE or number == 0 or secrets_in(machine) - IDENTITIES
    with pytest.raises(ProtocolError):
        machine.handle(b"no message")
    assert vars(party) == {}
    assert secrets_in(machine) <= IDENTITIES


def test_machine_that_has_answered_its_last_request_is_empty(setting: Setting) -> None:
    run = Run(setting)
    run.finish()
    for machine in run.clients.values():
        assert machine.closed
        assert secrets_in(machine) <= IDENTITIES
        assert not any(isinstance(each, State) for each in parts(machine, set()))


def test_error_that_closed_a_client_leads_to_no_secret(point: tuple[Setting, int]) -> None:
    """Code that keeps the error keeps its traceback, and with it the local variables of every frame in it."""
    setting, number = point
    checkpoint = Checkpoint(Run(setting).to_round(number))
    sample = checkpoint.resume()
    client = min(sample.requests)
    request = sample.requests[client]
    closed = 0
    for position in (5, *range(len(request) - 1, 36, -max(1, len(request) // 25))):
        machine = checkpoint.resume(clients=[client]).clients[client]
        try:
            machine.handle(request[:position] + bytes([request[position] ^ 0x21]) + request[position + 1 :])
        except ProtocolError as error:
            closed += 1
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
            held = [value for frame in frames for value in frame.f_locals.values()]
            assert secrets_in(held) <= IDENTITIES, f"bit flips in byte {position}"
    assert closed
