"""What a node trains on: its digest, its bytes, and refused values and bytes."""

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dp.clipping.adaptive import AdaptiveClip
from protocols.errors import MalformedMessage
from secagg.engines.statistics import WHOLE, UpdateParts
from secagg.engines.work import Work
from secagg.errors import ConfigurationError
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import GlobalClip, PerLayerClip

PARTS = UpdateParts(roles=(ArrayRole.TRAINED, ArrayRole.VARIANCE), l2=0.5, share=0.2, reach=3.0, entries=4)
ARRAYS: dict[str, Any] = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "seen": np.array(7, dtype=np.int64)}


def work(**changes: Any) -> Work:
    given_: dict[str, Any] = {
        "run": "run 1",
        "round": 3,
        "arrays": ARRAYS,
        "settings": {"epochs": 2, "rate": 0.1, "optimizer": "adam", "nesterov": True},
        "clip": AdaptiveClip(bound=0.5, weight=0.25),
        "parts": PARTS,
    }
    return Work(**given_ | changes)


_DTYPES = st.one_of(
    hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.boolean_dtypes()
)
_ARRAYS = st.lists(hnp.arrays(_DTYPES, hnp.array_shapes(min_dims=0, min_side=0)), max_size=4)
_PLAIN = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(st.characters(categories=["L"]), max_size=9)
)


@given(
    arrays=_ARRAYS,
    settings=st.dictionaries(st.text(st.characters(categories=["L"]), min_size=1, max_size=9), _PLAIN, max_size=4),
    clip=st.sampled_from([GlobalClip(), PerLayerClip((0.5, 2.0)), AdaptiveClip(bound=0.5, weight=0.25)]),
    parts=st.sampled_from([WHOLE, PARTS]),
)
def test_work_comes_out_of_its_bytes_as_it_went_in(
    arrays: list[Any], settings: dict[str, Any], clip: Any, parts: UpdateParts
) -> None:
    whole = Work("a run", 7, arrays, settings, clip=clip, parts=parts)
    read = Work.from_bytes(whole.to_bytes())
    assert read.to_bytes() == whole.to_bytes()
    assert read.digest() == whole.digest()
    assert [array.tobytes() for array in read.arrays] == [array.tobytes() for array in whole.arrays]
    assert (read.run, read.round, read.names, read.clip, read.parts) == ("a run", 7, whole.names, clip, parts)
    assert repr(sorted(read.settings.items())) == repr(sorted(settings.items()))  # NaN is not equal to itself.


@pytest.mark.parametrize(
    "change",
    [
        {"run": "run 2"},
        {"round": 4},
        {"arrays": list(ARRAYS.values())},
        {"arrays": dict(reversed(ARRAYS.items()))},
        {"arrays": ARRAYS | {"kernel": ARRAYS["kernel"].astype(np.float64)}},
        {"arrays": ARRAYS | {"kernel": ARRAYS["kernel"].reshape(3, 2)}},
        {"arrays": ARRAYS | {"kernel": np.nextafter(ARRAYS["kernel"], np.float32(9))}},
        {"arrays": ARRAYS | {"seen": np.array([7], dtype=np.int64)}},
        {"settings": {"epochs": 2, "rate": 0.1, "optimizer": "adam"}},
        {"settings": {"epochs": 2.0, "rate": 0.1, "optimizer": "adam", "nesterov": True}},
        {"settings": {"epochs": 2, "rate": 0.1, "optimizer": "adam", "nesterov": 1}},
        {"clip": AdaptiveClip(bound=0.50001, weight=0.25)},
        {"clip": GlobalClip()},
        {"parts": WHOLE},
    ],
)
def test_digest_changes_with_everything_that_a_node_trains_on(change: dict[str, Any]) -> None:
    assert work(**change).digest() != work().digest()


def test_digest_does_not_depend_on_layout_or_on_who_holds_the_arrays() -> None:
    fortran = {name: np.array(array, order="F") for name, array in ARRAYS.items()}
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in ARRAYS.items()}
    settings = dict(sorted(work().settings.items(), reverse=True))
    assert {work(arrays=each).digest() for each in (fortran, swapped)} == {work().digest()}
    assert work(settings=settings).digest() == work().digest()


