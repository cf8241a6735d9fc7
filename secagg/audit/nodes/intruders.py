"""What a stranger may send to a node, and what a node's failure may tell."""

from typing import Final

from protocols import Identity, Secret
from secagg.audit.attack import Plan, Result
from secagg.audit.nodes.base import NodeAttack, result
from secagg.audit.nodes.federation import VICTIM, Federation, reply_of, trained, work_of
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.overheard import overheard
from secagg.audit.seeds import Tape, generator_of
from secagg.engines.base import Update
from secagg.engines.wire.parcel import Refusal
from secagg.engines.wire.work import Work

_NODES: Final = 4
_FLIPS: Final = 40
_CANARY: Final = "patient 4711 of ward 3"


class Stranger(NodeAttack):
    """Requests that the coordinator has not signed come to a node in the middle of a session."""

    id = "attack.node.stranger"
    title = "A stranger signs offers by itself and alters signed ones, and every file of the node is compared"
    tests = ("C-38",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        stranger = Identity(Secret(Tape(seed, "stranger")(32)))
        with Federation.of(subject, seed, nodes=_NODES) as federation:
            station = federation.stations[VICTIM]
            station.answer(federation.parcel(federation.offer(1, work_of()), work_of()), trained)
            before, later = federation.files(), federation.offer(2, work_of(2))
            forged = federation.parcel(later, work_of(2), signer=stranger)
            honest = federation.parcel(later, work_of(2))
            for what, parcel in (("signed by a stranger", forged), *_flipped(honest, seed)):
                reply = reply_of(station.answer(parcel, trained))
                if reply.refusal is None:
                    return result(f"A node answered a request {what}.")
                if federation.files() != before:
                    return result(f"A request {what} has changed files of the node.")
        return result("")


class ErrorText(NodeAttack):
    """A node's training fails with an error whose text has a record of the data in it."""

    id = "attack.node.error_text"
    title = "A node's training fails with an error that names a record, and its reply and log are searched for it"
    tests = ("C-37",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        with Federation.of(subject, seed, nodes=_NODES) as federation:
            parcel = federation.parcel(federation.offer(1, work_of()), work_of())
            with overheard() as texts:
                data = federation.stations[VICTIM].answer(parcel, _failing)
        if _CANARY.encode() in data:
            return result("The reply of a node whose training failed has the text of the error in it.")
        if reply_of(data).refusal is not Refusal.FAILED:
            return result("A node whose training failed did not refuse under the code for that.")
        for what, text in texts:
            if _CANARY in text:
                return result(f"The text of an error of training is in {what}.")
        return result("")


def _failing(work: Work) -> Update:
    raise ValueError(f"cannot parse {_CANARY} in round {work.round}")


def _flipped(parcel: bytes, seed: bytes) -> list[tuple[str, bytes]]:
    """Return copies of a request with one bit flipped each."""
    places = generator_of(seed, "flips").choice(8 * len(parcel), _FLIPS, replace=False)
    found = []
    for place in sorted(int(each) for each in places):
        altered = bytearray(parcel)
        altered[place // 8] ^= 1 << place % 8
        found.append((f"with bit {place} altered", bytes(altered)))
    return found
