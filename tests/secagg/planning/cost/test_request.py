import math
from dataclasses import replace

import pytest

from protocols import Adversary
from secagg.errors import ConfigurationError
from secagg.planning.cost.request import CostRequest

REQUEST = CostRequest(clients=100, parameters=1000, dropout=0.1, adversarial=0.05)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clients": 0}, "--clients: expected an integer from 2 to 1,000,000,000,000, found 0"),
        ({"clients": 10**12 + 1}, "--clients: expected"),
        ({"parameters": 0}, "--parameters: expected an integer from 1"),
        ({"dropout": 1.0}, r"--dropout: expected a fraction in \[0, 1\), found 1"),
        ({"dropout": math.nan}, "--dropout: expected .* found nan"),
        ({"adversarial": -0.1}, "--adversarial: expected .* found -0.1"),
        ({"committee": 1}, "--committee: expected 2 to 64 members, found 1"),
        ({"committee": 65}, "--committee: expected 2 to 64 members, found 65"),
        ({"uplink_mbps": 0.0}, "--uplink-mbps: expected a finite number above 0, found 0"),
        ({"uplink_mbps": math.inf}, "--uplink-mbps: expected .* found inf"),
        ({"compression": 0.0}, r"--compression: expected a fraction in \(0, 1\], found 0"),
        ({"compression": math.nan}, r"--compression: expected .* found nan"),
        ({"adversary": Adversary.SEMI_MALICIOUS}, "--adversary: expected one of curious, malicious, found 'semi-m"),
    ],
)
def test_request_out_of_range_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        replace(REQUEST, **changes)  # type: ignore[arg-type]  # a value for each field


def test_cohort_is_at_most_what_a_session_takes() -> None:
    assert REQUEST.cohort == 100
    assert replace(REQUEST, clients=10**9).cohort == 10**6
