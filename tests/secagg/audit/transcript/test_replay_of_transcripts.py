"""Whole transcripts: honest ones of every protocol are not rejected, and altered ones are, each by the check meant."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import pytest

from protocols.identity import Roster
from protocols.testing import fixed_identity, fixed_roster
from secagg.audit.transcript.catalogue import (
    COUNTS,
    DIGEST,
    ENVELOPES,
    HEAD,
    KEYS,
    LIMITS,
    RECORDS,
    REPLIES,
    REQUESTS,
    RESULT,
    ROSTER,
    SESSION_IDS,
    SIGNATURES,
    STATEMENTS,
    THRESHOLD,
    VECTORS,
)
from secagg.audit.transcript.replay import TranscriptReplay, replay
from secagg.errors import ConfigurationError, TranscriptError
from secagg.transcripts.records import Kind, MessageRecord, SessionHeader, SumRecord, WithheldRecord
from tests.support.transcripts import (
    CASES,
    Change,
    Records,
    bodies,
    chained,
    flipped,
    frames,
    messages,
    rebuilt,
    recording,
    rounds,
    with_data,
)

ROUND_IDS: Final = (b"the first session", b"the second session", b"the third session")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "transcript"


def replayed(file: Path, data: bytes, *, head: bytes | None = None, roster: Roster | None = None) -> TranscriptReplay:
    file.write_bytes(data)
    return replay(file, head=None if head is None else head.hex(), roster=roster)


def rejecting(found: TranscriptReplay) -> set[str]:
    """Return the checks that have found something."""
    assert found.rejected == any(check.found for check in found.checks)
    return {check.id for check in found.checks if check.found}


def untested(found: TranscriptReplay) -> set[str]:
    return {check.id for check in found.checks if check.not_tested}


@pytest.mark.parametrize("name", CASES)
def test_honest_session_with_drops_is_not_rejected(name: str, file: Path) -> None:
    scenario, _ = CASES[name]
    made = recording(name)
    roster = fixed_roster((*scenario.session.clients, 4)) if scenario.session.roster else None
    found = replayed(file, made.data, head=made.head, roster=roster)
    assert {check.id: check.found for check in found.checks if check.found} == {}
    assert (found.sessions, found.head) == (1, made.head.hex())
    assert [check.id for check in found.checks] == list(STATEMENTS)
    unsigned = {SIGNATURES, ROSTER} if scenario.session.roster is None else set()
    keyless = {KEYS} if name.split("-")[0] in ("plain", "paillier", "oneshot", "seeds") else set()
    assert untested(found) == unsigned | keyless | ({VECTORS} if name == "plain" else set())


def test_several_rounds_are_not_rejected(file: Path) -> None:
    head = rounds(file, [(each, each) for each in ROUND_IDS])
    found = replay(file, head=head.hex())
    assert (rejecting(found), found.sessions) == (set(), 3)
    assert untested(found) == {SIGNATURES, ROSTER}


def test_replay_is_the_same_in_another_process(file: Path) -> None:
    """With another seed of Python's hashes, so that no order of a set may matter."""
    file.write_bytes(recording("secagg-plus-malicious").data)
    program = (
        "import sys, pathlib; from secagg.audit.transcript import replay; print(replay(pathlib.Path(sys.argv[1])).head,"
        " replay(pathlib.Path(sys.argv[1])).rejected)"
    )
    made = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
        env=os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert made.stdout.split() == [recording("secagg-plus-malicious").head.hex(), "False"]


def flip_reply(step: int, at: int, index: int = 0) -> Change:
    """Return a change of one bit of one accepted reply."""

    def change(records: Records) -> Records:
        place = messages(records, step, Kind.REPLY)[index]
        record = records[place]
        assert isinstance(record, MessageRecord)
        return with_data(records, place, flipped(record.data, at))

    return change


def flip_request(step: int) -> Change:
    def change(records: Records) -> Records:
        place = messages(records, step, Kind.REQUEST)[0]
        record = records[place]
        assert isinstance(record, MessageRecord)
        return with_data(records, place, flipped(record.data, -1))

    return change


def swap_replies(step: int) -> Change:
    """Return a change that gives the first two replies of a step to each other's clients."""

    def change(records: Records) -> Records:
        one, other = messages(records, step, Kind.REPLY)[:2]
        first, second = records[one], records[other]
        assert isinstance(first, MessageRecord)
        assert isinstance(second, MessageRecord)
        return with_data(with_data(records, one, second.data), other, first.data)

    return change


