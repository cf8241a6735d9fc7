"""The record of the longest run. `python -m tests.fuzz.record runs/fuzz/numbers-0.json` replaces it."""

import json
import sys
from pathlib import Path
from typing import Any, Final

RECORD: Final = Path(__file__).parents[1] / "vectors" / "fuzz" / "record.json"
PAGE: Final = Path(__file__).parents[2] / "docs" / "fuzzing.md"

_BEGINS: Final = "<!-- The record, by tests.fuzz.record. -->"
_ENDS: Final = "<!-- The end of the record. -->"


def table(document: dict[str, Any]) -> str:
    """Return the numbers of groups of targets as a table in Markdown; a group has the first part of its names."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, numbers in document["targets"].items():
        groups.setdefault(name.partition("/")[0], []).append(numbers)
    lines = [
        "| targets | number | inputs | fewest of one target | accepted | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    for group, members in groups.items():
        fewest = min(each["inputs"] for each in members)
        lines.append(
            f"| `{group}` | {len(members)} | {_sum(members, 'inputs')} | {fewest:,d} | {_sum(members, 'accepted')} | "
            f"{sum(each['seconds'] for each in members):.0f} |"
        )
    everything = list(document["targets"].values())
    seconds = sum(each["seconds"] for each in everything)
    lines.append(
        f"| all | {len(everything)} | {_sum(everything, 'inputs')} | | {_sum(everything, 'accepted')} | {seconds:.0f} |"
    )
    return "\n".join(lines) + "\n"


def _sum(members: list[dict[str, Any]], key: str) -> str:
    return f"{sum(each[key] for each in members):,d}"


def with_record(page: str, document: dict[str, Any]) -> str:
    """Return the page with the record of this run in place of the one that it shows."""
    before, begins, rest = page.partition(_BEGINS)
    _, ends, after = rest.partition(_ENDS)
    if not begins or not ends:
        raise ValueError(f"page: expected {_BEGINS} and {_ENDS} in it, found none")
    found = "Nothing was found." if not document["crashes"] else f"It found something {document['crashes']} times."
    words = f"{document['inputs']:,d} inputs with the seed `{document['seed']}`, in one process. {found}"
    return f"{before}{begins}\n{words}\n\n{table(document)}{ends}{after}"


def main(numbers: Path) -> None:
    """Make these numbers the recorded ones, and show them on the page."""
    document = json.loads(numbers.read_text(encoding="utf-8"))
    RECORD.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(with_record(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
