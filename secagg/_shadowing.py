"""`dp` and `protocols` are common folder names: make sure that the ones Python would import are ours."""

import importlib.util
from pathlib import Path

_OURS = Path(__file__).resolve().parent.parent


def refuse_foreign_packages() -> None:
    """Raise unless `dp` and `protocols` lie beside `secagg`.

    Raises:
        ImportError: Another folder or module of that name comes first on the import path; the message names it.
    """
    for name in ("dp", "protocols"):
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # A module of this name has been made by hand, and has no spec.
            spec = None
        found = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        if found is None or Path(found).resolve() != _OURS / name / "__init__.py":
            advice = "rename it, or keep the current folder off the import path with `python -P`"
            raise ImportError(f"secagg needs its own package {name!r}, but Python finds {found or 'none'}; {advice}")
