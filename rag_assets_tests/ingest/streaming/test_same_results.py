"""A stream makes what stage by stage makes, here and on a cluster: the same keys, rows, vectors and index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_assets.ingest.parsing.batch import SCHEMA, document_store
from rag_assets.store.digest import digest
from rag_assets_tests.ingest.streaming.corpora import (
    POISON,
    aged,
    contents,
    fill,
    on,
    pipeline,
    poisoned_model,
    same,
    workspace,
)
from rag_assets_tests.workspace import Workspace, document, run_stages

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port
COUNTS = (
    "listed",
    "new",
    "changed",
    "moved",
    "deleted",
    "unchanged",
    "read",
    "parsed",
    "reused",
    "bytes_read",
)


def run(found: Workspace) -> dict[str, Any]:
    """All stages; the facts that were recorded."""
    stages = pipeline(found)
    run_stages(stages)
    facts: dict[str, Any] = stages.runs.last()["stages"]
    return facts


def both(twins: tuple[Workspace, Workspace]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs both; the documents stage counted the same, and as many texts were embedded or refused."""
    local, streamed = run(twins[0]), run(twins[1])
    assert {name: streamed["documents"][name] for name in COUNTS} == {
        name: local["documents"][name] for name in COUNTS
    }
    for name in ("embedded", "poisoned", "tokens"):
        ahead = streamed["documents"]["ahead"][name] + streamed["chunks"]["ahead"][name]
        assert ahead + streamed["embeddings"][name] == local["embeddings"][name]
    assert (
        streamed["documents"]["ahead"]["chunked"] + streamed["chunks"]["chunked"]
        == local["chunks"]["chunked"]
    )
    assert twins[1].last_run()["embedded_texts"] == twins[0].last_run()["embedded_texts"]
    same(*twins)
    return local, streamed


def rejected_elsewhere(found: Workspace, name: str) -> None:
    """Another corpus of this store has tried a document of the same bytes under limits that were too tight."""
    key = digest((found.documents / name).read_bytes())
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names())
    row |= {"key": key, "reason": "timeout", "detail": "too slow", "limits": "others"}
    document_store(found.objects, "markdown").commit(pl.DataFrame([row], schema=SCHEMA))


@pytest.fixture(params=["stream", "ray"])
def engine(request: pytest.FixtureRequest) -> str:
    """An engine that streams; the cluster is there where it is needed."""
    name: str = request.param
    if name == "ray":
        request.getfixturevalue("cluster")
    return name


def test_from_every_stage_on_it_makes_what_stage_by_stage_makes(engine: str, tmp_path: Path) -> None:
    model = {"type": "static", "model": str(poisoned_model(tmp_path / "model")), "shard_chunks": 32}
    settings: dict[str, Any] = {
        "embedder": model,
        "parsing": {"max_quarantined_share": 0.5, "max_bytes": 20_000},
    }
    local, streamed = workspace(tmp_path, "local", **settings), workspace(tmp_path, engine, **settings)
    twins = local, streamed
    for found in twins:
        fill(found, 40)
        found.write("same-bytes.md", document(3))
        found.write("same-text.txt", document(4))
        found.write("empty.md", "")
        found.write(
            "poison.md", f"# Brewing\n\nThe last word is {POISON}.\n\n## More\n\nThis one is sound.\n"
        )
        found.write("broken.pdf", "%PDF-1.7 and nothing that follows from it")
        found.write("unknown.xyz", "no parser")
        found.write("large.md", "word " * 5_000)
        aged(found)
        rejected_elsewhere(found, "d006.md")

    _, made = both(twins)  # from the sources
    assert made["documents"]["ahead"]["poisoned"] == 1
    assert made["documents"]["ahead"]["embedded"] > 100
    assert (
        made["chunks"]["chunked"] == 1
    )  # what was rejected elsewhere was left to the driver, and came later
    assert made["embeddings"]["embedded"] == 0

    for found in twins:  # an edit, a new document, one moved, one gone
        found.write("d001.md", document(1) + "\n## Added\n\nA paragraph that is new.\n")
        found.write("new.md", document(500))
        (found.documents / "d002.md").rename(found.documents / "moved.md")
        (found.documents / "d005.md").unlink()
        aged(found, "d001.md", "new.md")
    _, made = both(twins)
    assert (made["documents"]["new"], made["documents"]["changed"]) == (1, 1)
    assert made["documents"]["ahead"]["chunked"] == 2
    assert made["documents"]["ahead"]["embedded"] == 5

    for found, name in zip(twins, ("local", engine), strict=True):  # from the parsed texts
        found.configure(**on(name, {**settings, "chunking": {"max_tokens": 64}}))
    _, made = both(twins)
    assert made["documents"]["parsed"] == 0
    assert made["chunks"]["chunked"] > 40
    assert made["chunks"]["ahead"]["embedded"] > 100
    assert made["embeddings"]["embedded"] == 0

    for found, name in zip(twins, ("local", engine), strict=True):  # from the chunks
        found.configure(
            **on(name, {**settings, "chunking": {"max_tokens": 64}, "embedder": {"type": "static"}})
        )
    _, made = both(twins)
    assert made["chunks"]["chunked"] == 0
    assert made["embeddings"]["embedded"] > 100
    assert made["embeddings"]["poisoned"] == 0


@pytest.mark.slow
def test_a_transformer_gives_the_same_vectors(engine: str, tmp_path: Path) -> None:
    import numpy as np

    settings: dict[str, Any] = {"embedder": {"precision": "float32", "shard_chunks": 16}}
    local, streamed = workspace(tmp_path, "local", **settings), workspace(tmp_path, engine, **settings)
    for found in (local, streamed):
        fill(found, 10)
        run(found)
    left, right = contents(local), contents(streamed)
    assert left.keys() == right.keys()
    for name, rows in left.items():
        assert rows.drop("vector", strict=False).equals(right[name].drop("vector", strict=False))
        if "vector" in rows.columns:
            # Of other batches: the last bits of a float depend on how wide a matrix is.
            ours, theirs = rows["vector"].to_list(), right[name]["vector"].to_list()
            assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() < 1e-5
    head, twin = pipeline(local).log.head(), pipeline(streamed).log.head()
    assert head is not None
    assert twin is not None
    assert head.spec == twin.spec
