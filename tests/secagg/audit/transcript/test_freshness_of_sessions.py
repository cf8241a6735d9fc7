"""What must be new: ids, keys, masked vectors and ciphertexts."""

from dataclasses import replace
from typing import ClassVar

import pytest

from protocols import SecAgg, SeedCommittee
from protocols.encrypted.messages import EncryptedInput
from protocols.lightsecagg.messages import AdvertisedKey
from protocols.lightsecagg.messages import MaskedInput as LightMaskedInput
from protocols.pairwise.messages import AdvertisedKeys, MaskedInput, SealedShares
from protocols.seeds.messages import SeedInput
from secagg.audit.transcript.catalogue import KEYS, SESSION_IDS, VECTORS, CheckResult, Notes
from secagg.audit.transcript.freshness import Freshness
from secagg.transcripts.reader import RecordedSession
from tests.support.transcripts import CASES

ONE, OTHER = bytes(range(32)), bytes(range(1, 33))


class Unknown(SecAgg):
    """A protocol of other people."""

    name: ClassVar[str] = "unknown"


def begun(name: str, number: int, session_id: bytes = b"") -> RecordedSession:
    scenario = CASES[name].scenario
    session = replace(scenario.session, session_id=session_id or b"session number %d" % number)
    return RecordedSession(number=number, protocol=scenario.protocol, session=session, digest=bytes(32))


@pytest.fixture
def notes() -> Notes:
    return Notes()


def found(notes: Notes) -> dict[str, CheckResult]:
    return {check.id: check for check in notes.results() if check.found}


def masked(vector: bytes) -> MaskedInput:
    return MaskedInput(ONE, memoryview(vector), ())


def test_different_values_are_no_repetition(notes: Notes) -> None:
    freshness = Freshness(notes)
    for number in (1, 2):
        freshness.begin(begun("secagg", number))
        for client in range(3):
            each = bytes([number, client]) * 16
            freshness.reply("advertise_keys", client, AdvertisedKeys(b"sealing" + each, b"masking" + each, b""))
            freshness.reply("share_keys", client, SealedShares(ONE, ONE, (b"to" + each, b"from" + each), b""))
            freshness.reply("mask_input", client, masked(b"vector" + each))
    assert found(notes) == {}


def test_view_that_all_clients_send_is_no_repetition(notes: Notes) -> None:
    freshness = Freshness(notes)
    freshness.begin(begun("secagg", 1))
    freshness.reply("mask_input", 1, masked(ONE + b"1"))
    freshness.reply("mask_input", 2, masked(ONE + b"2"))
    assert found(notes) == {}


@pytest.mark.parametrize("sessions", [(1, 1), (1, 2)])
def test_equal_masked_vectors_are_found_in_one_and_in_two_sessions(sessions: tuple[int, int], notes: Notes) -> None:
    freshness = Freshness(notes)
    for number in sessions:
        freshness.begin(begun("lightsecagg", number, b"%d" % number * 16))
        freshness.reply("mask_input", 5, LightMaskedInput(memoryview(ONE)))
    assert found(notes).keys() == {VECTORS}
    assert f"session {sessions[1]}, client 5" in found(notes)[VECTORS].found[0]


def test_equal_ciphertexts_are_found_within_one_session(notes: Notes) -> None:
    freshness = Freshness(notes)
    freshness.begin(begun("secagg", 1))
    freshness.reply("share_keys", 1, SealedShares(ONE, ONE, (ONE, OTHER), b""))
    freshness.reply("share_keys", 2, SealedShares(ONE, ONE, (OTHER, ONE[::-1]), b""))
    assert found(notes).keys() == {VECTORS}


def test_equal_keys_are_found_in_two_sessions(notes: Notes) -> None:
    freshness = Freshness(notes)
    freshness.begin(begun("lightsecagg", 1))
    freshness.reply("advertise_keys", 1, AdvertisedKey(ONE))
    freshness.begin(begun("lightsecagg", 2))
    freshness.reply("advertise_keys", 3, AdvertisedKey(ONE))
    assert found(notes).keys() == {KEYS}
    assert found(notes)[KEYS].found == ("session 2, client 3: its key occurred before, in session 1",)


def test_equal_session_ids_are_found(notes: Notes) -> None:
    freshness = Freshness(notes)
    for number in (1, 2, 3):
        freshness.begin(begun("plain", number, b"the same id for all"))
    assert found(notes)[SESSION_IDS].found == (
        "sessions 1 and 2 have the same id",
        "sessions 1 and 3 have the same id",
    )


def test_what_is_not_tested_is_said(notes: Notes) -> None:
    freshness = Freshness(notes)
    freshness.begin(begun("plain", 1))
    freshness.begin(begun("paillier", 2))
    freshness.begin(replace(begun("secagg", 3), protocol=Unknown()))
    freshness.begin(begun("oneshot", 4))
    freshness.reply("encrypt_input", 5, EncryptedInput(memoryview(b"short"), memoryview(ONE)))
    why = {check.id: check.not_tested for check in notes.results()}
    assert why[KEYS] == (
        "clients of plain have no keys of a session",
        "clients of paillier have no keys of a session",
        "it is not known which fields of unknown hold keys and ciphertexts",
        "clients of oneshot have no keys of a session",
    )
    assert why[VECTORS] == (
        "plain protects nobody: equal vectors may be equal inputs",
        "it is not known which fields of unknown hold keys and ciphertexts",
        "padded has fewer than 16 bytes and may be equal by chance (session 4)",
    )
    assert found(notes) == {}


def test_box_of_replicated_seeds_that_begins_like_another_is_found(notes: Notes) -> None:
    """Each message is another one; only the second box of one client begins like the first box of the other."""
    freshness, case = Freshness(notes), begun("seeds", 1)
    freshness.begin(case)
    committee = case.session.committee
    assert committee is not None
    assert isinstance(committee.key, SeedCommittee)
    sets = committee.key.sets
    hashes, rest = 32 * sets.count, 16 + 32 * sets.held
    for client, first, second in ((1, 1, 2), (2, 3, 1)):
        boxes = [bytes([first]), bytes([second]), *(bytes([10 * client + at]) for at in range(2, sets.members))]
        sealed = b"".join(box * 1120 + bytes([client]) * rest for box in boxes)
        padded = bytes([client]) * 64
        freshness.reply("mask_input", client, SeedInput(memoryview(padded), memoryview(bytes(hashes) + sealed)))
    assert found(notes).keys() == {VECTORS}
    assert found(notes)[VECTORS].found == ("session 1, client 2: its box occurred before, in session 1",)
