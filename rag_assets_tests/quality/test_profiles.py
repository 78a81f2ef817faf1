"""A profile says what the whole table is like: faults are counted, however the rows are batched."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.evaluation.gold import GoldSet, Question
from rag_assets.evaluation.gold.check import check_gold
from rag_assets.quality.chunks import profile_chunks
from rag_assets.quality.documents import profile_documents
from rag_assets.quality.embeddings import profile_embeddings
from rag_assets.quality.gold import profile_gold
from rag_assets.quality.profile import SAMPLE_ROWS, length_histogram, octaves
from rag_assets.quality.tables import COLUMNS
from rag_assets_tests.quality.samples import (
    ENGLISH,
    GERMAN,
    chunk_rows,
    directions,
    document_rows,
    facts,
    prose,
    vector_rows,
)


def one_at_a_time(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The batches; fails when more than the one before is still held when the next is asked for."""
    handed: list[weakref.ref[pl.DataFrame]] = []
    for batch in batches:
        gc.collect()
        assert sum(reference() is not None for reference in handed) <= 1, "earlier batches are held"
        copy = batch.clone()
        handed.append(weakref.ref(copy))
        yield copy
        del copy


def documents_of(texts: list[str]) -> dict[str, object]:
    return dict(profile_documents(document_rows(texts), [facts(texts)])[0].numbers)


def chunks_of(*documents: tuple[str, list[str] | None], max_tokens: int = 100) -> dict[str, object]:
    return dict(profile_chunks([chunk_rows(documents)], max_tokens)[0].numbers)


class TestDocuments:
    def test_two_documents_under_one_id_are_counted(self) -> None:
        rows = document_rows([prose(1), prose(2), prose(3)], ["a.md", "b.md", "a.md"])
        profile, _ = profile_documents(rows, [facts([prose(1), prose(2), prose(3)])])
        assert profile.numbers["duplicate_ids"] == 2

    def test_a_document_whose_text_is_gone_is_a_dangling_reference(self) -> None:
        profile, sample = profile_documents(document_rows([prose(1), prose(2)]), [facts([prose(1)])])
        assert profile.numbers["dangling_texts"] == 1
        assert sample["characters"].null_count() == 1

    def test_copies_and_near_copies_are_told_apart(self) -> None:
        original = prose(1, words=400)
        found = documents_of(
            [original, original, original.replace("number 1", "number 2"), prose(5), prose(6)]
        )
        assert found["exact_duplicate_share"] == pytest.approx(2 / 5)
        assert found["near_duplicate_share"] == pytest.approx(3 / 5)

    def test_blank_garbled_and_untitled_documents_are_counted(self) -> None:
        texts = [" \n", "the hea\ufffdting is broken", prose(1), prose(2)]
        rows = document_rows(texts).with_columns(title=pl.Series([None, "", "One", "Two"]))
        numbers = profile_documents(rows, [facts(texts)])[0].numbers
        assert (numbers["empty_share"], numbers["garbled_share"], numbers["untitled_share"]) == (
            0.25,
            0.25,
            0.5,
        )

    def test_languages_are_recognized_and_code_is_no_language(self) -> None:
        texts = [f"{ENGLISH} {number}" for number in range(6)] + [f"{GERMAN} {number}" for number in range(3)]
        texts.append("```python\nfor x in range(10):\n    print(x)\n```")
        profile, _ = profile_documents(document_rows(texts), [facts(texts)])
        assert profile.histograms["language"] == {"en": 6, "de": 3, "und": 1}
        assert profile.numbers["main_language"] == "en"
        assert profile.numbers["unknown_language_share"] == 0.1

    def test_quarantined_documents_count_as_such_and_as_nothing_else(self) -> None:
        rows = document_rows([prose(1), prose(2)]).with_columns(status=pl.Series(["ok", "quarantined"]))
        numbers = profile_documents(rows, [facts([prose(1)])])[0].numbers
        assert (numbers["documents"], numbers["quarantined"], numbers["quarantined_share"]) == (1, 1, 0.5)
        assert numbers["dangling_texts"] == 0

    def test_an_empty_corpus_has_a_profile_without_shares(self) -> None:
        profile, sample = profile_documents(document_rows([]), [])
        assert profile.numbers["documents"] == 0
        assert profile.numbers["near_duplicate_share"] is None
        assert sample.is_empty()


