"""What suites may name: the columns of each stage's profile and sample, with their meaning.

The profile is one row of figures over the whole table. The sample is a bounded number of its rows,
the same ones as long as the rows are the same. Shares go from 0 to 1; a figure is empty (null) when
there is nothing to compute it from, and then no expectation fails on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

Stage = Literal["documents", "chunks", "embeddings", "gold"]
Table = Literal["profile", "sample"]
STAGES: tuple[Stage, ...] = get_args(Stage)
TABLES: tuple[Table, ...] = get_args(Table)

LANGUAGE_SHARE = re.compile(r"language_share_([a-z]{2,3})")
"""Columns of the documents' profile that are made when a suite names them, such as language_share_de."""

_PROFILES: Mapping[Stage, Mapping[str, str]] = {
    "documents": {
        "documents": "readable documents",
        "quarantined": "documents that the parser set aside",
        "quarantined_share": "their share of all documents",
        "duplicate_ids": "documents whose id another document has, too",
        "dangling_texts": "readable documents whose parsed text is not in the store",
        "empty_share": "share of documents without any character but white space",
        "garbled_share": "share of documents with U+FFFD, the mark of bytes that could not be decoded",
        "untitled_share": "share of documents without a title",
        "exact_duplicate_share": "share of documents whose whole text another document has, too",
        "near_duplicate_share": "share of documents that share at least 90 % of their five-word runs with another",
        "characters_p05": "characters that 5 % of the documents stay below",
        "characters_p50": "characters of the median document",
        "characters_p95": "characters that 95 % of the documents stay below",
        "characters_max": "characters of the longest document",
        "main_language": "ISO 639 code of the most frequent language; null when none is recognized",
        "main_language_share": "share of documents in it",
        "unknown_language_share": "share of documents whose language is not recognized",
        "added_share": "share of documents that are not published",
        "changed_share": "share of the published documents that changed",
        "removed_share": "share of the published documents that are gone",
        "length_drift": "population stability index of the lengths against the published ones",
        "language_drift": "population stability index of the languages against the published ones",
    },
    "chunks": {
        "documents": "documents whose chunks were looked for",
        "unchunked_documents": "documents that have no entry in the chunk store",
        "chunkless_documents": "documents that were chunked and gave nothing: they cannot be found",
        "chunks": "chunks of all documents",
        "empty_chunks": "chunks without any character but white space",
        "wrong_offsets": "chunks whose start and end do not fit their text",
        "duplicate_chunks": "chunks that stand twice at the same place of one document",
        "over_limit_chunks": "chunks longer than the chunker's limit: an embedder would cut them off",
        "repeated_share": "share of chunks whose embedded text stands somewhere else, too",
        "tokens_p05": "tokens that 5 % of the chunks stay below",
        "tokens_p50": "tokens of the median chunk",
        "tokens_p95": "tokens that 95 % of the chunks stay below",
        "tokens_max": "tokens of the longest chunk",
        "chunks_per_document_p50": "chunks of the median document",
        "chunks_per_document_max": "chunks of the document with the most",
        "length_drift": "population stability index of the token counts against the published ones",
    },
    "embeddings": {
        "chunks": "chunks whose vectors were looked for",
        "missing_vectors": "chunks without an entry in the vector store",
        "poisoned": "chunks that the model refused",
        "poisoned_share": "their share of all chunks",
        "dimension": "length of the vectors",
        "other_dimensions": "vectors of another length",
        "non_finite_vectors": "vectors with a NaN or an infinity",
        "zero_vectors": "vectors of length 0: they are near to nothing",
        "norm_min": "length of the shortest vector that is not zero",
        "norm_p50": "length of the median vector",
        "norm_max": "length of the longest vector",
        "repeated_vector_share": "share of distinct texts whose vector another text has, too",
        "concentration": "length of the mean direction: 0 evenly spread, 1 all vectors point one way",
        "centroid_shift": "cosine distance of the mean direction from the published one, 0 to 2",
    },
    "gold": {
        "questions": "questions that are asked",
        "unanswerable_share": "share of questions that no document answers, on purpose",
        "unanswered_share": "share of answerable questions without a reference answer",
        "proposals": "questions that wait for a person's yes",
        "dead_documents": "questions that want a document which the corpus does not have",
        "quarantined_documents": "questions that want a quarantined document",
        "dead_passages": "questions with a quote that stands in no document",
        "doubtful_answers": "questions whose reference answer their documents do not hold",
        "near_duplicates": "questions of nearly the same words as another",
        "stale_share": "share of questions that cannot be met: dead documents or passages",
        "coverage": "share of readable documents that a question wants",
        "tags": "distinct tags",
        "smallest_tag": "questions of the rarest tag",
        "words_p50": "words of the median question",
        "words_max": "words of the longest question",
    },
}

_SAMPLES: Mapping[Stage, Mapping[str, str]] = {
    "documents": {
        "document_id": "id",
        "uri": "place in the source",
        "format": "markdown, html, pdf, …",
        "title": "title, or null",
        "characters": "characters of the parsed text",
        "words": "words of the parsed text",
        "language": "ISO 639 code; und when it is not recognized",
        "garbled": "true when the text holds U+FFFD",
        "beginning": "the first 300 characters",
    },
    "chunks": {
        "document_id": "id of its document",
        "text": "the passage, its first 2,000 characters",
        "heading_path": "headings above it, outermost first, joined by ' › '",
        "start": "first character in the document",
        "end": "the character after its last",
        "tokens": "tokens of the embedded text",
    },
    "embeddings": {
        "key": "hash of the embedded text",
        "norm": "length of the vector; null without one",
        "non_finite": "values that are NaN or infinite",
        "dimension": "length of the list",
        "reason": "why the model refused the text, or null",
    },
    "gold": {
        "question_id": "id",
        "question": "the question",
        "answer": "reference answer, or null",
        "answerable": "false when no document answers it, on purpose",
        "words": "words of the question",
        "documents": "number of documents it wants",
        "passages": "number of quotes it wants",
        "tags": "tags, joined by ', '",
    },
}

COLUMNS: Mapping[Table, Mapping[Stage, Mapping[str, str]]] = {"profile": _PROFILES, "sample": _SAMPLES}


def has_column(table: Table, stage: Stage, name: str) -> bool:
    """Whether a suite of a stage may name a column."""
    of_language = (table, stage) == ("profile", "documents") and LANGUAGE_SHARE.fullmatch(name)
    return name in COLUMNS[table][stage] or bool(of_language)
