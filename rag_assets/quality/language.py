"""The language of a text. The seam to py3langid: small, offline, its model is in the package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.errors import ConfigurationError, install

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNKNOWN = "und"  # ISO 639 for "undetermined"
LEAST_CONFIDENCE = 0.5
LOOKED_AT = 1000  # characters: more make it slower, not surer
_NOT_PROSE = r"(?s)```.*?```|`[^`\n]*`|https?://\S+"  # code and addresses are written in no language


def detector() -> str:
    """Name and version of what detects languages. Raises ConfigurationError when it is not installed."""
    try:
        return f"py3langid {version('py3langid')}"
    except PackageNotFoundError as error:
        raise _lacking() from error


def languages(texts: pl.Series) -> pl.Series:
    """ISO 639 code of each text, ``und`` when unsure. Raises ConfigurationError as ``detector``."""
    known = _identifier()
    prose = texts.str.replace_all(_NOT_PROSE, " ").str.strip_chars().str.slice(0, LOOKED_AT)
    return pl.Series([known.classify(text)[0] for text in prose], dtype=pl.String)


@cache
def _identifier() -> LanguageIdentifier:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise _lacking() from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=LEAST_CONFIDENCE)


def _lacking() -> ConfigurationError:
    return ConfigurationError(f"data quality needs the extra 'quality': {install('quality')}")
