"""What is checked in a transcript, what a transcript cannot show, and the notes from which results are made."""

from dataclasses import dataclass
from typing import Final

RECORDS: Final = "transcript.records"
HEAD: Final = "transcript.head"
DIGEST: Final = "transcript.session.digest"
ROSTER: Final = "transcript.session.roster"
SESSION_IDS: Final = "transcript.fresh.session-ids"
KEYS: Final = "transcript.fresh.keys"
VECTORS: Final = "transcript.fresh.vectors"
ENVELOPES: Final = "transcript.replay.envelopes"
COUNTS: Final = "transcript.replay.counts"
REQUESTS: Final = "transcript.replay.requests"
REPLIES: Final = "transcript.replay.replies"
SIGNATURES: Final = "transcript.replay.signatures"
RESULT: Final = "transcript.replay.result"
THRESHOLD: Final = "transcript.result.threshold"

STATEMENTS: Final[dict[str, str]] = {
    RECORDS: "Every record is whole, is of the format, and is chained to the record before it.",
    HEAD: "The transcript contains every record up to the head that was kept elsewhere.",
    DIGEST: "Each session's protocol and fields have the digest that was recorded.",
    ROSTER: "The roster of each session is that of the auditor.",
    SESSION_IDS: "No two sessions have the same id.",
    KEYS: "No client advertises a public key that was advertised before, in any session.",
    VECTORS: "No two masked vectors and no two ciphertexts of clients are equal.",
    ENVELOPES: "Every message belongs to the session and the step in which it is recorded.",
    COUNTS: "In each step, every party that the server asks gets one request, and no other party gets one.",
    REQUESTS: "A fresh server that gets the recorded replies makes the recorded requests, byte for byte.",
    REPLIES: "A fresh server accepts the replies that were accepted, and refuses those that were refused.",
    SIGNATURES: "Every accepted reply has the signature of its sender under the recorded roster, if one is due.",
    RESULT: "A fresh server comes to the recorded result: the same sum, contributors and opened secrets, or none.",
    THRESHOLD: "Each sum has at least as many contributors as the session's threshold, all of them its clients.",
}
"""What each check states, by its id, in the order of the results."""

LIMITS: Final[tuple[str, ...]] = (
    "Whether two runs with the same inputs use different randomness: this needs a second run.",
    "Whether masks are uniform: this needs zero inputs, a modulus of the auditor's choice and a smaller cohort. In one "
    "session of a large cohort, a mask from a generator with 31 bits is not visible.",
    "Whether the clients' secrets come from the operating system: a transcript holds no secret of a client that the "
    "server does not learn.",
    "Which client sent a masked vector: vectors are not signed, and two that are exchanged give the same sum.",
    "Whether the parties exchanged messages that were not recorded, in this session or in another one.",
    "Whether clients clipped their updates, added their noise and sent the updates of their own data.",
    "Whether the file was rebuilt as a whole, or records were removed from its end: the chain has no key, so only a "
    "head that was kept elsewhere shows that.",
    "When the messages were sent: a transcript holds no time.",
)
"""What a transcript alone cannot show, whatever it holds."""

_MOST_NOTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check over all sessions of a transcript.

    Attributes:
        id: The check.
        statement: What it states.
        found: What contradicts the statement; empty if nothing does.
        not_tested: What the check could not test, and why; empty if it tested everything.
    """

    id: str
    statement: str
    found: tuple[str, ...] = ()
    not_tested: tuple[str, ...] = ()

    @property
    def rejected(self) -> bool:
        """Whether something was found that contradicts the statement."""
        return bool(self.found)


class Notes:
    """What the checks have found so far, at most 20 notes of each kind for each check, and how many more there are."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {check: [] for check in STATEMENTS}
        self._not_tested: dict[str, dict[str, None]] = {check: {} for check in STATEMENTS}
        self._more: dict[str, int] = dict.fromkeys(STATEMENTS, 0)

    def found(self, check: str, what: str) -> None:
        """Note what contradicts a check's statement."""
        if len(self._found[check]) < _MOST_NOTES:
            self._found[check].append(what)
        else:
            self._more[check] += 1

    def not_tested(self, check: str, what: str) -> None:
        """Note what a check could not test, and why."""
        notes = self._not_tested[check]
        if len(notes) < _MOST_NOTES:
            notes.setdefault(what)
        elif what not in notes:
            notes.setdefault("and more")

    def results(self) -> tuple[CheckResult, ...]:
        """Return the result of every check, in the order of `STATEMENTS`."""
        return tuple(
            CheckResult(
                id=check,
                statement=statement,
                found=(*self._found[check], *((f"and {more} more",) if (more := self._more[check]) else ())),
                not_tested=tuple(self._not_tested[check]),
            )
            for check, statement in STATEMENTS.items()
        )
