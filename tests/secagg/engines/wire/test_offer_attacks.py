"""Offers of a coordinator that may offer anything: each is refused at small cost, or makes another session."""

import importlib
import math
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from protocols import Adversary
from protocols.errors import MalformedMessage
from secagg.engines.wire.offer import MOST_BYTES, Offer
from tests.support import plugins
from tests.support.offers import CLIENTS, Offered, made, offered

pytestmark = pytest.mark.slow

PLAIN: Final = offered("plain")
PAIRWISE: Final = offered("secagg-plus", Adversary.MALICIOUS, "skellam-removable")
NOISY: Final = offered("secagg", noise="gaussian-distributed")
CENTRAL: Final = offered("lightsecagg", noise="skellam-central")
ENCRYPTED: Final = offered("oneshot", weighting="weighted", max_weight=50.0)
CASES: Final = {
    "plain": PLAIN,
    "pairwise": PAIRWISE,
    "noisy": NOISY,
    "central": CENTRAL,
    "encrypted": ENCRYPTED,
}
MEMORY: Final = 4 * 2**20


def changed(case: Offered, **changes: Any) -> Offer:
    """Return an offer with other fields, as it arrives."""
    return Offer.from_bytes(replace(case.offer, **changes).to_bytes())


def refused(case: Offered, **changes: Any) -> str:
    """Return the error of an offer with other fields, which is refused when it is decoded or when it is built."""
    with pytest.raises(MalformedMessage) as caught:
        changed(case, **changes).build(case.roster, case.committee_key)
    message = str(caught.value)
    assert len(message) < 500
    assert message.isprintable()
    return message


def pieces(data: bytes) -> list[bytes]:
    """Return the encodings of the elements of an offer, the first of which is its version."""
    return [msgspec.msgpack.encode(each) for each in msgspec.msgpack.decode(data)]


def joined(elements: list[bytes]) -> bytes:
    return b"\xdc" + len(elements).to_bytes(2, "big") + b"".join(elements)


def place(field: str) -> int:
    return 1 + Offer.__struct_fields__.index(field)


def with_element(data: bytes, field: str, element: bytes) -> bytes:
    elements = pieces(data)
    elements[place(field)] = element
    return joined(elements)


def test_pieces_are_those_of_the_offer() -> None:
    """The attacks of this file put offers together from pieces, which must give the very bytes of an offer."""
    for case in CASES.values():
        data = case.offer.to_bytes()
        assert joined(pieces(data)) == data


@pytest.mark.parametrize(
    "version", [b"\x00", b"\x02", b"\xcc\xff", b"\xa11", b"\xc0", b"\xc3", b"\xcb" + struct.pack(">d", 1.0)]
)
def test_other_version_is_refused(version: bytes) -> None:
    """The coordinator names another version of offers; decoding must refuse it."""
    with pytest.raises(MalformedMessage, match="version 1"):
        Offer.from_bytes(joined([version, *pieces(PLAIN.offer.to_bytes())[1:]]))


def test_offer_without_a_version_is_refused() -> None:
    """The coordinator leaves out the version; decoding must refuse the rest."""
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(joined(pieces(PLAIN.offer.to_bytes())[1:]))


def test_missing_and_unknown_fields_are_refused() -> None:
    """The coordinator leaves out or adds a field; decoding must refuse both."""
    elements = pieces(PLAIN.offer.to_bytes())
    for wrong in ([*elements, b"\x00"], elements[:-1]):
        with pytest.raises(MalformedMessage):
            Offer.from_bytes(joined(wrong))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_cut_and_every_tail_is_refused(case: Offered) -> None:
    """The offer is cut anywhere, or has a byte more; decoding must refuse each."""
    data = case.offer.to_bytes()
    for at in range(len(data)):
        with pytest.raises(MalformedMessage):
            Offer.from_bytes(data[:at])
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(data + b"\x00")


@pytest.mark.parametrize(
    "data",
    [None, 5, "offer", [], bytearray(b"\xdc"), b"", b"\xc0", b"\x91" * 10**5, b"\x81" * 10**5],
    ids=["None", "integer", "text", "list", "bytearray", "empty", "nil", "nested lists", "nested maps"],
)
def test_what_is_no_offer_is_refused(data: Any) -> None:
    """The coordinator sends something that is no offer; decoding must refuse it, whatever its type or depth."""
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(data)


