"""The documentation's site; `make docs` builds it. Sources are the Markdown files as they stand in the repository."""

import re
from datetime import date
from typing import Any

import seamount

project = "Seamount"
version = release = seamount.__version__
project_copyright = f"{date.today().year}, the Seamount authors"

# the repository is the source folder, so that links between README, docs and examples are the same here and on disk
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md", "examples/*.ipynb"]
exclude_patterns = [".*", "build", "dist", "runs", "tests", "benchmarks", "models", "distill", "compile"]
root_doc = "docs/index"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # the tests execute the notebook, and its results are kept in it

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "model_config"}
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88

html_theme = "furo"  # has its fonts and scripts with it: a page asks no other server for anything
html_title = "Seamount"
html_static_path = ["site"]
html_css_files = ["seamount.css"]
html_additional_pages = {"index": "forward.html"}
templates_path = ["site"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a6d8a", "color-brand-content": "#0a6d8a"},
    "dark_css_variables": {"color-brand-primary": "#5cc3de", "color-brand-content": "#5cc3de"},
}
html_show_sourcelink = False


def stars_as_they_are(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write shapes as (T, B, *shape); no emphasis begins there."""
    for i, line in enumerate(lines):
        parts = line.split("``")  # every second one is code
        parts[::2] = [re.sub(r"(?<![\w\\*])\*(?=\w)", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", stars_as_they_are, priority=900)  # behind napoleon
