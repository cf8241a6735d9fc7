"""The option `--record` of `secagg train`: the transcript of a run, and what is said of it."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from dp.events import Trust
from secagg.paths import expanded
from secagg.runs.prepare import Prepared
from secagg.transcripts.recorder import Recorder


def check_new(path: Path | None) -> None:
    """Refuse a transcript of a new run in a file that exists already, before anything is prepared.

    Raises:
        ConfigurationError: There is no home folder for the `~` of the path.
        TranscriptError: The file exists.
    """
    if path is not None:
        Recorder.check_new(expanded(path))


def recording(path: Path | None, *, resume: bool) -> AbstractContextManager[Recorder | None]:
    """Return the recorder of a run that begins, or of one that is resumed and adds to a transcript that exists.

    Raises:
        ConfigurationError: There is no home folder for the `~` of the path.
        TranscriptError: A run begins and the file exists; or the file cannot be written, is not a transcript, or was
            altered.
    """
    if path is None:
        return nullcontext()
    file = expanded(path)
    return Recorder.resume(file) if resume and file.exists() else Recorder.create(file)


def recording_line(prepared: Prepared, recorder: Recorder) -> str:
    """Return what is said before the first round: which file is written, and how sensitive it is."""
    config = prepared.config
    if not prepared.mean.protocol.protects:
        holds = "every client's update in the clear"
    elif config.private and config.unit == "client" and config.trust is Trust.CENTRAL:
        holds = "each round's sum without noise"
    else:
        holds = "nothing that the server does not see"
    if config.by_poisson:
        holds += ", and who was drawn, which must stay secret for ever"
    return f"recording what the server sees into {recorder.path}, which will hold {holds}"