@pytest.mark.parametrize(
    ("name", "stride"), [("plain", 3), ("pairwise", 5), ("noisy", 5), ("central", 5), ("encrypted", 7)]
)
def test_every_flipped_bit_is_refused_or_makes_another_session(name: str, stride: int) -> None:
    """Somebody flips a bit; decoding must refuse the offer, or the digest must be another one."""
    case = CASES[name]
    offer, data = case.offer, case.offer.to_bytes()
    others = 0
    for at in range(0, 8 * len(data), stride):  # An odd stride reaches every bit of a byte in some byte.
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        try:
            found = Offer.from_bytes(bytes(flipped))
            mean, session = found.build(case.roster, case.committee_key)
        except MalformedMessage:
            continue
        others += 1
        differing = {name for name, value in asdict(found).items() if value != getattr(offer, name)}
        assert len(differing) == 1
        if mean.protocol.digest(session) == case.digest:  # What one party alone adds does not depend on colluding ones.
            assert differing == {"colluding"} if case is CENTRAL else differing == {"scale"}
            assert differing == {"colluding"} or math.isclose(found.scale or 0, offer.scale or 0, rel_tol=1e-14)
    assert others


@pytest.mark.parametrize(
    ("field", "longer"),
    [
        ("session_id", lambda offer: b"\xc5\x00\x20" + offer.session_id),
        ("protocol", lambda offer: b"\xd9" + bytes([len(offer.protocol)]) + offer.protocol.encode()),
        ("clients", lambda offer: b"\xdc\x00\x07" + bytes(offer.clients)),
        ("clients", lambda offer: b"\x97\xcc\x07" + bytes(offer.clients[1:])),
        ("threshold", lambda offer: b"\xd0" + bytes([offer.threshold])),
        ("threshold", lambda offer: b"\xcb" + struct.pack(">d", offer.threshold)),
        ("clip_l2", lambda offer: b"\xca" + struct.pack(">f", offer.clip_l2)),
        ("max_weight", lambda offer: b"\x01"),
        ("highest", lambda offer: b"\xcf" + offer.highest.to_bytes(8, "big")),
        ("weighting", lambda offer: b"\xc4\x07uniform"),
        ("signed", lambda offer: b"\x01" if offer.signed else b"\x00"),
    ],
)
def test_second_encoding_of_an_offer_is_refused(field: str, longer: Callable[[Offer], bytes]) -> None:
    """The coordinator encodes a value in a second way; canonical decoding must refuse it."""
    offer = PAIRWISE.offer
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(with_element(offer.to_bytes(), field, longer(offer)))


def test_parameters_in_another_order_or_twice_are_refused() -> None:
    """The coordinator reorders or repeats a parameter; canonical decoding must refuse it."""
    data = PAIRWISE.offer.to_bytes()
    names = list(PAIRWISE.offer.parameters)
    assert len(names) == 4
    encoded = {
        name: msgspec.msgpack.encode(name) + msgspec.msgpack.encode(PAIRWISE.offer.parameters[name]) for name in names
    }
    in_order = [encoded[name] for name in sorted(names)]
    assert Offer.from_bytes(with_element(data, "parameters", b"\x84" + b"".join(in_order))) == PAIRWISE.offer
    for element in (b"\x84" + b"".join(reversed(in_order)), b"\x85" + b"".join([*in_order, in_order[-1]])):
        with pytest.raises(MalformedMessage, match="canonical"):
            Offer.from_bytes(with_element(data, "parameters", element))


