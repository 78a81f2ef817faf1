"""The canary: a sentence that shows whether an endpoint still serves the model that it served before.

A server may load another model under the same name; vectors of two models must not meet in one
store. So the store holds the canary's vector, and no text is embedded before the server has given
the same one again. Files on disk need no canary: their hash is part of the fingerprint.
"""

from __future__ import annotations

import polars as pl

from rag_assets.embedding.embedder import Embedder
from rag_assets.embedding.endpoint import EndpointEmbedder
from rag_assets.embedding.parity import LEAST_COSINE, cosines
from rag_assets.embedding.stage import PROBE, SCHEMA
from rag_assets.errors import ModelError
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest


def check_canary(store: ContentStore, embedder: Embedder) -> None:
    """Compare the canary's vector with the one in the store, or keep it there. Asks only endpoints.

    Raises:
        ModelError: the server gives another vector than before.
    """
    import numpy as np

    if not isinstance(embedder, EndpointEmbedder):
        return
    key = digest("canary", PROBE)
    tokens = embedder.counter().count([PROBE])
    vectors = embedder.embed([PROBE], tokens)
    known = store.collect(pl.Series("key", [key]), ("vector",))
    if known.is_empty():
        row = {"key": key, "vector": vectors[0].tolist(), "tokens": tokens[0], "reason": None}
        store.commit(pl.DataFrame([row], schema=SCHEMA))
        return
    before = np.asarray(known["vector"].to_list(), dtype=np.float32)
    agreement = cosines(vectors, before)[0] if before.shape == vectors.shape else 0.0
    if agreement < LEAST_COSINE:
        raise ModelError(
            f"{embedder.about['model']}: the server gives other vectors than before (cosine {agreement:.4f} for the same "
            "sentence), so it serves another model under this name. Serve the old one, or name the new one otherwise"
        )
