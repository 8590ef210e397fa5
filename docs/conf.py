"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "Flask-Outbox"
copyright = "Flask-Outbox contributors"
author = "Flask-Outbox contributors"
release = installed_version("Flask-Outbox")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "from_benchmarks",
    "from_changelog",
    "from_commands",
    "from_config",
    "from_doctor",
    "from_errors",
    "from_events",
    "from_scripts",
    "keyboard",
    "names",
]
exclude_patterns = ["_build"]
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["errors.css"]
html_title = f"Flask-Outbox {version}"
html_show_sourcelink = False
html_use_index = False
html_search_scorer = str(Path(__file__).parent / "search.js")
