"""The grid of an encoding and its noise, chosen together."""

from functools import partial
from typing import Any

import pytest

from dp.errors import InfeasibleTarget
from dp.events import Trust
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.lattice import fit_with_noise
from secagg.aggregation.rotation import FAILURE
from secagg.errors import ModulusTooSmall
from secagg.privacy.noise import Target

CLIENTS, LEAST = 40, 20
FIT = partial(Encoding.fit, shapes=[(50,)], clip_l2=1.0, clients=CLIENTS)


def target(**changes: Any) -> Target:
    """Return a target of one release."""
    return Target(**{"epsilon": 1.0, "delta": 1e-5, "releases": 1, "colluding": 0} | changes)


def test_grid_without_noise_is_the_finest_there_is() -> None:
    encoding, noise = fit_with_noise(FIT, None, modulus_bits=24, minimum_contributors=LEAST)
    assert noise is None
    assert encoding == FIT(modulus_bits=24)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_noise_in_shares_fits_the_room_that_the_grid_leaves_it(epsilon: float) -> None:
    encoding, noise = fit_with_noise(FIT, target(epsilon=epsilon), modulus_bits=24, minimum_contributors=LEAST)
    assert noise is not None
    assert encoding.granularity > FIT(modulus_bits=24).granularity
    encoding.check_reach(noise.tail_bound(CLIENTS, FAILURE))
    assert noise == target(epsilon=epsilon).calibrate(
        l2_sensitivity=encoding.l2_sensitivity,
        dimension=encoding.length,
        clients=CLIENTS,
        minimum_contributors=LEAST,
    )


def test_noise_that_the_server_adds_to_the_sum_needs_no_room() -> None:
    central = target(trust=Trust.CENTRAL)
    encoding, noise = fit_with_noise(FIT, central, modulus_bits=24, minimum_contributors=LEAST)
    assert noise is not None
    assert encoding == FIT(modulus_bits=24)


def test_bits_that_the_error_names_are_the_least_that_are_enough_with_noise() -> None:
    with pytest.raises(ModulusTooSmall) as caught:
        fit_with_noise(FIT, target(epsilon=0.1), modulus_bits=6, minimum_contributors=LEAST)
    enough = caught.value.enough_bits
    assert 6 < enough < 24
    fit_with_noise(FIT, target(epsilon=0.1), modulus_bits=enough, minimum_contributors=LEAST)


def test_target_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises((InfeasibleTarget, ModulusTooSmall)):
        fit_with_noise(FIT, target(epsilon=1e-20, delta=1e-20), modulus_bits=24, minimum_contributors=LEAST)
