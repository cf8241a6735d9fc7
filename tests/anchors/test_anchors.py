"""What other systems get wrong, each claim with a test that it is false of this one.

The claims were read from the systems' own code: Flower 1.41, FedML 03e11df, Flamingo 00f6bbb, Fed-BioMed 60d6192,
OpenFL, Dordis, google/federated-compute de83f70.  Where a test elsewhere says the same, `ELSEWHERE` names it.  How much
faster a round is than Flower's is measured in benchmarks/masking.

What they get wrong with Paillier is in test_anchors_paillier.py, with differential privacy in test_anchors_dp.py.
Everything on audits is left to a later issue.
"""

import ast
import importlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from dp.errors import InvalidParameter
from protocols import (
    InputError,
    ParameterError,
    SecAgg,
    SecAggPlus,
    Secret,
    SecureSum,
    Session,
    Transmission,
    available,
    load,
    packing,
    simulate,
)
from protocols.crypto import keystream
from protocols.pairwise.messages import MaskedInput
from protocols.session import Vector
from protocols.testing import ProtocolRun, exact_sum, repeatable_entropy, state_of
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import simulate_mean
from secagg.errors import ModulusTooSmall
from tests.conformance.cohorts import IDS, setting
from tests.support.malicious_server import MaliciousServer

ROOT: Final = Path(__file__).parents[2]
MASKING: Final = [name for name in available() if name != "plain" and not load(name).needs_committee]

ELSEWHERE: Final = {
    "Flower: clients accept one node as both active and dead": (
        "tests.protocols.pairwise.test_malicious_attacks",
        "test_node_active_and_dead_exposes_nobody_in_malicious_mode",
    ),
    "Flower: the same, told to different clients, some of them corrupt": (
        "tests.protocols.pairwise.test_malicious_attacks",
        "test_node_active_and_dead_exposes_nobody_with_a_corrupt_client_at_the_threshold_asked_for",
    ),
    "Flamingo: signatures never verified": (
        "tests.protocols.pairwise.test_malicious_server",
        "test_client_refuses_a_key_that_its_owner_has_not_signed_for_this",
    ),
    "google/federated-compute: the best graph parameter finder": (
        "tests.protocols.pairwise.test_parameters",
        "test_find_parameters_reproduces_the_authors_figures",
    ),
}


@pytest.mark.parametrize("claim", ELSEWHERE)
def test_anchor_has_the_test_that_is_named(claim: str) -> None:
    module, name = ELSEWHERE[claim]
    assert callable(getattr(importlib.import_module(module), name))


# Flower: the mask's seed is folded to 32 bits, and its words never reach modulus - 1.


def mask(seed: bytes, length: int, modulus: int) -> keystream.Words:
    words: keystream.Words = np.zeros(length, dtype=keystream.word_dtype(modulus))
    keystream.add_mask(words, Secret(seed))
    words &= words.dtype.type(modulus - 1)
    return words


def test_masks_change_with_every_one_of_the_256_bits_of_their_seed() -> None:
    """By about half of their bits each time; and no two of the 257 seeds that are compared give the same mask."""
    seed = bytes(range(100, 132))
    honest = mask(seed, 1024, 2**32)
    seen = {honest.tobytes()}
    for bit in range(256):
        flipped = (int.from_bytes(seed, "little") ^ 1 << bit).to_bytes(32, "little")
        other = mask(flipped, 1024, 2**32)
        seen.add(other.tobytes())
        changed = int(np.unpackbits((honest ^ other).view(np.uint8)).sum())
        assert 0.45 < changed / (32 * 1024) < 0.55, bit
    assert len(seen) == 257


def test_masks_of_seeds_that_fold_to_the_same_32_bits_differ() -> None:
    words = np.random.default_rng(1).integers(0, 2**32, 8, dtype=np.uint64).astype("<u4")
    other = words.copy()
    other[[0, 5]] ^= np.uint32(0xDEADBEEF)
    assert np.bitwise_xor.reduce(words) == np.bitwise_xor.reduce(other)
    assert (mask(words.tobytes(), 1000, 2**32) != mask(other.tobytes(), 1000, 2**32)).mean() > 0.99


@pytest.mark.parametrize("modulus", [2**8, 2**10])
def test_mask_words_are_uniform_and_reach_modulus_less_one(modulus: int) -> None:
    """Chi-square over all values of 2^20 words, two-sided, false alarms 1e-6, one retry on a fresh seed."""
    from scipy.stats import chi2

    def uniform(seed: bytes) -> bool:
        counts = np.bincount(mask(seed, 2**20, modulus), minlength=modulus)
        assert counts.size == modulus
        assert counts.min() > 0
        statistic = float(((counts - 2**20 / modulus) ** 2).sum() * modulus / 2**20)
        return float(chi2.isf(1 - 5e-7, modulus - 1)) < statistic < float(chi2.isf(5e-7, modulus - 1))

    assert uniform(b"a" * 32) or uniform(b"b" * 32)


