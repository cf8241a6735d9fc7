"""Self-contained HTML pages, and the page of a budget report: a template and charts, all inside one file."""

import importlib.resources
import re
from typing import Any, Final

from dp.errors import MissingExtra
from dp.events import PrivacyUnit
from dp.figures import in_full, rounded_up, used_in_percent
from dp.reporting.charts import charts
from dp.reporting.checklist import facts, when
from dp.reporting.observers import HEADINGS
from dp.reporting.report import BudgetReport

_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNAMPLIFIED: Final = {
    PrivacyUnit.CLIENT: "Without sampling amplification: this holds against the server of a secure sum, which sees who "
    "takes part, unless it adds the noise itself",
    PrivacyUnit.EXAMPLE: "Without sampling amplification: this would hold if it were known which examples were drawn, "
    "which the client never reveals",
}
_FAILED_UNAMPLIFIED: Final = "Without sampling amplification, computed as if no condition had failed"


def as_html(report: BudgetReport) -> str:
    """Return a report as one self-contained HTML page with plots, in the reader's light or dark scheme.

    Raises:
        MissingExtra: Jinja2 or matplotlib is not installed.
    """
    require_extra()
    return fill(
        "dp.reporting/report.html.j2",
        report=report,
        facts=facts(report),
        share=min(1.0, report.used),
        charts=charts(report) if report.releases else (),
        when=when,
        unamplified=_FAILED_UNAMPLIFIED if report.failed else _UNAMPLIFIED[report.budget.unit],
        left=report.left,
        headings=HEADINGS,
    )


def require_extra() -> None:
    """Check that pages can be made.

    Raises:
        MissingExtra: Jinja2 or matplotlib is not installed; its `name` says which.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f'an HTML report needs {error.name}. Install it, in a clone of secagg, by: pip install ".[report]"',
            name=error.name,
        ) from None


def fill(template: str, **context: Any) -> str:
    """Return a filled template, its values escaped.

    Args:
        template: `package/name`, a file in that package's folder `templates`; it may extend
            `dp.reporting/page.html.j2`, and import from `dp.reporting/parts.html.j2`.
        context: The values of all names that the template uses.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_controls,
    )
    environment.filters["rounded_up"] = rounded_up
    environment.filters["in_full"] = in_full
    environment.filters["used_in_percent"] = used_in_percent
    return environment.get_template(template).render(context)


def _without_controls(value: object) -> object:
    """Return a value of a template, a plain text without control characters, which no HTML may hold."""
    if type(value) is not str or not _CONTROLS.search(value):
        return value
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)


def _source(template: str) -> str:
    package, _, name = template.partition("/")
    return importlib.resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
