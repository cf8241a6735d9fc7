"""No secret occurs in a message, log record, repr, pickle or error of a session.

The canaries are the clients' vectors, attached secrets, secret keys of identities, key shares of a committee, every
piece of at least 16 bytes that is read from a tape, every value of the class `Secret` that depends on a tape,
every share of Shamir's secret sharing, and every plaintext that is sealed under a symmetric key.

Two kinds of shares are revealed by design, and only by the replies of the last step: for each client, either those of
its self-mask's seed or those of its masking key. So a share may occur in replies of the last step, but those of two
secrets of one client never do, and those of an attached secret only if a rule opens it; here no rule does.
"""

import contextlib
import pickle
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from protocols import Client, Opening, ProtocolError, RemoteError, Role, Secret, Server, Transmission
from protocols.errors import InputError, ParameterError
from protocols.session import Extra, Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.everywhere import replaced_everywhere
from secagg.audit.overheard import Text, overheard, told_by
from secagg.audit.reachable import reachable
from secagg.audit.seeds import Tape
from secagg.audit.sums.canaries import LEAST, Canaries
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.codecs import members_at
from secagg.audit.sums.cohort import Cohort, identity_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.polynomials import Sharing, noted_sharing
from secagg.audit.sums.recorded import Recorded, record, replayed, tapes_of
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 40
_CLIENTS: Final = 4
_FRACTION: Final = 0.25
_SPOILT: Final = (5, -1)
"""Positions at which requests and replies are altered: in the digest, and at the end."""


class NoSecrets(Attack[SumSubject]):
    """Sessions with altered messages are searched for canaries, with all loggers at their most verbose level."""

    id = "invariant.secrets.canaries"
    title = "Search messages, logs, reprs, pickles and errors of sessions for secrets"
    layer = Layer.INVARIANT
    tests = ("C-12", "C-03")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = _cohort(subject)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        brief = level is Level.QUICK and cohort.protocol.needs_committee
        return Plan(trials=1 if brief else 2, cpu_s=1.0, details=members_at(level, cohort))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = _cohort(subject)
        dropouts: list[dict[str, list[int]]] = [{}, _late(cohort)][: plan.trials]
        messages = texts = 0
        for number, drops in enumerate(dropouts):
            heard = _Heard(cohort, random_inputs(cohort, seed), seed + bytes([number]))
            heard.listen(drops, members=plan.details)
            messages, texts = messages + len(heard.view), texts + len(heard.texts)
            if evidence := heard.shown():
                break
            if heard.failure is not None and not drops:
                raise heard.failure
        statistic = f"secrets in {messages} messages and {texts} texts"
        return Result(statistic=statistic, value=float(bool(evidence)), rejected=bool(evidence), evidence=evidence)


def _cohort(subject: SumSubject) -> Cohort:
    """Return a cohort that tolerates a dropout if there is one, with two attached secrets that no rule opens."""
    try:
        subject.cohort(_CLIENTS, length=_LENGTH, dropout=_FRACTION)
        dropout: float | None = _FRACTION
    except ParameterError:
        dropout = None
    cohort = subject.cohort(_CLIENTS, length=_LENGTH, dropout=dropout)
    if Extra.ATTACHED not in cohort.protocol.accepts:
        return cohort
    never = Opening(least_dropped=_CLIENTS, most_dropped=_CLIENTS)
    return subject.cohort(_CLIENTS, length=_LENGTH, dropout=dropout, attached=(never, never))


def _late(cohort: Cohort) -> dict[str, list[int]]:
    """Return the dropout of one client in the last step but one that asks clients, if the threshold allows it."""
    if cohort.session.threshold == len(cohort.session.clients):
        return {}
    names = [row.name for row in cohort.protocol.steps if row.role is Role.CLIENT]
    return {names[max(0, len(names) - 2)]: [cohort.session.clients[1]]}


