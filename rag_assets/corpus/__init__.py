"""The corpus file: ``corpora/<name>.yaml`` as validated models.

YAML text → values and their lines → environment overrides → pydantic → ``Corpus``. A corpus is
described completely by its file; a new one needs no Python. A mistake is reported with file,
line, field, what was found and what is allowed.

Knows what may be written, and why; not the store, nor who reads a setting.
"""

from __future__ import annotations

from rag_assets.corpus.embedder import Embedder, EmbeddingEndpoint
from rag_assets.corpus.endpoint import Endpoint
from rag_assets.corpus.evaluation import (
    ANSWER_METRICS,
    Answers,
    ChatEndpoint,
    ChatModel,
    Evaluation,
    Extractive,
    Gate,
    LocalJudge,
    Metric,
    Mode,
    Prices,
    Rule,
    VllmModel,
)
from rag_assets.corpus.events import Events, Freshness, Schedule, Scheme, Watch, Webhooks
from rag_assets.corpus.file import corpus_files, load_corpora, load_corpus
from rag_assets.corpus.gpu import GPU_EMBEDDERS, GPU_GENERATORS, GPU_JUDGES, Gpu
from rag_assets.corpus.index import RESERVED_COLUMNS, FilterType, Index, TextIndex, VectorIndex
from rag_assets.corpus.invalidation import Invalidation
from rag_assets.corpus.models import Chunking, Corpus, Parsing, Publication, json_schema
from rag_assets.corpus.overrides import OVERRIDE_PREFIX
from rag_assets.corpus.quality import Quality
from rag_assets.corpus.ray import Ray, Workers
from rag_assets.corpus.sources import FolderSource, PushSource, S3Source, Source
from rag_assets.corpus.vllm import Vllm

__all__ = [
    "ANSWER_METRICS",
    "GPU_EMBEDDERS",
    "GPU_GENERATORS",
    "GPU_JUDGES",
    "OVERRIDE_PREFIX",
    "RESERVED_COLUMNS",
    "Answers",
    "ChatEndpoint",
    "ChatModel",
    "Chunking",
    "Corpus",
    "Embedder",
    "EmbeddingEndpoint",
    "Endpoint",
    "Evaluation",
    "Events",
    "Extractive",
    "FilterType",
    "FolderSource",
    "Freshness",
    "Gate",
    "Gpu",
    "Index",
    "Invalidation",
    "LocalJudge",
    "Metric",
    "Mode",
    "Parsing",
    "Prices",
    "Publication",
    "PushSource",
    "Quality",
    "Ray",
    "Rule",
    "S3Source",
    "Schedule",
    "Scheme",
    "Source",
    "TextIndex",
    "VectorIndex",
    "Vllm",
    "VllmModel",
    "Watch",
    "Webhooks",
    "Workers",
    "corpus_files",
    "json_schema",
    "load_corpora",
    "load_corpus",
]
