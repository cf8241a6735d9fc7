"""The JSON Schema of a budget report; `python -m dp.reporting.schema` prints it."""

import sys
from typing import Any

import msgspec

from dp.reporting.document import ReportDocument


def schema() -> str:
    """Return the JSON Schema (2020-12) of `as_json`, as it is in `dp/reporting/schemas/budget-report-3.json`."""
    found: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found |= msgspec.json.schema(ReportDocument)
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
