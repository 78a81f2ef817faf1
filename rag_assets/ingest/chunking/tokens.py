"""How long a text is, in the tokens of the model that will embed it.

texts → one batched count. Counting costs 5 to 50 times more than cutting, so the chunker
asks for large batches and, where a counter is additive, never asks twice for the same text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag_assets.errors import ConfigurationError
from rag_assets.store.digest import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter(Protocol):
    """Texts → lengths.

    Attributes:
        identity: key of everything that a count depends on besides the text.
        additive: the counts of two parts cut at white space always add up to the count of the whole.
    """

    identity: str
    additive: bool

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens and without truncation."""
        ...


class TokenizerCounter:
    """Exact counts by a model's own ``tokenizer.json``; uses every core and releases the GIL."""

    def __init__(self, tokenizer_json: Path) -> None:
        """Load a tokenizer.

        Raises:
            ConfigurationError: the file is missing or is no tokenizer.
        """
        import tokenizers

        try:
            data = tokenizer_json.read_bytes()
            self._tokenizer: Tokenizer = tokenizers.Tokenizer.from_buffer(data)
            settings = json.loads(data)
        # The library raises bare ValueError or Exception for any file that it cannot use.
        except Exception as error:
            raise ConfigurationError(f"tokenizer {tokenizer_json} cannot be loaded: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.identity = digest(data, tokenizers.__version__)
        self.additive = _cuts_at_white_space(settings)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens and without truncation."""
        return list(map(len, self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)))


class CharacterCounter:
    """An estimate from the number of characters, for embedders without a window.

    Nothing can be truncated there, so an exact count would buy nothing and cost more than the cutting.
    """

    additive = False

    def __init__(self, characters_per_token: int = 4) -> None:
        """``characters_per_token``: 4 is usual for English prose; code and other scripts have fewer."""
        self._width = characters_per_token
        self.identity = digest("characters", str(characters_per_token))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Characters of each text by characters per token, rounded up."""
        width = self._width
        return [-(-len(text) // width) for text in texts]


def _cuts_at_white_space(settings: dict[str, Any]) -> bool:
    # BERT's family drops white space and treats every word alone. Byte-level and SentencePiece
    # tokenizers make white space part of a token, so there a sum is only close to the truth.
    normalizer = settings.get("normalizer") or {"type": "BertNormalizer"}
    pre_tokenizer = settings.get("pre_tokenizer") or {}
    return (normalizer["type"], pre_tokenizer.get("type")) == ("BertNormalizer", "BertPreTokenizer")
