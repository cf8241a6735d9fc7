"""The audit of a transcript: every session is replayed into a fresh server, and what needs no second run is checked."""

from secagg.audit.transcript.catalogue import LIMITS, CheckResult
from secagg.audit.transcript.replay import TranscriptReplay, replay

__all__ = ["LIMITS", "CheckResult", "TranscriptReplay", "replay"]
