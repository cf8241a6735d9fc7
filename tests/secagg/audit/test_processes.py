"""Work in several processes."""

import os

from secagg.audit.processes import Job, done


class Squares(Job[int, tuple[int, int]]):
    """Squares numbers; a process that is given 13 ends."""

    def __init__(self) -> None:
        self.base: int | None = None

    def prepare(self) -> None:
        self.base = 2

    def run(self, item: int) -> tuple[int, int]:
        if item == 13:
            os._exit(1)
        assert self.base is not None
        return os.getpid(), item**self.base

    def lost(self, item: int) -> tuple[int, int]:
        return 0, -item


def test_all_work_is_done_in_other_processes() -> None:
    found = dict(done(Squares(), range(5)))
    assert {item: square for item, (_, square) in found.items()} == {item: item**2 for item in range(5)}


def test_one_piece_of_work_is_done_here() -> None:
    assert dict(done(Squares(), [3])) == {3: (os.getpid(), 9)}
    assert dict(done(Squares(), [])) == {}


def test_process_that_ends_by_itself_loses_work_and_hangs_nobody() -> None:
    if len(os.sched_getaffinity(0)) == 1:
        return  # There is this process only, and it would end.
    found = dict(done(Squares(), [13, 1, 2]))
    assert found.keys() == {13, 1, 2}
    assert found[13] == (0, -13)
