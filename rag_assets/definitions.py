"""Dagster's entry point: reads the corpus files, returns the definitions."""

from __future__ import annotations

import dagster as dg

from rag_assets.allocator import return_memory
from rag_assets.corpus import load_corpora
from rag_assets.orchestration.build import build_definitions
from rag_assets.settings import Settings

return_memory()
defs: dg.Definitions = build_definitions(load_corpora(Settings().corpora))
