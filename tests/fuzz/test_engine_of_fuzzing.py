"""The engine finds what it looks for: planted faults of every kind, within a fixed number of inputs."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.fuzz.coverage import Coverage
from tests.fuzz.crashes import read_corpus, read_crash, write_corpus, write_crash
from tests.fuzz.engine import TRACED_EVERY, Campaign, Crash, Refusal, judge, replay, shrink, watchdog
from tests.fuzz.mutate import mutate_bytes
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Finding, Target

HERE: Final = (__file__,)
INPUTS: Final = 100_000


class Refused(Exception):
    """The error that the decoders of these tests document."""


def decode(data: bytes) -> None:
    """Decode a message of a number, a text and a list, with a fault that four fields must be unusual to reach."""
    try:
        fields = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refused from None
    if not isinstance(fields, list) or len(fields) != 4:
        raise Refused("fields")
    number, name, values, signature = fields
    if number != 65_535:
        raise Refused("number")
    if name != b"":
        raise Refused("name")
    if not isinstance(values, list) or len(values) < 9:
        raise Refused("values")
    if signature is not None:
        raise Refused("signature")
    raise KeyError("the planted fault")


SEED: Final = msgspec.msgpack.encode([7, b"name", [1, 2, 3], bytes(64)])


def target_of(run: object, **changes: object) -> Target:
    assert callable(run)
    return Target(
        **{  # type: ignore[arg-type]  # A test's own arguments.
            "seeds": (SEED,),
            "run": run,
            "mutate": mutate_msgpack,
            "refusals": (Refused,),
            "covers": (),
            **changes,
        }
    )


def campaign(traced_every: int | None) -> Campaign:
    return Campaign("planted", target_of(decode), seed="00", coverage=Coverage(HERE), traced_every=traced_every)


def test_rare_fault_is_found_within_a_fixed_number_of_inputs() -> None:
    fuzzed = campaign(TRACED_EVERY)
    fuzzed.run(INPUTS)
    (crash,) = fuzzed.tally.crashes.values()
    assert crash.found.startswith("KeyError")
    with pytest.raises(KeyError, match="the planted fault"):
        decode(crash.data)


def test_rare_fault_is_not_found_without_guidance() -> None:
    fuzzed = campaign(None)
    fuzzed.run(INPUTS)
    assert fuzzed.tally.crashes == {}
    assert fuzzed.corpus == [SEED]


def test_campaign_is_the_same_for_the_same_seed() -> None:
    first, second = campaign(TRACED_EVERY), campaign(TRACED_EVERY)
    first.run(3000)
    for _ in range(3):
        second.run(1000)
    assert (first.corpus, first.tally) == (second.corpus, second.tally)
    assert first.tally.inputs == 3000
    assert first.tally.accepted + sum(first.tally.refused.values()) == 3000


def test_documented_error_is_no_finding() -> None:
    outcome = judge(target_of(decode), b"\xc1")
    assert isinstance(outcome, Refusal)
    assert outcome.name == "Refused"
    assert judge(target_of(bytes), SEED) is None


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), AssertionError(), BaseException()])
def test_any_other_error_is_a_finding(error: BaseException) -> None:
    def fail(data: bytes) -> None:
        raise error

    outcome = judge(target_of(fail), SEED)
    assert isinstance(outcome, Finding)
    assert str(outcome).startswith(type(error).__name__)


def test_secret_in_an_error_is_a_finding() -> None:
    def fail(data: bytes) -> None:
        raise Refused("expected another value, found 123456789")

    assert isinstance(judge(target_of(fail), SEED), Refusal)
    assert isinstance(judge(target_of(fail, canaries=("3456",)), SEED), Finding)


def test_endless_error_is_a_finding() -> None:
    def fail(data: bytes) -> None:
        raise Refused("x" * 10**6)

    assert isinstance(judge(target_of(fail), SEED), Finding)


def test_memory_beyond_a_multiple_of_the_input_is_a_finding() -> None:
    def claim(data: bytes) -> None:
        bytearray(int.from_bytes(data[:4], "big"))

    fuzzed = target_of(claim, memory_base=2**16, memory_factor=8)
    assert judge(fuzzed, (2**26).to_bytes(4, "big"), measured=True) is not None
    assert judge(fuzzed, (2**10).to_bytes(4, "big"), measured=True) is None
    assert [str(each) for each in replay(fuzzed, [b"\x04\x00\x00\x00"])] == ["more memory than a multiple of the input"]


def test_endless_loop_is_a_finding() -> None:
    def loop(data: bytes) -> None:
        while data:
            pass

    with watchdog():
        outcome = judge(target_of(loop), SEED, cpu_limit_s=0.05)
    assert isinstance(outcome, Finding)
    assert "CPU time" in str(outcome)


def test_input_is_shrunk_to_what_is_needed() -> None:
    def fail(data: bytes) -> None:
        if b"\x00\xff" in data:
            raise ZeroDivisionError

    fuzzed = target_of(fail, mutate=mutate_bytes)
    found = str(judge(fuzzed, bytes(50) + b"\xff" * 50))
    assert shrink(fuzzed, bytes(50) + b"\xff" * 50, found) == b"\x00\xff"


def test_crash_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    crash = Crash("codec/plain/contribute/reply", bytes(range(256)), "KeyError at ?")
    assert read_crash(write_crash(tmp_path / "new", crash)) == crash


def test_corpus_is_read_back_and_run_after_the_seeds(tmp_path: Path) -> None:
    first = campaign(TRACED_EVERY)
    first.run(5000)
    assert first.grown
    write_corpus(tmp_path / "corpus.json", {"planted": first.grown, "other": []})
    assert read_corpus(tmp_path / "corpus.json") == {"planted": first.grown}
    later = Campaign("planted", target_of(decode), seed="01", coverage=Coverage(HERE), kept=first.grown)
    later.run(1 + len(first.grown))
    assert later.corpus == [SEED, *first.grown]
    assert later.coverage.lines == first.coverage.lines


def test_coverage_counts_the_lines_of_its_own_files_alone() -> None:
    coverage, fuzzed = Coverage(HERE), target_of(decode)
    with coverage.tracing():
        judge(fuzzed, SEED)
    assert {line for code, line in coverage.lines if code is decode.__code__}
    assert {code.co_filename for code, _ in coverage.lines} == {__file__}
    assert coverage.functions() == {"tests.fuzz.test_engine_of_fuzzing:decode"}
