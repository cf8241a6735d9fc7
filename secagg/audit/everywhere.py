"""Objects of modules that are replaced, under every name by which a loaded module knows them, for a limited time.

Code that says `from os import urandom` keeps a name of its own. So each loaded module is searched, except the audit's
own modules, which go on with the original objects.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

_OWN: Final = "secagg.audit."
_PLANTED: Final = "secagg.audit.planted."


@contextlib.contextmanager
def replaced_everywhere(pairs: Iterable[tuple[object, object]]) -> Iterator[None]:
    """Replace objects in all modules that are loaded now, and put them back at the end.

    Args:
        pairs: Pairs of an object and the one that takes its place.
    """
    kept = list(pairs)
    by_id = {id(original): new for original, new in kept}
    changed: list[tuple[dict[str, Any], str, object]] = []
    for name, module in list(sys.modules.items()):
        if name.startswith(_OWN) and not name.startswith(_PLANTED):
            continue
        known = getattr(module, "__dict__", None)
        if isinstance(known, dict):
            changed += [(known, key, value) for key, value in list(known.items()) if id(value) in by_id]
    try:
        for known, key, value in changed:
            known[key] = by_id[id(value)]
        yield
    finally:
        for known, key, value in changed:
            known[key] = value
