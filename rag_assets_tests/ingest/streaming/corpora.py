"""Corpora for both engines, and what their runs leave behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from rag_assets.corpus import Embedder
from rag_assets.inference.model_files import find_model
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.workspace import Workspace, document

POISON = "zymurgy"
RAY: dict[str, Any] = {
    "cpu_workers": {"max": 2},
    "gpu_workers": {"max": 2},
    "gpus_per_worker": 0.5,
    "cpus_per_worker": 0.25,
}


def poisoned_model(folder: Path) -> Path:
    """A real static model that has no finite vector for one word."""
    files = find_model(Embedder(type="static"))
    folder.mkdir()
    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tables = load_file(files.weights)
    (name,) = [name for name, table in tables.items() if table.ndim == 2]
    common = set(tokenizer.encode("the cat sat on words of a paragraph", add_special_tokens=False).ids)
    poison = [
        token
        for token in tokenizer.encode(f"a {POISON} b", add_special_tokens=False).ids
        if token not in common
    ]
    table = tables[name].copy()
    table[max(poison)] = np.nan
    save_file({name: table}, folder / "model.safetensors")
    shutil.copy(files.tokenizer, folder / "tokenizer.json")
    return folder


def workspace(root: Path, engine: str, **settings: Any) -> Workspace:
    """An empty corpus with one of the engines."""
    return Workspace(root / engine, str(root / engine / "store"), **on(engine, settings))


def on(engine: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a corpus file with one of the engines."""
    return {**settings, "engine": engine, **({"ray": RAY} if engine == "ray" else {})}


def fill(found: Workspace, documents: int) -> None:
    """Markdown of four sections each."""
    for number in range(documents):
        found.write(f"d{number:03d}.md", document(number))


def aged(found: Workspace, *names: str) -> None:
    """Let documents (default: all) be old, so that the next listing trusts their time stamps."""
    for name in names or [path.name for path in found.documents.iterdir()]:
        os.utime(found.documents / name, (1_600_000_000, 1_600_000_000))


def contents(found: Workspace) -> dict[str, pl.DataFrame]:
    """Distinct rows of every content store, by stage and fingerprint, in the order of their keys."""
    root = Path(found.store) / "content"
    return {
        str(folder.relative_to(root)): pl.concat(
            pl.read_parquet(path) for path in sorted((folder / "shards").iterdir())
        )
        .unique("key")
        .sort("key")
        for folder in sorted(root.glob("*/*"))
        if any((folder / "shards").iterdir())
    }


def written(found: Workspace, stage: str) -> int:
    """Rows of all shards of a stage, those that stand twice counted twice."""
    shards = (Path(found.store) / "content" / stage).glob("*/shards/*.parquet")
    return sum(pl.read_parquet(path, columns=["key"]).height for path in shards)


def same(one: Workspace, other: Workspace) -> None:
    """Both corpora have the same content, and readers see the same."""
    left, right = contents(one), contents(other)
    assert left.keys() == right.keys()
    for name, rows in left.items():
        assert rows.equals(right[name]), name
    ours, theirs = pipeline(one), pipeline(other)
    assert ours.context.snapshots.latest().digest == theirs.context.snapshots.latest().digest
    head, twin = ours.log.head(), theirs.log.head()
    assert head is not None
    assert twin is not None
    assert head.spec == twin.spec
    assert one.rows().equals(other.rows())


def pipeline(found: Workspace, run_id: str = "run", **arguments: Any) -> Pipeline:
    """The stages with the embedder that the corpus file asks for."""
    return Pipeline(found.objects, found.corpus, run_id=run_id, **arguments)