def test_work_keeps_its_arrays_whatever_becomes_of_those_that_it_was_given() -> None:
    array = np.zeros(3)
    kept = Work("run", 1, [array])
    array[0] = 1.0
    assert kept.arrays[0][0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        kept.arrays[0][0] = 1.0
    assert "array" not in repr(kept)


def test_arrays_of_bytes_are_views_of_them() -> None:
    data = Work("run", 1, [np.zeros(1000)]).to_bytes()
    assert np.shares_memory(Work.from_bytes(data).arrays[0], np.frombuffer(data, dtype=np.uint8))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"run": ""}, "run: expected 1 to 64 printable characters"),
        ({"run": "a\n"}, "run: expected"),
        ({"run": 5}, "run: expected"),
        ({"round": 0}, r"round: expected an int in \[1, "),
        ({"round": True}, "round: expected"),
        ({"arrays": [np.array(["a"])]}, "array '0': expected booleans, integers or floats"),
        ({"arrays": [np.array([1j])]}, "expected booleans"),
        ({"arrays": {"": np.zeros(1)}}, "name in arrays: expected 1 to 200 printable"),
        ({"settings": {"a": None}}, "setting 'a': expected a bool, a float"),
        ({"settings": {"a": 2**63}}, "setting 'a': expected"),
        ({"settings": {"a": [1]}}, "setting 'a': expected"),
        ({"settings": {"a\x1b": 1}}, "name in settings: expected"),
        ({"clip": 1.0}, "clip: expected one of global, per-layer, adaptive, found float"),
    ],
)
def test_work_that_cannot_travel_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        work(**change)


def _rewritten(change: Callable[[list[Any]], object]) -> bytes:
    data = work().to_bytes()
    (length,) = struct.unpack(">I", data[:4])
    header = msgspec.msgpack.decode(data[4 : 4 + length])
    change(header)
    written = msgspec.msgpack.encode(header)
    return struct.pack(">I", len(written)) + written + data[4 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.__setitem__(0, 2),
        lambda header: header.__setitem__(1, "a\n"),
        lambda header: header.__setitem__(2, 0),
        lambda header: header[3][0].__setitem__(1, ">f4"),
        lambda header: header[3][0].__setitem__(1, "<f9"),
        lambda header: header[3][0].__setitem__(1, "|O8"),
        lambda header: header[3][0].__setitem__(2, [2, 4]),
        lambda header: header[3][0].__setitem__(2, [-2, -3]),
        lambda header: header[3][0].__setitem__(2, [2**62, 2**62]),
        lambda header: header[3][1].__setitem__(0, "kernel"),
        lambda header: header[4].reverse(),
        lambda header: header[4].append(header[4][0]),
        lambda header: header.__setitem__(5, ["median", {}]),
        lambda header: header.__setitem__(5, ["global", {"bound": 1.0}]),
        lambda header: header[6].__setitem__("share", 1),
        lambda header: header.append(0),
    ],
)
def test_bytes_that_no_work_has_are_refused(change: Callable[[list[Any]], object]) -> None:
    assert Work.from_bytes(_rewritten(lambda header: None)).digest() == work().digest()
    with pytest.raises(MalformedMessage, match="work: expected"):
        Work.from_bytes(_rewritten(change))


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 40, -1, -9])
def test_cut_bytes_are_refused(cut: int) -> None:
    with pytest.raises(MalformedMessage, match="work: expected"):
        Work.from_bytes(work().to_bytes()[:cut])
    with pytest.raises(MalformedMessage, match="work: expected"):
        Work.from_bytes(work().to_bytes() + b"\0")


def test_header_that_announces_more_than_there_is_costs_nothing() -> None:
    with pytest.raises(MalformedMessage, match="work: expected a header"):
        Work.from_bytes(struct.pack(">I", 2**32 - 1) + bytes(100))
