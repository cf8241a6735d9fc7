from dataclasses import replace

import msgspec
import numpy as np
import pytest
from msgspec import structs

from protocols.secure_sum import Complaint
from secagg.engines.base import Release
from secagg.engines.findings import Findings
from secagg.engines.server.kept import KeptOpening, KeptRelease
from secagg.errors import CoordinatorError

SHAPES = [(), (31,), (32,), (8191,), (8192, 1), *[(2, 1)] * 12]
"""Their numbers of bytes, and their own number, are beside the limits of MessagePack's headers."""


def kept_release() -> KeptRelease:
    generator = np.random.default_rng(3)
    release = Release(
        mean=[np.asarray(generator.normal(size=shape)) for shape in SHAPES],
        contributors=(1, 2, 300),
        dropped={"send": (4,)},
        realised=None,
        rounding_bound=0.25,
    )
    return KeptRelease(inputs=bytes(32), run="run", round=70000, reservation=None, details={"a": 1}, release=release)


def test_pieces_of_a_release_are_its_messagepack() -> None:
    kept = kept_release()
    arrays = [(array.shape, array.tobytes()) for array in kept.release.mean]
    fields = ["release 1", bytes(32), "run", 70000, None, {"a": 1}, arrays, [1, 2, 300], {"send": [4]}, None, 0.25]
    assert b"".join(kept.pieces()) == msgspec.msgpack.encode(fields)


def test_release_is_read_as_it_was_kept_and_refused_if_it_is_cut() -> None:
    kept = kept_release()
    data = b"".join(kept.pieces())
    found = KeptRelease.from_bytes(data)
    for array, expected in zip(found.release.mean, kept.release.mean, strict=True):
        assert array.shape == expected.shape
        assert np.array_equal(array, expected)
        assert array.flags.writeable
    assert found.release.contributors == kept.release.contributors
    with pytest.raises(CoordinatorError, match="found others"):
        KeptRelease.from_bytes(data[:-1])


def test_findings_of_a_release_are_kept_and_are_left_out_if_there_are_none() -> None:
    kept = kept_release()
    findings = Findings(verified=False, culprits=frozenset({9, 4}), complaints=(Complaint(9, 300, "does not open"),))
    told = structs.replace(kept, release=replace(kept.release, findings=findings))
    assert KeptRelease.from_bytes(b"".join(told.pieces())).release.findings == findings
    assert KeptRelease.from_bytes(b"".join(kept.pieces())).release.findings == Findings()


def test_pieces_of_a_release_are_views_of_its_arrays() -> None:
    kept = kept_release()
    views = [piece for piece in kept.pieces() if isinstance(piece, memoryview)]
    for view, array in zip(views, kept.release.mean, strict=True):
        assert np.shares_memory(np.frombuffer(view, dtype=np.uint8), array)


@pytest.mark.parametrize("size", [0, 255, 256, 65535, 65536])
def test_pieces_of_an_opening_are_its_messagepack(size: int) -> None:
    kept = KeptOpening(inputs=bytes(32), reservation=7, offer=b"offer", state=bytes(size))
    data = b"".join(kept.pieces())
    assert data == msgspec.msgpack.encode(kept)
    assert KeptOpening.from_bytes(data) == kept
