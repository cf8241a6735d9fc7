from dataclasses import replace

import numpy as np
import pytest

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary, ClientTerms, MemoryRecord, Roster, SecAgg, Transmission
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.audit.means.planned import residual
from secagg.audit.means.subject import MeanSubject, Setting, Wish, zeros
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.sums.cohort import identity_of
from secagg.engines.memory import simulate_mean
from secagg.privacy.clipping import ClippingKind

WISH = Wish(clients=4, minimum_contributors=3, dimension=32)


def updates(setting: Setting, seed: int = 0, scale: float = 1.0) -> dict[int, list[np.ndarray]]:  # type: ignore[type-arg]
    chosen = np.random.default_rng(seed)
    return {
        client: [np.asarray(scale * chosen.normal(size=shape)) for shape in setting.shapes]
        for client in setting.mean.clients
    }


@pytest.mark.parametrize("dropping", [(), (4,)])
@pytest.mark.parametrize("weighting", list(Weighting))
def test_round_without_noise_releases_the_mean_that_the_engine_releases(
    weighting: Weighting, dropping: tuple[int, ...]
) -> None:
    subject = mean_subject("mean", target=None, weighting=weighting)
    setting = subject.setting(WISH)
    given = updates(setting)
    made = subject.observe(setting, given, b"seed", weights=setting.weights(), dropping=dropping)
    first = next(row.name for row in setting.mean.protocol.steps)
    right = simulate_mean(setting.mean, given, weights=setting.weights(), drops={first: dropping})
    assert made.contributors == right.contributors
    assert made.released is not None
    assert right.rounding_bound is not None
    for one, other in zip(made.released.mean, right.mean, strict=True):
        np.testing.assert_allclose(one, other, atol=2 * right.rounding_bound)


def test_round_is_repeated_by_its_seed() -> None:
    subject = mean_subject("mean")
    setting = subject.setting(WISH)
    seen: list[list[Transmission]] = [[], [], []]
    for number, seed in enumerate((b"a", b"a", b"b")):
        subject.observe(setting, updates(setting), seed, tap=seen[number].append)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("clipping", list(ClippingKind))
def test_noise_of_a_client_is_what_it_sent_less_the_same_coins_without_noise(clipping: ClippingKind) -> None:
    subject = mean_subject("mean", clipping=clipping)
    setting = subject.setting(WISH)
    # Small updates are rounded at the first try, so that all of them read as many bytes before the noise.
    one, other = (subject.observe(setting, updates(setting, seed, 1e-3), b"seed") for seed in (1, 2))
    for client in setting.mean.clients:
        assert np.array_equal(one.noise[client], other.noise[client])
        assert not np.array_equal(one.bare[client], other.bare[client])
        assert one.noise[client].any()


def test_released_steps_are_the_sum_of_all_that_was_sent() -> None:
    subject = mean_subject("mean")
    setting = subject.setting(WISH)
    made = subject.observe(setting, updates(setting), b"seed", dropping=[1])
    total = np.sum([made.sent[client] for client in (2, 3, 4)], axis=0)
    np.testing.assert_allclose(made.released_steps, total, atol=1e-6)


def test_noise_of_the_server_is_in_the_release_alone() -> None:
    subject = mean_subject("mean", target=replace(TARGET, trust=Trust.CENTRAL))
    setting = subject.setting(WISH)
    made = subject.observe(setting, zeros(setting), b"seed")
    assert not any(noise.any() for noise in made.noise.values())
    assert np.abs(made.released_steps).max() > 1


def test_one_planned_mean_is_a_subject_of_its_own_sizes() -> None:
    mean = SecureMean.plan(
        protocol=SecAgg(), clients=(3, 5, 9), minimum_contributors=2, shapes=[(2, 3), ()], clip_l2=1.0, target=TARGET
    )
    subject = MeanSubject.of(Setting(mean=mean), name="mine")
    assert subject.setting(WISH).mean is mean
    assert {claim.id for claim in subject.claims} >= {"C-14", "C-17", "C-22"}
    assert subject.relation == "zero-out"
    assert subject.observe(subject.setting(WISH), zeros(subject.setting(WISH)), b"seed").contributors == (3, 5, 9)


def test_attached_seeds_are_kept_for_the_auditor_and_out_of_the_repr() -> None:
    skellam = replace(TARGET, mechanism=LatticeNoise.SKELLAM, noise_removal=True)
    subject = mean_subject("mean", target=skellam)
    setting = subject.setting(WISH)
    made = subject.observe(setting, zeros(setting), b"seed")
    assert [len(secrets) for secrets in made.attached.values()] == [1, 1, 1, 1]
    assert "attached={" not in repr(made)


def test_mean_with_a_roster_runs_with_fresh_records_in_every_round() -> None:
    protocol, threshold = SecAgg.suggest(clients=6, adversarial=0.1, dropout=0.1, adversary=Adversary.MALICIOUS)
    roster = Roster({client: identity_of(client).public for client in range(1, 7)})
    mean = SecureMean.plan(
        protocol=protocol,
        clients=range(1, 7),
        minimum_contributors=threshold,
        shapes=[(16,)],
        clip_l2=1.0,
        target=TARGET,
        roster=roster,
    )

    def terms() -> dict[int, ClientTerms]:
        return {
            client: ClientTerms(
                identity=identity_of(client),
                roster=roster,
                sessions=MemoryRecord(),
                adversarial=0.1,
                minimum_contributors=threshold,
            )
            for client in mean.clients
        }

    subject = MeanSubject.of(Setting(mean=mean, terms=terms))
    setting = subject.setting(WISH)
    one, same = (subject.observe(setting, zeros(setting), b"seed") for _ in range(2))
    assert np.array_equal(residual(one), residual(same))
    assert one.contributors == mean.clients
