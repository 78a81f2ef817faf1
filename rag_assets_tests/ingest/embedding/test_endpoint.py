"""An embedding model behind an endpoint: real vectors over real HTTP, and what is done when the server fails."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from rag_assets.corpus import Embedder as Config
from rag_assets.errors import EmbeddingFailed, ModelError, ModelUnavailable
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.stage import embed_missing, embedding_store
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest
from rag_assets.store.files import ObjectDamaged
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.ingest.embedding.test_embedders import PACKAGED, TEXTS, cosine, embed

KEY = 'sk-a-"key"/that&nobody+may<see'


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return open_embedder(Config(precision="float32"))


def reply(vectors: NDArray[np.float32]) -> str:
    """As OpenAI sends them, last one first: the index says which is whose."""
    data = [{"object": "embedding", "index": n, "embedding": row.tolist()} for n, row in enumerate(vectors)]
    return json.dumps({"object": "list", "model": "m", "data": data[::-1], "usage": {"total_tokens": 1}})


def serving(model: Embedder) -> Callable[[int, dict[str, Any]], tuple[int, Any]]:
    return lambda call, request: (200, reply(embed(model, request["input"])))


def client(url: str, **endpoint: Any) -> Embedder:
    settings = {"url": url, "model": "minilm", "retries": 2, "timeout_seconds": 20, **endpoint}
    return open_embedder(
        Config.model_validate(
            {"type": "openai", "model": str(PACKAGED), "batch_tokens": 64, "endpoint": settings}
        )
    )


def test_vectors_are_those_of_the_served_model_in_the_order_of_the_texts(minilm: Embedder) -> None:
    with FaultyServer(serving(minilm)).running() as server:
        server.delay = 0.1
        found = embed(client(server.url, concurrency=3, texts_per_request=1), TEXTS)
        assert cosine(found, embed(minilm, TEXTS)).min() > 0.99999
        assert 1 < server.most_at_once <= 3
        longer = "word " * 1000
        (query,) = client(server.url).embed_queries([longer])
        assert cosine(query[None], minilm.embed_queries([longer])).min() > 0.99999, "cut to the window here"
        assert len(server.requests[-1]["input"][0]) < len(longer)


def test_vectors_come_as_numbers_or_as_base64(minilm: Embedder) -> None:
    def encoded(call: int, request: dict[str, Any]) -> tuple[int, Any]:
        status, body = serving(minilm)(call, request)
        found = json.loads(body)
        if request["encoding_format"] == "base64":  # as vLLM and OpenAI do when they are asked to
            for one in found["data"]:
                one["embedding"] = base64.b64encode(np.asarray(one["embedding"], "<f4").tobytes()).decode()
        return status, json.dumps(found)

    with FaultyServer(encoded).running() as server, FaultyServer(serving(minilm)).running() as other:
        assert np.array_equal(embed(client(server.url), TEXTS), embed(client(other.url), TEXTS))


def test_what_passes_is_waited_for(minilm: Embedder) -> None:
    def script(call: int, request: dict[str, Any]) -> tuple[int, Any]:
        return (429 if call == 1 else 503, "{}") if call < 3 else serving(minilm)(call, request)

    with FaultyServer(script).running() as server:
        assert embed(client(server.url), ["A dog."]).shape == (1, 384)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, "{}", EmbeddingFailed),
        (413, "{}", EmbeddingFailed),
        (401, json.dumps({"error": {"message": f"wrong key {KEY}"}}), ModelError),
        (401, json.dumps({"error": {"message": f"wrong key {quote(KEY, safe='')}"}}), ModelError),
        (401, json.dumps({"error": {"message": f"wrong key {html.escape(KEY)}"}}), ModelError),
        (401, json.dumps({"error": {"message": json.dumps(KEY)}}), ModelError),
        (404, "{}", ModelError),
        (503, "{}", ModelUnavailable),
        (200, "no JSON", ModelUnavailable),
        (200, '{"data": []}', ModelUnavailable),
        (200, '{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}', ModelUnavailable),
        (200, '{"data": [{"index": 0, "embedding": ["x"]}]}', ModelUnavailable),
        (200, '{"data": [{"index": 0, "embedding": "no base64"}]}', ModelUnavailable),
        (200, '{"data": [{"index": 0, "embedding": "AAA="}]}', ModelUnavailable),
    ],
)
def test_a_failure_says_whose_turn_it_is_and_shows_no_key(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, error: type[Exception]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(lambda call, request: (status, body)).running() as server:
        with pytest.raises(error) as caught:
            embed(client(server.url, retries=0), ["A dog."])
        assert server.keys == [f"Bearer {KEY}"]
    for written in (KEY, quote(KEY, safe=""), html.escape(KEY), json.dumps(KEY)[1:-1], "nobody"):
        assert written not in str(caught.value)
    assert "minilm at http://127.0.0.1" in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="could not be reached"):
        embed(client("http://127.0.0.1:9/v1", retries=0), ["A dog."])


def frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"key": [digest(text) for text in texts], "text": texts, "tokens": [10] * len(texts)})


def store_of(root: Path, embedder: Embedder) -> ContentStore:
    return embedding_store(ObjectStore.open(root), embedder)


def test_a_text_that_the_server_refuses_is_quarantined_and_its_neighbours_go_on(
    tmp_path: Path, minilm: Embedder
) -> None:
    def script(call: int, request: dict[str, Any]) -> tuple[int, Any]:
        return (400, "{}") if "poison" in request["input"] else serving(minilm)(call, request)

    with FaultyServer(script).running() as server:
        embedder = client(server.url)
        texts = [*(f"text {number}" for number in range(20)), "poison"]
        store = store_of(tmp_path, embedder)
        counts = embed_missing(store, embedder, [frame(texts)], 100)
        assert (counts.embedded, counts.poisoned) == (20, 1)


def test_another_model_under_the_same_name_is_noticed_before_a_text_is_embedded(
    tmp_path: Path, minilm: Embedder
) -> None:
    served = [minilm]
    with FaultyServer(lambda call, request: serving(served[0])(call, request)).running() as server:
        embedder, objects = client(server.url), ObjectStore.open(tmp_path)

        def run(*texts: str) -> None:
            store = store_of(tmp_path, embedder)
            embed_missing(
                store, embedder, [frame([*texts])], 10, before=lambda: check_canary(objects, embedder)
            )

        run("one", "two")
        run("one", "three")
        served[0] = open_embedder(Config(type="static"))
        asked = len(server.requests)
        run("one", "two", "three")
        assert len(server.requests) == asked, "who has nothing to do asks nobody"
        with pytest.raises(ModelError, match="another model under this name"):
            run("four")
        assert store_of(tmp_path, embedder).missing(frame(["four"])["key"]).len() == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b'{"sentence": 1, "about": {}, "vector": "long"}'])
def test_a_damaged_canary_says_what_helps_and_that_does(
    minilm: Embedder, tmp_path: Path, damage: bytes
) -> None:
    objects = ObjectStore.open(tmp_path)
    with FaultyServer(serving(minilm)).running() as server:
        embedder = client(server.url)
        check_canary(objects, embedder)
        (canary,) = (info.path for info in objects.list("canaries"))
        objects.put(canary, damage)
        objects.put("canaries/notes.txt", b"of a person")
        with pytest.raises(ObjectDamaged, match=r"is damaged: .*; delete it and run"):
            check_canary(objects, embedder)
        objects.delete([canary])
        check_canary(objects, embedder)
        check_canary(objects, embedder)


def test_it_works_where_a_loop_is_running_as_in_a_service(minilm: Embedder) -> None:
    async def service(url: str) -> NDArray[np.float32]:
        return client(url).embed_queries(["A dog."])

    with FaultyServer(serving(minilm)).running() as server:
        assert asyncio.run(service(server.url)).shape == (1, 384)


def test_vectors_of_another_width_than_asked_for_are_refused(minilm: Embedder) -> None:
    with (
        FaultyServer(serving(minilm)).running() as server,
        pytest.raises(ModelError, match="128 and 384 dimensions"),
    ):
        embed(client(server.url, dimensions=128), ["A dog."])


def test_the_address_is_not_part_of_the_fingerprint_but_the_served_name_is() -> None:
    one, moved = client("http://a.example/v1"), client("http://b.example/v1", concurrency=1)
    assert one.fingerprint == moved.fingerprint
    assert client("http://a.example/v1", model="other").fingerprint != one.fingerprint
    assert client("http://a.example/v1", dimensions=128).fingerprint != one.fingerprint


@pytest.mark.parametrize(("concurrency", "calls"), [(1, 1), (3, 2)])
def test_calls_at_the_same_time_share_the_concurrency(minilm: Embedder, concurrency: int, calls: int) -> None:
    with FaultyServer(serving(minilm)).running() as server:
        server.delay = 0.05
        embedder = client(server.url, concurrency=concurrency, texts_per_request=1)
        assert embedder.at_once == calls
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(lambda _: embed(embedder, TEXTS), range(3)):
                assert found.shape == (len(TEXTS), 384)
        assert server.most_at_once == concurrency


def test_a_forked_process_asks_by_itself_and_ends_in_peace(minilm: Embedder) -> None:
    """As a service does that opens a reader and then forks its workers."""
    code = (
        "import os, sys\n"
        "from rag_assets.corpus import Embedder\n"
        "from rag_assets.ingest.embedding.open import open_embedder\n"
        "embedder = open_embedder(Embedder.model_validate_json(sys.argv[1]))\n"
        "embedder.embed(['one', 'two', 'three'], [3, 3, 3])\n"
        "child = os.fork()\n"
        "print(len(embedder.embed(['one', 'two', 'three'], [3, 3, 3])), flush=True)\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    with FaultyServer(serving(minilm)).running() as server:
        endpoint = {"url": server.url, "model": "minilm", "concurrency": 1, "texts_per_request": 1}
        settings = json.dumps({"type": "openai", "model": str(PACKAGED), "endpoint": endpoint})
        said = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, settings],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (said.returncode, said.stdout.split(), said.stderr) == (0, ["3", "3"], "")
