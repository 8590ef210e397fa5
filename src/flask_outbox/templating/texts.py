"""Texts: what an HTML says, for those who read mail as text."""

from __future__ import annotations

import re

_named_by_itself = re.compile(r"\[(\S+)\]\((?:mailto:)?\1\)")
_without_a_name = re.compile(r"\[\s*\]\((\S+?)\)")
_spaces_at_an_end = re.compile(r"[ \t]+$", re.MULTILINE)
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
