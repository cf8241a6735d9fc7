"""Checks of a run's settings: they can be read and planned again, and everything else was written under them."""

from typing import Final

from secagg.audit.run_folder.check import HOLDS, Unreadable, Untested, Verdict
from secagg.audit.run_folder.evidence import READ_ERRORS, Evidence, in_words
from secagg.files import read_arrays
from secagg.runs.folder import CHECKPOINT

_LARGEST: Final = 64  # Bytes of a digest.


def check_read(evidence: Evidence) -> Verdict:
    """Check that the settings, and the round that the run is to end with, can be read."""
    try:
        _ = evidence.config, evidence.goal
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_plan(evidence: Evidence) -> Verdict:
    """Check that the settings lead to a plan again."""
    _ = evidence.config
    try:
        _ = evidence.prepared, evidence.initial
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_digest(evidence: Evidence) -> Verdict:
    """Check that the checkpoint holds the digest of the settings."""
    config = evidence.config
    if not (evidence.path / CHECKPOINT).exists():
        raise Untested("There is no checkpoint, whose digest of the settings could be compared.")
    try:
        digest = read_arrays(evidence.path / CHECKPOINT, ["settings"], largest=_LARGEST)["settings"].tobytes()
    except READ_ERRORS as error:
        return Verdict(found=f"{CHECKPOINT}: {in_words(error, evidence.path)}")
    if digest != config.digest():
        return Verdict(found=f"{CHECKPOINT} holds the digest of other settings than those of config.toml.")
    return HOLDS
