"""Targets of what travels between coordinator and node, and of the file in which a node keeps its live session."""

import hmac
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from protocols import Adversary
from protocols.crypto.sealing import derive
from protocols.errors import MalformedMessage, RemoteError
from protocols.testing import repeatable_entropy
from secagg.engines.node.live import LiveFile, LiveSession
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Limits, Refusal, Reply, Request, open_reply, open_request
from tests.fuzz.mutate import mutate_bytes
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support.offers import Offered, offered
from tests.support.parcels import COORDINATOR, digested, signed

_RECEIVER: Final = 70000
_LIMITS: Final = Limits(offer_bytes=1000, work_bytes=2000, body_bytes=3000)
_REQUESTS: Final = (
    Request(serial=300, step=0, receiver=_RECEIVER, offer=b"offer" * 20, work=b"work" * 90, body=b"body"),
    Request(serial=2**63, step=3, receiver=_RECEIVER, offer=b"", work=b"", body=bytes(300)),
)
_REPLIES: Final = (
    Reply(serial=300, step=2, sender=4, body=b"answer" * 50),
    Reply(serial=300, step=2, sender=4, refusal=Refusal.OLD, last=2**63),
    Reply(serial=0, step=0, sender=4, refusal=Refusal.NOT_FOR_ME),
)
_OFFERED: Final[dict[str, Callable[[], Offered]]] = {
    "plain": partial(offered, "plain"),
    "pairwise": partial(offered, "secagg-plus", Adversary.MALICIOUS, "skellam-removable"),
    "lightsecagg": partial(offered, "lightsecagg", Adversary.CURIOUS, "gaussian-central"),
    "oneshot": partial(offered, "oneshot", Adversary.MALICIOUS, "gaussian-distributed"),
    "seeds": partial(offered, "seeds", Adversary.MALICIOUS, "gaussian-distributed"),
    "compressed": partial(offered, "plain", shapes=[(64, 64)], compression=0.5),
}
_LIVE: Final = tuple(
    LiveSession(step=step, request=bytes(32), reply=b"reply" * 20, offer=b"offer" * 20, snapshot=snapshot)
    for step, snapshot in ((0, b"sealed" * 50), (3, b""))
)
_LIVE_LABEL: Final = b"secagg live session, file format 1\n"
_TAG_BYTES: Final = 32


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("engine/request", 20, _request),
        Entry("engine/request/signed", 20, _signed_request),
        Entry("engine/reply", 40, _reply),
        Entry("engine/reply/digested", 40, _digested_reply),
        *(Entry(f"engine/offer/{label}", 8, partial(_offer, label)) for label in _OFFERED),
        Entry("engine/live", 8, partial(_live, tagged=False)),
        Entry("engine/live/content", 8, partial(_live, tagged=True)),
    ]


def _opened(data: bytes) -> Request:
    return open_request(data, coordinator=COORDINATOR.public, receiver=_RECEIVER, limits=_LIMITS)


def _request(folder: Path) -> Target:
    sealed = tuple(request.seal(COORDINATOR) for request in _REQUESTS)

    def read(data: bytes) -> None:
        if _opened(data) not in _REQUESTS or data not in sealed:
            raise Finding("a request was accepted that nobody has signed")

    return Target(
        seeds=sealed,
        run=read,
        mutate=mutate_msgpack,
        refusals=(RemoteError,),
        covers=("secagg.engines.wire.parcel:open_request",),
        canaries=(COORDINATOR.secret.reveal().hex(),),
        memory_base=2**17,
    )


def _signed_request(folder: Path) -> Target:
    """A request whose fields are changed before it is signed."""

    def read(data: bytes) -> None:
        sealed = _remade(data, signed)
        if _opened(sealed).seal(COORDINATOR) != sealed:
            raise Finding("a second encoding of one request was accepted")

    numbers_and_parts = [
        [1, each.serial, each.step, each.receiver, each.offer, each.work, each.body] for each in _REQUESTS
    ]
    return Target(
        seeds=tuple(map(msgspec.msgpack.encode, numbers_and_parts)),
        run=read,
        mutate=mutate_msgpack,
        refusals=(RemoteError,),
        covers=("secagg.engines.wire.parcel:open_request",),
    )