# Flower: thresholds of 1 are accepted.


@pytest.mark.parametrize("threshold", [1, 0, -1])
def test_thresholds_of_one_are_refused(threshold: int) -> None:
    """A threshold of 1 lets one client's input be the sum, or one holder rebuild a secret.

    Session, protocol and mean must refuse it (ParameterError).
    """
    with pytest.raises(ParameterError, match="threshold must lie in"):
        Session(session_id=bytes(16), clients=(0, 1, 2), threshold=threshold, length=1, modulus=2)
    session = Session(session_id=bytes(16), clients=(0, 1, 2), threshold=2, length=1, modulus=2)
    with pytest.raises(ParameterError, match=r"share threshold: expected a value in \[2, 3\], found"):
        SecAggPlus(neighbours=2, share_threshold=threshold).validate(session)
    with pytest.raises(ParameterError, match="minimum_contributors"):
        mean_of(minimum_contributors=threshold)


# Flower: losing a client while keys are set up or shared halts the round.  FedML LightSecAgg: waits for every client.


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("lost", [1, 2])
def test_losing_clients_in_any_round_halts_nothing(name: str, lost: int) -> None:
    protocol, threshold = load(name).suggest(clients=8, adversarial=0.1, dropout=0.25)
    where = setting(protocol, IDS, threshold)
    inputs = where.inputs()
    for number, row in enumerate(protocol.steps):
        gone = where.session.clients[:lost]
        outcome = where.simulate(inputs, drops={row.name: gone})
        late = any(before.sends_vector for before in protocol.steps[:number])
        assert set(outcome.contributors) == set(IDS) - (set() if late else set(gone))
        assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, where.session.modulus)


# Flower: overflow is checked against the wrong number, so the mean wraps; NaN is accepted; weights in the clear.


def mean_of(
    *,
    clients: int = 3,
    minimum_contributors: int = 2,
    modulus_bits: int = 24,
    weighting: Weighting = Weighting.UNIFORM,
    max_weight: float = 1.0,
) -> SecureMean:
    return SecureMean.plan(
        protocol=SecAgg(),
        clients=range(clients),
        minimum_contributors=minimum_contributors,
        shapes=[(3, 2), (5,)],
        clip_l2=1.0,
        modulus_bits=modulus_bits,
        weighting=weighting,
        max_weight=max_weight,
    )


@pytest.mark.parametrize("clients", [2, 10, 40])
def test_cohorts_that_could_wrap_around_are_refused_and_the_bits_named_that_do(clients: int) -> None:
    """At the bits named, a cohort of updates that all point the same way, beyond the clip, gives the right mean."""
    with pytest.raises(ModulusTooSmall) as caught:
        mean_of(clients=clients, modulus_bits=2)
    enough = caught.value.enough_bits
    with pytest.raises(ModulusTooSmall):
        mean_of(clients=clients, modulus_bits=enough - 1)
    planned = mean_of(clients=clients, modulus_bits=enough)
    for sign in (1.0, -1.0):
        update = [np.full((3, 2), sign * 1e6), np.full(5, sign * 1e6)]
        release = simulate_mean(planned, dict.fromkeys(range(clients), update))
        exact = sign / math.sqrt(11)
        assert release.rounding_bound is not None
        for array in release.mean:
            assert float(np.abs(array - exact).max()) <= release.rounding_bound


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_updates_that_are_not_finite_are_refused_before_anything_is_sent(bad: float) -> None:
    """A client's update holds NaN or infinity, which would spoil everyone's sum.

    It must be refused before any message is sent.
    """
    sent: list[Transmission] = []
    updates = {client: [np.ones((3, 2)), np.ones(5)] for client in range(3)}
    updates[1][1][4] = bad
    with pytest.raises(InvalidParameter, match="NaN or infinity"):
        simulate_mean(mean_of(), updates, tap=sent.append)
    session = Session(session_id=bytes(16), clients=(0, 1), threshold=2, length=2, modulus=2**16)
    with pytest.raises(InputError, match="integer dtype"):
        simulate(SecAgg(), session, {0: np.ones(2, dtype=int), 1: np.array([1.0, bad])}, tap=sent.append)
    assert sent == []


