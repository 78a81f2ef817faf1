"""Where chunks begin and end in real Markdown."""

from __future__ import annotations

from itertools import pairwise

from rag_assets.corpus import Chunking
from rag_assets.ingest.chunking.chunker import Chunk, Chunker, embedded_text
from rag_assets.ingest.chunking.tokens import CharacterCounter


def chunk(document: str, max_tokens: int = 64, overlap_tokens: int = 0) -> list[Chunk]:
    config = Chunking(max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    [chunks] = Chunker(config, CharacterCounter(), None).chunk([document])
    return chunks


def prose(name: str, words: int) -> str:
    return " ".join([name] * (words - 1)) + " end."


def test_a_chunk_is_embedded_under_the_headings_above_it() -> None:
    document = f"# Guide\n\n## Install\n\n{prose('setup', 30)}\n\n## Use\n\n{prose('use', 50)}\n"
    [install, use] = chunk(document)
    assert install.heading_path == ("Guide", "Install")
    assert embedded_text(install, True) == install.text, "the text opens with both headings itself"
    assert use.heading_path == ("Guide", "Use")
    assert embedded_text(use, True) == f"Guide\n\n{use.text}", "its own heading is not repeated"
    assert embedded_text(use, False) == use.text


def test_the_rest_of_a_long_section_is_embedded_under_its_own_heading_too() -> None:
    paragraphs = "\n\n".join(prose(f"word{number}", 25) for number in range(3))
    first, second, third = chunk(f"# Guide\n\n## Install\n\n{paragraphs}", 64)
    assert first.text.startswith("# Guide\n\n## Install\n\nword0")
    assert embedded_text(second, True) == f"Guide > Install\n\n{second.text}"
    assert [piece.text[:5] for piece in (second, third)] == ["word1", "word2"]


def test_setext_headings_count() -> None:
    document = f"Guide\n=====\n\n{prose('one', 50)}\n\nUse\n---\n\n{prose('two', 50)}"
    assert [piece.heading_path for piece in chunk(document)] == [("Guide",), ("Guide", "Use")]


def test_a_paragraph_above_a_rule_is_no_heading() -> None:
    document = f"One line\nand another\n---\n\n{prose('one', 80)}\n\n{prose('two', 70)}"
    assert {piece.heading_path for piece in chunk(document)} == {()}


def test_what_looks_like_a_heading_inside_code_is_code() -> None:
    document = f"# Guide\n\n```sh\n# install\nmake\n```\n\n{prose('more', 60)}\n\n{prose('last', 60)}"
    assert {piece.heading_path for piece in chunk(document)} == {("Guide",)}


def test_titles_are_plain_text() -> None:
    document = (
        f"# The `new` [operator](a.md) in *C\\+\\+* <a id='x'></a>\n\n{prose('x', 80)}\n\n{prose('y', 80)}"
    )
    assert chunk(document)[0].heading_path == ("The new operator in C++",)


def test_small_sections_under_one_heading_share_a_chunk() -> None:
    sections = "\n\n".join(f"## Part {name}\n\n{prose(name, 8)}" for name in "abc")
    [only] = chunk(f"# Guide\n\n{sections}", 64)
    assert only.heading_path == ("Guide",)


def test_large_sections_stay_apart() -> None:
    sections = "\n\n".join(f"## Part {name}\n\n{prose(name * 4, 32)}" for name in "abc")
    assert len(chunk(f"# Guide\n\n{sections}", 64)) == 3


def test_small_sections_under_different_headings_stay_apart() -> None:
    long = prose("long", 40)
    document = f"# A\n\n{long}\n\n## A1\n\nsmall a.\n\n# B\n\n{long}\n\n## B1\n\nsmall b."
    assert not any("small a." in piece.text and "# B" in piece.text for piece in chunk(document))


def test_a_heading_stays_with_what_it_announces() -> None:
    code = "```\n" + "\n".join("line of code" for _ in range(17)) + "\n```"
    document = f"# Guide\n\n{prose('intro', 40)}\n\n## Example\n\n{code}\n\n{prose('after', 40)}"
    assert any(piece.text == f"## Example\n\n{code}" for piece in chunk(document))


def test_code_and_tables_that_fit_stay_whole() -> None:
    code = "```\n" + "\n".join(f"statement_{n}();" for n in range(12)) + "\n```"
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| cell {n} | x |" for n in range(12))
    document = "\n\n".join(["# T", prose("one", 30), code, prose("two", 30), table, prose("three", 30)])
    texts = [piece.text for piece in chunk(document, 80)]
    assert any(code in text for text in texts)
    assert any(table in text for text in texts)


def test_code_and_tables_that_are_too_long_are_divided_between_lines() -> None:
    code = "```\n" + "\n".join(f"statement_{n}. Then(); more" for n in range(60)) + "\n```"
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| Cell. Number {n} | x |" for n in range(60))
    for block in (code, table):
        pieces = chunk(block, 64)
        assert len(pieces) > 3
        assert "\n".join(piece.text for piece in pieces) == block


def test_a_long_paragraph_is_divided_between_sentences() -> None:
    document = " ".join(f"Sentence number {n} says something, e.g. nothing." for n in range(30))
    pieces = chunk(document, 64)
    assert len(pieces) > 3
    assert all(piece.text.endswith("nothing.") and piece.text.startswith("Sentence") for piece in pieces)


def test_a_long_list_is_divided_between_items_and_code_in_it_stays_whole() -> None:
    code = "\n".join(["  ```", *(f"  call({n})" for n in range(10)), "  ```"])
    document = "\n".join(f"- item {n} about it\n\n{code}\n" for n in range(6))
    pieces = chunk(document, 64)
    assert len(pieces) > 2
    assert all(piece.text.count("```") % 2 == 0 for piece in pieces)


def test_no_scrap_is_left_at_the_end_of_a_section() -> None:
    paragraphs = [prose("word", 12) for _ in range(9)]
    sizes = [piece.tokens for piece in chunk("\n\n".join(paragraphs), 64)]
    assert min(sizes) > 16


def test_very_long_heading_paths_lose_headings_from_the_left() -> None:
    titles = [f"{'#' * level} Level {level} {'x' * 20}" for level in range(1, 7)]
    document = "\n\n".join([*titles, prose("body", 60), prose("rest", 60)])
    last = chunk(document, 64)[-1]
    context = embedded_text(last, True)[: -len(last.text)]
    assert context == f"Level 5 {'x' * 20} > Level 6 {'x' * 20}\n\n"
    assert len(last.heading_path) == 6


def test_a_very_long_title_is_cut_in_the_context() -> None:
    last = chunk(f"# {'long title ' * 60}\n\n{prose('body', 60)}\n\n{prose('rest', 60)}", 64)[-1]
    context = embedded_text(last, True)[: -len(last.text)]
    assert 0 < len(context) <= 64
    assert context.startswith("long title")


def test_overlap_repeats_whole_sentences_inside_a_section_only() -> None:
    sentences = [f"Sentence number {n} says a little." for n in range(20)]
    document = f"# A\n\n{' '.join(sentences)}\n\n# B\n\n{' '.join(sentences)}"
    pieces = chunk(document, 64, overlap_tokens=12)
    assert len(pieces) > 4
    for before, after in pairwise(pieces):
        repeated = document[after.start : before.end]
        if after.text.startswith("# B"):
            assert after.start >= before.end
        else:
            assert repeated in sentences


def test_text_that_markdown_does_not_show_is_kept() -> None:
    definition = "[ref]: http://example.org 'Only a definition'"
    assert [piece.text for piece in chunk(definition)] == [definition]
    [only] = chunk(f"{definition}\n\nText with [ref].\n\n[end]: http://example.org\n")
    assert only.text == f"{definition}\n\nText with [ref].\n\n[end]: http://example.org"


def test_offsets_count_characters_not_bytes() -> None:
    document = f"# Größe 東京\n\n{prose('Überfluß🙂', 40)}\n\n## Näher\n\n{prose('größer', 60)}"
    pieces = chunk(document)
    assert len(pieces) > 2
    assert all(piece.text == document[piece.start : piece.end] for piece in pieces)
