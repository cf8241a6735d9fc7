import math

import pytest

from protocols import Adversary, SecAggPlus
from secagg.planning.calibration import paillier, primitives
from secagg.planning.calibration.calibrate import factors_of, this_machine
from secagg.planning.calibration.overheads import overheads
from secagg.planning.calibration.sums import run
from secagg.planning.cost.constants import default_constants
from secagg.planning.cost.operations import Operation
from secagg.planning.cost.timing_key import N, P, Q
from tests.support.committee_keys import key_shares, threshold_key


def test_calibration_measures_every_operation() -> None:
    durations = primitives.durations() | paillier.durations(threshold_key(1), key_shares(1))
    durations |= overheads(durations)
    assert durations.keys() == set(Operation)
    assert all(0 < each < math.inf for each in durations.values())


def test_factors_are_what_was_measured_over_what_was_counted() -> None:
    timed = run(SecAggPlus, clients=8, length=100, adversary=Adversary.CURIOUS)
    durations = default_constants().durations
    factors, counted = factors_of([timed, timed], durations), timed.counted(durations)
    assert factors.client == pytest.approx(timed.seconds["client"] / counted["client"])
    assert factors.server == pytest.approx(timed.seconds["server"] / counted["server"])
    assert factors.member is None


def test_machine_has_no_host_name() -> None:
    import platform

    machine = this_machine(0.5)
    assert machine.load == 0.5
    assert platform.node() not in f"{machine}"


def test_timing_key_has_the_size_of_a_committees_key() -> None:
    assert N == P * Q
    assert N.bit_length() == 3072