def test_weights_leave_a_client_in_its_masked_vector_only() -> None:
    """The same update, twice; once a client's weight is 1, once 90.  Nothing but its masked vector tells them apart."""
    planned = mean_of(weighting=Weighting.WEIGHTED, max_weight=100.0)
    session = planned.session(bytes(16))
    rotation, seen = planned.rotation(session), dict[float, list[Transmission]]()
    vectors: dict[float, dict[int, Vector]] = {}
    for weight in (1.0, 90.0):
        update = [np.full((3, 2), 0.1), np.full(5, -0.1)]
        vectors[weight] = {
            client: planned.contribution(
                update,
                rotation=rotation,
                weight=weight if client == 1 else 50.0,
                entropy=repeatable_entropy(b"%d" % client),
            ).vector
            for client in range(3)
        }
        seen[weight] = []
        simulate(SecAgg(), session, vectors[weight], tap=seen[weight].append, entropy=repeatable_entropy(b"all"))
    assert (vectors[1.0][1] != vectors[90.0][1]).any()
    differing = [one for one, two in zip(seen[1.0], seen[90.0], strict=True) if one != two]
    assert [(each.step, each.sender) for each in differing] == [("mask_input", 1)]
    for one, two in zip(seen[1.0], seen[90.0], strict=True):
        assert len(one.data) == len(two.data)
        for weight in (1.0, 90.0):
            assert packing.pack(vectors[weight][1], session.modulus) not in one.data + two.data


# Flower: 8 bytes a coordinate, 612 bytes a neighbour.


