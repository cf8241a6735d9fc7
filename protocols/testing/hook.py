"""The test hook: what a machine holds, for tests that must look inside a party.

Adversary: none. The hook is for tests only. What it returns holds inputs and secrets, so keep it out of logs and of
error texts. It only reads, and a machine offers no other way in. No module outside `protocols.testing` imports it.
"""

from typing import Any

from protocols.machine import Client, Server


def party_of(machine: Client | Server) -> Any:
    """Return the party object of a machine, which the protocol's `client_party` or `server_party` made.

    Raises:
        LookupError: The machine is closed, so it has no party.
    """
    party = machine._party
    if party is None:
        raise LookupError("party: expected that of an open machine, found a closed machine, which has none")
    return party


def state_of(machine: Client | Server) -> Any:
    """Return the state of a machine's party, a `protocols.State`: everything that changes during a session.

    The state holds the party's input and secrets. A test that changes it changes the party.

    Raises:
        LookupError: The machine is closed, so it has no state.
    """
    return party_of(machine).state


def derived_of(machine: Client | Server) -> Any:
    """Return what a machine's party derived from the protocol and the session, for the protocols of this package.

    A party of this package keeps it in its attribute `_derived`; a protocol of your own need not have one.

    Raises:
        LookupError: The machine is closed, or its party derives nothing.
    """
    found = getattr(party_of(machine), "_derived", None)
    if found is None:
        raise LookupError("derived: expected a party with an attribute `_derived`, found one without")
    return found
