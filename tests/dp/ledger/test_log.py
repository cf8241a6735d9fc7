"""The hash chain of a log: what a ledger's head is, by hand."""

import hashlib

from dp.ledger.log import GENESIS, chained_digest, head_after, position_of

BODIES = (b"first", b"second", b"third")


def test_head_is_the_digest_over_each_record_and_the_digest_before_it() -> None:
    digest = hashlib.sha256(b"secagg budget ledger, format 1").digest()
    assert head_after(()) == GENESIS == digest
    for body in BODIES:
        digest = hashlib.sha256(digest + body).digest()
    assert head_after(BODIES) == digest
    assert head_after(BODIES[2:], previous=head_after(BODIES[:2])) == digest
    assert chained_digest(head_after(BODIES[:2]), b"third") == digest


def test_position_is_that_of_the_record_with_the_digest() -> None:
    for position in range(3):
        assert position_of(head_after(BODIES[: position + 1]), BODIES) == position
    assert position_of(GENESIS, BODIES) is None
    assert position_of(head_after((b"second", b"first")), BODIES) is None
