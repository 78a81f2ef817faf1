"""How much of a text a model takes."""

from __future__ import annotations

from pathlib import Path

from rag_assets.ingest.chunking.tokens import TokenizerCounter


def content_window(window: int, tokenizer: Path, prefix: str) -> int:
    """Tokens left for content after special tokens and the prefix of documents."""
    from tokenizers import Tokenizer

    prefixed = TokenizerCounter(tokenizer).count([prefix])[0]  # first: it says what is wrong with the file
    special = Tokenizer.from_file(str(tokenizer)).num_special_tokens_to_add(False)
    return window - int(special) - prefixed
