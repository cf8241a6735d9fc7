"""Audits: claims, the checks that can reject them, and what they found.

The names below are imported when they are first used, so that the pytest plugin costs other projects nothing.
"""

import importlib

TYPE_CHECKING = False  # Type checkers assume True; importing `typing` itself takes milliseconds.

if TYPE_CHECKING:
    from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
    from secagg.audit.audit import Audit
    from secagg.audit.claims import Claim, claimed
    from secagg.audit.finding import Finding, Verdict
    from secagg.audit.means.subject import MeanSubject
    from secagg.audit.mechanisms.subject import MechanismSubject
    from secagg.audit.run import run_audit
    from secagg.audit.run_folder.subject import RunSubject
    from secagg.audit.subject import Subject
    from secagg.audit.sums.subject import SumSubject
    from secagg.audit.testing import MechanismAudit, RunAudit, SecureMeanAudit, SecureSumAudit, TranscriptAudit
    from secagg.audit.transcript.subject import TranscriptSubject

__all__ = [
    "Attack",
    "Audit",
    "Claim",
    "Finding",
    "Inapplicable",
    "Layer",
    "Level",
    "MeanSubject",
    "MechanismAudit",
    "MechanismSubject",
    "Plan",
    "Result",
    "RunAudit",
    "RunSubject",
    "SecureMeanAudit",
    "SecureSumAudit",
    "Subject",
    "SumSubject",
    "TranscriptAudit",
    "TranscriptSubject",
    "Verdict",
    "claimed",
    "run_audit",
]

_HOMES = {
    "secagg.audit.attack": ("Attack", "Inapplicable", "Layer", "Level", "Plan", "Result"),
    "secagg.audit.audit": ("Audit",),
    "secagg.audit.claims": ("Claim", "claimed"),
    "secagg.audit.finding": ("Finding", "Verdict"),
    "secagg.audit.means.subject": ("MeanSubject",),
    "secagg.audit.mechanisms.subject": ("MechanismSubject",),
    "secagg.audit.run": ("run_audit",),
    "secagg.audit.run_folder.subject": ("RunSubject",),
    "secagg.audit.subject": ("Subject",),
    "secagg.audit.sums.subject": ("SumSubject",),
    "secagg.audit.transcript.subject": ("TranscriptSubject",),
    "secagg.audit.testing": ("MechanismAudit", "RunAudit", "SecureMeanAudit", "SecureSumAudit", "TranscriptAudit"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOME_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
