"""What a corpus file says about the LanceDB table and its indexes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from rag_assets.corpus.base import Group

COLUMN_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
RESERVED_COLUMNS = frozenset(
    [
        *("chunk_id", "document_id", "uri", "title", "text", "heading_path", "position", "start", "end"),
        *("tokens", "metadata", "vector"),
    ]
)
"""Columns that every published table has (``index.schema``)."""


class VectorIndex(Group):
    """Approximate nearest neighbours."""

    type: Literal["auto", "none", "ivf_sq"] = Field(
        default="auto", description="auto: none (exact search) below min_rows, ivf_sq from there on."
    )
    min_rows: int = Field(
        default=50_000,
        ge=256,
        le=1_000_000_000_000,
        description="Rows from which auto builds an approximate index.",
    )
    min_recall: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Recall@10 against exact search below which a candidate is refused.",
    )


Language = Literal[
    "Arabic", "Danish", "Dutch", "English", "Finnish", "French", "German", "Greek", "Hungarian", "Italian",
    "Norwegian", "Portuguese", "Romanian", "Russian", "Spanish", "Swedish", "Tamil", "Turkish",
]  # fmt: skip
"""Languages that LanceDB has stemmers and stop words for."""


class TextIndex(Group):
    """Full-text search (BM25)."""

    language: Language = Field(default="English", description="Language for stemming and stop words.")
    tokenizer: Literal["simple", "icu", "whitespace", "ngram"] = Field(
        default="simple",
        description="icu splits Chinese, Japanese and Korean; simple splits at spaces and punctuation.",
    )
    stem: bool = Field(default=True, description="Index word stems.")
    remove_stop_words: bool = Field(default=True, description="Leave out the language's most frequent words.")


FilterType = Literal["string", "integer", "number", "boolean", "strings"]


class Index(Group):
    """The LanceDB table."""

    distance: Literal["cosine", "dot", "l2"] = Field(
        default="cosine", description="Vector distance of table, index and queries."
    )
    vector: VectorIndex = Field(default=VectorIndex(), description="Search by meaning.")
    text: TextIndex = Field(default=TextIndex(), description="Search by words.")
    filters: dict[Annotated[str, Field(pattern=COLUMN_PATTERN)], FilterType] = Field(
        default_factory=dict,
        description="Metadata fields that become indexed columns, by type, e.g. tenant: string; "
        "for where=\"tenant = 'a'\".",
    )

    @field_validator("filters")
    @classmethod
    def _filters_are_no_columns(cls, filters: dict[str, FilterType]) -> dict[str, FilterType]:
        if taken := sorted(RESERVED_COLUMNS & filters.keys()):
            raise ValueError(
                f"{', '.join(taken)}: every table has a column of this name; choose another field"
            )
        return filters
