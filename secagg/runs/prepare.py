"""From settings to everything that a run needs, refused as a whole if something cannot work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from dp.calibration.least_noise import calibrate_gaussian
from dp.events import PrivacyEvent
from protocols import Adversary, ClientTerms, Committee, Keyholder, Roster, SecureSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.data.base import Dataset
from secagg.data.columns import Shard
from secagg.data.digest import digest
from secagg.data.load import load_dataset
from secagg.data.partition import partition
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError
from secagg.models import zoo
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import Clip, ClippingKind, choose_clip, planned
from secagg.privacy.contributors import colluding_clients
from secagg.privacy.example_level import ExampleLevel
from secagg.runs.choices import choose_committee, choose_protocol
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import whole_path
from secagg.runs.tolerance import Cohort
from secagg.simulation.committee import SimulatedCommittee
from secagg.simulation.devices import Devices
from secagg.simulation.identities import simulated_terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything a run needs, checked.

    Attributes:
        config: The settings; where there is a committee, with its key's fingerprint.
        devices: The simulated clients.
        members: Their identities and terms, made for this run, where the server may be malicious; otherwise None.
        keyholders: The committee's members, where the protocol needs one; otherwise None.
        test: Examples and targets that rounds are measured on.
        clip: Of the first round.
        mean: With noise where the settings ask for privacy.
        noiseless: The same without noise.
        data_digest: Of the training examples (`secagg.data.digest`).
        example_level: What the devices' local training does, where examples are the privacy unit and protected.
    """

    config: TrainingConfig
    devices: Devices
    terms: dict[int, ClientTerms] | None
    keyholders: dict[int, Keyholder] | None
    test: Shard
    clip: Clip
    mean: SecureMean
    noiseless: SecureMean
    data_digest: str
    example_level: ExampleLevel | None = None

    @property
    def engine(self) -> InMemory:
        """The way to reach the simulated clients."""
        return InMemory(self.devices, dropping=self.config.dropping, terms=self.terms, keyholders=self.keyholders)

    @property
    def population(self) -> int:
        """How many privacy units there are: clients, or the examples of all of them."""
        return self.config.clients if self.example_level is None else self.example_level.examples

    @property
    def cohort(self) -> Cohort:
        """How many clients may collude with the server, and how many may drop out."""
        return Cohort.of(self.config, minimum_contributors=self.mean.minimum_contributors, target=self.mean.target)

    @property
    def event(self) -> PrivacyEvent | None:
        """What a round costs, as its reservation says; None without noise."""
        if self.example_level is not None:
            return self.example_level.event
        return None if self.mean.noise is None else self.mean.noise.event

    @property
    def noise_multiplier(self) -> float | None:
        """Standard deviation over the sensitivity of the noise that the budget rests on; None without noise."""
        if self.example_level is not None:
            return self.example_level.noise_multiplier
        return None if self.mean.noise is None else self.mean.noise.noise_multiplier


def prepare(config: TrainingConfig) -> Prepared:
    """Load data, build the model, and plan protocol, encoding and noise.

    Raises:
        SecaggError: Data or model cannot be had, or a setting cannot work.
        ParameterError: Protocol and cohort do not fit together.
        DpError: The budget cannot be met.
    """
    protocol, threshold = choose_protocol(config)
    simulated = choose_committee(config)
    data = load_dataset(config.dataset, seed=config.seed)
    devices, example_level = _devices(config, data)
    committee = None if simulated is None else simulated.committee
    terms = _terms(config, devices, threshold=threshold, committee=committee)
    roster = None if terms is None else terms[0].roster
    clip = _first_clip(config, arrays=devices.roles.count(ArrayRole.TRAINED), contributors=threshold)
    plan = _plan(
        config, devices, clip, protocol=protocol, minimum_contributors=threshold, roster=roster, committee=committee
    )
    target = None if example_level is not None else _target(config)
    # With noise first: it is what needs the larger modulus, and says so.
    mean = plan(target=target)
    noiseless = mean if target is None else plan()
    if terms is not None:  # before anything is reserved, not after
        _check_terms(terms[0], mean)
    keyholders = None
    if simulated is not None:
        config = _naming_key(config, simulated)
        keyholders = simulated.keyholders(minimum_contributors=threshold, roster=roster)
    return Prepared(
        config=config,
        devices=devices,
        terms=terms,
        keyholders=keyholders,
        test=(data.test_x, data.test_y),
        clip=clip,
        mean=mean,
        noiseless=noiseless,
        data_digest=digest(data.train_x, data.train_y),
        example_level=example_level,
    )


