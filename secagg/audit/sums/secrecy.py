"""No secret occurs in a message, log record, repr, pickle or error of a session.

The canaries are the clients' vectors, attached secrets, secret keys of identities, key shares of a committee, every
piece of at least 16 bytes that is read from a tape, every value of the class `Secret` that depends on a tape,
every share of Shamir's secret sharing, and every plaintext that is sealed under a symmetric key.

Two kinds of shares are revealed by design, and only by the replies of the last step: for each client, either those of
its self-mask's seed or those of its masking key. So a share may occur in replies of the last step, but those of two
secrets of one client never do, and those of an attached secret only if a rule opens it; here no rule does. With lattice
pads against a malicious server, members by replicated seeds reveal the shares of the keys of the contributors' wraps,
and of nobody else's. Nothing else is revealed by the protocols of this package. Of other protocols, the check cannot
know what the last step reveals by design; there, it does not search its replies for what was drawn or made from it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from protocols import MemberShare, Opening, Role, SeedSum, Transmission
from protocols.encrypted.protocol import EncryptedSum
from protocols.errors import ParameterError
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.pairwise.protocol import PairwiseMasking
from protocols.seeds import PadKind
from protocols.seeds.messages import Proposal
from protocols.session import Extra
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums.canaries import Canaries
from secagg.audit.sums.codecs import codec_of, is_encrypted, members_at, session_s
from secagg.audit.sums.cohort import Cohort, identity_of
from secagg.audit.sums.heard import Heard
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.seed_twin import AGREE, SeedTwin
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 40
_CLIENTS: Final = 4
_FRACTION: Final = 0.25


class NoSecrets(Attack[SumSubject]):
    """Sessions with altered messages are searched for canaries, with all loggers at their most verbose level."""

    id = "invariant.secrets.canaries"
    title = "Messages, log records, reprs, pickles and errors of sessions are searched for secrets"
    layer = Layer.INVARIANT
    tests = ("C-12", "C-03")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = _cohort(subject)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        trials = 1 if level is Level.QUICK and is_encrypted(cohort) else 2
        return Plan(trials=trials, cpu_s=trials * (0.1 + session_s(cohort)), details=members_at(level, cohort))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = _cohort(subject)
        dropouts: list[dict[str, list[int]]] = [{}, _late(cohort)][: plan.trials]
        messages = texts = 0
        for number, drops in enumerate(dropouts):
            heard = Heard(cohort, random_inputs(cohort, seed), seed + bytes([number]))
            heard.listen(drops, members=plan.details)
            messages, texts = messages + len(heard.view), texts + len(heard.texts)
            if evidence := _shown(heard):
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


def _shown(heard: Heard) -> str:
    """Return where a secret is shown, in words; empty if none is."""
    always, last = _standing(heard), heard.cohort.protocol.steps[-1].name
    final = [each.data for each in heard.view if each.step == last and each.sender is not None]
    designed = (
        [] if isinstance(heard.cohort.protocol, PairwiseMasking | LightSecAgg | EncryptedSum | SeedSum) else final
    )
    wraps = _revealed_wraps(heard)
    found = _in_messages(heard, always, _drawn(heard, []), [*designed, *(final if wraps else ())])
    if wraps:
        found = found or next(filter(None, (_in_opening(each, heard, wraps) for each in final)), "")
    found = found or _in_revealed(heard)
    return found or next(_elsewhere(heard, (always, _drawn(heard, designed, besides=wraps), _shares(heard, final))), "")


def _in_messages(heard: Heard, always: Canaries, drawn: Canaries, designed: Sequence[bytes]) -> str:
    """Return which message holds a secret, in words; empty if none does. Some may hold what was drawn, by design."""
    for each in heard.view:
        found = always.in_bytes(each.data)
        if found is None and each.data not in designed:
            found = drawn.in_bytes(each.data)
        if found is not None:
            return f"{_of(each)} holds {found}"
    return ""


def _in_opening(data: bytes, heard: Heard, wraps: frozenset[bytes]) -> str:
    """Return what a reply of the last step holds beside these shares, which it may hold, in words."""
    found = _drawn(heard, [], besides=wraps).in_bytes(data)
    return "" if found is None else f"a reply of the last step holds {found}"


def _revealed_wraps(heard: Heard) -> frozenset[bytes]:
    """Return the shares of the keys of wraps of the contributors, which members reveal; none without lattice pads."""
    protocol, session = heard.cohort.protocol, heard.cohort.session
    if not isinstance(protocol, SeedSum) or protocol.pads is not PadKind.LATTICE or session.roster is None:
        return frozenset()
    names = [step.name for step in heard.cohort.protocol.steps]
    twin, contributors = SeedTwin(cohort=heard.cohort), set[int]()
    for each in heard.view:
        if each.step == names[AGREE] and each.sender is None:
            contributors |= set(codec_of(heard.cohort).decode(AGREE, Proposal, each.data).contributors)
    seeds = defaultdict[int, list[bytes]](list)
    for party, piece in heard.drawn():
        seeds[party].append(piece)
    return frozenset(
        twin.wrap_key(seed, client, number)
        for client in contributors
        for number, seed in enumerate(seeds[client][: twin.sets.count])
    )


def _in_revealed(heard: Heard) -> str:
    """Return which share occurs in a message that must not hold it, in words; empty if none does."""
    last, shares = heard.cohort.protocol.steps[-1].name, heard.shares()
    seen: dict[int, set[bytes]] = defaultdict(set)
    for each in heard.view:
        for share, (owner, secret) in shares.items():
            if share not in each.data:
                continue
            if each.step != last or each.sender is None:
                return f"{_of(each)} holds a secret share of client {owner}"
            seen[owner].add(secret)
    for owner, shared in seen.items():
        attached = {one.reveal() for one in heard.cohort.attached(owner)}
        if len(shared) > 1 or shared & attached:
            return f"the replies of step {last} hold shares of a secret of client {owner} that is not revealed"
    return ""


def _elsewhere(heard: Heard, canaries: Sequence[Canaries]) -> Iterator[str]:
    """Yield what pickles and texts show, in words."""
    for data, kind in heard.pickles.items():
        for each in canaries:
            if (name := each.in_bytes(data)) is not None:
                yield f"{name} is in the pickle of a {kind}"
    for where, text in dict.fromkeys(heard.texts):
        for each in canaries:
            if (name := each.in_text(text)) is not None:
                yield f"{name} is shown by {where}"


def _of(message: Transmission) -> str:
    return f"a message of step {message.step} from {'the server' if message.sender is None else message.sender}"


def _standing(heard: Heard) -> Canaries:
    """Return what parties bring to the session."""
    cohort, found = heard.cohort, Canaries()
    for client, vector in heard.inputs.items():
        found.add_vector(f"the vector of client {client}", vector, cohort.session.modulus)
        found.add(f"the secret key of client {client}'s identity", identity_of(client).secret.reveal())
        for secret in cohort.attached(client):
            found.add(f"an attached secret of client {client}", secret.reveal())
    for member, share in cohort.key_shares.items():
        if isinstance(share, MemberShare):
            found.add(f"the secret key of member {member}'s identity", share.identity.secret.reveal())
            found.add(f"the epoch key of member {member}", share.epoch_key.key.secret.reveal())
            continue
        number = getattr(share, "reveal", lambda: 0)()
        found.add(f"the key share of member {member}", number.to_bytes(-(-number.bit_length() // 8), "big"))
    return found


def _drawn(heard: Heard, revealed: Sequence[bytes], *, besides: frozenset[bytes] = frozenset()) -> Canaries:
    """Return what parties draw and what they make of it, but no shares, and nothing that these messages reveal."""
    found, shares = Canaries(), heard.shares()

    def unknown(value: bytes) -> bool:
        return value not in shares and value not in besides and not any(value in each for each in revealed)

    for party, piece in heard.drawn():
        if unknown(piece):
            found.add(f"randomness of party {party}", piece)
    for value in filter(unknown, sorted(heard.secrets)):
        found.add(f"a secret value of {len(value)} bytes", value)
    for sealing in heard.sealings:
        if unknown(sealing.plaintext):
            found.add_whole(f"a plaintext sealed by party {sealing.moment.party}", sealing.plaintext)
    return found


def _shares(heard: Heard, revealed: Sequence[bytes]) -> Canaries:
    """Return all shares of Shamir's secret sharing that these messages do not reveal."""
    found = Canaries()
    for share, (owner, _) in heard.shares().items():
        if not any(share in each for each in revealed):
            found.add_whole(f"a share of a secret of client {owner}", share)
    return found
