"""From configuration to a chat model. Nothing is loaded until it is entered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag_assets import corpus
from rag_assets.corpus.vllm import NGRAM_MIN
from rag_assets.inference.chat import Chat
from rag_assets.inference.chat_endpoint import ChatEndpoint
from rag_assets.inference.chat_engine import ChatEngine
from rag_assets.inference.model_files import identity_of


def open_chat(config: corpus.ChatModel) -> Chat:
    """The model that the corpus file names.

    Raises:
        ConfigurationError: an extra is missing, or a key cannot be one.
        ModelError: an engine cannot run the model.
    """
    return ChatEndpoint(config) if isinstance(config, corpus.ChatEndpoint) else ChatEngine(config)


def identity(config: corpus.ChatModel) -> Mapping[str, Any]:
    """What of a model's configuration determines its replies. Loads no model.

    The same model behind another URL gives the same replies. Of a hub model the commit is named; of a
    folder, the hash of its files.
    """
    if isinstance(config, corpus.ChatEndpoint):
        return {"model": config.model, "temperature": config.temperature, "max_tokens": config.max_tokens}
    # Guesses change no reply, but for a fault of vLLM: what was guessed from shorter repetitions is asked again.
    guessed = {"guessed_from": NGRAM_MIN} if config.vllm.ngram_tokens else {}
    return {
        **guessed,
        "model": config.model,
        "files": identity_of(config.model, config.revision),
        "dtype": config.dtype,
        "quantization": config.vllm.quantization,
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
    }
