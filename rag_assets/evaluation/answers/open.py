"""From configuration to a generator. Nothing is loaded until a task is answered."""

from __future__ import annotations

from rag_assets import corpus
from rag_assets.evaluation.answers.chat_generator import ChatGenerator
from rag_assets.evaluation.answers.extractive import ExtractiveGenerator
from rag_assets.evaluation.answers.generator import Generator
from rag_assets.store.objects import ObjectStore


def open_generator(config: corpus.Answers, objects: ObjectStore) -> Generator:
    """The generator that the corpus file asks for."""
    if isinstance(config.generator, corpus.Extractive):
        return ExtractiveGenerator(config.generator, objects)
    return ChatGenerator(config.generator, config.instructions)
