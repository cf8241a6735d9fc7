"""From settings to everything that a run needs, refused whole where something cannot work."""

from dataclasses import dataclass
from functools import partial

from protocols import SecAggPlus, SecureSum, load
from secagg.config import TrainingConfig
from secagg.data.load import load as load_data
from secagg.data.partition import partition
from secagg.devices import Devices, Shard
from secagg.errors import ConfigurationError
from secagg.mean import SecureMean, Target
from secagg.models import zoo


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything a run needs, checked.

    Attributes:
        config: The settings.
        devices: The simulated clients.
        test: Examples and targets that rounds are measured on.
        mean: With noise where the settings ask for privacy.
        noiseless: The same without noise.
        suffix: Of the saved model's file.
    """

    config: TrainingConfig
    devices: Devices
    test: Shard
    mean: SecureMean
    noiseless: SecureMean
    suffix: str


def prepare(config: TrainingConfig) -> Prepared:
    """Load data, build the model, and plan protocol, encoding and noise.

    Raises:
        SecaggError: Data or model cannot be had, or a setting cannot work.
        ParameterError: Protocol and cohort do not fit together.
        DpError: The budget cannot be met.
    """
    protocol, threshold = choose_protocol(config)
    dataset = load_data(config.dataset, seed=config.seed)
    indices = partition(dataset.train_y, clients=config.clients, seed=config.seed, alpha=config.alpha)
    model = zoo.build(
        config.model,
        dataset.train_x.shape[1:],
        dataset.classes,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
    devices = Devices(
        model=model,
        shards=[(dataset.train_x[chosen], dataset.train_y[chosen]) for chosen in indices],
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    plan = partial(
        SecureMean.plan,
        protocol=protocol,
        clients=devices.clients,
        minimum_contributors=threshold,
        shapes=devices.shapes,
        clip_l2=config.clip_l2,
        modulus_bits=config.modulus_bits,
        weighting=config.weighting,
        max_weight=config.max_examples or 1.0,
    )
    target = None
    if config.private:
        target = Target(epsilon=config.epsilon, delta=config.delta, releases=config.rounds)
    # With noise first: it is what needs the larger modulus, and says so.
    mean = plan(target=target)
    noiseless = plan() if config.private else mean
    return Prepared(
        config=config,
        devices=devices,
        test=(dataset.test_x, dataset.test_y),
        mean=mean,
        noiseless=noiseless,
        suffix=".npz" if config.model == "numpy-softmax" else ".keras",
    )


def choose_protocol(config: TrainingConfig) -> tuple[SecureSum, int]:
    """The protocol with its parameters, and the least number of contributors.

    Raises:
        UnknownProtocol: There is no such protocol.
        ParameterError: It has no parameters for this cohort.
        ConfigurationError: The settings ask for fewer contributors than it allows.
    """
    if config.neighbours is not None and config.share_threshold is not None:
        return (
            SecAggPlus(neighbours=config.neighbours, share_threshold=config.share_threshold),
            config.required_contributors,
        )
    protocol, least = load(config.protocol).suggest(
        clients=config.clients, adversarial=config.adversarial, dropout=config.dropout
    )
    if config.minimum_contributors is not None and config.minimum_contributors < least:
        raise ConfigurationError(
            f"{config.protocol} allows no fewer than {least} contributors, not {config.minimum_contributors}"
        )
    return protocol, max(config.required_contributors, least)
