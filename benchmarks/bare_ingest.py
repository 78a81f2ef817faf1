"""The bare work of an ingest: read, split, one encode. A process of its own for ``competitors``.

``python -m benchmarks.bare_ingest FOLDER CHARACTERS`` prints the number of chunks as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """What a script of ten lines does."""
    from safetensors.numpy import load_file
    from semantic_text_splitter import TextSplitter
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from wordllama import __file__ as package  # type: ignore[import-untyped]

    folder = Path(package).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
    (table,) = load_file(folder / "weights/l2_supercat_256.safetensors").values()
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table.astype("float32"))], device="cpu"
    )
    splitter = TextSplitter(int(sys.argv[2]))
    chunks = [
        chunk
        for path in Path(sys.argv[1]).rglob("*.md")
        for chunk in splitter.chunks(path.read_text(encoding="utf-8", errors="replace"))
    ]
    vectors = model.encode(chunks, batch_size=1024, normalize_embeddings=True, show_progress_bar=False)
    print(json.dumps({"chunks": len(vectors)}))


if __name__ == "__main__":
    main()
