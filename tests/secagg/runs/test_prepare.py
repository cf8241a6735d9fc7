import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.accounting.guarantee import guarantee
from dp.errors import DpError
from protocols import Adversary, PlainSum, SecAgg, SecAggPlus
from protocols.errors import UnknownProtocol
from secagg.aggregation.weighting import Weighting
from secagg.errors import ConfigurationError, DataError, ModulusTooSmall
from secagg.runs.choices import choose_protocol
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 24,
    "rounds": 3,
    "epsilon": 40.0,
    "delta": 1e-2,
}


def config(**changes: Any) -> TrainingConfig:
    return parse(SMALL | changes)


def test_prepared_run_fits_its_settings() -> None:
    prepared = prepare(config())
    mean, noise = prepared.mean, prepared.mean.noise
    assert noise is not None
    assert len(prepared.devices.shards) == 24
    assert sum(len(x) for x, _ in prepared.devices.shards) + len(prepared.test[0]) == 569
    assert mean.clients == tuple(range(24))
    assert mean.encoding.shapes == ((30, 2), (2,))
    assert guarantee({noise.event: 3}, delta=1e-2).epsilon <= 40.0
    assert mean.minimum_contributors == 21
    assert noise.minimum_contributors == 20  # one of 24 may collude
    assert prepared.noiseless.noise is None
    assert prepared.noiseless.encoding.granularity < mean.encoding.granularity
    assert prepared.devices.model.suffix == ".npz"


def test_prepared_without_epsilon_adds_no_noise() -> None:
    prepared = prepare(config(epsilon=float("inf")))
    assert prepared.mean is prepared.noiseless
    assert prepared.mean.noise is None


def test_prepared_weighted_mean_counts_up_to_the_public_cap() -> None:
    encoding = prepare(config(weighting="weighted", max_examples=7.0)).mean.encoding
    assert (encoding.weighting, encoding.max_weight) == (Weighting.WEIGHTED, 7.0)


