"""Laws of noise: a noise is made again from its law and scale, and its sensitivity follows from the encoding."""

from dataclasses import replace

import pytest

from dp.errors import InvalidParameter
from dp.events import Trust
from protocols.errors import ParameterError
from secagg.engines.noise_law import Law, law_of, noise_of
from secagg.privacy.noise import NoiseTerms
from tests.support.offers import NOISES, offered

NOISY = [name for name in NOISES if name != "none"]


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("weighting", ["uniform", "weighted"])
def test_noise_is_made_again_from_its_law_and_scale(name: str, weighting: str) -> None:
    mean = offered("secagg", noise=name, weighting=weighting, max_weight=3.0).mean
    assert mean.noise is not None
    assert mean.target is not None
    law, scale = law_of(mean.noise)
    again = noise_of(law, scale, mean.target, encoding=mean.encoding, minimum_contributors=mean.minimum_contributors)
    assert again == mean.noise
    assert type(again) is type(mean.noise)


def test_sensitivity_is_that_of_the_encoding() -> None:
    mean = offered("secagg", noise="skellam-distributed").mean
    assert mean.noise is not None
    assert mean.target is not None
    law, scale = law_of(mean.noise)
    finer = replace(mean.encoding, granularity=mean.encoding.granularity / 2)
    noise = noise_of(law, scale, mean.target, encoding=finer, minimum_contributors=mean.minimum_contributors)
    assert noise.l2_sensitivity == finer.l2_sensitivity > mean.encoding.l2_sensitivity
    assert noise.event.noise_multiplier < mean.noise.event.noise_multiplier


@pytest.mark.parametrize("law", [Law.DISCRETE_GAUSSIAN, Law.SKELLAM])
@pytest.mark.parametrize(
    ("trust", "colluding", "counted"),
    [(Trust.DISTRIBUTED, 1, 5), (Trust.DISTRIBUTED, 4, 2), (Trust.LOCAL, 1, 1), (Trust.CENTRAL, 1, 1)],
)
def test_noise_shares_that_count_are_those_that_are_relied_on(
    law: Law, trust: Trust, colluding: int, counted: int
) -> None:
    encoding = offered("plain").mean.encoding
    terms = NoiseTerms(colluding=colluding, trust=trust)
    noise = noise_of(law, 5.0, terms, encoding=encoding, minimum_contributors=6)
    assert noise.minimum_contributors == counted


@pytest.mark.parametrize("trust", [Trust.LOCAL, Trust.CENTRAL])
def test_noise_that_is_removed_must_be_every_clients(trust: Trust) -> None:
    encoding = offered("plain").mean.encoding
    with pytest.raises(ParameterError, match="trust"):
        noise_of(
            Law.REMOVABLE_SKELLAM,
            5.0,
            NoiseTerms(colluding=1, trust=trust),
            encoding=encoding,
            minimum_contributors=6,
        )


@pytest.mark.parametrize("law", Law)
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_scale_out_of_range_is_refused(law: Law, scale: float) -> None:
    encoding = offered("plain").mean.encoding
    terms = NoiseTerms(colluding=1, trust=Trust.DISTRIBUTED)
    with pytest.raises(InvalidParameter):
        noise_of(law, scale, terms, encoding=encoding, minimum_contributors=6)
