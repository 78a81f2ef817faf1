"""Secrets of targets: read from the environment by name, and kept out of everything that is written."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from rag_assets.corpus.invalidation import VARIABLE
from rag_assets.errors import ConfigurationError, SecretMissing, redacted

LONGEST_ERROR = 300


class Environment:
    """The environment of one target. Remembers what it gave out, so that no message shows it."""

    def __init__(self, environ: Mapping[str, str], target: str) -> None:
        self._environ = environ
        self._target = target
        self._secrets: set[str] = set()

    def read(self, variable: str, what: str) -> str:
        """A secret, without the line break that a mounted one ends with.

        Raises:
            SecretMissing: the variable is not set, or to nothing.
        """
        value = self._environ.get(variable, "").strip()
        if not value:
            raise SecretMissing(
                f"target {self._target}: the environment variable {variable} is not set; it must hold {what}. Set it "
                "where rag-assets and Dagster run, then run again"
            )
        self._secrets |= {value, *value.split(), *_passwords(value)}
        return value

    def filled(self, template: str, what: str) -> str:
        """A text with every ``${VARIABLE}`` replaced.

        Raises:
            SecretMissing: a variable is not set.
            ConfigurationError: it holds what no header can carry.
        """
        text = VARIABLE.sub(lambda match: self.read(match[1], what), template)
        if not text.isascii() or not text.isprintable():
            raise ConfigurationError(
                f"target {self._target}: {what} holds a line break or a character that cannot be sent; correct the "
                f"environment variable that {template!r} names"
            )
        return text

    def hide(self, error: object) -> str:
        """A message that may be shown and kept: in one line, without secrets."""
        return " ".join(redacted(str(error), self._secrets).split())[:LONGEST_ERROR]


def _passwords(url: str) -> set[str]:
    """What of a URL must not be shown even alone, as written and decoded."""
    try:
        parts = urlsplit(url)
        password = parts.password or ""
    except ValueError:  # no URL at all
        return set()
    return {password, unquote(password), *parse_qs(parts.query).get("password", ())} - {""}
