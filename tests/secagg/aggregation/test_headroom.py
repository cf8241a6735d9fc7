import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.aggregation.headroom import steps_of_reach
from secagg.aggregation.residues import power_of_two
from secagg.errors import ModulusTooSmall


def below(bits: int) -> int:
    """An odd modulus just below the power of two."""
    return (1 << bits) - 1


def far_below(bits: int) -> int:
    """A little more than half of it, as the worst modulus of that number of bits."""
    return (1 << (bits - 1)) + 1


def bounded(bits: int) -> int:
    """As a protocol has it whose arithmetic ends at 31 bits."""
    return (1 << min(bits, 31)) - 1


@given(st.sampled_from([power_of_two, below, far_below]), st.integers(2, 1000), st.floats(1e-3, 1e9))
def test_headroom_names_the_least_bits_that_do(modulus: object, clients: int, reach: float) -> None:
    assert callable(modulus)
    with pytest.raises(ModulusTooSmall) as caught:
        steps_of_reach(reach=reach, coarsest=1e-4, clients=clients, modulus_bits=2, modulus=modulus)
    enough = caught.value.enough_bits
    found = steps_of_reach(reach=reach, coarsest=1e-4, clients=clients, modulus_bits=enough, modulus=modulus)
    assert reach / found <= 1e-4
    # Every client rounds by one step: so much is left, and as much again, below half the modulus, even or odd.
    assert 2 * (found + 2 * clients) < modulus(enough) <= 2 * (found + 2 * clients + 1)
    with pytest.raises(ModulusTooSmall):
        steps_of_reach(reach=reach, coarsest=1e-4, clients=clients, modulus_bits=enough - 1, modulus=modulus)


def test_headroom_that_a_protocol_does_not_have_is_said_so() -> None:
    with pytest.raises(ModulusTooSmall, match=r"expected at least 30 .*, found 24\. Use 30 bits\."):
        steps_of_reach(reach=1.0, coarsest=2.0**-28, clients=2, modulus_bits=24, modulus=bounded)
    with pytest.raises(ModulusTooSmall, match=r"expected more than 62, .*, found 24\. Use fewer clients\. Less noise"):
        steps_of_reach(reach=1.0, coarsest=2.0**-32, clients=2, modulus_bits=24, modulus=bounded)
