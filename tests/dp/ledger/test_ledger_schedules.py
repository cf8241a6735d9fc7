"""Schedules of cohorts with kills between any two writes: nobody sends more vectors than are counted."""

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secagg.storage.session_store import SessionStore
from tests.support.cohort_world import MemoryStores, World, drawn_setting

pytestmark = pytest.mark.slow


class FileStores:
    """A `SessionStore` with the records of all clients, of which somebody may keep copies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sessions"
        self._copies = 0
        self._store = SessionStore.create(self._path)

    def open(self) -> SessionStore:
        """See `Stores`."""
        return self._store

    def copy(self) -> object:
        """See `Stores`."""
        self._copies += 1
        self._store.close()
        copy = self._path.with_name(f"copy {self._copies}")
        shutil.copyfile(self._path, copy)
        self._store = SessionStore(self._path)
        return copy

    def restore(self, copy: Any) -> None:
        """See `Stores`."""
        self._store.close()
        shutil.copyfile(copy, self._path)
        self._store = SessionStore(self._path)


@pytest.mark.parametrize("population", [1, 2, 9, 64, 65])
def test_no_schedule_undercounts(population: int) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        def choose(below: int) -> int:
            return data.draw(st.integers(0, below - 1)) if below > 1 else 0

        world = World(drawn_setting(population, choose), choose, MemoryStores())
        for _ in range(10):
            world.step()

    run()


@pytest.mark.parametrize("seed", range(2))
def test_no_schedule_of_a_large_population_undercounts(seed: int) -> None:
    choose = random.Random(seed).randrange
    world = World(drawn_setting(100_000, choose), choose, MemoryStores())
    for _ in range(25):
        world.step()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_schedule_with_stores_in_files_undercounts(seed: int, memory: Path) -> None:
    choose = random.Random(seed).randrange
    stores = FileStores(Path(tempfile.mkdtemp(dir=memory)))
    world = World(drawn_setting((2, 9, 64)[seed % 3], choose), choose, stores)
    for _ in range(15):
        world.step()
    stores.open().close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300))
def test_no_long_schedule_undercounts(seed: int) -> None:
    choose = random.Random(seed).randrange
    world = World(drawn_setting((1, 2, 9, 64, 65, 300)[seed % 6], choose), choose, MemoryStores())
    for _ in range(40):
        world.step()