def drop_message(step: int, kind: Kind) -> Change:
    def change(records: Records) -> Records:
        place = messages(records, step, kind)[0]
        return [*records[:place], *records[place + 1 :]]

    return change


def with_total(records: Records) -> Records:
    last = records[-1]
    assert isinstance(last, SumRecord)
    return [*records[:-1], msgspec.structs.replace(last, total=flipped(last.total, 0))]


def with_opened(records: Records) -> Records:
    last = records[-1]
    assert isinstance(last, SumRecord)
    return [*records[:-1], msgspec.structs.replace(last, opened=flipped(last.opened, -1))]


def with_fewer_contributors(records: Records) -> Records:
    last = records[-1]
    assert isinstance(last, SumRecord)
    fewer = msgspec.structs.replace(last, contributors=last.contributors[:4], opened=last.opened[: 2 * 33])
    return [*records[:-1], fewer]


def with_header(**fields: object) -> Change:
    def change(records: Records) -> Records:
        return [msgspec.structs.replace(r, **fields) if isinstance(r, SessionHeader) else r for r in records]

    return change


def with_another_roster_key(records: Records) -> Records:
    header = records[1]
    assert isinstance(header, SessionHeader)
    assert header.roster is not None
    stranger = fixed_identity(4).public
    return [records[0], msgspec.structs.replace(header, roster=stranger + header.roster[32:]), *records[2:]]


def repeat_request(records: Records) -> Records:
    place = messages(records, 0, Kind.REQUEST)[0]
    return [*records[: place + 1], *records[place:]]


def refuse_first_reply(records: Records) -> Records:
    place = messages(records, 1, Kind.REPLY)[0]
    record = records[place]
    assert isinstance(record, MessageRecord)
    return [*records[:place], msgspec.structs.replace(record, kind=Kind.REFUSED), *records[place + 1 :]]


def without_result(records: Records) -> Records:
    return records[:-1]