class _Heard(CipherSpy):
    """A session with everything that is written during it, and the secrets that must not be in it."""

    def __init__(self, cohort: Cohort, inputs: dict[int, Vector], seed: bytes) -> None:
        super().__init__()
        self._cohort, self._inputs, self._seed = cohort, inputs, seed
        self._shared: dict[int, list[Sharing]] = defaultdict(list)
        self._calls: list[Sharing] = []
        self._secrets: set[bytes] = set()
        self._tapes: dict[int, Tape] = {}
        self._pickles: dict[bytes, str] = {}
        self.view: list[Transmission] = []
        self.texts: list[Text] = []
        self.failure: ProtocolError | None = None

    def asked(self, client: Client, request: Transmission) -> None:
        """Note the party's repr and pickle, and the request."""
        super().asked(client, request)
        self.view.append(request)
        self._describe(client)

    def received(self, server: Server, reply: Transmission) -> bytes:
        """Note the reply, and let the server refuse altered ones."""
        super().received(server, reply)
        sender = -1 if reply.sender is None else reply.sender
        self._shared[sender] += self._calls
        self._calls.clear()
        self.view.append(reply)
        for altered in (_flipped(reply.data, _SPOILT[0]), reply.data[:-1]):
            try:
                server.receive(sender, altered)
            except RemoteError as error:
                self.texts.append(told_by(error))
        return reply.data

    def closing(self, server: Server) -> None:
        """Note the server's repr and pickle."""
        super().closing(server)
        self._describe(server)

    def listen(self, drops: dict[str, list[int]], *, members: int | None) -> None:
        """Run a session, and then single parties with altered requests, whose errors are kept."""
        cohort = self._cohort
        with overheard() as texts, self.watching(), replaced_everywhere([noted_sharing(self._calls)]):
            try:
                with noted_secrets(self._secrets):
                    recorded = record(cohort, self._inputs, self._tape, drops=drops, watcher=self, members=members)
                self._secrets -= self._public(recorded)
                self.texts += _errors(recorded, self._seed, self._inputs)
            except ProtocolError as error:
                self.failure = error
                self.texts.append(told_by(error))
        self.texts += texts

    def refused(self, error: ProtocolError) -> None:
        """Note what an error tells."""
        self.texts.append(told_by(error))

    def _public(self, recorded: Recorded) -> set[bytes]:
        """Return the values of class `Secret` that a client makes again from another tape: they are no secrets."""
        client, found = self._cohort.session.clients[0], set[bytes]()
        with noted_secrets(found):
            list(replayed(recorded, client, Tape(self._seed, "another tape")))
        return found

    def _tape(self, party: int) -> Tape:
        self._tapes[party] = tapes_of(self._seed)(party)
        return self._tapes[party]

    def shown(self) -> str:
        """Return where a secret is shown, in words; empty if none is."""
        secrets = self._canaries()
        revealed, last = self._shares_by_bytes(), self._cohort.protocol.steps[-1].name
        seen: dict[int, set[bytes]] = defaultdict(set)
        for each in self.view:
            where = f"a message of step {each.step} from {'the server' if each.sender is None else each.sender}"
            if (name := secrets.in_bytes(each.data)) is not None:
                return f"{where} holds {name}"
            for share, (owner, secret) in revealed.items():
                if share not in each.data:
                    continue
                if each.step != last or each.sender is None:
                    return f"{where} holds a share of a secret of client {owner}"
                seen[owner].add(secret)
        for owner, shared in seen.items():
            attached = {one.reveal() for one in self._cohort.attached(owner)}
            if len(shared) > 1 or shared & attached:
                return f"the replies of step {last} hold shares of a secret of client {owner} that is not revealed"
        for data, kind in self._pickles.items():
            if (name := secrets.in_bytes(data)) is not None:
                return f"{name} is in the pickle of a {kind}"
        for where, text in dict.fromkeys(self.texts):
            if (name := secrets.in_text(text)) is not None:
                return f"{name} is shown by {where}"
        return ""

    def _canaries(self) -> Canaries:
        cohort, found = self._cohort, Canaries()
        for client, vector in self._inputs.items():
            found.add_vector(f"the vector of client {client}", vector, cohort.session.modulus)
            found.add(f"the secret key of client {client}'s identity", identity_of(client).secret.reveal())
            for secret in cohort.attached(client):
                found.add(f"an attached secret of client {client}", secret.reveal())
        for member, share in cohort.key_shares.items():
            number = getattr(share, "reveal", lambda: 0)()
            found.add(f"the key share of member {member}", number.to_bytes(-(-number.bit_length() // 8), "big"))
        for party, tape in self._tapes.items():
            for piece in _pieces(self._seed, party, tape.sizes):
                found.add(f"randomness of party {party}", piece)
        shares = self._shares_by_bytes()
        for value in sorted(self._secrets - shares.keys()):
            found.add(f"a secret value of {len(value)} bytes", value)
        for sealing in self.sealings:
            found.add_whole(f"a plaintext sealed by party {sealing.moment.party}", sealing.plaintext)
        return found

    def _shares_by_bytes(self) -> dict[bytes, tuple[int, bytes]]:
        return {
            share: (owner, call.secret)
            for owner, calls in self._shared.items()
            for call in calls
            for share in call.shares.values()
        }

    def _describe(self, machine: Client | Server) -> None:
        for part in reachable(machine):
            kind = type(part).__name__
            self.texts.append((f"the repr of a {kind}", f"{part!r} {part!s}"))
            try:
                self._pickles[pickle.dumps(part)] = kind
            except Exception as error:  # noqa: BLE001 - Whatever refuses, nothing was pickled.
                self.texts.append((f"the refusal to pickle a {kind}", f"{error!r} {error!s}"))


@contextlib.contextmanager
def noted_secrets(found: set[bytes]) -> Iterator[None]:
    """Add the bytes of every `Secret` that is made meanwhile to a set."""
    original = Secret.__init__

    def begin(secret: Secret, value: bytes) -> None:
        original(secret, value)
        found.add(bytes(value))

    Secret.__init__ = begin  # type: ignore[assignment, method-assign]  # For a limited time.
    try:
        yield
    finally:
        Secret.__init__ = original  # type: ignore[method-assign]  # As it was.


def _pieces(seed: bytes, party: int, sizes: list[int]) -> Iterator[bytes]:
    """Yield what a party read from its tape, in pieces of at least 16 bytes."""
    tape = tapes_of(seed)(party)
    for size in sizes:
        piece = tape(size)
        if size >= LEAST:
            yield piece


def _errors(recorded: Recorded, seed: bytes, inputs: dict[int, Vector]) -> Iterator[Text]:
    """Yield what errors tell: of parties that receive altered requests, and of one whose vector is out of range."""
    cohort = recorded.cohort
    for party in recorded.active[:1] + recorded.active[-1:]:
        requests = [each.data for each in recorded.requests(party)[: len(recorded.replies(party))]]
        for at, request in enumerate(requests):
            for position in _SPOILT:
                machine = cohort.client(party, inputs.get(party), tapes_of(seed)(party))
                try:
                    for each in (*requests[:at], _flipped(request, position)):
                        machine.handle(each)
                except ProtocolError as error:
                    yield told_by(error)
    client = cohort.session.clients[0]
    outside = inputs[client].copy()
    outside[-1] = cohort.session.modulus
    try:
        cohort.client(client, outside, tapes_of(seed)(client))
    except InputError as error:
        yield "the refusal of a vector", f"{error!r} {error}"


def _flipped(data: bytes, position: int) -> bytes:
    altered = bytearray(data)
    altered[position] ^= 0x21
    return bytes(altered)
