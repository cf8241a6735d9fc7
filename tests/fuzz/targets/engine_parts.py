"""Targets of a whole station, and of works, claims and files with which the engines work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from protocols.errors import DamagedSnapshot, MalformedMessage
from protocols.secure_sum import Complaint
from protocols.testing import repeatable_entropy
from secagg.engines.base import Release
from secagg.engines.findings import Findings
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station
from secagg.engines.nvflare.local_file import FILE_NAME, LocalFile
from secagg.engines.nvflare.model_file import read_model, write_model
from secagg.engines.nvflare.site_policy import check_site
from secagg.engines.server.kept import KeptOpening, KeptRelease
from secagg.engines.server.opening_state import OpeningState
from secagg.engines.wire.claim import Query
from secagg.engines.wire.parcel import Refusal, open_reply, open_request
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, CoordinatorError, ModelError
from secagg.planning.cost.constants import default_constants, read_constants
from tests.fuzz.mutate import mutate_fields, mutate_text
from tests.fuzz.mutate_files import mutate_npz
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support.parcels import signed
from tests.support.stations import COORDINATOR, Cohort, identity_of, training

_NODE: Final = 5
_LENGTH_BYTES: Final = 4


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("engine/station", 4, _station),
        Entry("engine/work", 10, _work),
        Entry("engine/query", 10, _query),
        Entry("engine/claim", 4, _claim),
        Entry("engine/kept/release", 8, _release),
        Entry("engine/kept/opening", 8, _opening),
        Entry("engine/state", 8, _state),
        Entry("engine/flare/local", 8, _local_file),
        Entry("engine/flare/model", 4, _model_file),
        Entry("engine/flare/site", 4, _site),
        Entry("engine/constants", 4, _constants),
    ]


class _Refused(Exception):
    """What was read is refused, as it should be."""


def _station(folder: Path) -> Target:
    """A station that gets requests whose fields are changed before the coordinator signs them."""
    folder.chmod(0o700)
    cohort = Cohort(protocol="secagg")
    home = cohort.make_home(folder, _NODE)
    station = Station(home, clock=lambda: 0.0)
    first = cohort.attempt(1)
    parcels = [first.parcel(_NODE)]
    reply = open_reply(station.answer(parcels[0], training(_NODE)), 2**20)
    first.advance({_NODE: reply.body, **first.replies(_NODE)})
    parcels += [first.parcel(_NODE), cohort.attempt(2).parcel(_NODE)]

    def read(data: bytes) -> None:
        try:
            parcel = signed(msgspec.msgpack.decode(data), COORDINATOR)
        except (msgspec.MsgspecError, IndexError, RecursionError, TypeError, ValueError, OverflowError):
            raise _Refused from None
        refusal = open_reply(station.answer(parcel, training(_NODE)), 2**20).refusal
        if refusal is Refusal.FAILED:
            raise Finding("a request made the training fail")
        if refusal is not None:
            raise _Refused

    return Target(
        seeds=tuple(_fields(parcel, home) for parcel in parcels),
        run=read,
        mutate=mutate_msgpack,
        refusals=(_Refused,),
        covers=(
            "secagg.engines.node.station:Station._joined",
            "secagg.engines.node.station:Station._continued",
            "secagg.engines.node.station:Station._work",
        ),
        memory_base=2**22,
    )


def _fields(parcel: bytes, home: Home) -> bytes:
    """Return the fields of a request, without its signature."""
    request = open_request(parcel, coordinator=COORDINATOR.public, receiver=_NODE, limits=home.policy.limits())
    parts = map(bytes, (request.offer, request.work, request.body))
    return msgspec.msgpack.encode([1, request.serial, request.step, request.receiver, *parts])


def _works() -> list[Work]:
    arrays = {"kernel": np.ones((2, 3), np.float32), "steps": np.arange(4), "flags": np.array([True, False])}
    return [Work("run 1", 1, arrays, {"epochs": 2, "rate": 0.5, "name": "a", "on": True}), Work("b", 9, [np.zeros(3)])]


def _work(folder: Path) -> Target:
    def read(data: bytes) -> None:
        if Work.from_bytes(data).to_bytes() != data:
            raise Finding("a second encoding of one work was accepted")

    return Target(
        seeds=tuple(work.to_bytes() for work in _works()),
        run=read,
        mutate=mutate_fields([_LENGTH_BYTES]),
        refusals=(MalformedMessage,),
        covers=("secagg.engines.wire.work:_split", "secagg.engines.wire.work:_arrays"),
    )


def _query(folder: Path) -> Target:
    queries = [Query.new("run", address, entropy=repeatable_entropy(b"query")) for address in (0, 2**64 - 1)]

    def read(data: bytes) -> None:
        found = Query.of(data)
        if found is None:
            raise _Refused
        if found.to_bytes() != data:
            raise Finding("a second encoding of one query was accepted")

    return Target(
        seeds=tuple(query.to_bytes() for query in queries),
        run=read,
        mutate=mutate_fields([20, 32, 32]),
        refusals=(_Refused,),
        covers=("secagg.engines.wire.claim:Query.of",),
    )


def _claim(folder: Path) -> Target:
    query = Query.new("run", 5, entropy=repeatable_entropy(b"query"))
    identities = {node: identity_of(node) for node in (1, 2)}
    roster = {node: identity.public for node, identity in identities.items()}
    answers = {node: query.claim(identity, node) for node, identity in identities.items()}

    def read(data: bytes) -> None:
        node = query.claimant(data, roster)
        if node is None:
            raise _Refused
        if answers.get(node) != data:
            raise Finding("a claim was believed that the node's key has not signed")

    return Target(
        seeds=tuple(answers.values()),
        run=read,
        mutate=mutate_fields([4]),
        refusals=(_Refused,),
        covers=("secagg.engines.wire.claim:Query.claimant",),
    )


def _joined(value: Any) -> bytes:
    return b"".join(map(bytes, value.pieces()))


def _release(folder: Path) -> Target:
    releases = [
        KeptRelease(
            inputs=bytes(32),
            run="run",
            round=3,
            reservation=number,
            details={"trust": "local", "clients": 4},
            release=Release(
                mean=[np.ones((2, 2)), np.zeros(3)],
                contributors=(1, 2),
                dropped={"mask": (3,)},
                realised=None,
                rounding_bound=bound,
                findings=findings,
            ),
        )
        for number, bound, findings in (
            (None, None, Findings()),
            (5, 1e-3, Findings(verified=False, culprits=frozenset({9}), complaints=(Complaint(9, 2, "seed differs"),))),
        )
    ]
    return Target(
        seeds=tuple(map(_joined, releases)),
        run=KeptRelease.from_bytes,
        mutate=mutate_msgpack,
        refusals=(CoordinatorError,),
        covers=(
            "secagg.engines.server.kept:KeptRelease.from_bytes",
            "secagg.engines.server.kept:_decoded",
            "secagg.engines.server.kept:_findings",
        ),
    )


def _opening(folder: Path) -> Target:
    openings = [
        KeptOpening(inputs=bytes(32), reservation=number, offer=b"offer", state=b"state" * 9) for number in (None, 7)
    ]
    return Target(
        seeds=tuple(map(_joined, openings)),
        run=KeptOpening.from_bytes,
        mutate=mutate_msgpack,
        refusals=(CoordinatorError,),
        covers=("secagg.engines.server.kept:KeptOpening.from_bytes",),
    )


def _state(folder: Path) -> Target:
    state = OpeningState("unmask", (b"one", b"two" * 9), ((1, 0), (4, 1), (5, 0)), memoryview(b"sealed" * 20))

    def read(data: bytes) -> None:
        if OpeningState.from_bytes(data).to_bytes() != data:
            raise Finding("a second encoding of one opening was accepted")

    return Target(
        seeds=(state.to_bytes(),),
        run=read,
        mutate=mutate_msgpack,
        refusals=(DamagedSnapshot,),
        covers=("secagg.engines.server.opening_state:OpeningState.from_bytes",),
    )


_LOCAL: Final = b"""\
[node]
home = "/srv/{site}"
train = "digits_site:train"