@pytest.mark.parametrize("field", Offer.__struct_fields__)
@pytest.mark.parametrize(
    "claim",
    [
        b"\xc6\x40\x00\x00\x00",
        b"\xdb\x40\x00\x00\x00",
        b"\xdd\x00\x98\x96\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_announced_sizes_cost_nothing(field: str, claim: bytes) -> None:
    """The coordinator announces a size that does not follow; decoding must refuse it before it takes memory."""
    elements = pieces(PAIRWISE.offer.to_bytes())
    data = joined([*elements[: place(field)], claim, *elements[place(field) + 1 :]])
    tracemalloc.start()
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_ten_million_ids_are_refused_before_they_are_decoded() -> None:
    """The coordinator sends ten million ids; the limit on bytes must stop them before decoding."""
    ids = b"\xdd" + (10**7).to_bytes(4, "big") + bytes(10**7)
    data = with_element(PLAIN.offer.to_bytes(), "clients", ids)
    tracemalloc.start()
    with pytest.raises(MalformedMessage, match=f"at most {MOST_BYTES} bytes"):
        Offer.from_bytes(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_ten_million_ids_take_memory_without_the_limit() -> None:
    """A tenth of them, decoded as they are, already takes more than the 1 MiB that an offer may have."""
    ids = b"\xdd" + (10**6).to_bytes(4, "big") + bytes(10**6)
    tracemalloc.start()
    decoded = msgspec.msgpack.decode(ids)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(decoded) == 10**6
    assert used > 8 * 10**6


@pytest.mark.parametrize("element", [b"\x00", b"\x90", b"\x91\x01", b"\x80", b"\xc0"])
@pytest.mark.parametrize("field", ["clients", "shapes", "members", "parameters"])
def test_a_mebibyte_of_small_elements_takes_little_memory(field: str, element: bytes) -> None:
    """The coordinator fills an offer with small elements; limits on counts must bound the memory."""
    count = (MOST_BYTES - 2000) // len(element)
    data = with_element(PLAIN.offer.to_bytes(), field, b"\xdd" + count.to_bytes(4, "big") + element * count)
    assert len(data) <= MOST_BYTES
    tracemalloc.start()
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(data).build(None, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_a_mebibyte_of_shapes_takes_a_bounded_amount_of_memory() -> None:
    """The coordinator fills an offer with shapes; the limit on bytes must bound the memory."""
    offer = replace(NOISY.offer, shapes=((1,) * 64,) * 15_000)
    tracemalloc.start()
    with pytest.raises(MalformedMessage):
        Offer.from_bytes(replace(offer, signed=True).to_bytes()).build(None, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MOST_BYTES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("shapes", [((2**40,),), ((2**20, 2**20),), ((2**40,), (1,)), ((2**64 - 1,) * 64,) * 100])
def test_huge_vectors_cost_nothing(case: Offered, shapes: Any) -> None:
    """The coordinator asks for a huge vector; building must refuse it before it takes memory."""
    tracemalloc.start()
    refused(case, shapes=shapes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("case", [PLAIN, CENTRAL], ids=["plain", "central"])
def test_vector_of_the_largest_size_costs_nothing_to_build(case: Offered) -> None:
    """Such an offer can have been planned; whether a node wants it is for its policy, which is asked next.

    Its words of 8 bytes take just below 4 GiB, the longest that can be encoded.
    """
    large = made(case.mean.protocol, 6, Adversary.CURIOUS, serial=5, shapes=[(2**29 - 2**20,)], modulus_bits=60)
    offer = large.offer
    tracemalloc.start()
    mean, session = offer.build(None, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mean.encoding.dimension == 2**29 - 2**20
    assert mean.protocol.digest(session) == large.digest
    assert peak < MEMORY


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("session_id", [b"", bytes(31), bytes(33), bytes(64)]),
        (
            "protocol",
            ["", "nothing", "secagg-plus ", "SecAgg", "os:system", "../secagg", "a\nb", "\x00", "x" * 200, "x" * 201],
        ),
        ("clients", [(), CLIENTS[:1], (*CLIENTS[:-1], CLIENTS[0]), (*CLIENTS, 2**32 - 1), (*CLIENTS, -1), (0,) * 7]),
        ("threshold", [0, 1, 8, 2**63, 2**64 - 1, -1]),
        ("shapes", [(), ((0,),), ((4, 5), (5,), (), (0,)), ((-4, -5), (5,), ()), ((1,) * 65,)]),
        ("clip_l2", [0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e-271, 1e271]),
        ("granularity", [0.0, -1.0, math.nan, math.inf, 5e-324, 1e-300, 1e-9, 1.0, 1e270]),
        ("highest", [0, 1, 2, 2**16, 2**32, 2**62, 2**64 - 1]),
        ("weighting", ["", "Uniform", "other"]),
        ("max_weight", [0.0, -1.0, math.nan, math.inf, 1e-271, 1e271]),
        ("inputs", [b"", bytes(31), bytes(33)]),
        ("members", [(1,), (1, 2), (1, 1, 2), (1, 2, 3, 4), (1, 2, 2**32 - 1), (-1, 2, 3), tuple(range(1000))]),
    ],
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_that_no_plan_has_is_refused(case: Offered, field: str, values: list[Any]) -> None:
    """The coordinator sends a value that planning cannot make; building must refuse it."""
    for value in values:
        refused(case, **{field: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"law": "skellam"},
        {"law": "gaussian"},
        {"scale": 5.0},
        {"trust": "local"},
        {"trust": "nobody"},
        {"colluding": 1},
        {"law": "skellam", "scale": 5.0},
        {"law": "skellam", "trust": "local"},
        {"scale": 5.0, "trust": "local"},
    ],
)
def test_noise_that_is_only_half_there_is_refused(changes: dict[str, Any]) -> None:
    """The coordinator describes half of a noise; building must refuse an offer without the rest."""
    refused(PLAIN, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"law": None},
        {"scale": None},
        {"trust": None},
        {"law": None, "scale": None, "trust": None},
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": 1.0},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": 2.0**41},
        {"colluding": 4},
        {"colluding": 2**64 - 1},
        {"law": "removable-skellam", "trust": "central"},
        {"law": "removable-skellam", "trust": "local"},
    ],
)
def test_noise_that_no_plan_has_is_refused(changes: dict[str, Any]) -> None:
    """The coordinator describes a noise that planning cannot make; building must refuse it."""
    assert NOISY.offer.threshold == 4
    refused(NOISY, **changes)


def test_noise_for_which_the_modulus_has_no_room_is_refused() -> None:
    """The coordinator offers noise that wraps around; the check of the reach must refuse it."""
    scale = NOISY.offer.scale
    assert scale is not None
    changed(NOISY, scale=scale).build(None, None)
    assert "wrap" not in refused(NOISY, scale=-scale)
    assert "expected less than" in refused(NOISY, scale=1.1 * scale)


def test_finer_grid_than_fits_is_refused() -> None:
    """The coordinator offers a grid on which the sum wraps around; the check of the reach must refuse it."""
    for case in CASES.values():
        refused(case, granularity=case.offer.granularity / 2**20)


def test_other_grid_than_the_finest_is_refused_without_noise() -> None:
    """The coordinator offers a coarser grid to mark a session; the node must compute the finest and refuse."""
    for case in (PLAIN, ENCRYPTED):
        for factor in (1 - 1e-6, 1 + 1e-6, 2.0):
            assert "granularity" in refused(case, granularity=case.offer.granularity * factor)
        assert "granularity" in refused(case, clip_l2=case.offer.clip_l2 * 1.0001)


def test_grid_that_is_too_coarse_to_be_of_use_is_refused_with_noise() -> None:
    """The coordinator offers a grid as coarse as the clip; building must refuse it."""
    for case in (NOISY, CENTRAL, PAIRWISE):
        refused(case, granularity=case.offer.clip_l2)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"adversary": "curious"},
        {"adversary": "curious", "exponents": "short", "headroom": True, "value_bits": None, "other": 1},
        {"adversary": "curious", "exponents": "short", "headroom": False, "value_bits": None},
        {"adversary": "curious", "exponents": "short", "headroom": True, "value_bits": 16},
        {"adversary": "curious", "exponents": "short", "headroom": 1, "value_bits": None},
        {"adversary": "curious", "exponents": "short", "headroom": True, "value_bits": math.nan},
        {"adversary": "curious", "exponents": "short", "headroom": "yes", "value_bits": None},
        {"adversary": "curious", "exponents": "none", "headroom": True, "value_bits": None},
        {"adversary": "CURIOUS", "exponents": "short", "headroom": True, "value_bits": None},
        {"adversary": 1, "exponents": 2.0, "headroom": None, "value_bits": "x"},
        {"self": 1},
        {"\x00": None, "a b": 1},
        {f"{index:02}": index for index in range(65)},
    ],
)
def test_parameters_that_the_protocol_does_not_keep_are_refused(parameters: dict[str, Any]) -> None:
    """The coordinator sends parameters that the protocol would change or lacks; building must refuse them."""
    refused(ENCRYPTED, parameters=parameters)


