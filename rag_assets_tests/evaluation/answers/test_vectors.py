"""Sentence vectors are kept: a sentence is embedded once, whoever asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import CountingEmbedder

TEXTS = ["Bins are emptied on Tuesdays.", "Dogs are welcome.", "Bins are emptied on Tuesdays."]


def counting(objects: ObjectStore | None) -> tuple[SentenceVectors, CountingEmbedder]:
    vectors = SentenceVectors(objects)
    embedder = CountingEmbedder(vectors._embedder)
    vectors._embedder = embedder
    return vectors, embedder


def test_a_kept_sentence_is_not_embedded_again(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path))
    vectors, embedder = counting(objects)
    first = vectors.of(TEXTS)
    assert sorted(embedder.texts) == sorted(set(TEXTS))
    again, other = counting(objects)
    second = again.of([*TEXTS, "The lift is serviced in March."])
    assert other.texts == ["The lift is serviced in March."]
    assert all(np.array_equal(first[text], second[text]) for text in TEXTS)


def test_kept_vectors_are_those_of_the_model(tmp_path: Path) -> None:
    kept, bare = SentenceVectors(ObjectStore.open(str(tmp_path))).of(TEXTS), SentenceVectors().of(TEXTS)
    assert kept.keys() == bare.keys()
    assert all(np.allclose(kept[text], bare[text], atol=1e-6) for text in TEXTS)


def test_no_text_gives_no_vector(tmp_path: Path) -> None:
    assert SentenceVectors(ObjectStore.open(str(tmp_path))).of([]) == {}