class TestChunks:
    def test_a_document_without_an_entry_and_one_without_chunks_are_told_apart(self) -> None:
        found = chunks_of(("a", ["one two"]), ("lost", None), ("blank", []))
        assert (found["unchunked_documents"], found["chunkless_documents"], found["chunks"]) == (1, 1, 1)

    def test_chunks_of_white_space_are_counted_even_if_all_are(self) -> None:
        found = chunks_of(("a", ["  ", "\n"]), ("b", [" "]))
        assert (found["empty_chunks"], found["chunks"]) == (3, 3)

    def test_a_chunk_that_stands_twice_at_one_place_is_a_fault_and_a_repeated_text_is_a_share(self) -> None:
        rows = chunk_rows([("a", ["one two three", "one two three", "four five"]), ("b", ["six seven"])])
        assert profile_chunks([rows], 100)[0].numbers["duplicate_chunks"] == 0
        assert profile_chunks([rows], 100)[0].numbers["repeated_share"] == 0.5
        doubled = rows.with_columns(start=pl.Series([[0, 0, 30], [0]]), end=pl.Series([[13, 13, 39], [9]]))
        assert profile_chunks([doubled], 100)[0].numbers["duplicate_chunks"] == 2

    def test_offsets_that_do_not_fit_the_text_are_counted(self) -> None:
        rows = chunk_rows([("a", ["one two three", "four five"])])
        moved = rows.with_columns(end=pl.Series([[13, 99]]))
        assert profile_chunks([moved], 100)[0].numbers["wrong_offsets"] == 1

    def test_a_chunk_longer_than_the_limit_is_counted(self) -> None:
        found = chunks_of(("a", ["word " * 20, "word " * 21]), max_tokens=20)
        assert found["over_limit_chunks"] == 1


class TestEmbeddings:
    def test_missing_and_refused_vectors_are_told_apart(self) -> None:
        vectors = [*directions(3), None, None]
        numbers = profile_embeddings([vector_rows(vectors, [None, None, None, None, "the model choked"])])[
            0
        ].numbers
        assert (numbers["missing_vectors"], numbers["poisoned"], numbers["poisoned_share"]) == (1, 1, 0.2)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_a_vector_with_a_value_that_is_not_finite_is_counted_and_spoils_no_other_figure(
        self, value: float
    ) -> None:
        broken = [value, *[0.0] * 7]
        numbers = profile_embeddings([vector_rows([*directions(3), broken])])[0].numbers
        assert numbers["non_finite_vectors"] == 1
        assert numbers["norm_max"] == pytest.approx(1)

    def test_a_vector_of_length_zero_is_counted(self) -> None:
        numbers = profile_embeddings([vector_rows([*directions(3), [0.0] * 8])])[0].numbers
        assert numbers["zero_vectors"] == 1
        assert numbers["norm_min"] == pytest.approx(1)

    def test_vectors_of_another_length_are_counted(self) -> None:
        numbers = profile_embeddings([vector_rows([*directions(3), [1.0, 0.0]])])[0].numbers
        assert (numbers["dimension"], numbers["other_dimensions"]) == (8, 1)

    def test_a_model_that_gives_every_text_one_vector_shows(self) -> None:
        numbers = profile_embeddings([vector_rows([[1.0, 0.0, 0.0]] * 10)])[0].numbers
        assert numbers["repeated_vector_share"] == 1
        assert numbers["concentration"] == pytest.approx(1)

    def test_a_text_that_stands_in_many_chunks_is_no_repeated_vector(self) -> None:
        rows = pl.concat([vector_rows(directions(3))] * 4)
        numbers = profile_embeddings([rows])[0].numbers
        assert (numbers["chunks"], numbers["repeated_vector_share"]) == (12, 0)

    def test_no_vectors_at_all_have_a_profile(self) -> None:
        profile, sample = profile_embeddings([])
        assert (profile.numbers["chunks"], profile.numbers["dimension"], sample.height) == (0, None, 0)


class TestGold:
    gold = GoldSet(
        (
            Question(
                "rent", "Who pays the rent?", documents=("lease.md",), answer="the tenant", tags=("rent",)
            ),
            Question("gone", "Where is the cellar key?", documents=("gone.md",), tags=("rent", "keys")),
            Question("quote", "What about the roof?", passages=("a sentence that no document ever held",)),
            Question("moon", "What does the moon cost?", answerable=False),
            Question("price", "What is the rent?", documents=("lease.md",), answer="990 euros"),
        ),
        proposals=(Question("new", "Who sweeps?", documents=("lease.md",)),),
    )

    def test_what_no_longer_fits_the_corpus_is_counted(self) -> None:
        findings = check_gold(self.gold, {"lease.md", "other.md"}, {}, [("lease.md", "The tenant pays.")])
        numbers = profile_gold(self.gold, findings, {"lease.md", "other.md"})[0].numbers
        assert numbers["dead_documents"] == 1
        assert numbers["dead_passages"] == 1
        assert numbers["doubtful_answers"] == 1
        assert numbers["stale_share"] == pytest.approx(2 / 5)

    def test_what_the_set_holds_is_counted(self) -> None:
        numbers = profile_gold(self.gold, [], {"lease.md", "other.md"})[0].numbers
        assert numbers["questions"] == 5
        assert numbers["unanswerable_share"] == pytest.approx(1 / 5)
        assert numbers["unanswered_share"] == pytest.approx(2 / 4)
        assert (numbers["proposals"], numbers["coverage"]) == (1, 0.5)
        assert (numbers["tags"], numbers["smallest_tag"]) == (2, 1)