def test_parameters_of_another_type_are_refused() -> None:
    """The coordinator sends a parameter of another type; building must refuse it."""
    own = CENTRAL.offer.parameters
    for value in (float(own["privacy"] or 0), True, str(own["privacy"]), None, 2**64 - 1):
        refused(CENTRAL, parameters=own | {"privacy": value})


@pytest.mark.parametrize("value", [[], {}, {"a": 1}, b"bytes", [1]])
def test_parameters_that_are_no_plain_values_are_refused(value: Any) -> None:
    """The coordinator sends a parameter that is no plain value; building must refuse it."""
    refused(CENTRAL, parameters=CENTRAL.offer.parameters | {"privacy": value})


def test_protocol_of_other_kind_of_session_is_refused() -> None:
    """The coordinator names a protocol for which roster or committee do not fit; building must refuse it."""
    refused(PLAIN, signed=True)
    refused(PAIRWISE, signed=False)
    refused(PLAIN, members=(1, 2, 3))
    refused(ENCRYPTED, members=())
    refused(PAIRWISE, parameters=PAIRWISE.offer.parameters | {"adversary": "curious"})
    refused(CENTRAL, protocol="plain")
    refused(PLAIN, protocol="lightsecagg")


BROKEN: Final = """
import sys
from dataclasses import dataclass
from protocols import PlainSum

@dataclass(frozen=True)
class Exiting(PlainSum):
    name = "exiting"
    def __post_init__(self):
        sys.exit("the password is 1234")

@dataclass(frozen=True)
class Dividing(PlainSum):
    name = "dividing"
    def _validate(self, session):
        1 / 0

@dataclass(frozen=True)
class Lying(PlainSum):
    name = "lying"
    def with_headroom(self):
        return 7

@dataclass(frozen=True)
class Small(PlainSum):
    name = "small"
    @classmethod
    def modulus(cls, bits):
        return 0

class Failing(RuntimeError):
    def __str__(self):
        raise RuntimeError

@dataclass(frozen=True)
class Worse(PlainSum):
    name = "worse"
    def __post_init__(self):
        raise Failing
"""


