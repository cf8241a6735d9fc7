"""The bytes of every model are those of real sums, exactly."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from protocols import Adversary, PlainSum, SecureSum, SeedSum
from secagg.errors import ConfigurationError
from secagg.planning.calibration.seed_committee import drawn
from secagg.planning.calibration.sums import run
from secagg.planning.cost.models import MODELLED, cost_of
from secagg.planning.cost.sum_size import SumSize
from tests.support.committee_keys import key_shares, threshold_key

SIZES = ((11, 3), (24, 900))
WITH_COMMITTEE = ((10, 120),)
"""One of ten clients drops out, and the vector takes several messages of a short key."""
CASES = [
    (kind, adversary, *size)
    for kind in MODELLED
    if kind is not SeedSum
    for adversary in kind.adversaries or (Adversary.CURIOUS,)
    for size in (WITH_COMMITTEE if kind.needs_committee else SIZES)
]


@pytest.mark.parametrize(("kind", "adversary", "clients", "length"), CASES)
def test_bytes_are_those_of_a_real_sum(kind: type[SecureSum], adversary: Adversary, clients: int, length: int) -> None:
    timed = run(kind, clients=clients, length=length, adversary=adversary, committee=(threshold_key(1), key_shares(1)))
    client, member = timed.cost.client, timed.cost.member
    assert timed.moved_bytes["client"] == client.sent_bytes + client.received_bytes
    assert (member is None) == ("member" not in timed.moved_bytes)
    if member is not None:
        assert timed.moved_bytes["member"] == member.sent_bytes + member.received_bytes
    assert timed.cost.largest_field < timed.cost.server_bytes


@pytest.mark.parametrize("adversary", SeedSum.adversaries)
@pytest.mark.parametrize(("clients", "length"), [*SIZES, (130, 50)])
@pytest.mark.parametrize(("members", "colluding"), [(3, 1), (5, 1), (5, 2), (7, 3)])
def test_bytes_of_replicated_seeds_are_those_of_a_real_sum(
    members: int, colluding: int, clients: int, length: int, adversary: Adversary
) -> None:
    """The ids of 130 clients and of their committee have one byte or two, and the sets are shared out equally."""
    timed = run(SeedSum, clients=clients, length=length, adversary=adversary, committee=drawn(members, colluding))
    client, member = timed.cost.client, timed.cost.member
    assert member is not None
    assert timed.moved_bytes["client"] == client.sent_bytes + client.received_bytes
    if clients < 128:
        assert timed.moved_bytes["member"] == member.sent_bytes + member.received_bytes
    else:  # The dropouts are not a random part of the clients, so the contributors' ids are a little longer.
        assert timed.moved_bytes["member"] == pytest.approx(member.sent_bytes + member.received_bytes, rel=1e-3)
    assert timed.cost.largest_field < timed.cost.server_bytes


def test_protocol_without_a_model_is_refused() -> None:
    @dataclass(frozen=True)
    class Other(PlainSum):
        name: ClassVar[str] = "other"

    with pytest.raises(ConfigurationError, match=r"expected one whose cost is modelled .*, found other"):
        cost_of(Other(), SumSize(clients=2, length=1, modulus=4, threshold=2, dropped=0))
