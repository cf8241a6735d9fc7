"""The documentation site: `make docs` builds it into `docs/_build`, without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from protocols import __version__  # after the path is there

project = "secagg"
author = "the authors of secagg"
copyright = author  # noqa: A001  # Sphinx's name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docs._ext.site"]
exclude_patterns = ["_build", "_ext"]
default_role = "py:obj"  # in docstrings a name between backticks is a link if it is public, and code otherwise

myst_enable_extensions = ["colon_fence", "substitution"]
myst_substitutions = {"version": release}
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_default_options = {"member-order": "bysource"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False

smartquotes_action = "qe"  # Options stay options: "--unit" in a table keeps both of its hyphens.
html_theme = "furo"
html_title = f"secagg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
