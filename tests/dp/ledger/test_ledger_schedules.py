"""Schedules of cohorts with kills between any two writes: nobody sends more vectors than are counted."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cohort_world import MemoryStores, World, drawn_setting


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
