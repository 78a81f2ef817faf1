"""RAG_OVERRIDE__<CORPUS>__<FIELD>__<SUBFIELD> sets fields from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.corpus import Corpus, load_corpora, load_corpus
from rag_assets.errors import CorpusFileError

TEXT = "sources:\n  - type: folder\n    path: docs\nchunking: {max_tokens: 100}\n"


def load(folder: Path, environ: dict[str, str], name: str = "staff_book") -> Corpus:
    path = folder / f"{name}.yaml"
    path.write_text(TEXT)
    return load_corpus(path, {f"RAG_OVERRIDE__{field}": value for field, value in environ.items()})


def test_a_field_of_the_file_and_one_that_it_lacks_can_be_set(tmp_path: Path) -> None:
    corpus = load(
        tmp_path,
        {
            "STAFF_BOOK__CHUNKING__MAX_TOKENS": "200",
            "STAFF_BOOK__EMBEDDER__PRECISION": "float32",
            "STAFF_BOOK__INDEX__VECTOR__MIN_ROWS": "1000",
            "STAFF_BOOK__OWNERS": "[a@example.org]",
            "STAFF_BOOK__DESCRIPTION": "'1'",
            "OTHER__CHUNKING__MAX_TOKENS": "1",
        },
    )
    assert corpus.chunking.max_tokens == 200
    assert corpus.embedder.precision == "float32"
    assert corpus.index.vector.min_rows == 1000
    assert corpus.owners == ("a@example.org",)
    assert corpus.description == "1"


def test_an_item_of_a_list_is_set_by_its_number(tmp_path: Path) -> None:
    corpus = load(tmp_path, {"STAFF_BOOK__SOURCES__0__PATH": "/data/docs"})
    assert str(corpus.sources[0].path) == "/data/docs"  # type: ignore[union-attr]


def test_nothing_and_null_unset_a_field(tmp_path: Path) -> None:
    for value in ("", "null"):
        assert load(tmp_path, {"STAFF_BOOK__CHUNKING__MAX_TOKENS": value}).chunking.max_tokens is None


def test_a_name_that_begins_with_another_corpus_name_is_not_taken_for_it(tmp_path: Path) -> None:
    assert load(tmp_path, {"STAFF_BOOK__DESCRIPTION": "x"}, name="staff").description == ""


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("CHUNKING__MAX_TOKEN", "1", "chunking.max_token: unknown field; did you mean 'max_tokens'?"),
        ("CHUNKNG__MAX_TOKENS", "1", "chunkng: unknown field; did you mean 'chunking'?"),
        ("CHUNKING__MAX_TOKENS", "1", "chunking.max_tokens: found 1; allowed: greater than or equal to 16"),
        ("CHUNKING__MAX_TOKENS", "[", "found '['; allowed: a YAML value"),
        ("CHUNKING__MAX_TOKENS__X", "1", "'chunking.max_tokens' is not a group of fields"),
        ("SOURCES__1__PATH", "x", "found '1' after sources; allowed: the number of one of its 1 items"),
        ("SOURCES__PATH", "x", "found 'path' after sources; allowed: the number of one of its 1 items"),
        ("CHUNKING__", "1", "names no field; allowed: RAG_OVERRIDE__<CORPUS>__<FIELD>__<SUBFIELD>"),
        ("NAME", "other", "name: found 'other'; allowed: the file's name, 'staff_book'"),
    ],
)
def test_an_override_that_is_wrong_is_reported_by_its_variable(
    tmp_path: Path, field: str, value: str, expected: str
) -> None:
    with pytest.raises(CorpusFileError) as caught:
        load(tmp_path, {f"STAFF_BOOK__{field}": value})
    assert str(caught.value).startswith(f"environment RAG_OVERRIDE__STAFF_BOOK__{field}: {expected}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_mistake_in_the_file_is_not_blamed_on_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT + "parsing: {workers: -1}\n")
    with pytest.raises(CorpusFileError, match=r"a\.yaml:5: parsing\.workers"):
        load_corpus(path, {"RAG_OVERRIDE__A__PARSING__MAX_BYTES": "1000"})


def test_an_override_of_a_corpus_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    (tmp_path / "handbook.yaml").write_text(TEXT)
    with pytest.raises(CorpusFileError, match=r"HANDBOK__OWNERS: found no .*; did you mean HANDBOOK"):
        load_corpora(tmp_path, {"RAG_OVERRIDE__HANDBOK__OWNERS": "[]"})
