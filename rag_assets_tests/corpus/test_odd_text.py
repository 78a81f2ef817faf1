"""Text of a corpus file that no path, database or terminal takes is refused where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.corpus import FolderSource, load_corpus
from rag_assets.corpus.base import LONGEST_PATH
from rag_assets.errors import ConfigurationError, CorpusFileError

SOURCES = "sources:\n  - type: folder\n    path: docs\n"
ODD = [
    *(f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0)) if number not in (9, 10)),
    *("\\0", "\\ud800", "\\udfff", "\\udc80", "\\U0000d800", "\\N"),
]
PLACES = {
    "path": ('sources:\n  - type: folder\n    path: "{}"\n', 3),
    "prefix": ('sources:\n  - type: folder\n    prefix: "{}x/"\n    path: docs\n', 3),
    "gold": (SOURCES + 'evaluation: {{gold: "a{}b"}}\n', 4),
    "suites": (SOURCES + 'quality:\n  suites: "{}"\n', 5),
    "list": (SOURCES + 'owners: ["a@b", "{}@b"]\n', 4),
    "key": (SOURCES + 'index: {{filters: {{"{}": string}}}}\n', 4),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("odd", ODD)
def test_a_character_that_nothing_takes_is_refused_at_its_line(tmp_path: Path, place: str, odd: str) -> None:
    text, line = PLACES[place]
    path = tmp_path / "handbook.yaml"
    path.write_text(text.format(odd))
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {})
    assert str(caught.value).startswith(f"{path}:{line}: found the character '")
    assert str(caught.value).isprintable()


def test_a_character_that_nothing_takes_is_refused_in_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "handbook.yaml"
    path.write_text(SOURCES)
    for value in ('"a\\0b"', "a\udcffb", '"\\ud800"'):
        with pytest.raises(CorpusFileError, match="RAG_OVERRIDE__HANDBOOK__DESCRIPTION"):
            load_corpus(path, {"RAG_OVERRIDE__HANDBOOK__DESCRIPTION": value})


def test_tabs_newlines_and_every_script_are_welcome(tmp_path: Path) -> None:
    path = tmp_path / "handbook.yaml"
    text = SOURCES + 'description: "a\\tb\\nc\\u00fc\\u4e2d\\U0001f427"\nowners:\n  - a@b\n'
    for ending in ("\n", "\r\n"):
        path.write_text(text.replace("\n", ending), newline="")
        assert load_corpus(path, {}).description == "a\tb\ncü中🐧"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("~nouser/x", "home of a user"),
        ("x" * 6000, "too long"),
        ("x/" * 1500, f"{LONGEST_PATH:,} bytes"),
        ("ü" * 130, "too long"),
    ],
)
@pytest.mark.parametrize("place", ["path", "gold", "suites"])
def test_a_path_that_no_file_system_takes_is_refused_at_its_line(
    tmp_path: Path, place: str, value: str, found: str
) -> None:
    text, line = PLACES[place]
    path = tmp_path / "handbook.yaml"
    path.write_text(text.replace("a{}b", "{}").format(value))
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {})
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert found in str(caught.value)


def test_a_path_through_a_link_to_itself_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to("docs")
    path = tmp_path / "handbook.yaml"
    path.write_text(SOURCES)
    corpus = load_corpus(path, {})
    (source,) = corpus.sources
    assert isinstance(source, FolderSource)
    with pytest.raises(ConfigurationError, match="'docs' of the corpus file leads nowhere"):
        corpus.resolve(source.path)
