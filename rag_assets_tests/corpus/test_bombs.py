"""Corpus files that stand for more than they are: each ends soon, with file and line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.corpus import load_corpus
from rag_assets.corpus.yaml_text import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES
from rag_assets.errors import ConfigurationError, CorpusFileError
from rag_assets.quality.suite import load_suite

SOURCES = "sources:\n  - type: folder\n    path: docs\n"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {
    "laughs": (LAUGHS, 5),
    "merged laughs": (LAUGHS.replace("[", "{k: [").replace("]", "]}"), 5),
    "long text often": (f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 30_000}]\n", 2),
    "merges": ("a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\nb:\n  <<: [" + "*a, " * 100 + "]\n", 3),
    "merges of merges": (
        "a: &a {k: 1}\n"
        + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1 or ''}, *a{n - 1 or ''}]}}\n" for n in range(1, 40)),
        12,
    ),
    "itself": ("x: 1\na: &a {b: [*a]}\n", 2),
    "brackets": ("x: 1\na: " + "[" * 50_000, 2),
    "braces": ("x: 1\na: " + "{a: " * 50_000, 2),
    "dashes": ("x: 1\n" + "- " * 50_000, 2),
    "lists": ("x: 1\na:\n  " + "- " * 50_000, 3),
    "keys": ("x: 1\na:\n  " + "? " * 50_000, 3),
    "steps": ("x: 1\n" + "".join(f"{' ' * n}a:\n" for n in range(300)), MAX_DEPTH + 2),
    "many": ("x: 1\na: [" + "1, " * 30_000 + "]", 2),
    "long": ("x: 1\n# " + "x" * 300_000, 2),
    "long lines": ("# x\n" * 100_000, MAX_CHARACTERS // 4 + 1),
    "digits": (f"x: 1\nname: {'9' * 5000}\n", 2),
    "few digits": (f"x: 1\nname: {'9' * 30}\n", 2),
    "hexadecimal": (f"x: 1\nname: 0x{'f' * 200_000}\n", 2),
    "octal": (f"x: 1\nname: [0o{'7' * 4000}]\n", 2),
    "binary": (f"%YAML 1.1\n---\nname: 0b{'1' * 4000}\n", 3),
    "sexagesimal": (f"%YAML 1.1\n---\nname: 1{':59' * 3000}\n", 3),
    "sexagesimal fraction": (f"%YAML 1.1\n---\nname: 1{':59' * 3000}.5\n", 3),
    "key": (f"x: 1\n0x{'f' * 4000}: 1\n", 2),
    "tagged": (f"x: 1\nname: !!int {'9' * 5000}\n", 2),
    "tagged text": ("x: 1\nname: !!int many\n", 2),
    "no date": ("x: 1\nname: 2024-13-45\n", 2),
    "key of a list": ("? [a, [b]]\n: c\n", 1),
}  # fmt: skip
SOON = 30  # seconds; a bomb takes hours, or all memory


@pytest.mark.parametrize("name", BOMBS)
def test_a_corpus_file_that_stands_for_too_much_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    text, line = BOMBS[name]
    path = tmp_path / "handbook.yaml"
    path.write_text(text + SOURCES)
    start = time.monotonic()
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {})
    assert time.monotonic() - start < SOON
    message = str(caught.value)
    assert len(message) < 2000
    assert f"{path}:{line}: " in message


@pytest.mark.parametrize("name", BOMBS)
def test_a_suite_that_stands_for_too_much_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    text, line = BOMBS[name]
    (tmp_path / "chunks.yaml").write_text(text)
    start = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        load_suite("chunks", tmp_path)
    assert time.monotonic() - start < SOON
    found = re.match(rf"{re.escape(str(tmp_path))}/chunks\.yaml:(\d+): ", str(caught.value))
    assert found is not None
    # A list is asked for: what holds a mapping of harmless values is refused as such.
    assert int(found[1]) in (line, 1)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("name", BOMBS)
def test_a_variable_that_stands_for_too_much_is_refused_by_name(tmp_path: Path, name: str) -> None:
    text, _ = BOMBS[name]
    path = tmp_path / "handbook.yaml"
    path.write_text(SOURCES)
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {"RAG_OVERRIDE__HANDBOOK__DESCRIPTION": text})
    assert "RAG_OVERRIDE__HANDBOOK__DESCRIPTION" in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("field", ["description", "name", "owners", "sources", "parsing"])
@pytest.mark.parametrize(
    "value", ["x" * 200_000, "password=" * 20_000, "'" + "\\" * 100_000 + "'", "[[" + "x, " * 2000 + "]]"]
)
def test_a_long_value_in_the_wrong_place_is_shown_in_part(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "handbook.yaml"
    path.write_text(f"{'' if field == 'sources' else SOURCES}{field}: {value}\n")
    start = time.monotonic()
    try:
        load_corpus(path, {})
    except CorpusFileError as error:
        assert len(str(error)) < 2000
    assert time.monotonic() - start < SOON


def test_anchors_and_merges_of_a_usual_size_are_welcome(tmp_path: Path) -> None:
    path = tmp_path / "handbook.yaml"
    path.write_text(
        "sources:\n"
        "  - &one {type: folder, path: docs, exclude: &globs ['*.tmp', 'drafts/']}\n"
        "  - {<<: *one, path: more, prefix: more/, exclude: *globs}\n"
        + "".join(f"  - {{type: folder, path: p{n}, prefix: p{n}/}}\n" for n in range(300))
    )
    assert len(load_corpus(path, {}).sources) == 302
    assert MAX_VALUES > 300 * 7


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [*"&a*b[]{}:,-?!|>'\"%#\n 019xfe.<\t", "<<: ", "---\n", "- ", "!!int ", "0x", "&a ", "*a "]
        ),
        max_size=60,
    )
)
def test_any_text_is_a_corpus_or_a_mistake_with_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("".join(parts))
    try:
        load_corpus(path, {})
    except CorpusFileError as error:
        assert re.match(rf"{re.escape(str(path))}:\d+: ", str(error))
