"""Claims of nodes: who holds the key of an id can claim it, in answer to one query only."""

import itertools
from dataclasses import replace

import pytest

from protocols.crypto.secret import Secret
from protocols.identity import Identity, Roster
from secagg.engines.wire.claim import Query

IDENTITIES = {node: Identity(Secret(bytes([node + 1]) * 32)) for node in range(3)}
ROSTER = Roster({node: identity.public for node, identity in IDENTITIES.items()})


def query(*, run: str = "a run", address: int = 2**64 - 1) -> Query:
    return Query.new(run, address, entropy=lambda size: bytes(range(size)))


def test_a_query_arrives_as_it_was_sent() -> None:
    assert Query.of(query().to_bytes()) == query()


@pytest.mark.parametrize("data", [b"", b"\x98", query().to_bytes()[:-1], query().to_bytes() + b"\0", bytes(92)])
def test_other_bytes_are_no_query(data: bytes) -> None:
    assert Query.of(data) is None


def test_the_holder_of_a_key_claims_its_id() -> None:
    for node, identity in IDENTITIES.items():
        assert query().claimant(query().claim(identity, node), ROSTER) == node


@pytest.mark.parametrize("node", [0, 2, 77, 2**32 - 1])
def test_nobody_claims_an_id_with_another_key(node: int) -> None:
    assert query().claimant(query().claim(IDENTITIES[1], node), ROSTER) is None


def test_a_claim_answers_no_other_query() -> None:
    claim = query().claim(IDENTITIES[1], 1)
    for other in (query(run="another"), query(address=7), replace(query(), nonce=bytes(32))):
        assert other.claimant(claim, ROSTER) is None


def test_no_bit_of_a_claim_can_be_changed() -> None:
    claim = query().claim(IDENTITIES[1], 1)
    for at, bit in itertools.product(range(len(claim)), range(8)):
        changed = bytearray(claim)
        changed[at] ^= 1 << bit
        assert query().claimant(bytes(changed), ROSTER) is None
    assert query().claimant(claim[:-1], ROSTER) is None
    assert query().claimant(claim + b"\0", ROSTER) is None
    assert query().claimant((2**64 - 1).to_bytes(8, "big"), ROSTER) is None
