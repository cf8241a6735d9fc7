"""The second implementation of replicated seeds, and what replays compare in the place of boxes."""

import numpy as np
import pytest

from protocols import Adversary, SeedSum
from protocols.codec import Invitation
from protocols.seeds.messages import SeedInput
from secagg.audit.seeds import Tape
from secagg.audit.sums.codecs import codec_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.seed_inputs import parts_of, reads
from secagg.audit.sums.seed_twin import INPUT, SeedTwin, settled
from secagg.audit.sums.subject import SumSubject

COHORT = SumSubject.suggested(SeedSum, adversary=Adversary.MALICIOUS).cohort(3, length=5)
STEP = COHORT.protocol.steps[INPUT].name


def _reply(cohort: Cohort, tape: Tape) -> bytes:
    vector = np.arange(cohort.session.length, dtype=np.uint64)
    return cohort.client(1, vector, tape).handle(codec_of(cohort).encode(INPUT, Invitation()))


def test_replies_of_one_tape_differ_in_what_boxes_hide_and_agree_in_what_they_hold() -> None:
    one, again, other = (_reply(COHORT, Tape(seed)) for seed in (b"1", b"1", b"2"))
    assert one != again
    assert settled(COHORT, 1, STEP, one) == settled(COHORT, 1, STEP, again)
    assert settled(COHORT, 1, STEP, one) != settled(COHORT, 1, STEP, other)


@pytest.mark.parametrize("from_end", [1, 70, 1300])
def test_altered_signature_or_box_is_seen(from_end: int) -> None:
    """The last 64 bytes are the signature, and the last box is before it."""
    codec, reply = codec_of(COHORT), _reply(COHORT, Tape(b"1"))
    message = codec.decode(INPUT, SeedInput, reply)
    sealed = bytearray(message.sealed)
    sealed[-from_end] ^= 1
    altered = codec.encode(INPUT, SeedInput(message.padded, memoryview(bytes(sealed))))
    assert settled(COHORT, 1, STEP, altered) != settled(COHORT, 1, STEP, reply)


def test_replies_of_other_steps_and_damaged_ones_are_compared_as_they_are() -> None:
    assert settled(COHORT, 1, "agree", b"any bytes") == b"any bytes"
    assert settled(COHORT, 1, STEP, b"no message") == b"no message"


def test_one_member_more_than_may_be_corrupt_reads_the_vector() -> None:
    """So the attack of the colluding members is the right one, and fails for want of one seed alone."""
    inputs, twin = random_inputs(COHORT, b"seed"), SeedTwin(cohort=COHORT)
    sent = parts_of(COHORT, inputs, b"seed")[1]
    assert reads(twin, 1, sent, (0, 1), inputs[1])
    assert not reads(twin, 1, sent, (0,), inputs[1])
