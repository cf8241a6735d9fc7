"""Seeds of attempts, and tapes."""

import numpy as np
import pytest

from secagg.audit.seeds import Tape, generator_of, seed_of


def test_seed_differs_with_everything_that_it_is_made_of() -> None:
    base = {"subject": "a", "attack": "b", "attempt": 1}
    seeds = {
        seed_of(bytes(32), **base),  # type: ignore[arg-type]
        seed_of(bytes(31) + b"1", **base),  # type: ignore[arg-type]
        seed_of(bytes(32), subject="ab", attack="", attempt=1),
        seed_of(bytes(32), subject="", attack="ab", attempt=1),
        seed_of(bytes(32), subject="a", attack="b", attempt=2),
    }
    assert len(seeds) == 5
    assert {len(seed) for seed in seeds} == {32}


def test_tape_is_the_same_however_it_is_read() -> None:
    whole = Tape(b"seed", "party 1")(100)
    parts = Tape(b"seed", "party 1")
    assert b"".join(parts(size) for size in (1, 31, 68)) == whole
    assert (parts.position, parts.sizes) == (100, [1, 31, 68])
    assert Tape(b"seed", "party 2")(100) != whole
    assert Tape(b"seed2", "party 1")(100) != whole


@pytest.mark.parametrize("position", [0, 5, 31, 32, 99])
def test_tape_complements_one_byte(position: int) -> None:
    plain, changed = Tape(b"s"), Tape(b"s", complemented=position)
    plainly = b"".join(plain(size) for size in (32, 68))
    changedly = b"".join(changed(size) for size in (32, 68))
    assert [at for at in range(100) if plainly[at] != changedly[at]] == [position]
    assert changedly[position] == plainly[position] ^ 0xFF


def test_tape_replaces_bytes_also_across_reads() -> None:
    tape = Tape(b"s", replaced={6: b"abcdef"})
    first, second = tape(8), tape(8)
    assert first[6:] + second[:4] == b"abcdef"
    plain = Tape(b"s")
    assert (first[:6], second[4:]) == (plain(8)[:6], plain(8)[4:])


def test_bytes_of_a_tape_are_uniform() -> None:
    counts = np.bincount(np.frombuffer(Tape(b"s")(256 * 400), dtype=np.uint8), minlength=256)
    statistic = float(((counts - 400) ** 2 / 400).sum())
    assert statistic < 255 + 6 * (2 * 255) ** 0.5


def test_choices_of_the_auditor_are_repeatable_and_apart_from_tapes() -> None:
    assert generator_of(b"s", "x").integers(2**62) == generator_of(b"s", "x").integers(2**62)
    assert generator_of(b"s", "x").integers(2**62) != generator_of(b"s", "y").integers(2**62)
