"""The bits that "auto" stands for: enough, and with one bit fewer no longer."""

import dataclasses
from typing import Any

import pytest

from dp.errors import InfeasibleTarget
from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import LightSecAgg, PlainSum, SecAgg
from protocols.encrypted import PaillierSum
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.lattice import fit_with_noise
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.modulus_bits import AUTO, MOST_ROUNDING, WITHOUT_NOISE, least_bits
from secagg.errors import EncodingError, ModulusTooSmall
from secagg.privacy.noise import Sample

pytestmark = pytest.mark.slow

TARGET = Target(epsilon=8.0, delta=1e-3, releases=30, colluding=3)
SAMPLE = Sample(population=200, expected=40)
SKELLAM = LatticeNoise.SKELLAM


@dataclasses.dataclass(frozen=True)
class NarrowSum(PlainSum):
    """Sums over no modulus of more than 12 bits."""

    @classmethod
    def modulus(cls, bits: int) -> int:
        return (1 << min(bits, 12)) - 1


def planned(clients: int = 60, target: Target | None = TARGET, **changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": PlainSum(),
        "clients": range(clients),
        "minimum_contributors": clients * 17 // 20,
        "shapes": [(64, 10), (10,)],
        "clip_l2": 0.5,
        "target": target,
    }
    return SecureMean.plan(**settings | changes)


CASES: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "few clients": {"clients": 4, "target": dataclasses.replace(TARGET, colluding=1)},
    "many clients": {"clients": 1000},
    "a single entry": {"shapes": [()]},
    "a million entries": {"shapes": [(1000, 1000)]},
    "much noise": {"target": dataclasses.replace(TARGET, epsilon=0.1)},
    "little noise": {"target": dataclasses.replace(TARGET, epsilon=500.0, releases=1)},
    "Skellam noise": {"target": dataclasses.replace(TARGET, mechanism=SKELLAM)},
    "removable noise": {
        "protocol": SecAgg(),
        "target": dataclasses.replace(TARGET, mechanism=SKELLAM, noise_removal=True),
    },
    "local noise": {"target": dataclasses.replace(TARGET, trust=Trust.LOCAL)},
    "central noise": {"target": dataclasses.replace(TARGET, trust=Trust.CENTRAL)},
    "a secret sample": {
        "clients": 40,
        "sample": SAMPLE,
        "target": dataclasses.replace(TARGET, trust=Trust.CENTRAL, sample=SAMPLE),
    },
    "weights": {"weighting": "weighted", "max_weight": 20.0},
    "a prime modulus": {"protocol": LightSecAgg(privacy=10, responders=40)},
    "ciphertexts": {"protocol": PaillierSum()},
}


@pytest.mark.parametrize("case", CASES)
def test_bits_are_the_least_with_which_rounding_adds_little(case: str) -> None:
    if case == "ciphertexts":
        bits = bits_of(PaillierSum)
        assert bits == bits_of(PlainSum)
        return
    mean = planned(**CASES[case])
    bits = mean.encoding.modulus_bits
    assert mean.rounding_factor is not None
    assert 1 < mean.rounding_factor <= MOST_ROUNDING
    assert mean == planned(**CASES[case], modulus_bits=bits)
    assert not is_enough(bits - 1, CASES[case])


def is_enough(bits: int, case: dict[str, Any]) -> bool:
    """Return whether bits have room for a mean, and rounding adds little."""
    try:
        factor = planned(**case, modulus_bits=bits).rounding_factor
    except ModulusTooSmall as error:
        return error.enough_bits <= bits
    return factor is not None and factor <= MOST_ROUNDING


def bits_of(kind: type[PlainSum] | type[PaillierSum]) -> int:
    """Return the bits for the moduli of a protocol, whichever parties it needs."""

    def fit(**given: Any) -> Encoding:
        return Encoding.fit(shapes=[(650,)], clip_l2=1.0, clients=60, modulus=kind.modulus, **given)

    encoding, _ = fit_with_noise(fit, TARGET, modulus_bits=AUTO, minimum_contributors=50)
    return encoding.modulus_bits


def test_bits_do_not_depend_on_the_clip() -> None:
    assert len({planned(clip_l2=clip).encoding.modulus_bits for clip in (1e-9, 0.5, 3.0, 1e9)}) == 1


def test_sum_without_noise_has_24_bits_or_the_least_above_that_it_fits() -> None:
    assert planned(target=None).encoding.modulus_bits == WITHOUT_NOISE == 24

    def fit(**given: Any) -> Encoding:
        return Encoding.fit(shapes=[(10**9,)], clip_l2=1.0, clients=100_000, **given)

    encoding, noise = fit_with_noise(fit, None, modulus_bits=AUTO, minimum_contributors=2)
    assert noise is None
    assert encoding.modulus_bits > 24
    with pytest.raises(ModulusTooSmall, match=rf"expected at least {encoding.modulus_bits} "):
        fit(modulus_bits=encoding.modulus_bits - 1)


def test_cohort_that_fits_no_modulus_is_refused() -> None:
    def fit(**given: Any) -> Encoding:
        return Encoding.fit(shapes=[(2**39,)], clip_l2=1.0, clients=2**32, modulus=lambda bits: 2**20, **given)

    with pytest.raises(ModulusTooSmall, match="expected more than 62"):
        fit_with_noise(fit, None, modulus_bits=AUTO, minimum_contributors=2)
    with pytest.raises(ModulusTooSmall, match="expected more than 62"):
        fit_with_noise(fit, TARGET, modulus_bits=AUTO, minimum_contributors=20)


def test_target_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(InfeasibleTarget):
        planned(target=dataclasses.replace(TARGET, epsilon=1e-9, delta=1e-12, mechanism=SKELLAM))


def test_noise_that_rounding_always_makes_larger_is_refused_with_advice() -> None:
    """Skellam noise shares have a largest variance, so the grid of many coordinates cannot be as fine as it must be."""
    skellam = dataclasses.replace(TARGET, epsilon=2.0, mechanism=SKELLAM, trust=Trust.LOCAL)
    with pytest.raises(
        EncodingError, match=r"expected bits with which .* at most 1\.005 times .* with 62 bits: the grid"
    ):
        planned(target=skellam, shapes=[(1 << 22,)])
    assert planned(target=skellam, shapes=[(1 << 22,)], modulus_bits=32).rounding_factor is not None
    exact = dataclasses.replace(skellam, mechanism=LatticeNoise.DISCRETE_GAUSSIAN)
    assert planned(target=exact, shapes=[(1 << 22,)]).encoding.modulus_bits < 40


def test_protocol_without_large_moduli_is_refused_rather_than_searched_for_ever() -> None:
    with pytest.raises(EncodingError, match="with 62 bits"):
        planned(8, protocol=NarrowSum(), target=dataclasses.replace(TARGET, colluding=1))


def test_another_word_than_auto_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"modulus_bits: expected auto or an int in \[2, 62\], found 'least'"):
        planned(modulus_bits="least")


def test_number_is_kept_although_fewer_bits_are_enough() -> None:
    assert planned(protocol=SecAgg(), modulus_bits=24).encoding.modulus_bits == 24
    assert planned(protocol=SecAgg()).encoding.modulus_bits < 20


def test_search_makes_few_plans() -> None:
    """Each plan calibrates noise, which takes seconds for sampled rounds."""
    asked: set[int] = set()

    def plan(bits: int) -> Any:
        asked.add(bits)
        mean = planned(modulus_bits=bits)
        return mean.encoding, mean.noise

    assert least_bits(plan, TARGET) == planned().encoding.modulus_bits
    assert len(asked) <= 5