@pytest.mark.parametrize("bits", [1, 7, 16, 20, 33, 64])
@pytest.mark.parametrize(
    "protocol", [SecAgg(), SecAggPlus(neighbours=10, share_threshold=6)], ids=["complete", "sparse"]
)
def test_upload_is_the_bits_of_a_coordinate_and_at_most_200_bytes_a_neighbour(protocol: SecureSum, bits: int) -> None:
    clients, length = tuple(range(21)), 5_000
    session = Session(session_id=bytes(16), clients=clients, threshold=11, length=length, modulus=2**bits)
    inputs = dict.fromkeys(clients, np.zeros(length, dtype=np.uint64))
    outcome = simulate(protocol, session, inputs)
    neighbours = 20 if isinstance(protocol, SecAgg) else 10
    for sent in outcome.cost.sent_bytes.values():
        assert sent <= -(-length * bits // 8) + 200 * neighbours + 500


# FedML LightSecAgg: masks from a fixed seed; shares of them unsealed; wrong sums at p = 2^31 - 1.  OpenFL: one float.


def masked(transmissions: list[Transmission]) -> dict[int, bytes]:
    return {each.sender: each.data for each in transmissions if each.step == "mask_input" and each.sender is not None}


@pytest.mark.parametrize("name", MASKING)
def test_masks_of_two_clients_and_of_two_runs_have_nothing_in_common(name: str) -> None:
    """Zeros under masks: 1,000 coordinates of at least 16 bits, of which two masks share at most a handful."""
    protocol, threshold = load(name).suggest(clients=8, adversarial=0.1, dropout=0.125)
    where = setting(protocol, IDS, threshold, length=1000)
    inputs = dict.fromkeys(IDS, np.zeros(1000, dtype=np.uint64))
    packed = packing.packed_bytes(1000, where.session.modulus)
    vectors = []
    for _ in range(2):
        seen: list[Transmission] = []
        simulate(protocol, where.session, inputs, tap=seen.append)
        for data in masked(seen).values():
            at = data.index(bytes([0xC5]) + packed.to_bytes(2, "big")) + 3
            vectors.append(packing.unpack(data[at : at + packed], 1000, where.session.modulus))
    assert len(vectors) == 16
    for index, one in enumerate(vectors):
        assert all((one == other).sum() < 10 for other in vectors[:index])
        assert Counter(one.tolist()).most_common(1)[0][1] < 10  # each coordinate has a mask of its own
        assert (one == 0).sum() < 10


LIGHT: Final = pytest.mark.skipif("lightsecagg" not in available(), reason="LightSecAgg is not registered")


@LIGHT
def test_lightsecagg_seals_every_share_of_a_mask() -> None:
    """An observer searches every message up to the masked inputs for shares of masks. Sealing must hide all of them."""
    protocol, threshold = load("lightsecagg").suggest(clients=8, adversarial=0.25, dropout=0.25)
    run = ProtocolRun(setting(protocol, IDS, threshold, length=200))
    wire = bytearray()
    for _ in range(3):
        replies = run.replies()
        wire += b"".join(run.requests.values()) + b"".join(replies.values())
        run.deliver(replies)
    held = [share.reveal() for machine in run.clients.values() for share in state_of(machine).held.values()]
    assert len(held) == 64
    assert not any(share in wire for share in held)
    assert run.is_exact(run.finish())


@LIGHT
@pytest.mark.parametrize("modulus", [2**31 - 1, 2**61 - 1])
def test_lightsecagg_is_exact_at_the_largest_primes(modulus: int) -> None:
    protocol, threshold = load("lightsecagg").suggest(clients=20, adversarial=0.5, dropout=0.2)
    session = Session(session_id=bytes(16), clients=tuple(range(20)), threshold=threshold, length=50, modulus=modulus)
    inputs = {client: np.full(50, modulus - 1 - client, dtype=np.uint64) for client in range(20)}
    outcome = simulate(protocol, session, inputs, drops={"mask_input": [3, 7], protocol.steps[-1].name: [0, 11]})
    assert len(outcome.contributors) == 18
    assert outcome.total.tolist() == [sum(modulus - 1 - c for c in outcome.contributors) % modulus] * 50


# Flamingo: seeds of pairs cut to 16 bits.  Fed-BioMed LOM: no self-mask.


def pair_seeds(run: MaliciousServer, client: int) -> dict[int, bytes]:
    """The seeds of a client's masks with its neighbours, as these can work them out."""
    derive = run.setup.schedule(state_of(run.server).root)
    seeds = {}
    for other in run.neighbours(client):
        private = X25519PrivateKey.from_private_bytes(run.drawn[other][1])
        shared = Secret(private.exchange(X25519PublicKey.from_public_bytes(run.keys[client].masking)))
        seeds[other] = derive.pair_mask(shared, one=client, other=other).reveal()
    return seeds


def test_seeds_of_pairs_are_256_bits_that_all_vary() -> None:
    """An attacker guesses the seed of a pair.

    Seeds must have 256 bits: over 15 pairs no byte is the same for all, and every 16 bits differ between most.
    """
    run = MaliciousServer(setting(SecAgg(), tuple(range(6)), 3))
    run.to_step(2)
    seeds = {frozenset((one, other)): seed for one in range(6) for other, seed in pair_seeds(run, one).items()}
    assert len(seeds) == 15
    assert {len(seed) for seed in seeds.values()} == {32}
    for start in range(0, 32, 2):
        assert len({seed[start : start + 2] for seed in seeds.values()}) >= 12


def test_client_whose_every_neighbour_is_corrupt_still_has_its_self_mask() -> None:
    """All neighbours of a client give their keys to the server, which removes every pairwise mask.

    The self-mask must still hide the input.
    """
    run = MaliciousServer(setting(SecAgg(), tuple(range(4)), 3, length=1000))
    run.to_step(2)
    modulus, victim = run.scenario.session.modulus, 0
    reply = run.replies()[victim]
    left = packing.unpack(run.codec.decode(2, MaskedInput, reply).packed, 1000, modulus).astype(np.uint16)
    for other, seed in pair_seeds(run, victim).items():
        (keystream.subtract_mask if victim < other else keystream.add_mask)(left, Secret(seed))
    assert (left == run.inputs[victim]).sum() < 10
    derive = run.setup.schedule(state_of(run.server).root)
    keystream.subtract_mask(left, derive.self_mask(Secret(run.drawn[victim][2]), owner=victim))
    assert (left == run.inputs[victim]).all()


# Dordis: the module random for secrets, pickle for shares.

BANNED: Final = {"random", "numpy.random", "pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def uses(source: str) -> Iterator[str]:
    """The banned modules that a source imports or reaches through numpy."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
            names = [f"numpy.{node.attr}"]
        yield from (name for name in names if any(name == bad or name.startswith(f"{bad}.") for bad in BANNED))


PICKLES = "protocols/testing/suite/secrecy.py"


@pytest.mark.parametrize("package", ["protocols", "dp"])
def test_no_source_uses_a_weak_generator_or_pickles(package: str) -> None:
    """Weak randomness shows secrets, and unpickling runs code. No source of `protocols` and `dp` may import either.

    One module of the shipped tests imports pickle: it tries to pickle what must refuse that, and unpickles nothing.
    """
    sources = sorted((ROOT / package).rglob("*.py"))
    assert len(sources) > 10
    found = {str(path.relative_to(ROOT)): names for path in sources if (names := sorted(uses(path.read_text())))}
    assert found.pop(PICKLES, ["pickle"]) == ["pickle"]
    assert "pickle.load" not in (ROOT / PICKLES).read_text()
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "import numpy.random as r",
        "from numpy import random",
        "from numpy.random import default_rng",
        "import numpy as np\nnp.random.seed(0)",
        "def f():\n    import pickle",
        "from random import seed",
    ],
)
def test_scan_of_sources_finds_what_it_looks_for(source: str) -> None:
    assert list(uses(source))
