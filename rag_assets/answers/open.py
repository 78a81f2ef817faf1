"""From configuration to a generator. Nothing is loaded until a task is answered."""

from __future__ import annotations

from rag_assets import corpus
from rag_assets.answers.endpoint import EndpointGenerator
from rag_assets.answers.extractive import ExtractiveGenerator
from rag_assets.answers.generator import Generator
from rag_assets.store.objects import ObjectStore


def open_generator(config: corpus.Answers, objects: ObjectStore) -> Generator:
    """The generator that the corpus file asks for."""
    # vLLM in process takes its place here, beside the endpoint.
    if isinstance(config.generator, corpus.Endpoint):
        return EndpointGenerator(config.generator, config.instructions)
    return ExtractiveGenerator(config.generator, objects)