def test_prepared_twice_is_the_same_but_for_the_seed() -> None:
    one, again, other = (prepare(config(seed=seed, alpha=0.3)) for seed in (1, 1, 2))

    def everything(prepared: Any) -> list[Any]:
        shards = [array for shard in prepared.devices.shards for array in shard]
        return [*prepared.devices.model.get_weights(), *shards, *prepared.test]

    assert all(np.array_equal(a, b) for a, b in zip(everything(one), everything(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(everything(one), everything(other), strict=True))


@pytest.mark.parametrize(("name", "kind"), [("secagg", SecAgg), ("secagg-plus", SecAggPlus), ("plain", PlainSum)])
def test_prepared_protocol_is_the_one_asked_for(name: str, kind: type) -> None:
    protocol, threshold = choose_protocol(config(protocol=name))
    assert isinstance(protocol, kind)
    assert threshold == 21


def test_prepared_parameters_tolerate_all_drop_outs_that_still_release() -> None:
    """With fewer survivors than its graph was sized for, SecAgg+ would not have its stated security."""
    settings = config(clients=300, delta=1e-3, dropout=0.1, protocol="secagg-plus")
    protocol, threshold = choose_protocol(settings)
    assert threshold == 255
    assert protocol == SecAggPlus.suggest(clients=300, adversarial=settings.adversarial, dropout=0.15)[0]


def test_prepared_members_are_those_of_a_malicious_server_alone() -> None:
    assert prepare(config()).terms is None
    prepared = prepare(config(adversary="malicious"))
    members, protocol = prepared.terms, prepared.mean.protocol
    assert members is not None
    assert list(members) == list(range(24))
    assert isinstance(protocol, SecAggPlus)
    assert protocol.adversary is Adversary.MALICIOUS
    assert prepared.mean.roster == prepared.noiseless.roster == members[0].roster
    assert {(m.adversarial, m.minimum_contributors) for m in members.values()} == {(0.05, 21)}


def test_prepared_noise_leaves_out_the_shares_of_colluding_clients() -> None:
    prepared = prepare(config(adversarial=0.1))
    assert prepared.mean.noise is not None
    assert prepared.mean.noise.minimum_contributors == prepared.mean.minimum_contributors - 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"protocol": "rot13"},
            UnknownProtocol,
            r"protocol: expected one of lightsecagg, oneshot, paillier, plain, secagg, secagg-plus, seeds",
        ),
        (
            {"protocol": "plain", "adversary": "malicious"},
            ConfigurationError,
            r"from a malicious server, found plain\. Use paillier, secagg or secagg-plus \(oneshot is experimental: ",
        ),
        (
            {"minimum_contributors": 10, "protocol": "secagg"},
            ConfigurationError,
            r" 14 of 24 clients may drop out, found none: .*Use more than 10",
        ),
        (
            {"minimum_contributors": 2},
            ConfigurationError,
            r" 22 of 24 clients may drop out, found none: .*Use more than 2",
        ),
        (
            {"adversarial": 0.9, "protocol": "plain"},
            ConfigurationError,
            r"adversarial: expected fewer than the \d+ contributors .* found 21: no noise share",
        ),
        ({"modulus_bits": 8}, ModulusTooSmall, r"expected at least \d+ .*, found 8\. Use \d+ bits"),
        ({"epsilon": 1e-3, "modulus_bits": 14}, ModulusTooSmall, r"expected at least \d+ .*, found 14\. Use \d+ bits"),
        ({"epsilon": 1e-9, "delta": 1e-12, "rounds": 10_000}, DpError, r"Use a coarser integer grid"),
        ({"epsilon": 1e-10}, ConfigurationError, r"epsilon: expected a number from 1e-9 to 1e9, or inf for no noise"),
        ({"dataset": "cifar"}, ConfigurationError, r"digits, breast-cancer"),
        ({"dataset": "nowhere.npz"}, DataError, r"nowhere\.npz"),
        ({"model": "transformer"}, ConfigurationError, r"softmax, mlp, cnn, numpy-softmax"),
        ({"optimizer": "adam"}, ConfigurationError, r"optimizer: expected sgd"),
        ({"clients": 600, "delta": 1e-4}, ConfigurationError, r"at most 456 clients"),
    ],
)
def test_prepared_refuses_what_cannot_work_and_says_what_would(
    changes: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        prepare(config(**changes))


@pytest.mark.parametrize(
    "changes",
    [{}, {"epsilon": 1.0}, {"clipping": "adaptive"}, {"weighting": "weighted", "max_examples": 20.0}],
)
def test_prepared_bits_are_the_least_and_a_number_from_then_on(changes: dict[str, Any]) -> None:
    prepared = prepare(config(**changes))
    bits = prepared.config.modulus_bits
    assert isinstance(bits, int)
    assert prepared.mean.encoding.modulus_bits == prepared.noiseless.encoding.modulus_bits == bits < 20
    assert prepared.mean.rounding_factor is not None
    assert prepared.mean.rounding_factor <= 1.005
    again = prepare(prepared.config)
    assert (again.config, again.mean, again.noiseless) == (prepared.config, prepared.mean, prepared.noiseless)
    fewer = prepare(config(**changes, modulus_bits=bits - 1)).mean.rounding_factor
    assert fewer is not None
    assert fewer > 1.005


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": math.inf},
        pytest.param(
            {"unit": "example", "delta": 1e-3, "model": "softmax"},
            marks=[pytest.mark.tensorflow, pytest.mark.example_level],
        ),
    ],
)
def test_prepared_sum_without_noise_has_24_bits(changes: dict[str, Any]) -> None:
    prepared = prepare(config(**changes))
    assert prepared.config.modulus_bits == prepared.mean.encoding.modulus_bits == 24
    assert prepared.mean.rounding_factor is None


def test_prepared_settings_keep_a_number_that_the_protocol_rounds_down() -> None:
    """The largest prime that LightSecAgg has for 62 bits has 61."""
    prepared = prepare(config(protocol="lightsecagg", modulus_bits=62))
    assert (prepared.config.modulus_bits, prepared.mean.encoding.modulus_bits) == (62, 61)


@pytest.mark.parametrize("changes", [{"modulus_bits": 8}, {"epsilon": 0.5, "modulus_bits": 10}])
def test_prepared_modulus_that_is_named_works(changes: dict[str, Any]) -> None:
    with pytest.raises(ModulusTooSmall) as caught:
        prepare(config(**changes))
    found = re.search(r"Use (\d+) bits", str(caught.value))
    assert found is not None
    prepare(config(**changes | {"modulus_bits": int(found[1])}))
