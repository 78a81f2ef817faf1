"""What a corpus file says about data quality: which suites its tables are held to."""

from __future__ import annotations

from pydantic import Field

from rag_assets.corpus.base import Group, Place


class Quality(Group):
    """What documents, chunks, vectors and gold questions are held to."""

    suites: Place | None = Field(
        default=None,
        description="Folder with documents.yaml, chunks.yaml, embeddings.yaml or gold.yaml, relative to the corpus "
        "file. A stage without a file there, or all when unset, is held to the built-in suite.",
    )
