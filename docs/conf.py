"""The site: Markdown pages beside this file, and a reference made of the docstrings (`reference.py`).

`python3 run.py docs` builds it, with warnings as errors.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference

from jaxnn import __version__

project = "jaxnn"
author = "The jaxnn authors"
copyright = "the jaxnn authors"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
default_role = "py:obj"

html_theme = "furo"  # light and dark, with search
html_title = "jaxnn"
pygments_style, pygments_dark_style = "friendly", "native"

autodoc_member_order = "alphabetical"
autodoc_typehints = "none"  # the docstrings say what arguments are; checkers read the stubs
napoleon_use_rtype = False
napoleon_custom_sections = [("Shape", "notes_style")]


def setup(app):
    """Write the reference before Sphinx reads its sources, and make reStructuredText of what docstrings hold."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir) / "api"))
    app.connect("autodoc-process-docstring", reference.escape, priority=100)  # before napoleon
