"""Embedding on a GPU: chunks and tokens per second, how busy the GPU is, and how near to what it could do.

Not part of ``python -m benchmarks``: most machines have no GPU. On one that has,
``python -m benchmarks.gpu FOLDER`` embeds the Markdown files of a folder with the default model, in
every backend that is installed, and prints one JSON object per backend. Texts are made by the
product's own parser and chunker; vectors are compared between backends.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.project import Project
from rag_assets.corpus import Embedder as Config
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.parity import cosines

PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10G": 125.0}
"""Dense bfloat16 of a GPU, as its maker states it."""
PARAMETERS = 21.3e6
"""Of the default model's layers, embeddings left out: a token costs two operations for each in the forward pass."""
POLL_SECONDS = 0.2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Markdown files to embed")
    parser.add_argument("--batch-tokens", type=int, default=131_072)
    arguments = parser.parse_args()
    gpu = _query("name")
    if not gpu:
        raise SystemExit("no NVIDIA GPU here: nvidia-smi does not answer")
    with tempfile.TemporaryDirectory() as scratch:
        texts = _texts(Path(scratch), arguments.folder)
        reference = None
        for backend, embedder in _backends(arguments.batch_tokens):
            row = _measure(embedder, texts, gpu[0])
            sample = texts.head(2048)
            vectors = embedder.embed(sample["text"].to_list(), sample["tokens"].to_list())
            reference = vectors if reference is None else reference
            row["min_cosine"] = float(cosines(vectors, reference).min())
            print(json.dumps({"backend": backend, "gpu": gpu[0], **row}), flush=True)


def _backends(batch_tokens: int) -> Iterator[tuple[str, Embedder]]:
    common = {"precision": "bfloat16", "batch_tokens": batch_tokens}
    yield "sentence-transformers", open_embedder(Config.model_validate(common))
    if find_spec("vllm"):
        yield "vllm", open_embedder(Config.model_validate({**common, "type": "vllm"}))


def _texts(scratch: Path, folder: Path) -> pl.DataFrame:
    """text and tokens of every distinct chunk of the folder's documents."""
    pipeline = Project(scratch, folder, embedder={}).pipeline()
    snapshot, _, _ = pipeline.documents()
    pipeline.chunks()
    keys = pipeline.context.snapshots.readable(snapshot)["text_key"]
    columns = ("context", "text", "tokens")
    chunks = pipeline.context.chunks.collect(keys, columns).explode(columns).drop_nulls()
    return chunks.select(text=pl.col("context") + pl.col("text"), tokens="tokens").unique(
        "text", maintain_order=True
    )


def _measure(embedder: Embedder, texts: pl.DataFrame, gpu: str) -> Mapping[str, Any]:
    warm = texts.head(512)
    embedder.embed(warm["text"].to_list(), warm["tokens"].to_list())
    words, tokens = texts["text"].to_list(), texts["tokens"].to_list()
    with _watched() as busy:
        started = time.perf_counter()
        embedder.embed(words, tokens)
        seconds = time.perf_counter() - started
    rate = sum(tokens) / seconds
    peak = next((value for name, value in PEAK_TFLOPS.items() if name in gpu), None)
    return {
        "chunks": len(words),
        "tokens": sum(tokens),
        "seconds": round(seconds, 3),
        "chunks_per_s": round(len(words) / seconds),
        "tokens_per_s": round(rate),
        "gpu_utilisation": round(statistics.mean(busy) / 100, 3) if busy else None,
        "roofline_share": None if peak is None else round(2 * PARAMETERS * rate / (peak * 1e12), 4),
    }


@contextmanager
def _watched() -> Iterator[list[float]]:
    """How busy the GPU is, in percent, sampled while the block runs."""
    found: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            found.extend(float(value) for value in _query("utilization.gpu")[:1])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _query(field: str) -> list[str]:
    """A field of each GPU, as nvidia-smi tells it; nothing where there is none."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.stdout.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
