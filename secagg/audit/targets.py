"""What a person names as the target of an audit, and the subjects that it stands for."""

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeGuard

from dp.errors import DpError
from protocols import BrokenProtocol, available, load
from protocols.errors import ProtocolError
from protocols.registry import describe_error
from secagg.audit.account import ledger_file, plan
from secagg.audit.account.ledger_file import LedgerFileSubject
from secagg.audit.account.plan import TrainingSubject
from secagg.audit.adapt import subjects_of
from secagg.audit.audit import Target
from secagg.audit.means.subject import MeanSubject, Setting, claims_of
from secagg.audit.run_folder.checks import run_checks
from secagg.audit.run_folder.limits import NOT_SHOWN
from secagg.audit.run_folder.subject import RunSubject
from secagg.audit.subject import Subject
from secagg.audit.sums.subject import SumSubject
from secagg.audit.transcript import catalogue
from secagg.audit.transcript.subject import TranscriptSubject
from secagg.errors import ConfigurationError, SecaggError, TranscriptAltered, TranscriptError, TranscriptTruncated
from secagg.interruption import Interrupted
from secagg.paths import escaped, expanded
from secagg.runs.parsing import parse, read_settings
from secagg.runs.prepare import Prepared, prepare
from secagg.transcripts.reader import TranscriptReader

TOOLKIT: Final = "everything that the toolkit ships"

FOREIGN_CODE: Final = (
    "Whether the subject's own code has changed this audit: it runs in the same processes and with the same rights.",
)
"""What no audit of a factory can show."""

_SQLITE: Final = b"SQLite format 3\0"
_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def target_of(text: str | None) -> Target:
    """Return the target that a person has named.

    A target is, in this order: nothing, for everything that the toolkit ships; a path that exists; the name of a
    registered protocol; `module:factory`, a callable without arguments, or an object, that is or returns a subject, a
    protocol, a secure mean, or several of these. The module is looked for in the current folder too.

    Args:
        text: What the person has named; None for everything that the toolkit ships.

    Raises:
        ConfigurationError: The text names nothing that can be audited.
    """
    if text is None:
        from secagg.audit.suite import shipped

        return Target(kind="toolkit", name=TOOLKIT, subjects=shipped())
    path = expanded(Path(text))
    if text and path.exists():
        return of_path(path)
    if text in available():
        return Target(kind="protocol", name=text, subjects=_subjects(text, _registered(text)))
    if _FACTORY.fullmatch(text):
        return Target(kind="factory", name=text, subjects=_subjects(text, _made(text)), limits=FOREIGN_CODE)
    raise ConfigurationError(
        f"target: expected the name of a protocol ({', '.join(available())}), module:factory, or the path of a run's "
        f"folder, transcript, ledger or configuration, found {text!r}, which is none of them. Check the name or path."
    )


def of_path(path: Path) -> Target:
    """Return the target that a folder or file is.

    Raises:
        ConfigurationError: It is nothing that can be audited, or cannot be read.
    """
    try:
        start = b"" if path.is_dir() else _start_of(path)
    except OSError as error:
        raise ConfigurationError(f"target: expected a file that can be read, found {path}: {error.strerror}.") from None
    if start == _SQLITE:
        return Target(
            kind="ledger", name=escaped(path.name), subjects=(LedgerFileSubject(path),), limits=ledger_file.LIMITS
        )
    if path.suffix == ".toml" and path.is_file():
        subjects = _of_training(escaped(path.name), prepare(parse(read_settings(path))))
        return Target(kind="configuration", name=escaped(path.name), subjects=subjects, limits=plan.LIMITS)
    if path.is_dir():
        run_checks(path, only=())  # Refuses a folder that is not of a run.
        return Target(kind="run", name=escaped(path.absolute().name), subjects=(RunSubject(path),), limits=NOT_SHOWN)
    if _is_transcript(path):
        return Target(
            kind="transcript", name=escaped(path.name), subjects=(TranscriptSubject(path),), limits=catalogue.LIMITS
        )
    raise ConfigurationError(
        f"target: expected the folder of a finished run, a transcript, a ledger or a configuration (.toml), found "
        f"{path}, which is none of them. Check the path."
    )


def _is_transcript(path: Path) -> bool:
    """Return whether a file begins as a transcript does. One that is damaged further on is a transcript."""
    try:
        with TranscriptReader(path) as reader:
            next(iter(reader), None)
    except (TranscriptAltered, TranscriptTruncated):
        return path.stat().st_size > 0
    except TranscriptError:
        return False
    return True


def _of_training(name: str, prepared: Prepared) -> tuple[Subject, ...]:
    """Return the plan of a training, its mean as it is planned, and its protocol in small cohorts."""
    terms, keyholders = prepared.terms, prepared.keyholders
    setting = Setting(
        mean=prepared.mean,
        clip=prepared.clip,
        terms=None if terms is None else lambda: terms,
        keyholders=None if keyholders is None else lambda: keyholders,
    )
    mean = MeanSubject(lambda _: setting, name=f"{name}: mean", claims=claims_of(prepared.mean))
    kind = type(prepared.mean.protocol)
    return (
        TrainingSubject(name, prepared),
        mean,
        SumSubject.suggested(kind, adversary=prepared.config.adversary),
    )


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_SQLITE))


def _registered(name: str) -> object:
    try:
        return load(name)
    except BrokenProtocol as error:
        raise ConfigurationError(f"target: {error}") from error


def _made(text: str) -> object:
    """Return the object that `module:factory` names; a callable that is not a class is called."""
    module, _, attribute = text.partition(":")
    try:
        found: Any = _imported(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        made = found if isinstance(found, type) or not callable(found) else found()
        return list(made) if _is_several(made) else made
    except (KeyboardInterrupt, Interrupted, SecaggError, DpError, ProtocolError):
        raise
    except BaseException as error:  # A module of other people may raise anything, also an exit.
        raise ConfigurationError(
            f"target: expected that {text} can be imported and called without arguments, found "
            f"{describe_error(error)}. Check the name, and that the module can be imported from the current folder."
        ) from error


def _imported(module: str) -> object:
    """Import a module, also from the current folder, which comes last."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(module)


def _is_several(found: object) -> TypeGuard[Iterable[object]]:
    return isinstance(found, Iterable) and not isinstance(found, type | str | bytes)


def _subjects(text: str, found: object) -> tuple[Subject, ...]:
    several = found if _is_several(found) else (found,)
    subjects = tuple(subject for each in several for subject in subjects_of(text, each))
    if not subjects:
        raise ConfigurationError(f"target: expected at least one subject from {text}, found none.")
    for subject in subjects:
        _check_texts(text, subject)
    names = [subject.name for subject in subjects]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            f"target: expected subjects of different names from {text}, found two named {repeated!r}."
        )
    return subjects


def _check_texts(text: str, subject: Subject) -> None:
    """Refuse names and claims that a report cannot state as they are.

    Raises:
        ConfigurationError: A text has characters that could change what a terminal shows, or a parameter is no number
            and no text.
    """
    texts: list[object] = [subject.name]
    for claim in subject.claims:
        numbers_and_texts: list[object] = list(claim.parameters.values())
        texts += [claim.id, claim.text, *claim.parameters]
        texts += [value for value in numbers_and_texts if not isinstance(value, int | float)]
    for each in texts:
        if not isinstance(each, str) or not each.isprintable():
            raise ConfigurationError(
                f"target: expected names, claims and their parameters in printable characters from {text}, found "
                f"{(each if isinstance(each, str) else type(each).__name__)!r}. Use other ones."
            )
