"""One setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .convert import Convert, is_unset


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name, what it takes, its default, and what it is for."""

    name: str
    type_name: str
    default: Any
    doc: str
    convert: Convert
    default_words: str = ""

    @property
    def default_text(self) -> str:
        """The default in words, for the documentation."""
        return self.default_words or repr(self.default)

    def read(self, config: Mapping[str, Any]) -> Any:
        """The value in ``config``, checked and converted, or the default.

        What is empty is not set (`is_unset`). Raises `ConfigError` that names the key
        and shows the value.
        """
        value = config.get(self.name)
        return self.default if is_unset(value) else self.convert(self.name, value)
