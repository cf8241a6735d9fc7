"""Checks taken out of the real code: one or two conditions of a function, edited in its source and put in its place.

An edit names a text that the function has exactly once. So a check that moves makes the edit fail, and not its test
pass. The function object stays the same, so the tables of steps, which hold functions, run the edited code as well.
"""

import importlib
import inspect
import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Final, NamedTuple

from tests.exploration.checks import Check
from tests.exploration.opening import OpeningCheck


class Edit(NamedTuple):
    """A change of one function: its module, its class and name, and a text of it with its replacement."""

    module: str
    name: str
    old: str
    new: str


_CLIENT: Final = "protocols.pairwise.client"
_MEET: Final = "PairwiseClient._meet_neighbours"
_MASK: Final = "PairwiseClient._masks"
_ACCEPT: Final = "PairwiseClient._accept"
_REVEAL: Final = "PairwiseClient.reveal_confirmed_shares"
_AGREED: Final = "self.state.root + self.state.members + self.state.survivors"
_SHARERS: Final = "if self._client not in members or not members <= decode_clients(self.state.present, self._session):"

_DERIVED: Final = "protocols.encrypted.derived"
_MEMBER: Final = "protocols.encrypted.client"
_REPLAY: Final = "protocols.replay"
_DISTINCT: Final = (
    "if list(contributors) != sorted(set(contributors)) or not set(contributors) <= set(session.clients):"
)

REMOVALS: Final[dict[Check | OpeningCheck, tuple[Edit, ...]]] = {
    Check.PINNED_ROSTER: (
        Edit(
            "protocols.terms",
            "ClientTerms.accept",
            "if not roster.items() <= self.roster.items():",
            "if False:",
        ),
    ),
    Check.SAFE_THRESHOLD: (  # On the complete graph both conditions are one.
        Edit(
            "protocols.pairwise.protocol",
            "PairwiseMasking.check_safety",
            "if self.adversary is Adversary.MALICIOUS and 2 * session.threshold <= clients + corrupt:",
            "if False:",
        ),
        Edit(
            "protocols.pairwise.protocol",
            "PairwiseMasking.check_safety",
            "if self.holders_needed(session) < least:",
            "if False:",
        ),
    ),
    Check.OWN_KEYS: (
        Edit(
            _CLIENT,
            _MEET,
            "if leaves[self._client] != self._derived.leaf(self._client, self.state.advertised):",
            "if False:",
        ),
    ),
    Check.MATCHING_KEYS: (
        Edit(_CLIENT, _MEET, "if leaves[neighbour] != self._derived.leaf(neighbour, advertised):", "if False:"),
    ),
    Check.SIGNED_KEYS: (
        Edit(
            "protocols.pairwise.derived",
            "Derived.check_keys",
            "self.signatures.check(advertised.signature, client=client, purpose=KEYS, payload=advertised.joined)",
            "pass",
        ),
    ),
    Check.KEYS_OF_SESSION: (
        Edit("protocols.identity", "Signatures.__init__", "self._prefix = _DOMAIN + digest", "self._prefix = _DOMAIN"),
    ),
    Check.ENOUGH_PRESENT: (Edit(_CLIENT, _MEET, 'self._check_cohort(present, "have advertised keys")', "pass"),),
    Check.SHARER_ITSELF: (Edit(_CLIENT, _MASK, _SHARERS, _SHARERS.replace("self._client not in members or ", "")),),
    Check.SHARERS_PRESENT: (Edit(_CLIENT, _MASK, _SHARERS, "if self._client not in members:"),),
    Check.ENOUGH_SHARERS: (Edit(_CLIENT, _MASK, 'self._check_cohort(members, "have shared")', "pass"),),
    Check.SURVIVOR_ITSELF: (Edit(_CLIENT, _ACCEPT, "if self._client not in alive:", "if False:"),),
    Check.SURVIVORS_SHARED: (
        Edit(_CLIENT, _ACCEPT, "if not alive <= decode_clients(self.state.members, self._session):", "if False:"),
    ),
    Check.ENOUGH_SURVIVORS: (Edit(_CLIENT, _ACCEPT, 'self._check_cohort(alive, "survive")', "pass"),),
    Check.SIGNERS_SURVIVE: (
        Edit(_CLIENT, _REVEAL, "if not signers <= decode_clients(self.state.survivors, self._session):", "if False:"),
    ),
    Check.ENOUGH_SIGNERS: (Edit(_CLIENT, _REVEAL, "if len(signers) < self._session.threshold:", "if False:"),),
    Check.CONFIRMED: (
        Edit(
            _CLIENT,
            _REVEAL,
            "signatures.check(signature, client=signer, purpose=SURVIVORS, payload=agreed)",
            "pass",
        ),
    ),
    Check.SAME_DIRECTORY: (
        Edit(_CLIENT, "PairwiseClient._agreed", _AGREED, "self.state.members + self.state.survivors"),
    ),
    Check.SAME_SHARERS: (Edit(_CLIENT, "PairwiseClient._agreed", _AGREED, "self.state.root + self.state.survivors"),),
    Check.SAME_SURVIVORS: (Edit(_CLIENT, "PairwiseClient._agreed", _AGREED, "self.state.root + self.state.members"),),
    Check.ONE_SECRET: (
        Edit(
            _CLIENT,
            "PairwiseClient._reveal",
            "for index in (of_survivor if owner in alive else (1,))",
            "for index in (0, 1)",
        ),
    ),
    Check.RECORD: (
        Edit(
            "protocols.machine.client",
            "Client._checked",
            "if row.role is Role.CLIENT:",
            "if False:",
        ),
    ),
    OpeningCheck.DISTINCT: (
        Edit(
            _MEMBER,
            "EncryptedClient._check_contributors",
            _DISTINCT,
            "if not set(contributors) <= set(session.clients):",
        ),
    ),
    OpeningCheck.ENOUGH: (
        Edit(_MEMBER, "EncryptedClient._check_contributors", "if len(contributors) < least:", "if False:"),
    ),
    OpeningCheck.SIGNED: (
        Edit(
            _DERIVED,
            "Derived.opened",
            "self.signatures.check(bytes(sealed[unsigned:]), client=client, purpose=_PURPOSE, payload=payload)",
            "pass",
        ),
    ),
    OpeningCheck.OF_SESSION: (
        Edit("protocols.identity", "Signatures.__init__", "self._prefix = _DOMAIN + digest", "self._prefix = _DOMAIN"),
    ),
    OpeningCheck.PROVEN: (
        Edit(
            _MEMBER,
            "EncryptedClient._checked_sum",
            "plaintext_proof.check_all(self._derived.encryptor, claims, entropy=self._entropy)",
            "pass",
        ),
    ),
    OpeningCheck.ONE_SUM: (
        Edit(
            _REPLAY,
            "MemoryOpenings.record",
            "check_session(others, contributors, root=root, batches=batches)",
            "pass",
        ),
    ),
    OpeningCheck.APART: (
        Edit(
            _REPLAY,
            "Opened.check",
            "check_apart(self.contributors, earlier.contributors, max(self.minimum, earlier.minimum))",
            "pass",
        ),
    ),
    OpeningCheck.ALL_KEYS: (
        Edit(
            _REPLAY,
            "MemoryOpenings.record",
            "self._contexts.get(context, [])",
            "self._contexts.get(key + context, [])",
        ),
        Edit(
            _REPLAY,
            "MemoryOpenings.record",
            "self._contexts.setdefault(context, [])",
            "self._contexts.setdefault(key + context, [])",
        ),
    ),
    OpeningCheck.LARGER_MINIMUM: (Edit(_REPLAY, "Opened.check", "max(self.minimum, earlier.minimum)", "self.minimum"),),
    OpeningCheck.QUORUM: (
        Edit(
            "protocols.terms",
            "check_committee",
            "if adversary is not Adversary.CURIOUS and 2 * key.threshold <= key.members + corrupt:",
            "if False:",
        ),
    ),
}


