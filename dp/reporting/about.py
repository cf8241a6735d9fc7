"""The names in a report, and who gave them: the ledger, or the person who asked for the report."""

from dataclasses import dataclass
from typing import Final

from dp.checks import short_text
from dp.errors import InvalidParameter
from dp.ledger.description import Description

RECORDED: Final = "recorded in the ledger when it was made"
GIVEN: Final = "given for this report; the ledger does not say"
MISSING: Final = "the ledger does not say"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The names of a report.

    Attributes:
        recorded: The names that the ledger records.
        run: The name of the run, if the ledger does not record it and it was given for the report.
        organisation: The name of the responsible organisation, if the ledger does not record it and it was given for
            the report.

    Raises:
        InvalidParameter: A name was given that the ledger records, or that is not 1 to 200 printable characters.
    """

    recorded: Description
    run: str | None = None
    organisation: str | None = None

    def __post_init__(self) -> None:
        for name in ("run", "organisation"):
            given, known = getattr(self, name), getattr(self.recorded, name)
            if given is None:
                continue
            if known is not None:
                raise InvalidParameter(
                    f"{name}: expected none, since the ledger records {known!r}, found another one for the report. "
                    "Leave it out."
                )
            short_text(name, given)

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """Each heading with its name and who gave it."""
        rows = (
            ("Run", self.recorded.run, self.run),
            ("Data set", self.recorded.data, None),
            ("Organisation", self.recorded.organisation, self.organisation),
        )
        return tuple(
            (heading, known, RECORDED)
            if known is not None
            else (heading, given, GIVEN)
            if given is not None
            else (heading, "not recorded", MISSING)
            for heading, known, given in rows
        )
