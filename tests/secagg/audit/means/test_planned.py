from dataclasses import replace

import numpy as np
import pytest

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from secagg.aggregation.mean import Target
from secagg.aggregation.weighting import Weighting
from secagg.audit.means.planned import (
    clients_add_noise,
    colluding_of,
    noise_of_client,
    noise_of_release,
    not_seen,
    residual,
)
from secagg.audit.means.subject import Wish, zeros
from secagg.audit.means.suite import TARGET, mean_subject

WISH = Wish(clients=6, minimum_contributors=4, dimension=512)
SKELLAM = replace(TARGET, mechanism=LatticeNoise.SKELLAM)
REMOVAL = replace(SKELLAM, noise_removal=True)


@pytest.mark.parametrize(
    ("target", "contributors", "relied", "colluding"),
    [
        (TARGET, 6, 5, 1),
        (TARGET, 4, 3, 1),
        (SKELLAM, 5, 4, 1),
        (replace(TARGET, colluding=2), 6, 4, 2),
        (replace(TARGET, trust=Trust.LOCAL), 6, 1, 5),
        (replace(TARGET, trust=Trust.CENTRAL), 6, 1, 0),
    ],
)
def test_release_promises_the_noise_of_those_who_do_not_collude(
    target: Target, contributors: int, relied: int, colluding: int
) -> None:
    subject = mean_subject("mean", target=target)
    setting = subject.setting(WISH)
    promised = noise_of_release(setting.mean, contributors)
    assert promised.variance == pytest.approx(relied * noise_of_client(setting.mean).variance)
    made = subject.observe(setting, zeros(setting), b"s", dropping=setting.mean.clients[contributors:])
    assert len(made.contributors) == contributors
    assert len(colluding_of(made)) == colluding


def test_residual_of_removed_noise_is_what_honest_clients_kept() -> None:
    subject = mean_subject("mean", target=REMOVAL)
    setting = subject.setting(Wish(clients=6, minimum_contributors=4, dimension=4096))
    for dropped in (0, 1, 2):
        made = subject.observe(setting, zeros(setting), b"s", dropping=setting.mean.clients[6 - dropped :])
        found = residual(made).astype(np.float64)
        promised = noise_of_release(setting.mean, 6 - dropped).variance
        assert found @ found / found.size == pytest.approx(promised, rel=0.15)


def test_residual_of_a_weighted_mean_is_taken_from_the_sum() -> None:
    subject = mean_subject("mean", weighting=Weighting.WEIGHTED)
    setting = subject.setting(WISH)
    made = subject.observe(setting, zeros(setting), b"s", weights=setting.weights())
    honest = made.contributors[1:]
    assert np.array_equal(residual(made), np.sum([made.noise[client] for client in honest], axis=0))


def test_noise_that_cannot_be_seen_is_named() -> None:
    central = replace(TARGET, trust=Trust.CENTRAL)
    weighted = mean_subject("mean", weighting=Weighting.WEIGHTED, target=central).setting(WISH)
    assert not_seen(weighted) is not None
    assert not clients_add_noise(weighted.mean)
    assert not_seen(mean_subject("mean", target=None).setting(WISH)) is not None
    assert not_seen(mean_subject("mean", target=central).setting(WISH)) is None


def test_promises_need_noise() -> None:
    mean = mean_subject("mean", target=None).setting(WISH).mean
    with pytest.raises(TypeError, match="found one without"):
        noise_of_client(mean)
    with pytest.raises(TypeError, match="on a lattice"):
        noise_of_release(mean, 6)
