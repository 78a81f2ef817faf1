"""The canary: a sentence that shows whether an endpoint still serves the model that it served before.

A server may load another model under the same name; vectors of two models must not meet in one
store. So the store keeps the canary's vector, ``canaries/<fingerprint>.json``, under the endpoint's own
fingerprint whatever its vectors count as, and no text is embedded before the server has given the same
one again. Files on disk need no canary: their hash is part of the fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from rag_assets.errors import ModelError
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.endpoint import EndpointEmbedder
from rag_assets.ingest.embedding.parity import LEAST_COSINE, cosines
from rag_assets.store.files import read_record
from rag_assets.store.objects import ObjectStore

SENTENCE = "A short sentence that every model can embed."


@dataclass(frozen=True)
class Canary:
    """What the store keeps: the sentence, what stands behind the fingerprint, and the vector."""

    sentence: str
    about: Mapping[str, Any]
    vector: list[float]


_CANARY = TypeAdapter(Canary)


def check_canary(objects: ObjectStore, embedder: Embedder) -> None:
    """Compare the canary's vector with the one in the store, or keep it there. Asks only endpoints.

    Raises:
        ModelError: the server gives another vector than before.
        ObjectDamaged: nobody knows which it gave before.
    """
    import numpy as np

    if not isinstance(embedder, EndpointEmbedder):
        return
    path = f"canaries/{embedder.fingerprint}.json"
    vectors = embedder.embed([SENTENCE], embedder.counter().count([SENTENCE]))
    fresh = Canary(SENTENCE, dict(embedder.about), vectors[0].tolist())
    if objects.create(path, json.dumps(asdict(fresh)).encode()):
        return
    before = np.asarray([read_record(objects, path, _CANARY).vector], dtype=np.float32)
    agreement = cosines(vectors, before)[0] if before.shape == vectors.shape else 0.0
    if agreement < LEAST_COSINE:
        raise ModelError(
            f"{embedder.about['model']}: the server gives other vectors than before (cosine {agreement:.4f} for the same "
            "sentence), so it serves another model under this name. Serve the old one, or name the new one otherwise"
        )
