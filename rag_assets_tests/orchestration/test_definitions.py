"""What Dagster loads: assets, checks, jobs and pools for every corpus file, without a heavy import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from rag_assets.corpus import load_corpora
from rag_assets.orchestration.build import build_definitions

STAGES = ["documents", "chunks", "embeddings", "index", "evaluation", "publication"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    source = {"type": "folder", "path": "docs"}
    for name, extra in {
        "handbook": {"owners": ["ana@example.com", "team:docs"]},
        "legal": {"description": "Contracts"},
    }.items():
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump({"sources": [source], "embedder": {"type": "static"}, **extra})
        )
    return folder


@pytest.fixture(scope="module")
def definitions(corpora: Path) -> dg.Definitions:
    return build_definitions(load_corpora(corpora))


def test_each_corpus_is_a_group_of_the_same_assets(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for corpus in ("handbook", "legal"):
        keys = [dg.AssetKey([corpus, stage]) for stage in STAGES]
        for key, before in zip(keys, [None, *keys], strict=False):
            node = graph.get(key)
            assert node.group_name == corpus
            assert node.parent_keys == ({before} if before else set())
            assert node.kinds
            assert node.description
            assert node.code_version
    assert len(graph.get_all_asset_keys()) == 2 * len(STAGES)
    assert set(graph.get(dg.AssetKey(["handbook", "index"])).owners) == {"ana@example.com", "team:docs"}
    assert "Contracts" in str(graph.get(dg.AssetKey(["legal", "documents"])).description)


def test_checks_block_what_follows(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    names = {
        key.name: graph.get_check_spec(key)
        for key in graph.asset_check_keys
        if key.asset_key.path[0] == "legal"
    }
    assert {"quarantine", "exact_content", "gate"} <= names.keys()
    assert all(spec.blocking and spec.description for spec in names.values())


def test_writers_of_one_corpus_share_a_pool_and_every_asset_retries(definitions: dg.Definitions) -> None:
    pools: dict[str, set[str]] = {}
    for asset in definitions.resolve_asset_graph().assets_defs:
        operation = asset.op
        assert operation.retry_policy is not None
        for pool in operation.pools if hasattr(operation, "pools") else {operation.pool}:
            if pool:
                pools.setdefault(pool, set()).add(asset.key.path[-1])
    assert pools["handbook_writer"] >= {"index", "publication"}
    assert pools["legal_writer"] == pools["handbook_writer"]
    assert "embeddings" in pools["embedding"]


def test_there_is_a_job_per_corpus(definitions: dg.Definitions) -> None:
    for corpus in ("handbook", "legal"):
        job = definitions.resolve_job_def(f"{corpus}_job")
        assert {key.path[0] for key in job.asset_layer.executable_asset_keys} == {corpus}
        assert len(job.asset_layer.executable_asset_keys) == len(STAGES)


def test_settings_of_a_stage_are_its_code_version(corpora: Path, tmp_path: Path) -> None:
    def versions(settings: dict[str, object]) -> dict[str, str | None]:
        (tmp_path / "legal.yaml").write_text(
            yaml.safe_dump({"sources": [{"type": "folder", "path": "d"}], **settings})
        )
        graph = build_definitions(load_corpora(tmp_path)).resolve_asset_graph()
        return {stage: graph.get(dg.AssetKey(["legal", stage])).code_version for stage in STAGES}

    plain, other = versions({}), versions({"chunking": {"max_tokens": 64}})
    assert {stage for stage in STAGES if plain[stage] != other[stage]} == {"chunks"}


def test_the_code_location_loads_without_models_or_tables(corpora: Path) -> None:
    code = """
import json, sys
from rag_assets.definitions import defs
defs.resolve_asset_graph()
heavy = ("torch", "lancedb", "lance", "sentence_transformers", "transformers", "altair", "trafilatura")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "RAG_CORPORA": str(corpora)},
        check=True,
    )
    assert json.loads(found.stdout) == []


def test_a_mistake_in_a_corpus_file_fails_the_load_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "legal.yaml").write_text("sources:\n  - type: folder\n    pth: x\n")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import rag_assets.definitions"],
        capture_output=True,
        text=True,
        env={**os.environ, "RAG_CORPORA": str(tmp_path)},
        check=False,
    )
    assert found.returncode != 0
    assert "legal.yaml:" in found.stderr
    assert "pth" in found.stderr