[coordinators.digits]
folder = "/srv/coordinator"
submitters = ["lead@example.org"]
members = ["site-1", "site-2"]
"""
_SITE: Final = b"""\
{"servers": [{"name": "example", "service": {"scheme": "grpc"}}], "client": {"ssl_private_key": "client.key"},
 "format_version": 2, "secure_train": true, "class_allow_list": ["a.b"], "permissions": {"lead": "any"}}
"""


def _file(name: str, seed: bytes, run: Callable[[Path], object], error: type[Exception], covered: str) -> Any:
    """Return the builder of a target that reads a text file of this name."""

    def build(folder: Path) -> Target:
        def read(data: bytes) -> None:
            run(placed(folder / name, data))

        return Target(seeds=(seed,), run=read, mutate=mutate_text, refusals=(error,), covers=(covered,))

    return build


_local_file = _file(
    FILE_NAME,
    _LOCAL,
    lambda path: LocalFile.read(path.parent),
    ConfigurationError,
    "secagg.engines.nvflare.local_file:LocalFile.read",
)
_constants = _file(
    "constants.json",
    default_constants().to_bytes(),
    read_constants,
    ConfigurationError,
    "secagg.planning.cost.constants:_parsed",
)


def _model_file(folder: Path) -> Target:
    seeds = []
    for work in _works():
        write_model(folder / "model", dict(zip(work.names, work.arrays, strict=True)))
        seeds.append((folder / "model").read_bytes())
    return Target(
        seeds=tuple(seeds),
        run=lambda data: read_model(placed(folder / "model", data)),
        mutate=mutate_npz,
        refusals=(ModelError,),
        covers=("secagg.engines.nvflare.model_file:read_model",),
    )


def _site(folder: Path) -> Target:
    """The files of a startup kit, which all have the same content here."""
    for name in ("startup", "local"):
        (folder / name).mkdir()

    def read(data: bytes) -> None:
        for name in ("startup/fed_client.json", "local/authorization.json", "local/resources.json"):
            placed(folder / name, data)
        check_site(folder)

    return Target(
        seeds=(_SITE, json.dumps({"permissions": {"lead": {"byoc": "none"}}}).encode()),
        run=read,
        mutate=mutate_text,
        refusals=(ConfigurationError,),
        covers=("secagg.engines.nvflare.site_policy:_json",),
    )
