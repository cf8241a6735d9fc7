"""Compressed encodings and means: what a client sends, its sensitivity, and what is refused."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.accounting.guarantee import guarantee
from dp.clipping.clip import clip_l2
from protocols import SecAgg
from protocols.testing import repeatable_entropy
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import reduced
from secagg.aggregation.rotation import Rotation
from secagg.aggregation.subset import kept_rows
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import simulate_mean
from secagg.errors import EncodingError, ModulusTooSmall

DIMENSION = 4096
FIT: dict[str, Any] = {"shapes": [(64, 64)], "clip_l2": 0.7, "clients": 6, "modulus_bits": 24}
TARGET = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=0)
SEED = b"a public seed"


def fitted(compression: float = 0.25, **changes: Any) -> Encoding:
    return Encoding.fit(**FIT | {"compression": compression} | changes)


def planned(compression: float, **changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": range(6),
        "minimum_contributors": 4,
        "shapes": [(64, 64)],
        "clip_l2": 0.7,
        "compression": compression,
    }
    return SecureMean.plan(**settings | changes)


def updates(seed: int = 0) -> dict[int, list[NDArray[np.float64]]]:
    generator = np.random.default_rng(seed)
    return {client: [0.005 * generator.normal(size=(64, 64))] for client in range(6)}


def rows_of(encoding: Encoding) -> NDArray[np.bool_]:
    assert encoding.kept is not None
    return kept_rows(SEED, blocks=DIMENSION // encoding.block, block=encoding.block, kept=encoding.kept)


@pytest.mark.parametrize(("compression", "kept"), [(0.25, 1024), (0.1, 410), (np.float32(0.5), 2048), (0.99999, None)])
def test_compression_is_the_fraction_that_is_sent_rounded_up(compression: float, kept: int | None) -> None:
    encoding = fitted(compression)
    assert encoding.kept == kept
    assert encoding.length == (kept or DIMENSION)


def test_compression_of_1_is_the_same_encoding_and_the_same_bytes() -> None:
    assert fitted(1.0) == fitted(1) == Encoding.fit(**FIT)
    plain, whole = (
        planned(1.0),
        SecureMean.plan(protocol=SecAgg(), clients=range(6), minimum_contributors=4, shapes=[(64, 64)], clip_l2=0.7),
    )
    session = plain.session(bytes(32))
    assert plain.protocol.digest(session) == whole.protocol.digest(whole.session(bytes(32)))
    assert type(plain.rotation(session)) is Rotation
    first, second = (
        mean.contribution(updates()[0], rotation=mean.rotation(session), entropy=repeatable_entropy(b"client"))
        for mean in (plain, whole)
    )
    np.testing.assert_array_equal(first.vector, second.vector)


@pytest.mark.parametrize("compression", [0.06, 0.25, 0.9])
def test_compression_decodes_the_kept_rows_of_the_mean(compression: float) -> None:
    """Without noise and within the clip, the decoded mean is that of the kept rows, up to rounding."""
    encoding, given = fitted(compression), list(updates().values())
    turn = encoding.rotation(SEED)
    entropy = repeatable_entropy(b"rounding")
    vectors = [encoding.encode(each, weight=None, rotation=turn, entropy=entropy) for each in given]
    total = reduced(np.sum(vectors, axis=0), encoding.modulus)
    decoded = encoding.decode(total, contributors=6, rotation=turn)
    mean = np.mean([each[0].reshape(-1) for each in given], axis=0)
    expected = turn.restore(turn.rotate(mean))
    rounding = encoding.granularity * DIMENSION / encoding.length * np.sqrt(encoding.block)
    assert np.abs(decoded.mean[0].reshape(-1) - expected).max() <= rounding
    assert decoded.rounding_bound is None


def adversarial(encoding: Encoding, kind: str) -> NDArray[np.float64]:
    """Return an update of a client that knows the rows, with a norm of at least the clip."""
    rotated = np.zeros(DIMENSION)
    rows = np.flatnonzero(rows_of(encoding))
    match kind:
        case "one kept row":
            rotated[rows[0]] = 1.0
        case "all kept rows alike":
            rotated[rows] = 1.0
        case "kept rows halfway between integers":
            rotated[rows] = (np.floor(encoding.norm_bound / np.sqrt(len(rows)) / encoding.granularity) + 0.5) * (
                encoding.granularity
            )
            return Rotation(DIMENSION, SEED).restore(rotated)
        case "random in the kept rows":
            rotated[rows] = np.random.default_rng(2).normal(size=len(rows))
        case "rows that are not kept":
            rotated[~rows_of(encoding)] = 1.0
        case "one entry":
            entry = np.zeros(DIMENSION)
            entry[77] = 1e9
            return entry
    return 1e6 * Rotation(DIMENSION, SEED).restore(rotated)


@pytest.mark.parametrize("bits", [14, 24, 40])
@pytest.mark.parametrize("compression", [0.06, 0.25, 0.9])
@pytest.mark.parametrize(
    "kind",
    [
        "one kept row",
        "all kept rows alike",
        "kept rows halfway between integers",
        "random in the kept rows",
        "rows that are not kept",
        "one entry",
    ],
)
def test_compression_sensitivity_holds_for_an_update_in_the_kept_rows(bits: int, compression: float, kind: str) -> None:
    """A client puts its whole clip into the rows that are kept; the clip of what is kept must stop it."""
    encoding = fitted(compression, modulus_bits=bits)
    update, entropy = adversarial(encoding, kind).reshape(64, 64), repeatable_entropy(kind.encode())
    for _ in range(3):
        integers = encoding.encode([update], weight=None, rotation=encoding.rotation(SEED), entropy=entropy)
        assert integers.shape == (encoding.length,)
        assert sum(entry * entry for entry in integers.tolist()) <= encoding.l2_sensitivity**2
        assert encoding.clients * int(np.abs(integers).max()) < encoding.modulus // 2


def test_compression_sensitivity_is_smaller_by_the_root_of_the_fraction() -> None:
    whole, quarter = fitted(1.0, modulus_bits=40), fitted(0.25, modulus_bits=40)
    assert quarter.norm_bound == whole.norm_bound / 2
    in_units = quarter.l2_sensitivity * quarter.granularity / (whole.l2_sensitivity * whole.granularity)
    assert in_units == pytest.approx(0.5, rel=1e-6)


def test_compression_bounds_a_coordinate_by_the_kept_norm_where_that_is_less() -> None:
    encoding = fitted(0.06)
    assert encoding.coordinate_bound == min(fitted(1.0).coordinate_bound, encoding.norm_bound)
    small = Encoding.fit(shapes=[(64,)], clip_l2=1.0, clients=2, modulus_bits=24, compression=0.8)
    assert small.coordinate_bound == small.norm_bound < 1.0


def test_compression_clips_what_is_kept_and_nothing_that_is_within_the_bound() -> None:
    encoding, turn = fitted(), fitted().rotation(SEED)
    update = adversarial(encoding, "all kept rows alike")
    integers = encoding.encode([update.reshape(64, 64)], weight=None, rotation=turn, entropy=repeatable_entropy(b"x"))
    found = np.linalg.norm(integers * encoding.granularity)
    assert found == pytest.approx(encoding.norm_bound, rel=1e-3)
    within = clip_l2([update], bound=0.3).arrays[0]  # Its kept part has norm 0.3, below 0.35.
    integers = encoding.encode([within.reshape(64, 64)], weight=None, rotation=turn, entropy=repeatable_entropy(b"x"))
    assert np.linalg.norm(integers * encoding.granularity) == pytest.approx(0.3, rel=1e-3)


def test_compressed_sessions_have_digests_of_their_own_and_fresh_rows() -> None:
    means = [planned(compression) for compression in (1.0, 0.5, 0.25)]
    digests = {mean.protocol.digest(mean.session(bytes(32))) for mean in means}
    assert len(digests) == 3
    mean = means[-1]
    vector = np.random.default_rng(3).normal(size=DIMENSION)
    first, again, other = (
        mean.rotation(mean.session(session_id)).rotate(vector) for session_id in (bytes(32), bytes(32), b"1" * 32)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("noise", ["none", "discrete-gaussian", "skellam", "removable", "central"])
def test_compressed_mean_runs_through_a_secure_sum_with_the_guarantee_that_was_asked(noise: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "discrete-gaussian": {},
        "skellam": {"mechanism": "skellam"},
        "removable": {"mechanism": "skellam", "noise_removal": True},
        "central": {"trust": "central"},
    }
    target = None if noise == "none" else dataclasses.replace(TARGET, **changes[noise])
    mean = planned(0.25, target=target)
    release = simulate_mean(mean, updates())
    assert release.mean[0].shape == (64, 64)
    assert release.rounding_bound is None
    if target is None:
        assert mean.event is None
        return
    assert mean.noise is not None
    assert mean.event is not None
    assert mean.noise.dimension == mean.encoding.length == DIMENSION // 4
    assert guarantee({mean.event: 10}, delta=1e-3, relation=mean.event.relation, unit=mean.event.unit).epsilon <= 8.0


def test_compressed_noise_has_the_squared_error_of_the_whole_one() -> None:
    """The planned noise, decoded: its squared error over all entries is the same to within the rounding of the grid."""
    errors = []
    for compression in (1.0, 0.5, 0.1):
        mean = planned(compression, target=TARGET, modulus_bits=32)
        assert mean.noise is not None
        scale = mean.noise.noise_multiplier * mean.encoding.l2_sensitivity * mean.encoding.granularity
        errors.append(mean.encoding.length * (scale * DIMENSION / mean.encoding.length) ** 2)
    assert errors == pytest.approx([errors[0]] * 3, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compression": 0.0}, r"compression: expected a number in \(0, 1\], found 0"),
        ({"compression": 1.5}, r"compression: expected a number in \(0, 1\], found 1\.5"),
        ({"compression": float("nan")}, r"compression: expected a number in \(0, 1\], found nan"),
        ({"compression": True}, r"compression: expected a number in \(0, 1\], found True"),
        ({"weighting": "weighted"}, r"compression: expected 1 for a weighted mean, found less"),
        ({"compression": 0.01}, r"compression: expected at least 0\.0466 for 4096 coordinates in blocks of 4096"),
        ({"shapes": [(64,)]}, r"compression: expected at least 0\.766 for 64 coordinates in blocks of 64, found 0\.25"),
    ],
)
def test_compression_that_cannot_work_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        Encoding.fit(**FIT | {"compression": 0.25} | change)


@pytest.mark.parametrize("kept", [0, 4096, True, 1024.0])
def test_encoding_refuses_kept_rows_that_a_block_does_not_have(kept: Any) -> None:
    with pytest.raises(EncodingError, match=r"kept: expected an int in \[1, 4095\] or None, found"):
        dataclasses.replace(fitted(), kept=kept)


def test_compression_with_too_few_bits_names_the_bits_that_are_enough() -> None:
    with pytest.raises(ModulusTooSmall) as caught:
        fitted(0.25, clients=1000, modulus_bits=12)
    assert fitted(0.25, clients=1000, modulus_bits=caught.value.enough_bits).kept == 1024


def test_compressed_encoding_has_no_rounding_bound() -> None:
    with pytest.raises(EncodingError, match=r"rounding_bound: expected an encoding that sends all coordinates"):
        fitted().rounding_bound(contributors=2)


def test_compressed_encoding_refuses_a_rotation_of_all_rows() -> None:
    with pytest.raises(EncodingError, match=r"rotation: expected one with 1024 rows, found 4096"):
        fitted().encode(
            [np.zeros((64, 64))],
            weight=None,
            rotation=Rotation(DIMENSION, SEED),
            entropy=repeatable_entropy(b"x"),
        )


def test_encoding_states_what_compression_costs() -> None:
    assert fitted(1.0).subsampling_error == fitted(1.0).compression_bias == 0.0
    assert fitted(0.25).subsampling_error == 3.0
    assert fitted(0.25).compression_bias == pytest.approx(0.7 * np.sqrt(3072 / (2 * 1024 * 4095)))
    assert fitted(0.25).weighting is Weighting.UNIFORM
