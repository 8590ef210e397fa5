"""Texts: what an HTML says, for those who read mail as text."""

from __future__ import annotations

import re

# The HTML may hold what anybody has written. Each pattern stops where it could begin
# anew, so that none looks at a character more than a few times.
_named_by_itself = re.compile(r"\[([^\s\[\]]+)\]\((?:mailto:)?\1\)")
_without_a_name = re.compile(r"\[\s*\]\(((?:[^\s)\[]|\[(?!\]\())+)\)")
_spaces_at_an_end = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)
_many_empty_lines = re.compile(r"\n{3,}")


def text_of(html: str) -> str:
    """``html`` as text: lists and tables laid out, links as ``[name](address)``."""
    from inscriptis import get_text
    from inscriptis.model.config import ParserConfig

    text: str = get_text(html, ParserConfig(display_links=True))
    text = _named_by_itself.sub(r"\1", text)
    text = _without_a_name.sub(r"\1", text)
    text = _spaces_at_an_end.sub("", text)
    return _many_empty_lines.sub("\n\n", text).strip("\n") + "\n"
