"""What the folder of a run cannot show by itself; every audit of a folder says so."""

from typing import Final

NOT_SHOWN: Final = (
    "Whether the ledger is the one of this run: a ledger can be rebuilt with new times, and its heads replaced in the "
    "metrics, the summary and the report. Only a head that was kept elsewhere shows it.",
    "Whether a round was run twice and only the better result was kept, or the whole run was repeated in another "
    "folder. Only a ledger outside this folder shows it.",
    "Whether the costs in bytes and in seconds are true.",
    "Whether clients added the noise that they declare, if their data are not known. The data of a simulation are "
    "known, and the realised noise is tested on them.",
    "Whether a secure aggregation protocol was run at all.",
    "Whether the runs that this one is compared with had the accuracies in comparison.jsonl. Only training them again "
    "shows it.",
    "Whether the reasons of failed trainings in the metrics are true.",
)
"""One sentence or two for each thing."""
