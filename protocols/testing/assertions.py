"""pytest, which the suite needs, made ready to explain the suite's failed assertions.

`protocols.testing` imports this module before the modules of the suite: pytest can rewrite the assertions of a module
only if it is told before the module is imported.
"""

from typing import Final

SUITE: Final = "protocols.testing.suite"

try:
    import pytest
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "pytest: expected it to be installed, since protocols.testing needs it, found that it is not. Install it, in a "
        'clone of secagg, by: pip install ".[testing]"'
    ) from None

pytest.register_assert_rewrite(SUITE)
