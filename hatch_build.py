"""What the index page of a release shows: the README, and where the repository is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "FLASK_OUTBOX_REPOSITORY"
"""The environment variable that names the repository's address to a release."""

_RELATIVE_LINK = re.compile(r"\[([^\[\]]+)\]\((?!https://)([^()\s]+)\)")


class IndexPage(MetadataHookInterface):
    """The README's links lead into the repository, at the tag of this version.

    A build that is not told of a repository has the words without the links, and no
    addresses.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``readme`` and ``urls``."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = os.environ.get(REPOSITORY, "").rstrip("/")
        tagged = f"{repository}/blob/v{metadata['version']}"
        link = rf"[\1]({tagged}/\2)" if repository else r"\1"
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": _RELATIVE_LINK.sub(link, text),
        }
        metadata["urls"] = {}
        if repository:
            metadata["urls"] = {
                "Documentation": f"{tagged}/docs/index.rst",
                "Source": repository,
                "Changelog": f"{tagged}/CHANGELOG.md",
                "Issues": f"{repository}/issues",
                "Security": f"{tagged}/SECURITY.md",
            }
