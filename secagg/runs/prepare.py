"""From settings to everything that a run needs, refused whole where something cannot work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from dp.calibration.least_noise import calibrate_gaussian
from dp.events import PrivacyEvent
from protocols import Adversary, BrokenProtocol, ClientTerms, Keyholder, SecureSum, load, loadable
from protocols.errors import ParameterError
from protocols.registry import suggest
from secagg.aggregation.mean import SecureMean, Target
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
from secagg.runs.config import TrainingConfig
from secagg.runs.parsing import whole_path
from secagg.runs.tolerance import Cohort
from secagg.simulation.committee import MAKE, SimulatedCommittee
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
        """How many clients may collude with the server, and how many vanish."""
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
    dataset = load_dataset(config.dataset, seed=config.seed)
    indices = partition(dataset.train_y, clients=config.clients, seed=config.seed, alpha=config.alpha)
    example_level = _example_level(config, shards=[len(chosen) for chosen in indices])
    model = zoo.build(
        config.model,
        dataset.train_x.shape[1:],
        dataset.classes,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        private=example_level,
        seed=config.seed,
    )
    devices = Devices(
        model=model,
        shards=[(dataset.train_x[chosen], dataset.train_y[chosen]) for chosen in indices],
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    committee = None if simulated is None else simulated.committee
    members, roster = None, None
    if config.adversary is Adversary.MALICIOUS:
        members = simulated_terms(
            devices.clients,
            adversarial=config.adversarial,
            minimum_contributors=threshold,
            committee=None if committee is None else committee.key,
        )
        roster = members[0].roster
    clip = _first_clip(config, arrays=devices.roles.count(ArrayRole.TRAINED), contributors=threshold)
    shapes, clip_l2 = planned(clip, shapes=devices.shapes, clip_l2=config.clip_l2)
    plan = partial(
        SecureMean.plan,
        protocol=protocol,
        clients=devices.clients,
        minimum_contributors=threshold,
        shapes=shapes,
        clip_l2=clip_l2,
        modulus_bits=config.modulus_bits,
        weighting=config.weighting,
        max_weight=config.max_examples or 1.0,
        roster=roster,
        committee=committee,
    )
    target = None
    if config.private and example_level is None:
        colluding = colluding_clients(config.clients, config.adversarial)
        target = Target(
            epsilon=config.epsilon,
            delta=config.delta,
            releases=config.rounds,
            colluding=colluding,
            mechanism=config.mechanism,
            trust=config.trust,
            noise_removal=config.noise_removal,
        )
    # With noise first: it is what needs the larger modulus, and says so.
    mean = plan(target=target)
    noiseless = mean if target is None else plan()
    if members is not None:  # before anything is reserved, not after
        protocol.check_safety(mean.session(bytes(16)), members[0].corrupt)
        if committee is not None:
            members[0].accept_committee(committee.key)
    keyholders = None
    if simulated is not None:
        fingerprint = simulated.committee.key.fingerprint.hex()
        # The folder by its whole path, since a run may be resumed from another place.
        folder = whole_path("committee", config.committee)
        config = msgspec.structs.replace(config, committee=folder, committee_fingerprint=fingerprint)
        keyholders = simulated.keyholders(minimum_contributors=threshold, roster=roster)
    return Prepared(
        config=config,
        devices=devices,
        terms=members,
        keyholders=keyholders,
        test=(dataset.test_x, dataset.test_y),
        clip=clip,
        mean=mean,
        noiseless=noiseless,
        data_digest=digest(dataset.train_x, dataset.train_y),
        example_level=example_level,
    )


def _example_level(config: TrainingConfig, *, shards: Sequence[int]) -> ExampleLevel | None:
    if config.unit == "client" or not config.private:
        return None
    if min(shards) < 2:
        raise ConfigurationError(
            "a client has a single example: with it or without it is then whether the client is there, which unit "
            "example does not hide; fewer clients, a greater alpha or another dataset would do"
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


def choose_committee(config: TrainingConfig) -> SimulatedCommittee | None:
    """The committee, where the protocol needs one.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded.
        ConfigurationError: There is none where one is needed, or one where none is; it is not complete, could open two
            sums of one session, or has another key than the settings say.
        KeyFileError: A file is damaged, another committee's, or not for its owner's eyes alone.
    """
    needed = load(config.protocol).needs_committee
    if config.committee is None:
        if needed:
            raise ConfigurationError(
                f"{config.protocol} needs a committee: give its folder with --committee DIR, which is made by: {MAKE}"
            )
        return None
    if not needed:
        raise ConfigurationError(
            f"committee: expected none, since {config.protocol} needs no committee, found {config.committee}. Leave "
            "out --committee."
        )
    found = SimulatedCommittee.read(config.committee, clients=config.clients)
    fingerprint = found.committee.key.fingerprint.hex()
    if config.committee_fingerprint not in (None, fingerprint):
        raise ConfigurationError(
            f"the key in {config.committee} has the fingerprint {fingerprint}, where committee_fingerprint is "
            f"{config.committee_fingerprint}; a run takes, and goes on with, that key alone"
        )
    return found


def _able_to_face_malice() -> str:
    """Advise the protocols that protect from a malicious server; those that are experimental only with that word."""
    able = {name: kind for name, kind in loadable().items() if Adversary.MALICIOUS in kind.adversaries}
    *most, last = [name for name, kind in able.items() if not kind.experimental] or ["another one"]
    use = f"Use {', '.join(most)} or {last}" if most else f"Use {last}"
    doubts = [f"{name} is experimental: {kind.experimental}" for name, kind in able.items() if kind.experimental]
    return f"{use} ({'; '.join(doubts)})." if doubts else f"{use}."


def choose_protocol(config: TrainingConfig) -> tuple[SecureSum, int]:
    """The protocol with its parameters, and the least number of contributors.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded, or fails.
        ConfigurationError: It does not stand against the adversary, has no parameters for this cohort, or allows no so
            few contributors.
    """
    required = config.required_contributors
    # Parameters for as many drop-outs as may happen before nothing is released, not only for those expected.
    tolerated = (config.clients - required) / config.clients
    kind = load(config.protocol)
    if config.adversary is Adversary.MALICIOUS and config.adversary not in kind.adversaries:
        raise ConfigurationError(
            f"protocol: expected one that protects from a malicious server, found {config.protocol}. "
            f"{_able_to_face_malice()}"
        )
    try:
        protocol, least = suggest(
            config.protocol,
            kind,
            clients=config.clients,
            adversarial=config.adversarial,
            dropout=tolerated,
            adversary=config.adversary,
        )
    except BrokenProtocol:
        raise
    except ParameterError as error:
        vanishing = f"{config.clients - required} of {config.clients} clients"
        raise ConfigurationError(
            f"minimum_contributors {required} lets {vanishing} vanish: {error}; a greater one lets fewer"
        ) from None
    if required < least:
        raise ConfigurationError(f"{config.protocol} allows no fewer than {least} contributors, not {required}")
    return protocol, required
