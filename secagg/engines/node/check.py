"""A check of a node's home before it takes part: what it is, what it will accept, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from dp.events import Trust
from dp.figures import in_full
from dp.reporting.wording import amount
from protocols import Adversary
from protocols.registry import loadable
from secagg.engines.node.committee_report import committee_facts, committee_faults, committee_warnings
from secagg.engines.node.home import Home
from secagg.engines.node.policy import NodePolicy
from secagg.engines.node.policy_file import Code
from secagg.engines.node.swap import plain_swap
from secagg.privacy.contributors import no_collusion_warning
from secagg.storage.public_line import fingerprint

_SWAPS: Final = Path("/proc/swaps")
_BLOCK: Final = Path("/sys/class/block")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What a check of a home has found, in sentences.

    Attributes:
        facts: What the home is, with all fingerprints: a label and a text each.
        accepts: What the node will accept.
        warnings: What weakens it.
        faults: Why it cannot take part; empty if it can.
    """

    facts: tuple[tuple[str, str], ...]
    accepts: tuple[str, ...]
    warnings: tuple[str, ...]
    faults: tuple[str, ...]


def check_node(home: Home) -> NodeReport:
    """Return what is to be said of an open home; its ledger is made if it has a budget and none yet.

    Raises:
        HomeBusy: The home is in use.
        SecaggError: A store of the home is damaged or missing.
        dp.errors.LedgerError: The ledger cannot be opened.
    """
    with home.lock():
        count = home.sessions.participations(home.identity.public)  # This opens the store, which finds damage.
        home.openings.empty  # noqa: B018
        spent = _spent(home)
    return NodeReport(
        facts=(*_facts(home), ("Privacy budget", spent), ("Participations", _participations(count, home.policy.cap))),
        accepts=tuple(_accepts(home.policy)),
        warnings=tuple(_warnings(home)),
        faults=tuple(_faults(home)),
    )


def _spent(home: Home) -> str:
    if not home.policy.has_budget:
        return "none: exact sums, without differential privacy"
    with home.ledger() as ledger:
        return f"{amount(ledger.spent(), ledger.budget)}; sessions counted: {len(ledger.entries())}"


def _participations(count: int, cap: int | None) -> str:
    return f"{count}; the policy has no cap" if cap is None else f"{count} of at most {cap}"


def _facts(home: Home) -> Iterator[tuple[str, str]]:
    yield "Node", f"{home.node}, {home.names[home.node]}"
    yield "Fingerprint of this node", home.fingerprint
    yield "Fingerprint of the coordinator", fingerprint(home.coordinator)
    yield f"Fingerprint of the roster of {len(home.roster)} nodes", home.roster_fingerprint
    yield from committee_facts(home)
    yield "Live session", str(home.live)


def _accepts(policy: NodePolicy) -> Iterator[str]:
    yield f"Protocols: {', '.join(policy.protocols)}, if they protect from a {policy.adversary} server."
    yield (
        f"Sessions of at most {policy.most_clients} clients, all in the roster, with at least "
        f"{policy.least_contributors} contributors in each sum. A fraction of {policy.adversarial:g} of the roster may "
        "be corrupt."
    )
    yield (
        f"Updates of at most {policy.most_coordinates:,} entries, clipped to an l2 norm of at most "
        f"{policy.largest_clip:g}; means that are {' or '.join(policy.weighting)}."
    )
    if policy.epsilon is None or policy.delta is None:
        yield (
            "Exact sums: the coordinator learns the sum of each session without noise. A coordinator that changes the "
            "work a little gets another sum of nearly the same updates, and nothing counts how many."
        )
    else:
        yield (
            f"Sums with noise only ({', '.join(policy.trust)}), until epsilon {in_full(policy.epsilon)} at delta "
            f"{in_full(policy.delta)} is spent on all of them together."
        )
    if policy.has_budget and Trust.CENTRAL in policy.trust:
        yield (
            "Central noise: the server sees exact sums, and promises to add the noise before others see them. The "
            "node cannot check that. Its ledger counts the promise, and protects from everybody but the server."
        )
    if policy.plain_messages:
        yield f"Messages without protection: {', '.join(policy.plain_messages)}."
    else:
        yield "No message without protection."
    yield _mode(policy)


def _mode(policy: NodePolicy) -> str:
    match policy.code:
        case Code.SENT:
            return (
                "The mode is curious, whatever the protocol can do: the engine's server may send code to this node. "
                "Install the code at the node or run a resident station, and write that into the policy as code."
            )
        case Code.INSTALLED:
            return f"The mode is {policy.adversary} or better, since the policy says that only installed code runs."
        case Code.RESIDENT:
            return f"The mode is {policy.adversary} or better, since the policy says that a resident station trains."
        case _:
            assert_never(policy.code)


def _warnings(home: Home) -> Iterator[str]:
    policy = home.policy
    yield from committee_warnings(home)
    if policy.code is Code.SENT and policy.adversary is not Adversary.CURIOUS:
        yield (
            f"code: expected installed or resident code for a {policy.adversary} server, found code that is sent. Code "
            "that the server sends can read the home."
        )
    if policy.plain_messages:
        yield (
            f"plain_messages: expected none, found {', '.join(policy.plain_messages)}. What these messages return goes "
            "to the server in the clear."
        )
    if not policy.corrupt(home.roster):
        yield f"adversarial: {no_collusion_warning(len(home.roster))}"
    if failed := home.failures.lines():
        yield (
            f"training: expected no failure, found {len(failed)}, the last one {failed[-1]}. In sums with noise, zeros "
            "with this node's noise share were sent in the place of its update. Mend the training, and keep this to "
            "yourself: the noise hides it from everybody else."
        )
    installed = loadable()
    if missing := [name for name in policy.protocols if name not in installed]:
        yield f"protocols: expected installed ones, found {', '.join(missing)}. `secagg protocols` lists them."
    if _SWAPS.exists() and (areas := plain_swap(_SWAPS.read_text(encoding="utf-8", errors="replace"), _BLOCK)):
        yield (
            f"swap: expected encrypted swap or none, found {', '.join(areas)}, of which that is not known. The live "
            "session may be written to a disk in the clear. Encrypt the swap, or turn it off."
        )


def _faults(home: Home) -> Iterator[str]:
    """Yield why the policy accepts nothing."""
    policy, nodes = home.policy, len(home.roster)
    most = min(policy.most_clients, nodes)
    if policy.least_contributors > most:
        yield (
            f"least_contributors: expected at most {most}, the clients of the largest possible session, found "
            f"{policy.least_contributors}. Lower it, or add nodes to the roster."
        )
    elif most - policy.corrupt(home.roster) < 2:
        yield (
            f"adversarial: expected at least 2 clients of {most} that are not corrupt, found that "
            f"{policy.corrupt(home.roster)} of the roster may be. Lower it, or allow larger sessions."
        )
    kinds = [kind for name, kind in loadable().items() if name in policy.protocols]
    strong = [kind for kind in kinds if any(_at_least(each, policy.adversary) for each in kind.adversaries)]
    if not strong:
        yield (
            f"protocols: expected one that is installed and protects from a {policy.adversary} server, found "
            f"{', '.join(policy.protocols)}. `secagg protocols` lists what each protects from."
        )
    else:
        yield from committee_faults(home, strong)


def _at_least(server: Adversary, least: Adversary) -> bool:
    return list(Adversary).index(server) >= list(Adversary).index(least)