def _devices(config: TrainingConfig, data: Dataset) -> tuple[Devices, ExampleLevel | None]:
    """Return the simulated clients with their shards and model, and the plan of their example-level training."""
    indices = partition(data.train_y, clients=config.clients, seed=config.seed, alpha=config.alpha)
    example_level = _example_level(config, shards=[len(chosen) for chosen in indices])
    model = zoo.build(
        config.model,
        data.train_x.shape[1:],
        data.classes,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        private=example_level,
        seed=config.seed,
    )
    devices = Devices(
        model=model,
        shards=[(data.train_x[chosen], data.train_y[chosen]) for chosen in indices],
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    return devices, example_level


def _terms(
    config: TrainingConfig, devices: Devices, *, threshold: int, committee: Committee | None
) -> dict[int, ClientTerms] | None:
    """Return the clients' identities and terms if the server may be malicious, otherwise None."""
    if config.adversary is not Adversary.MALICIOUS:
        return None
    return simulated_terms(
        devices.clients,
        adversarial=config.adversarial,
        minimum_contributors=threshold,
        committee=None if committee is None else committee.key,
    )


def _check_terms(terms: ClientTerms, mean: SecureMean) -> None:
    """Refuse a plan that the clients themselves would refuse, before anything is reserved."""
    mean.protocol.check_safety(mean.session(bytes(16)), terms.corrupt)
    if mean.committee is not None:
        terms.accept_committee(mean.committee.key)


def _plan(
    config: TrainingConfig,
    devices: Devices,
    clip: Clip,
    *,
    protocol: SecureSum,
    minimum_contributors: int,
    roster: Roster | None,
    committee: Committee | None,
) -> "partial[SecureMean]":
    """Return what plans the run's mean once it is told what the noise is for."""
    shapes, clip_l2 = planned(clip, shapes=devices.shapes, clip_l2=config.clip_l2)
    return partial(
        SecureMean.plan,
        protocol=protocol,
        clients=devices.clients,
        minimum_contributors=minimum_contributors,
        shapes=shapes,
        clip_l2=clip_l2,
        modulus_bits=config.modulus_bits,
        weighting=config.weighting,
        max_weight=config.max_examples or 1.0,
        roster=roster,
        committee=committee,
    )


def _target(config: TrainingConfig) -> Target | None:
    """Return what the noise in the sums is for, or None without noise."""
    if not config.private:
        return None
    return Target(
        epsilon=config.epsilon,
        delta=config.delta,
        releases=config.rounds,
        colluding=colluding_clients(config.clients, config.adversarial),
        mechanism=config.mechanism,
        trust=config.trust,
        noise_removal=config.noise_removal,
    )


def _naming_key(config: TrainingConfig, simulated: SimulatedCommittee) -> TrainingConfig:
    """Return the settings with the fingerprint of the committee's key, and its folder by its whole path.

    The run can then be resumed from another place, with this key only.
    """
    return msgspec.structs.replace(
        config,
        committee=whole_path("committee", config.committee),
        committee_fingerprint=simulated.committee.key.fingerprint.hex(),
    )


def _example_level(config: TrainingConfig, *, shards: Sequence[int]) -> ExampleLevel | None:
    if config.unit == "client" or not config.private:
        return None
    if min(shards) < 2:
        raise ConfigurationError(
            f"unit: expected at least 2 examples of each client with unit = example, found one with {min(shards)}. "
            "Removing its example would remove the client, and unit = example does not hide participation. Use fewer "
            "clients, a larger alpha or another dataset."
        )
    return ExampleLevel.plan(
        epsilon=config.epsilon,
        delta=config.delta,
        rounds=config.rounds,
        clip_l2=config.example_clip_l2,
        examples=sum(shards),
        clients=config.clients,
        epochs=config.epochs,
        batch_size=config.batch_size,
    )


def _first_clip(config: TrainingConfig, *, arrays: int, contributors: int) -> Clip:
    noise_multiplier = None
    if config.private and config.unit == "client" and config.clipping is ClippingKind.ADAPTIVE:
        # The sum's own noise is hardly different, and depends on the clip.
        noise_multiplier = calibrate_gaussian(epsilon=config.epsilon, delta=config.delta, releases=config.rounds)
    return choose_clip(
        config.clipping,
        clip_l2=config.clip_l2,
        quantile=config.clip_quantile,
        arrays=arrays,
        contributors=contributors,
        noise_multiplier=noise_multiplier,
    )