TAMPERED: Final[dict[str, tuple[str, Change, str]]] = {
    "bit of a key": ("secagg", flip_reply(0, -1), REQUESTS),
    "bit of a sealed share": ("secagg", flip_reply(1, -2), REQUESTS),
    "bit of a masked vector": ("secagg", flip_reply(2, -10), RESULT),
    "bit of a revealed share": ("secagg", flip_reply(3, -1), REPLIES),
    "bit of the last answer of a coded sum": ("lightsecagg", flip_reply(3, -1), RESULT),
    "bit of a ciphertext": ("paillier", flip_reply(0, -5), REPLIES),
    "bit of a masked vector under a lattice mask": ("oneshot", flip_reply(0, 60), REPLIES),
    "bit of a partial opening": ("paillier", flip_reply(1, -5), REPLIES),
    "bit of a plain vector": ("plain", flip_reply(0, -1), RESULT),
    "bit of a request": ("secagg", flip_request(1), REQUESTS),
    "bit of an envelope": ("secagg", flip_reply(2, 10), ENVELOPES),
    "signature of keys": ("secagg-malicious", flip_reply(0, -1), SIGNATURES),
    "signature of shares": ("secagg-plus-malicious", flip_reply(1, -1), SIGNATURES),
    "signature of a confirmation": ("secagg-malicious", flip_reply(3, -1), SIGNATURES),
    "signature of a contribution": ("paillier-malicious", flip_reply(0, -1), SIGNATURES),
    "keys exchanged between clients": ("secagg", swap_replies(0), REQUESTS),
    "signed keys exchanged between clients": ("secagg-malicious", swap_replies(0), SIGNATURES),
    "contributions exchanged between clients": ("oneshot", swap_replies(0), REPLIES),
    "request dropped": ("secagg", drop_message(1, Kind.REQUEST), COUNTS),
    "request repeated": ("secagg", repeat_request, COUNTS),
    "keys dropped": ("secagg", drop_message(0, Kind.REPLY), REQUESTS),
    "masked vector dropped": ("secagg", drop_message(2, Kind.REPLY), RESULT),
    "reply said to be refused": ("secagg", refuse_first_reply, REPLIES),
    "total": ("secagg-plus", with_total, RESULT),
    "opened secret": ("secagg", with_opened, RESULT),
    "contributors": ("secagg", with_fewer_contributors, THRESHOLD),
    "threshold in the header": ("secagg", with_header(threshold=3), DIGEST),
    "context in the header": ("secagg", with_header(context=b"another"), DIGEST),
    "parameters in the header": ("secagg-plus", with_header(parameters={"adversary": "curious", "neighbours": 4,
                                                                        "share_threshold": 3}), DIGEST),
    "roster in the header": ("secagg-malicious", with_another_roster_key, DIGEST),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_with_a_rebuilt_chain_is_found_by_its_check(what: str, file: Path) -> None:
    name, change, check = TAMPERED[what]
    data = rebuilt(recording(name).data, change)
    assert data != recording(name).data
    assert check in rejecting(replayed(file, data))


@pytest.mark.parametrize("what", TAMPERED)
def test_kept_head_shows_every_rebuilt_chain(what: str, file: Path) -> None:
    name, change, _ = TAMPERED[what]
    made = recording(name)
    assert HEAD in rejecting(replayed(file, rebuilt(made.data, change), head=made.head))


def test_session_under_a_digest_of_its_own_does_not_fit_its_messages(file: Path) -> None:
    """The header is altered together with the digest, so the messages belong to another session."""
    scenario, _ = CASES["secagg"]
    digest = scenario.protocol.digest(replace(scenario.session, context=b"another"))

    def change(records: Records) -> Records:
        header = records[1]
        assert isinstance(header, SessionHeader)
        return [records[0], msgspec.structs.replace(header, context=b"another", digest=digest), *records[2:]]

    found = rejecting(replayed(file, rebuilt(recording("secagg").data, change)))
    assert DIGEST not in found
    assert {ENVELOPES, REQUESTS, REPLIES} <= found


def test_message_of_another_session_is_found(file: Path) -> None:
    rounds(file, [(each, each) for each in ROUND_IDS])

    def change(records: Records) -> Records:
        places = messages(records, 2, Kind.REPLY)
        other = records[places[-1]]
        assert isinstance(other, MessageRecord)
        return with_data(records, places[0], other.data)

    assert {ENVELOPES, REPLIES} <= rejecting(replayed(file, rebuilt(file.read_bytes(), change)))


@pytest.mark.parametrize("name", ["secagg", "lightsecagg", "secagg-malicious"])
def test_exchanged_masked_vectors_are_shown_by_the_head_alone(name: str, file: Path) -> None:
    """The limit that the catalogue states: masked vectors are not signed, and their sum is the same."""
    made = recording(name)
    data = rebuilt(made.data, swap_replies(2))
    assert data != made.data
    assert rejecting(replayed(file, data)) == set()
    assert rejecting(replayed(file, data, head=made.head)) == {HEAD}
    assert any("vectors are not signed" in limit for limit in LIMITS)


def test_result_that_was_removed_is_not_tested_and_shown_by_the_head(file: Path) -> None:
    made = recording("secagg")
    found = replayed(file, rebuilt(made.data, without_result), head=made.head)
    assert rejecting(found) == {HEAD}
    assert {RESULT, THRESHOLD} <= untested(found)


def test_sum_that_was_withheld_is_replayed_to_the_same_error(file: Path) -> None:
    none, other = WithheldRecord("TooFewSurvivors"), WithheldRecord("RemoteError")

    def withheld(records: Records) -> Records:
        """Nobody answers the last step, so fewer than the threshold are left."""
        answers = set(messages(records, 3, Kind.REPLY))
        return [*(each for place, each in enumerate(records[:-1]) if place not in answers), none]

    made = recording("secagg").data
    assert rejecting(replayed(file, rebuilt(made, withheld))) == set()
    assert rejecting(replayed(file, rebuilt(made, lambda records: [*records[:-1], none]))) == {RESULT}
    assert rejecting(replayed(file, rebuilt(made, lambda records: [*withheld(records)[:-1], other]))) == {RESULT}
    assert rejecting(replayed(file, rebuilt(made, lambda records: [*withheld(records)[:-1], records[-1]]))) == {RESULT}


def test_session_that_was_recorded_twice_is_found(file: Path) -> None:
    made = recording("secagg")
    records = bodies(made.data)
    found = rejecting(replayed(file, chained([*records, *records[1:]])))
    assert found == {SESSION_IDS, KEYS, VECTORS}


def test_keys_used_in_two_sessions_are_found(file: Path) -> None:
    rounds(file, [(ROUND_IDS[0], b"same"), (ROUND_IDS[1], b"same")])
    assert rejecting(replay(file)) == {KEYS}


def test_sessions_exchanged_are_found_by_the_chain_or_by_the_head(file: Path) -> None:
    head = rounds(file, [(each, each) for each in ROUND_IDS])
    data = file.read_bytes()
    records = bodies(data)
    size = (len(records) - 1) // 3
    parts = [records[:1], *(records[1 + size * number : 1 + size * (number + 1)] for number in range(3))]
    exchanged = [body for part in (parts[0], parts[2], parts[1], parts[3]) for body in part]
    whole = frames(data)
    moved = b"".join(whole[records.index(body)] for body in exchanged)
    assert RECORDS in rejecting(replayed(file, moved))
    assert rejecting(replayed(file, chained(exchanged))) == set()
    assert rejecting(replayed(file, chained(exchanged), head=head)) == {HEAD}


def test_earlier_head_is_found_in_a_longer_transcript(file: Path) -> None:
    sessions = [(each, each) for each in ROUND_IDS]
    earlier = rounds(file.with_name("earlier"), sessions[:1])
    rounds(file, sessions)
    assert rejecting(replay(file, head=earlier.hex())) == set()


def test_roster_of_the_auditor_is_compared(file: Path) -> None:
    scenario, _ = CASES["secagg-malicious"]
    clients, data = scenario.session.clients, recording("secagg-malicious").data
    other = Roster({**fixed_roster(clients), clients[0]: fixed_identity(4).public})
    assert rejecting(replayed(file, data, roster=other)) == {ROSTER}
    assert rejecting(replayed(file, data, roster=fixed_roster(clients[1:]))) == {ROSTER}
    assert rejecting(replayed(file, recording("secagg").data, roster=fixed_roster(clients))) == {ROSTER}


def corrupted(data: bytes) -> bytes:
    return flipped(data, len(data) // 2)


def reordered(data: bytes) -> bytes:
    """Exchange two records together with their frames."""
    parts = frames(data)
    parts[4], parts[5] = parts[5], parts[4]
    return b"".join(parts)


@pytest.mark.parametrize("change", [corrupted, reordered, lambda data: data[:-1], lambda data: data[:-100]])
def test_damaged_chain_is_found_and_the_rest_is_not_tested(change: Callable[[bytes], bytes], file: Path) -> None:
    found = replayed(file, change(recording("secagg").data))
    assert RECORDS in rejecting(found)
    assert untested(found) == set(STATEMENTS)


def test_every_truncation_at_and_near_a_record_is_a_result_and_no_crash(file: Path) -> None:
    data = recording("secagg").data
    ends = list(accumulate(map(len, frames(data)), initial=0))
    for end in ends[1:]:
        for length in {end - 41, end - 1, end, end + 3, end + 9} & set(range(9, len(data))):
            found = replayed(file, data[:length])
            whole = length in ends
            assert rejecting(found) == (set() if whole else {RECORDS})
            if not whole:
                (result,) = (check for check in found.checks if check.id == RECORDS)
                assert "interrupted" in result.found[0]


def test_altered_bytes_are_found_by_the_chain(file: Path) -> None:
    data = recording("secagg").data
    for at in range(9, len(data), 601):
        assert RECORDS in rejecting(replayed(file, flipped(data, at)))


def test_bytes_altered_under_a_rebuilt_chain_never_end_in_an_untyped_error(file: Path) -> None:
    """One byte in each 199; what the file then holds is rejected, is refused, or is another honest file."""
    records = bodies(recording("secagg").data)
    rejected = refused = 0
    for place, body in enumerate(records):
        for at in range(place * 83 % 199, len(body), 199):
            data = chained([*records[:place], flipped(body, at), *records[place + 1 :]])
            try:
                rejected += bool(rejecting(replayed(file, data)))
            except (TranscriptError, LookupError):  # UnknownProtocol is a LookupError.
                refused += 1
    assert rejected > 20
    assert refused < rejected


def test_head_that_is_no_digest_is_refused(file: Path) -> None:
    file.write_bytes(recording("plain").data)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        replay(file, head="ab")


def test_file_without_a_session_is_not_tested(file: Path) -> None:
    data = chained(bodies(recording("plain").data)[:1])
    found = replayed(file, data)
    assert (found.sessions, rejecting(found)) == (0, set())
    assert untested(found) == set(STATEMENTS) - {RECORDS}
