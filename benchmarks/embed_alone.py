"""One embedder over a list of texts, in a process and an environment of its own, for ``backends``.

``python -m benchmarks.embed_alone texts.json embedder.json vectors.npy`` prints the seconds of loading
and of embedding as JSON and writes the vectors.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from rag_assets.corpus import Embedder as Config
from rag_assets.ingest.embedding.open import open_embedder

WARM = 64  # texts, embedded before the clock starts


def main() -> None:
    """Embed everything at once, as a stage does with a shard."""
    texts, settings, target = (Path(name) for name in sys.argv[1:])
    words = json.loads(texts.read_text())
    embedder = open_embedder(Config.model_validate_json(settings.read_text()))
    tokens = embedder.counter().count(words)
    started = time.perf_counter()
    embedder.embed(words[:WARM], tokens[:WARM])
    loaded = time.perf_counter()
    vectors = embedder.embed(words, tokens)
    done = time.perf_counter()
    np.save(target, vectors)
    print(json.dumps({"load": loaded - started, "embed": done - loaded, "tokens": sum(tokens)}))


if __name__ == "__main__":
    main()
