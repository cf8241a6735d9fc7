"""From settings to everything that a run needs, refused whole where something cannot work."""

from dataclasses import dataclass
from functools import partial

from protocols import Adversary, Member, SecureSum, available, load
from protocols.crypto.density import whole_clients
from protocols.errors import ParameterError
from secagg.config import TrainingConfig
from secagg.data.load import load as load_data
from secagg.data.partition import partition
from secagg.devices import Devices, Shard
from secagg.errors import ConfigurationError
from secagg.mean import SecureMean, Target
from secagg.members import simulated_members
from secagg.models import zoo


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything a run needs, checked.

    Attributes:
        config: The settings.
        devices: The simulated clients.
        members: Their identities and terms, made for this run, where the server may be malicious; otherwise None.
        test: Examples and targets that rounds are measured on.
        mean: With noise where the settings ask for privacy.
        noiseless: The same without noise.
        suffix: Of the saved model's file.
    """

    config: TrainingConfig
    devices: Devices
    members: dict[int, Member] | None
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
    members = None
    if config.adversary is Adversary.MALICIOUS:
        members = simulated_members(devices.clients, adversarial=config.adversarial, minimum_contributors=threshold)
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
        roster=None if members is None else members[0].roster,
    )
    target = None
    if config.private:
        # Every client knows its own noise share, so against a curious one of them at least that one does not count.
        colluding = max(1, whole_clients(config.clients, config.adversarial, "adversarial"))
        target = Target(epsilon=config.epsilon, delta=config.delta, releases=config.rounds, colluding=colluding)
    # With noise first: it is what needs the larger modulus, and says so.
    mean = plan(target=target)
    noiseless = plan() if config.private else mean
    if members is not None:
        protocol.check_safety(mean.session(bytes(16)), members[0].corrupt)  # before anything is reserved, not after
    return Prepared(
        config=config,
        devices=devices,
        members=members,
        test=(dataset.test_x, dataset.test_y),
        mean=mean,
        noiseless=noiseless,
        suffix=".npz" if config.model == "numpy-softmax" else ".keras",
    )


def choose_protocol(config: TrainingConfig) -> tuple[SecureSum, int]:
    """The protocol with its parameters, and the least number of contributors.

    Raises:
        UnknownProtocol: There is no such protocol.
        ConfigurationError: It does not stand against the adversary, has no parameters for this cohort, or allows no so
            few contributors.
    """
    required = config.required_contributors
    # Parameters for as many drop-outs as may happen before nothing is released, not only for those expected.
    tolerated = (config.clients - required) / config.clients
    kind = load(config.protocol)
    if config.adversary is Adversary.MALICIOUS and config.adversary not in kind.adversaries:
        able = " or ".join(name for name in available() if config.adversary in load(name).adversaries)
        raise ConfigurationError(f"{config.protocol} does not stand against a malicious server; {able} would do")
    try:
        protocol, least = kind.suggest(
            clients=config.clients, adversarial=config.adversarial, dropout=tolerated, adversary=config.adversary
        )
    except ParameterError as error:
        vanishing = f"{config.clients - required} of {config.clients} clients"
        raise ConfigurationError(
            f"minimum_contributors {required} lets {vanishing} vanish: {error}; a greater one lets fewer"
        ) from None
    if required < least:
        raise ConfigurationError(f"{config.protocol} allows no fewer than {least} contributors, not {required}")
    return protocol, required