def _remade(data: bytes, make: Callable[[list[Any]], bytes]) -> bytes:
    """Return what is made of the fields that the data encodes."""
    try:
        return make(msgspec.msgpack.decode(data))
    except (msgspec.MsgspecError, IndexError, RecursionError, TypeError, ValueError, OverflowError):
        raise MalformedMessage("no fields") from None


def _check_reply(data: bytes) -> None:
    if open_reply(data, 400).to_bytes() != data:
        raise Finding("a second encoding of one reply was accepted")


def _reply(folder: Path) -> Target:
    return Target(
        seeds=tuple(reply.to_bytes() for reply in _REPLIES),
        run=_check_reply,
        mutate=mutate_msgpack,
        refusals=(MalformedMessage,),
        covers=("secagg.engines.wire.parcel:open_reply",),
        memory_base=2**17,
    )


def _digested_reply(folder: Path) -> Target:
    """A reply whose fields are changed before its digest is computed."""
    fields = [[1, each.serial, each.step, each.sender, each.refusal, each.last, each.body] for each in _REPLIES]
    return Target(
        seeds=tuple(map(msgspec.msgpack.encode, fields)),
        run=lambda data: _check_reply(_remade(data, digested)),
        mutate=mutate_msgpack,
        refusals=(MalformedMessage,),
        covers=("secagg.engines.wire.parcel:open_reply",),
    )


def _offer(label: str, folder: Path) -> Target:
    case = _OFFERED[label]()
    in_epoch = ("secagg.engines.wire.offer:Offer._in_epoch",) if label == "seeds" else ()

    def read(data: bytes) -> None:
        offer = Offer.from_bytes(data)
        if offer.to_bytes() != data:
            raise Finding("a second encoding of one offer was accepted")
        mean, session = offer.build(case.roster, case.committee_key)
        if Offer.of(mean, session, offer.serial, offer.inputs) != offer:
            raise Finding("the session is not the one that was offered")

    return Target(
        seeds=(case.offer.to_bytes(),),
        run=read,
        mutate=mutate_msgpack,
        refusals=(MalformedMessage,),
        covers=("secagg.engines.wire.offer:Offer.from_bytes", "secagg.engines.wire.offer:Offer.build", *in_epoch),
        memory_base=2**22,
    )


class _NoSession(Exception):
    """The file holds no live session that can be used."""


def _live(folder: Path, *, tagged: bool) -> Target:
    """The file of a node's live session; with `tagged`, its content, for which the tag is made anew."""
    folder.chmod(0o700)
    live, path = LiveFile(folder, entropy=repeatable_entropy(b"a live folder")), folder / "session"
    key, whole = live.key(), []
    for session in _LIVE:
        live.write(session)
        whole.append(path.read_bytes())

    def read(data: bytes) -> None:
        if tagged:
            tag = hmac.digest(derive(key, _LIVE_LABEL).reveal(), data, "sha256")
            data = _LIVE_LABEL + tag + data
        found = LiveFile(placed(path, data).parent, entropy=repeatable_entropy(b"")).read()
        if found is None:
            raise _NoSession
        if not tagged and data not in whole:
            raise Finding("a file was accepted that nobody has written")

    start = len(_LIVE_LABEL) + _TAG_BYTES
    return Target(
        seeds=tuple(each[start:] if tagged else each for each in whole),
        run=read,
        mutate=mutate_msgpack if tagged else mutate_bytes,
        refusals=(_NoSession,),
        covers=("secagg.engines.node.live:LiveFile.read",),
        canaries=(key.reveal().hex(),),
        memory_base=2**17,
    )
