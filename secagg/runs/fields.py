"""Every setting of a training run: its type, range, description and default, said once.

The options of `secagg train`, the page of all settings and the example file are made from this table
(`secagg.runs.settings`).
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from dp.clipping.adaptive import MEDIAN
from dp.events import Trust
from dp.ledger.participation import Accounting
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from secagg.aggregation.modulus_bits import AUTO
from secagg.aggregation.weighting import Weighting
from secagg.checks import SERVERS
from secagg.privacy.clipping import ClippingKind
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT
from secagg.privacy.default_budget import EPSILON, ROUNDS
from secagg.privacy.delta import DELTA
from secagg.runs.settings import Group, about
from secagg.training.cohorts import Draw

Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Fingerprint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

EXAMPLE_CLIP_L2: Final = 1.0
"""The default of `example_clip_l2`; with unit = client no other value is allowed."""


class SettingFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of `secagg.runs.config.TrainingConfig`, not checked yet.

    Their order is that of a run's `config.toml`, on which its digest depends.
    """

    dataset: Annotated[
        str,
        about(
            Group.DATA,
            "Data set: digits, breast-cancer, fashion-mnist, or the path of an .npz file with x_train, y_train, x_test "
            "and y_test.",
            privacy="The guarantee covers the training examples of this data set.",
        ),
    ] = "digits"
    model: Annotated[
        str,
        about(Group.DATA, "Model: softmax, mlp, cnn, or numpy-softmax, which needs no TensorFlow."),
    ] = "softmax"
    clients: Annotated[
        int,
        Meta(ge=2, le=100_000),
        about(
            Group.CLIENTS,
            "Number of simulated clients. Each has a shard of the training examples of its own.",
            privacy="With more clients, each adds less noise, and the mean is more accurate for the same epsilon.",
        ),
    ] = 300
    rounds: Annotated[
        int,
        Meta(ge=1, le=100_000),
        about(
            Group.TRAINING,
            "Number of training rounds. Each releases one mean update. With --resume: the round that the run ends "
            "with.",
            privacy="The noise is sized for this number of releases, or for the cap if a round asks some of the "
            "clients: more rounds need more noise in each.",
        ),
    ] = ROUNDS
    protocol: Annotated[
        str,
        about(
            Group.PROTOCOL,
            "Secure aggregation protocol. `secagg protocols` lists them. plain sums in the clear and protects nothing.",
            privacy="Decides which server single updates are protected from. With plain the server sees every update.",
        ),
    ] = "secagg-plus"
    committee: Annotated[
        str | None,
        about(
            Group.PROTOCOL,
            "Folder with the key files of a whole committee, made by `secagg keys committee`. For seeds: a folder with "
            "seed-committee.pub, made by `secagg keys seed-committee`, and the folders of all members, made by `secagg "
            "keys member`. Applies only to protocols that need a committee.",
            privacy="A simulation holds all secret key files together. Use a key that is used for nothing else.",
            unset="none; for seeds, a committee of 5 members that is drawn for the run",
            example="keys",
        ),
    ] = None
    committee_fingerprint: Annotated[
        Fingerprint | None,
        about(
            Group.PROTOCOL,
            "Expected fingerprint of the committee's key; for seeds, the expected pin of the committee. Any other one "
            "is refused.",
            privacy="Protects from a key that somebody else has put in the folder.",
            unset="that of the key or committee in the folder when the run begins",
            example="0" * 64,
            form="64 hexadecimal digits",
        ),
    ] = None
    adversary: Annotated[
        Adversary,
        about(
            Group.PROTOCOL,
            "Server that clients are protected from: curious follows the protocol; malicious may do anything, so "
            "clients sign their keys and agree on who dropped out.",
            privacy="With curious, nothing is promised against a server that departs from the protocol.",
            choices=SERVERS,
        ),
    ] = Adversary.CURIOUS
    adversarial: Annotated[
        Fraction,
        about(
            Group.CLIENTS,
            "Largest fraction of clients that may collude with the server, rounded down to whole clients: 0.05 of 10 "
            "clients is none. The protocol is sized for it.",
            privacy="If more clients collude, neither the protocol nor the noise protects single updates. Their noise "
            "shares, at least one, are not counted.",
        ),
    ] = ADVERSARIAL
    dropout: Annotated[
        Fraction,
        about(
            Group.CLIENTS,
            "Fraction of clients that the simulation drops in every round, rounded down to whole clients: 0.1 of 9 "
            "clients is none. By default the protocol is sized for 1.5 times as many, as long as a majority is left.",
            privacy="Noise is sized for the contributors that are left: with more dropouts each client adds more.",
        ),
    ] = DROPOUT
    minimum_contributors: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        about(
            Group.CLIENTS,
            "Smallest number of contributors for which a round is released. Noise is sized for this number: the "
            "smaller it is, the more noise each client adds.",
            privacy="A smaller number hides each update among fewer contributors.",
            unset="the clients less 1.5 times the expected dropouts, and never less than a majority",
            example=255,
        ),
    ] = None
    cohort: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        about(
            Group.CLIENTS,
            "Number of clients that a round asks. dropout, adversarial and minimum_contributors apply to these "
            "clients.",
            privacy="Each client is in fewer releases, so less noise keeps the budget. With fewer clients in a round, "
            "each update is hidden among fewer.",
            unset="all clients",
            example=100,
        ),
    ] = None
    draw: Annotated[
        Draw | None,
        about(
            Group.CLIENTS,
            "How the clients of a round are drawn: in-turn, the next ones of a random order; random, at random, at "
            "most cap times each; poisson, each by itself with probability cohort/clients, in secret. Requires "
            "--cohort; poisson requires --trust central and no dropout.",
            privacy="With poisson the guarantee holds only against readers of the models, not against the server or "
            "anyone who learns who was drawn. With in-turn or random it holds against readers, and against the server "
            "too unless the server adds the noise.",
            unset="in-turn",
            example="random",
        ),
    ] = None
    cap: Annotated[
        Count | None,
        about(
            Group.CLIENTS,
            "Largest number of rounds that may ask one client. A round that is repeated or given up uses up places, "
            "and the run ends early if too few are left. Does not apply with --draw poisson.",
            privacy="The noise is sized for this number of releases: a larger cap needs more noise in each.",
            unset="rounds * cohort / clients, rounded up: the least that is possible",
            example=12,
        ),
    ] = None
    separation: Annotated[
        Count | None,
        about(
            Group.CLIENTS,
            "Least number of rounds from one round that asks a client to the next. --draw in-turn keeps it at no cost. "
            "It gives no privacy by itself. Applies only with --draw in-turn.",
            privacy="None: only the number of rounds counts, not the distance between them.",
            unset="none required; in-turn keeps clients / cohort, rounded down, by itself",
            example=3,
        ),
    ] = None
    unit: Annotated[
        Literal["client", "example"],
        about(
            Group.PRIVACY,
            "What the budget protects: client, everything that one client contributes, by noise in the sums; or "
            "example, one example of one client, by noise in every client's local training.",
            privacy="example does not hide which clients take part, nor a whole client's data.",
        ),
    ] = "client"
    epsilon: Annotated[
        Positive,
        about(
            Group.PRIVACY,
            "Privacy budget of the whole run. inf: no noise and no differential privacy.",
            privacy="A smaller epsilon is a stronger guarantee. With inf nothing bounds what the model reveals.",
            form="a number from 1e-9 to 1e9, or inf",
        ),
    ] = EPSILON
    delta: Annotated[
        float,
        Meta(gt=0, lt=1),
        about(
            Group.PRIVACY,
            "Delta of the privacy budget. Must be below 1/clients (with --unit example: below 1/examples).",
            privacy="A smaller delta is a stronger guarantee.",
        ),
    ] = DELTA
    accounting: Annotated[
        Accounting | None,
        about(
            Group.PRIVACY,
            "How the ledger adds up releases: fixed, with the same noise in every round and nothing chosen from "
            "results; gaussian-filter or renyi-filter, under which noise, cohorts and rounds may be chosen from "
            "results.",
            privacy="With a filter the guarantee is the whole budget, however much of it is used.",
            unset="gaussian-filter if the noise is in the sums and a Gaussian dominates it, otherwise fixed",
            example="fixed",
        ),
    ] = None
    example_clip_l2: Annotated[
        Positive,
        about(
            Group.CLIPPING,
            "Bound on the L2 norm of one example's gradient. Applies only with --unit example.",
            privacy="The noise of local training is a multiple of it, so the guarantee does not depend on it.",
        ),
    ] = EXAMPLE_CLIP_L2
    mechanism: Annotated[
        LatticeNoise,
        about(
            Group.PRIVACY,
            "Noise that is added to the sums. Applies only with --unit client.",
            privacy="Both keep the same budget; Skellam noise can be removed in part (noise_removal).",
        ),
    ] = LatticeNoise.DISCRETE_GAUSSIAN
    trust: Annotated[
        Trust,
        about(
            Group.PRIVACY,
            "Who adds the noise: distributed, every client a share; local, every client enough for itself; central, "
            "the server. Applies only with --unit client.",
            privacy="With central the server sees the exact sum, and the guarantee does not hold against it. With "
            "local the guarantee needs no other client's noise.",
        ),
    ] = Trust.DISTRIBUTED
    noise_removal: Annotated[
        bool,
        about(
            Group.PRIVACY,
            "Remove the surplus noise when fewer clients drop out than planned. Requires --mechanism skellam and "
            "at most 64 planned dropouts.",
            privacy="Each mean keeps the noise that the budget needs, and no more.",
        ),
    ] = False
    clipping: Annotated[
        ClippingKind,
        about(
            Group.CLIPPING,
            "How a client's update is clipped: global, as a whole; per-layer, each array by an equal share of the "
            "bound; adaptive, as a whole, by a bound that follows a quantile of the norms.",
            privacy="With adaptive, each round also releases how many updates were clipped. The guarantee covers it.",
        ),
    ] = ClippingKind.GLOBAL
    clip_l2: Annotated[
        Positive,
        about(
            Group.CLIPPING,
            "Bound on the L2 norm of a client's update. Longer updates are scaled down. With --clipping adaptive: the "
            "bound of the first round.",
            privacy="The noise is a multiple of it, so the guarantee does not depend on it.",
        ),
    ] = 0.5
    clip_quantile: Annotated[
        float,
        Meta(gt=0, lt=1),
        about(
            Group.CLIPPING,
            "Quantile of the update norms that the bound follows (0.5: the median). Applies only with --clipping "
            "adaptive.",
        ),
    ] = MEDIAN
    server_learning_rate: Annotated[
        Positive, about(Group.TRAINING, "Learning rate of the server's optimizer: a factor on the mean update.")
    ] = 2.5
    server_momentum: Annotated[Fraction, about(Group.TRAINING, "Momentum of the server's optimizer.")] = 0.9
    epochs: Annotated[
        Count,
        about(
            Group.TRAINING,
            "Number of local epochs in each round.",
            privacy="With unit = example, more epochs need more noise in each step. Otherwise none.",
        ),
    ] = 3
    batch_size: Annotated[
        Count,
        about(
            Group.TRAINING,
            "Number of examples in a local minibatch.",
            privacy="With unit = example, it decides the noise of each step. Otherwise none.",
        ),
    ] = 8
    optimizer: Annotated[
        str,
        about(
            Group.TRAINING,
            "Name of the clients' Keras optimizer, such as sgd or adam. With --unit example: sgd.",
        ),
    ] = "sgd"
    learning_rate: Annotated[Positive, about(Group.TRAINING, "Learning rate of the clients' optimizer.")] = 0.5
    alpha: Annotated[
        Positive | None,
        about(
            Group.DATA,
            "Dirichlet parameter of the label skew between clients: smaller is more skewed.",
            unset="no skew, all shards have the same distribution",
            example=0.5,
        ),
    ] = None
    weighting: Annotated[
        Weighting,
        about(
            Group.TRAINING,
            "How the mean counts clients: uniform, all alike; weighted, by their numbers of examples.",
            privacy="The guarantee covers a client's weight. With unit = example, weighted is refused.",
        ),
    ] = Weighting.UNIFORM
    max_examples: Annotated[
        Positive | None,
        about(
            Group.TRAINING,
            "Largest number of examples that a client is counted for. Applies only with --weighting weighted, which "
            "requires it.",
            privacy="It is public, so it must not be computed from the data.",
            unset="none",
            example=20.0,
        ),
    ] = None
    modulus_bits: Annotated[
        Annotated[int, Meta(ge=2, le=62)] | Literal["auto"],
        about(
            Group.PROTOCOL,
            "Size of the sum's modulus: bits that each coordinate takes on the wire. auto: the least number with which "
            "rounding to integers makes the noise at most 1.005 times larger; without noise in the sums 24, or the "
            "least number above 24 that the cohort fits. A run keeps the number that it begins with.",
            privacy="None: with any number the noise keeps the budget, and a modulus that is too small is refused.",
        ),
    ] = AUTO
    compression: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        about(
            Group.PROTOCOL,
            "Fraction of the rotated coordinates of an update that each client sends: a public random subset, fresh in "
            "each round. It saves bytes and makes the mean less exact. Below 1, it requires --weighting uniform.",
            privacy="None: the guarantee and the error of the noise are the same.",
            unset="all are sent",
            example=0.25,
        ),
    ] = None
    seed: Annotated[
        int,
        Meta(ge=0, lt=2**32),
        about(
            Group.TRAINING,
            "Seed of data splits, shards, initial weights, minibatches and simulated dropouts. Keys, masks and noise "
            "are always fresh; so are the minibatches of --unit example, if there is noise.",
        ),
    ] = 1
    compare: Annotated[
        bool,
        about(
            Group.OUTPUT,
            "Train also without noise, and also without secure aggregation, for comparison. These runs are not "
            "private: use simulated data only.",
            privacy="Results of the compared runs use the same data without noise. Do not release them.",
        ),
    ] = True
    organisation: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        about(
            Group.OUTPUT,
            "Name of the organisation responsible for the run, for the ledger and the reports.",
            unset="not named",
            example="Example Hospital",
        ),
    ] = None
