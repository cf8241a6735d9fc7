"""Calls out of order, and inputs, parties and sessions that do not fit, are refused before anything is sent."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from protocols.crypto.secret import Secret
from protocols.errors import InputError, OrderError, ParameterError
from protocols.machine import Client, Server
from protocols.replay import MemoryRecord
from protocols.secure_sum import Finish
from protocols.session import Extra, Session, Vector
from protocols.simulate import Transmission, simulate
from protocols.terms import ClientTerms
from protocols.testing.repeatable import attached_secrets, fixed_identity, fixed_roster, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import STRANGER, Suite
from protocols.testing.suite.variants import with_extra
from protocols.testing.suite.vectors import bad_vectors


class MisuseTests(Suite):
    """Tests of a driver that makes mistakes: each is refused with a typed error, before anything is sent."""

    def test_bad_input_is_refused_before_anything_is_sent(self, scenario: Scenario) -> None:
        session = scenario.session
        for label, vector in bad_vectors(session).items():
            drawn: list[int] = []

            def entropy(size: int, drawn: list[int] = drawn) -> bytes:
                drawn.append(size)
                return bytes(size)

            with pytest.raises(InputError):
                scenario.client(session.clients[0], vector, entropy)  # type: ignore[arg-type]  # that is the test
            seen: list[Transmission] = []
            inputs = {**dict.fromkeys(session.clients, zeros(session)), session.clients[-1]: vector}
            with pytest.raises(InputError):
                scenario.simulate(inputs, tap=seen.append, entropy=entropy)  # type: ignore[arg-type]  # that is the test
            assert (drawn, seen) == ([], []), label

    @pytest.mark.parametrize("client", [STRANGER, -1, 2**32 - 1, True, False, 0.0, "0", None, np.int64(0)])
    def test_client_outside_the_session_is_refused(self, scenario: Scenario, client: object) -> None:
        session, entropy = scenario.session, repeatable_entropy(b"x")
        with pytest.raises(ParameterError):
            Client(scenario.protocol, session, client, zeros(session), entropy=entropy)  # type: ignore[arg-type]  # that is the test

    @pytest.mark.parametrize("shortfall", [-1, 1])
    def test_entropy_of_a_wrong_length_is_refused(self, scenario: Scenario, shortfall: int) -> None:
        """By every party that draws any entropy in the first step that asks it."""
        run, draws = ProtocolRun(scenario), dict.fromkeys(scenario.session.clients, 0)
        client = next(iter(run.requests))
        vector = run.inputs.get(client)

        def counting(size: int) -> bytes:
            draws[client] = draws.get(client, 0) + 1
            return bytes(size - shortfall)

        machine = scenario.client(client, vector, repeatable_entropy(b"honest"))
        honest = machine.handle(run.requests[client])
        machine = scenario.client(client, vector, counting)
        try:
            assert machine.handle(run.requests[client]) == honest
            assert draws[client] == 0
        except ParameterError:
            assert draws[client] > 0
            assert machine.closed

    def test_server_refuses_calls_out_of_order(self, scenario: Scenario) -> None:
        server = Server(scenario.protocol, scenario.session)
        assert server.missing == frozenset()
        with pytest.raises(OrderError):
            server.receive(scenario.session.clients[0], b"")
        with pytest.raises(OrderError):
            server.advance()
        server.start()
        with pytest.raises(OrderError):
            server.start()
        assert server.missing == set(scenario.asked(0))

    def test_finished_server_refuses_everything(self, scenario: Scenario) -> None:
        run, last = ProtocolRun(scenario), dict[int, bytes]()
        while not isinstance(run.progress, Finish):
            last = run.replies()
            run.deliver(last)
        sender = next(iter(last))
        for call in (run.server.start, run.server.advance, lambda: run.server.receive(sender, last[sender])):
            with pytest.raises(OrderError):
                call()

    def test_simulation_refuses_inputs_and_drops_that_do_not_fit(self, scenario: Scenario) -> None:
        session, protocol = scenario.session, scenario.protocol
        inputs = dict.fromkeys(session.clients, zeros(session))
        name = protocol.steps[0].name
        for missing_or_extra in ({}, {**inputs, STRANGER: zeros(session)}, dict(list(inputs.items())[1:])):
            with pytest.raises(ParameterError, match="inputs: expected one for each"):
                scenario.simulate(missing_or_extra)
        known = session.clients[0]
        for drops in ({"no such step": [known]}, {name: [STRANGER]}, {name: [known, known]}):
            with pytest.raises(ParameterError, match="drops: "):
                scenario.simulate(inputs, drops=drops)
        with pytest.raises(ParameterError, match="attached, terms: expected those of clients of the session"):
            simulate(protocol, session, inputs, attached={STRANGER: ()})

    def test_client_without_what_the_session_asks_for_is_refused(self, scenario: Scenario) -> None:
        """Terms if and only if there is a roster, and as many attached secrets as the session has, of 32 bytes each."""
        session, client = scenario.session, scenario.session.clients[0]
        secrets, own = attached_secrets(client, session), scenario.terms(client)
        stranger = ClientTerms(
            identity=fixed_identity(client),
            roster=fixed_roster([client]),
            sessions=MemoryRecord(),
            adversarial=0.1,
            minimum_contributors=2,
        )

        def join(attached: Sequence[object], terms: ClientTerms | None) -> None:
            Client(
                scenario.protocol,
                session,
                client,
                zeros(session),
                attached=attached,  # type: ignore[arg-type]  # that is the test
                terms=terms,
                keyholder=scenario.keyholder(client),
                entropy=repeatable_entropy(b"x"),
                clock=scenario.clock,
            )

        join(secrets, own)
        with pytest.raises(ParameterError):
            join(secrets, None if own else stranger)
        with pytest.raises(ParameterError, match="attached"):
            join((*secrets, Secret(bytes(32))), own)
        for bad in (bytes(32), Secret(bytes(31)), Secret(bytes(33)), Secret(b""), None, 7):
            with pytest.raises(ParameterError, match="attached"):
                join((*secrets[1:], bad), own)

    def test_every_session_field_that_is_accepted_has_a_scenario(self) -> None:
        """A roster, attached secrets, a committee or an expiry that the protocol accepts must not go untested."""
        for kind in self.kinds():
            sessions = [each.session for each in self.scenarios if type(each.protocol) is kind]
            used = {name for session in sessions for name in session.extras()}
            assert used >= set(kind.accepts), f"{kind.name} accepts {set(kind.accepts) - used}"

    def test_session_field_that_the_protocol_does_not_accept_is_refused(self, scenario: Scenario) -> None:
        """By the server and by every client: a roster, attached secrets, a committee, an expiry."""
        protocol, session = scenario.protocol, scenario.session
        for extra in Extra:
            if extra in protocol.accepts:
                continue
            other = with_extra(session, extra)
            with pytest.raises(ParameterError, match=extra.value):
                protocol.validate(other)
            with pytest.raises(ParameterError, match=extra.value):
                Server(protocol, other)
            for client in session.clients:
                with pytest.raises(ParameterError, match=extra.value):
                    Client(protocol, other, client, zeros(session), entropy=repeatable_entropy(b"x"))
        if protocol.needs_committee:
            with pytest.raises(ParameterError, match="committee"):
                Server(protocol, replace(session, committee=None))


def zeros(session: Session) -> Vector:
    """Return an input of zeros."""
    return np.zeros(session.length, dtype=np.uint64)
