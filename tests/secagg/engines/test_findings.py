"""What a protocol says of a sum's parties reaches the caller of each engine."""

from functools import partial
from pathlib import Path

import pytest

from protocols import Secret
from protocols.secure_sum import Complaint
from protocols.seeds.derived import Entry
from protocols.seeds.party import Reason, SeedParty, _Refused
from secagg.engines.base import RoundPlan, ServerSide
from secagg.engines.findings import Findings
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from tests.support.direct_channel import DirectChannel
from tests.support.stations import COORDINATOR, WORK, Cohort, training

COHORT, MEMBER, CLIENT = Cohort(protocol="seeds"), 21, 5


@pytest.mark.parametrize("reason", [Reason.SEED_DIFFERS, Reason.DOES_NOT_OPEN])
def test_channel_engine_passes_on_complaints(reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corrupt member complains of an honest client. Nothing shows who is at fault, so the caller must see both."""
    right = SeedParty._opened

    def complaining(self: SeedParty, client: int, entry: Entry, hashed: bytes) -> Secret:
        if (self._party, client) == (MEMBER, CLIENT):
            raise _Refused(reason)
        return right(self, client, entry, hashed)

    monkeypatch.setattr(SeedParty, "_opened", complaining)
    stations = {party: Station(COHORT.make_home(tmp_path, party)) for party in COHORT.parties}

    def answer(party: int, parcel: bytes) -> bytes:
        return stations[party].answer(parcel, training(party) if party in COHORT.clients else None)

    channel = DirectChannel({party: partial(answer, party) for party in COHORT.parties})
    attempt = COHORT.attempt(1)
    side = ServerSide(identity=COORDINATOR, sealing=Secret(bytes(32)), keep=lambda _: None)
    plan = RoundPlan(mean=attempt.mean, session=attempt.session, work=WORK, serial=1, server=side)
    result = ChannelEngine(channel, clock=channel.clock, step_s=10.0).run(plan)
    assert result.contributors == tuple(sorted(set(COHORT.clients) - {CLIENT}))
    complaint = Complaint(MEMBER, CLIENT, reason.words)
    assert result.findings == Findings(complaints=(complaint,))
