"""Secrets stay with their parties: not the server, nor a repr, a pickle, a copy or an error has any.

The server's view is searched for inputs in the clear only. That it hides them is for the protocol's proof to show.
"""

import copy
import pickle
import traceback
from collections.abc import Iterator

import numpy as np
import pytest

from protocols.crypto.secret import Secret
from protocols.errors import ProtocolError
from protocols.machine import Client
from protocols.secure_sum import Finish
from protocols.simulate import Transmission
from protocols.snapshot import State
from protocols.testing.hook import party_of
from protocols.testing.run import Checkpoint, ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.malformed import HEADER_BYTES, flipped, relisted, resized
from protocols.testing.suite.reachable import gives_away, identities, parts, secrets_in, shows_input, windows


class SecrecyTests(Suite):
    """Tests of what a party must not show. A protocol that protects nobody is free to show inputs to the server."""

    def test_servers_view_holds_no_input(self, scenario: Scenario) -> None:
        inputs = scenario.inputs(seed=1)
        view: list[Transmission] = []
        scenario.simulate(inputs, tap=view.append)
        seen = b"".join(each.data for each in view)
        for vector in inputs.values():
            shown = any(window in seen for window in windows(vector, scenario.session.modulus))
            assert not (shown and scenario.protocol.protects)

    def test_masked_vectors_of_the_same_input_have_nothing_in_common(self, scenario: Scenario) -> None:
        """Those of all clients, in two runs with different entropy: no 16 bytes in a row."""
        zeros = np.zeros(scenario.session.length, dtype=np.uint64)
        vectors = dict.fromkeys(scenario.session.clients, zeros)
        sent = [
            data
            for seed in (b"first", b"second")
            for data in unchecked_bytes(ProtocolRun(scenario, seed=seed, vectors=vectors))
        ]
        found = [data[start : start + 16] for data in sent for start in range(len(data) - 15)]
        assert len(set(found)) == len(found) or not scenario.protocol.protects

    def test_reprs_of_parties_give_no_secret_away(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        modulus = scenario.session.modulus
        run.replies()  # The clients are now as they are between this step and the next.
        for machine in (*run.clients.values(), run.server):
            secrets = secrets_in(machine)
            for part in parts(machine, set()):
                shown = repr(part)
                assert not any(gives_away(shown, secret) for secret in secrets)
                if not isinstance(part, dict | tuple | list | set | frozenset):  # They show the arrays that they hold.
                    assert not any(shows_input(shown, each, modulus) for each in run.inputs.values())

    def test_server_holds_no_secret_before_shares_are_revealed(self, scenario: Scenario) -> None:
        run = ProtocolRun(scenario)
        while not isinstance(run.progress, Finish):
            assert secrets_in(run.server) == set()
            assert not any(isinstance(each, Client | Secret) for each in parts(run.server, set()))
            run.deliver(run.replies())

    def test_clients_refuse_pickling_and_copying(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        machine = next(iter(run.clients.values()))
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(machine)

    def test_error_texts_give_no_secret_away(self, scenario: Scenario, number: int) -> None:
        checkpoint = Checkpoint(ProtocolRun(scenario).to_step(number))
        sample = checkpoint.resume()
        client = min(sample.requests)
        request = sample.requests[client]
        modulus, codec = scenario.session.modulus, scenario.codec
        message = codec.decode(number, scenario.protocol.steps[number].request, request)
        changed = [flipped(request, position, 0) for position in range(1, len(request), 1 + len(request) // 25)]
        changed += [codec.encode(number, other) for _, other in (*resized(message), *relisted(message))]
        texts: list[tuple[str, set[bytes]]] = []
        for bad in changed:
            machine = checkpoint.resume(clients=[client]).clients[client]
            secrets = secrets_in(machine)
            try:
                machine.handle(bad)
            except ProtocolError as error:
                texts.append((f"{error!r} {error}", secrets))
        assert texts
        assert not any(gives_away(text, secret) for text, secrets in texts for secret in secrets)
        assert not any(shows_input(text, each, modulus) for text, _ in texts for each in sample.inputs.values())

    def test_client_that_closed_over_an_error_is_empty(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        machine = run.clients[min(run.requests)]
        party = party_of(machine)
        with pytest.raises(ProtocolError):
            machine.handle(b"no message")
        assert vars(party) == {}
        assert secrets_in(machine) <= identities(scenario)

    def test_machine_that_has_answered_its_last_request_is_empty(self, scenario: Scenario) -> None:
        run = ProtocolRun(scenario)
        run.finish()
        for party, machine in run.clients.items():
            assert machine.closed == scenario.ends(party)
            if not machine.closed:
                continue
            assert secrets_in(machine) <= identities(scenario)
            assert not any(isinstance(each, State) for each in parts(machine, set()))

    def test_error_that_closed_a_client_leads_to_no_secret(self, scenario: Scenario, number: int) -> None:
        """A caller that keeps the error keeps its traceback, and with it the local variables of every frame in it."""
        checkpoint = Checkpoint(ProtocolRun(scenario).to_step(number))
        sample = checkpoint.resume()
        client = min(sample.requests)
        request = sample.requests[client]
        closed, last = 0, len(request) - 1
        for position in (5, *range(last, HEADER_BYTES - 1, -max(1, len(request) // 25))):
            machine = checkpoint.resume(clients=[client]).clients[client]
            try:
                machine.handle(request[:position] + bytes([request[position] ^ 0x21]) + request[position + 1 :])
            except ProtocolError as error:
                closed += 1
                frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
                held = [value for frame in frames for value in frame.f_locals.values()]
                assert secrets_in(held) <= identities(scenario), f"bit flips in byte {position}"
        assert closed


def unchecked_bytes(run: ProtocolRun) -> Iterator[bytes]:
    """Yield what all replies of a run carry in the fields that nobody can check: the vectors, masked or not."""
    for number in range(len(run.scenario.protocol.steps)):
        replies = run.replies()
        for reply in replies.values():
            where = run.scenario.unchecked_in(number, reply)
            yield reply[where.start : where.stop]
        run.deliver(replies)