@contextmanager
def removed(checks: Collection[Check | OpeningCheck]) -> Iterator[None]:
    """Run the real code without these checks."""
    with edited([edit for check in checks for edit in REMOVALS[check]]):
        yield


@contextmanager
def edited(edits: Collection[Edit]) -> Iterator[None]:
    """Run the real code with these edits; several may change one function."""
    by_function: dict[tuple[str, str], list[Edit]] = {}
    for edit in edits:
        by_function.setdefault((edit.module, edit.name), []).append(edit)
    functions = {where: _function(*where) for where in by_function}
    before = {where: function.__code__ for where, function in functions.items()}
    try:
        for where, function in functions.items():
            function.__code__ = _with_edits(function, by_function[where])
        yield
    finally:
        for where, function in functions.items():
            function.__code__ = before[where]


def _function(module: str, name: str) -> FunctionType:
    """Return the function of a method or a property."""
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    found = found.fget if isinstance(found, property) else found
    if not isinstance(found, FunctionType):
        raise LookupError(f"{module}: expected a function {name}, found a {type(found).__name__}")
    return found


def _with_edits(function: FunctionType, edits: Collection[Edit]) -> CodeType:
    """Return the code of a function after edits of its source."""
    source = textwrap.dedent(inspect.getsource(function))
    for edit in edits:
        if source.count(edit.old) != 1:
            raise LookupError(f"{edit.name}: expected {edit.old!r} once, found it {source.count(edit.old)} times")
        source = source.replace(edit.old, edit.new)
    scope: dict[str, object] = {}
    exec(compile(source, f"<{function.__qualname__} edited>", "exec"), function.__globals__, scope)  # Our own source.
    changed = scope[function.__name__]
    changed = changed.fget if isinstance(changed, property) else changed
    if not isinstance(changed, FunctionType):
        raise LookupError(f"{function.__qualname__}: expected a function after the edits, found none")
    return changed.__code__
