"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

from pallets_sphinx_themes import get_version

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "Flask-Outbox"
copyright = "Flask-Outbox contributors"
author = "Flask-Outbox contributors"
release, version = get_version("Flask-Outbox")

extensions = [
    "sphinx.ext.autodoc",
    "pallets_sphinx_themes",
    "from_changelog",
    "from_commands",
    "from_config",
    "from_doctor",
    "from_events",
    "from_scripts",
]
exclude_patterns = ["_build"]
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "flask"
html_title = f"Flask-Outbox {version}"
html_show_sourcelink = False
html_sidebars = {"**": ["localtoc.html", "relations.html", "searchbox.html"]}
version_banner = False
