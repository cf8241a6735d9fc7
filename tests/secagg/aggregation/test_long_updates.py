"""Updates that are read piece by piece become the same residues as those in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.errors import InvalidParameter
from dp.noise.distributed import LatticeNoise
from protocols import PlainSum, SecAgg
from protocols.crypto.keystream import word_dtype
from protocols.testing import repeatable_entropy
from secagg.aggregation import long_updates, rounding
from secagg.aggregation.long_updates import write_contribution
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import centred
from secagg.aggregation.weighting import Weighting
from secagg.errors import EncodingError
from secagg.storage.vector_files import VectorFile

SHAPES = [(300, 400), (), (17,), (90_000,)]
WEIGHED: dict[str, Any] = {"weighting": Weighting.WEIGHTED, "max_weight": 20.0}


def planned(**changes: Any) -> SecureMean:
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": range(8),
        "minimum_contributors": 5,
        "shapes": SHAPES,
        "clip_l2": 1.0,
        "modulus_bits": 20,
    }
    return SecureMean.plan(**settings | changes)


def update(folder: Path, scale: float, dtype: Any = np.float64) -> list[NDArray[Any]]:
    generator, arrays = np.random.default_rng(5), list[NDArray[Any]]()
    for number, shape in enumerate(SHAPES):
        np.save(folder / f"{number}.npy", (scale * generator.normal(size=shape)).astype(dtype))
        arrays.append(np.load(folder / f"{number}.npy", mmap_mode="r" if shape else None))
    return arrays


def written(folder: Path, mean: SecureMean, arrays: list[NDArray[Any]], **arguments: Any) -> NDArray[Any]:
    session = mean.session(bytes(16))
    write_contribution(folder / "input", mean, session, arrays, entropy=repeatable_entropy(b"long"), **arguments)
    assert VectorFile(folder / "input", modulus=session.modulus).length == session.length
    return np.fromfile(folder / "input", dtype=word_dtype(session.modulus))


def in_memory(mean: SecureMean, arrays: list[NDArray[Any]], weight: float | None = None) -> NDArray[np.uint64]:
    rotation = mean.rotation(mean.session(bytes(16)))
    return mean.contribution(arrays, rotation=rotation, weight=weight, entropy=repeatable_entropy(b"long")).vector


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_update_within_the_clip_becomes_the_residues_of_the_update_in_memory(dtype: Any, tmp_path: Path) -> None:
    mean, arrays = planned(), update(tmp_path, 1e-3, dtype)
    assert np.array_equal(written(tmp_path, mean, arrays), in_memory(mean, arrays))


def test_weighted_update_becomes_the_residues_of_the_update_in_memory(tmp_path: Path) -> None:
    mean, arrays = planned(**WEIGHED), update(tmp_path, 1e-3)
    assert np.array_equal(written(tmp_path, mean, arrays, weight=3.0), in_memory(mean, arrays, 3.0))


@pytest.mark.parametrize("weights", [{}, WEIGHED], ids=["uniform", "weighted"])
def test_update_above_the_clip_becomes_nearly_the_same_residues(weights: dict[str, Any], tmp_path: Path) -> None:
    """The norm is rounded in another order, so the clip's factor differs in its last digits."""
    mean, arrays = planned(**weights), update(tmp_path, 3.0)
    arguments = {"weight": 3.0} if weights else {}
    modulus = mean.encoding.modulus
    found = centred(written(tmp_path, mean, arrays, **arguments).astype(np.uint64), modulus)
    right = centred(in_memory(mean, arrays, arguments.get("weight")), modulus)
    assert np.abs(found - right).max() <= 1
    assert np.mean(found != right) < 1e-3
    assert float(np.linalg.norm(found.astype(float))) <= mean.encoding.l2_sensitivity


@pytest.mark.parametrize("kind", list(LatticeNoise))
def test_noise_of_the_client_is_added_to_each_piece(kind: LatticeNoise, tmp_path: Path) -> None:
    """A mean of 210,000 squares has a relative deviation of 0.0031; 8 of them are never seen."""
    target = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=0, mechanism=kind)
    mean = planned(target=target, modulus_bits=32)
    zeros = [np.zeros(shape) for shape in SHAPES]
    found = centred(written(tmp_path, mean, zeros).astype(np.uint64), mean.encoding.modulus)
    assert mean.noise is not None
    right = centred(in_memory(mean, zeros), mean.encoding.modulus)
    for part in (slice(None, 2**16), slice(2**16, None)):
        assert float(np.var(found[part])) == pytest.approx(float(np.var(right[part])), rel=0.05)


def test_second_pass_begins_anew_if_the_norm_is_above_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[bool]()

    class Refused(rounding.Rounding):
        @property
        def fits(self) -> bool:
            tries.append(True)
            return len(tries) > 3

    monkeypatch.setattr(rounding, "Rounding", Refused)
    mean, arrays = planned(), update(tmp_path, 1e-3)
    found = written(tmp_path, mean, arrays)
    assert len(tries) == 4
    assert found.size == mean.encoding.length
    assert not np.array_equal(found, in_memory(mean, arrays))


def test_infinite_entry_leaves_no_file(tmp_path: Path) -> None:
    arrays = [np.zeros(shape) for shape in SHAPES]
    arrays[3][-1] = np.inf
    with pytest.raises(InvalidParameter, match="expected finite entries, found NaN or infinity"):
        written(tmp_path, planned(), arrays)
    assert not list(tmp_path.iterdir())


def test_failure_in_the_second_pass_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(long_updates, "_residues", full)
    with pytest.raises(OSError, match="no space left"):
        written(tmp_path, planned(), update(tmp_path, 1e-3))
    assert not list(tmp_path.glob("input*"))


def test_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    written(tmp_path, planned(), update(tmp_path, 1e-3))
    assert (tmp_path / "input").stat().st_mode & 0o777 == 0o600


def test_what_needs_the_whole_vector_is_refused(tmp_path: Path) -> None:
    arrays = update(tmp_path, 1e-3)
    with pytest.raises(EncodingError, match="compression: expected 1 for an update that is read piece by piece"):
        written(tmp_path, planned(protocol=PlainSum(), compression=0.5), arrays)
    removable = Target(
        epsilon=8.0, delta=1e-3, releases=10, colluding=0, mechanism=LatticeNoise.SKELLAM, noise_removal=True
    )
    with pytest.raises(EncodingError, match="noise: expected noise that stays in the sum"):
        written(tmp_path, planned(target=removable, modulus_bits=32), arrays)
    with pytest.raises(EncodingError, match="the update: expected shapes"):
        written(tmp_path, planned(), arrays[1:])