@pytest.mark.parametrize("name", ["exiting", "dividing", "lying", "small", "worse", "missing", "no-protocol"])
def test_other_peoples_protocol_that_fails_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offer names an installed protocol that fails or lies; its error must become a refusal without its text."""
    points = {each: f"other_protocols:{each.title()}" for each in ("exiting", "dividing", "lying", "small", "worse")}
    plugins.install(
        tmp_path, points | {"missing": "no_such_module:Nothing", "no-protocol": "other_protocols:sys"}, module=BROKEN
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(MalformedMessage, match="offer"):
        changed(PLAIN, protocol=name).build(None, None)


texts = st.text(max_size=30)
plain = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), texts)
values: dict[str, st.SearchStrategy[Any]] = {
    "session_id": st.binary(min_size=32, max_size=32),
    "protocol": st.sampled_from(["plain", "secagg", "secagg-plus", "lightsecagg", "oneshot", "paillier"]),
    "parameters": st.dictionaries(texts, plain, max_size=5),
    "clients": st.lists(st.integers(0, 2**32 - 2), max_size=9).map(tuple),
    "threshold": st.integers(0, 2**64 - 1),
    "shapes": st.lists(st.lists(st.integers(1, 2**64 - 1), max_size=3).map(tuple), max_size=3).map(tuple),
    "clip_l2": st.floats(),
    "granularity": st.floats(),
    "kept": st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    "highest": st.integers(0, 2**64 - 1),
    "weighting": st.sampled_from(["uniform", "weighted"]),
    "max_weight": st.floats(),
    "law": st.sampled_from([None, "discrete-gaussian", "skellam", "removable-skellam"]),
    "scale": st.one_of(st.none(), st.floats()),
    "trust": st.sampled_from([None, "distributed", "local", "central"]),
    "colluding": st.integers(0, 2**64 - 1),
    "signed": st.booleans(),
    "inputs": st.binary(min_size=32, max_size=32),
    "members": st.lists(st.integers(0, 2**32 - 2), max_size=4).map(tuple),
}


@given(case=st.sampled_from(list(CASES.values())), changes=st.fixed_dictionaries({}, optional=values))
@settings(max_examples=50, deadline=None)
def test_any_values_are_refused_or_make_the_session_of_the_offer(case: Offered, changes: dict[str, Any]) -> None:
    """The coordinator sends any values; building must refuse them, or make the very session of the offer."""
    offer = changed(case, **changes)
    try:
        mean, session = offer.build(case.roster, case.committee_key)
    except MalformedMessage:
        return
    again = Offer.of(mean, session, offer.serial, offer.inputs)
    assert again == offer


@given(case=st.sampled_from(list(CASES.values())), data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_value_of_one_field_is_refused_or_makes_the_session_of_the_offer(
    case: Offered, data: st.DataObject
) -> None:
    """The coordinator changes one field; building must refuse it, or make the very session of the offer."""
    field = data.draw(st.sampled_from(list(values)))
    offer = changed(case, **{field: data.draw(values[field])})
    try:
        mean, session = offer.build(case.roster, case.committee_key)
    except MalformedMessage:
        return
    assert Offer.of(mean, session, offer.serial, offer.inputs) == offer