texts = st.lists(
    st.one_of(
        st.integers(0, 30).map(lambda seed: prose(seed, 30)), st.sampled_from([ENGLISH, GERMAN, " ", "x"])
    ),
    max_size=12,
)


@given(texts=texts, size=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_how_documents_are_batched_changes_nothing(texts: list[str], size: int) -> None:
    rows, known = document_rows(texts), facts(texts)
    whole, whole_sample = profile_documents(rows, [known])
    batched, sample = profile_documents(rows, known.iter_slices(size))
    assert batched == whole
    assert sample.equals(whole_sample)


@given(
    documents=st.lists(
        st.one_of(st.none(), st.lists(st.integers(0, 9).map(lambda seed: prose(seed, 12)), max_size=4)),
        max_size=8,
    ),
    size=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_how_chunks_are_batched_changes_nothing(documents: list[list[str] | None], size: int) -> None:
    rows = chunk_rows([(f"d{number}", texts) for number, texts in enumerate(documents)])
    whole, whole_sample = profile_chunks([rows], 10)
    batched, sample = profile_chunks(rows.iter_slices(size), 10)
    assert batched == whole
    assert sample.equals(whole_sample)


@given(count=st.integers(1, 40), size=st.integers(1, 9), repeats=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_how_vectors_are_batched_changes_nothing(count: int, size: int, repeats: int) -> None:
    rows = pl.concat([vector_rows(directions(count))] * repeats)
    whole, whole_sample = profile_embeddings([rows])
    batched, sample = profile_embeddings(rows.iter_slices(size))
    assert batched.centroid == pytest.approx(whole.centroid, abs=1e-6)
    assert dict(batched.numbers) == pytest.approx(dict(whole.numbers))
    assert sample.equals(whole_sample)


def test_no_more_than_one_batch_is_held() -> None:
    texts = [prose(seed) for seed in range(12)]
    profile_documents(document_rows(texts), one_at_a_time(facts(texts).iter_slices(2)))
    chunks = chunk_rows([(f"d{seed}", [prose(seed)]) for seed in range(12)])
    profile_chunks(one_at_a_time(chunks.iter_slices(2)), 100)
    profile_embeddings(one_at_a_time(vector_rows(directions(12)).iter_slices(2)))


def test_the_sample_is_bounded_and_stays_when_rows_are_added_behind_it() -> None:
    many = vector_rows(directions(SAMPLE_ROWS + 500))
    _, sample = profile_embeddings(many.iter_slices(400))
    assert sample.height == SAMPLE_ROWS
    _, again = profile_embeddings([many.filter(pl.col("key") <= sample["key"].max())])
    assert again.equals(sample)


def test_every_figure_and_sample_column_is_one_that_suites_may_name() -> None:
    text = [prose(1), prose(2)]
    tables = [
        profile_documents(document_rows(text), [facts(text)]),
        profile_chunks([chunk_rows([("a", text)])], 100),
        profile_embeddings([vector_rows(directions(3))]),
        profile_gold(TestGold.gold, [], {"lease.md"}),
    ]
    measured_by_comparison = {
        "added_share",
        "changed_share",
        "removed_share",
        "length_drift",
        "language_drift",
        "centroid_shift",
    }
    for profile, sample in tables:
        declared = COLUMNS["profile"][profile.stage].keys()
        assert set(profile.numbers) == declared - measured_by_comparison
        assert sample.columns == list(COLUMNS["sample"][profile.stage])


@given(st.lists(st.integers(0, 10**9), max_size=50))
def test_every_length_is_in_one_bin_that_holds_it(lengths: list[int]) -> None:
    histogram = length_histogram(pl.Series(lengths, dtype=pl.Int64))
    assert sum(histogram.values()) == len(lengths)
    found = octaves(histogram)
    for low, count in found.items():
        assert count == sum(low <= length < max(1, 2 * low) for length in lengths)
