"""An edit changes the chunk it is in, and as few others as possible."""

from __future__ import annotations

import random

import pytest

from rag_assets.corpus import Chunking
from rag_assets.ingest.chunking.chunker import Chunker, embedded_text
from rag_assets.ingest.chunking.tokens import TokenizerCounter

WORDS = (
    *("the", "of", "index", "document", "vector", "search", "table", "server", "query", "version", "token"),
    *("model", "chunk", "section", "reader", "writer", "commit", "because", "therefore", "each", "between"),
    *("without", "after", "every", "small", "large", "exact", "found"),
)


def paragraph(source: random.Random, words: int) -> str:
    text = " ".join(source.choice(WORDS) for _ in range(words))
    return text.capitalize() + "."


def documents(count: int, source: random.Random) -> list[list[str]]:
    """Documents as lists of blocks: sections of two to six paragraphs of 60 to 120 words."""
    made = []
    for number in range(count):
        blocks = [f"# Document {number}"]
        for section in range(4):
            blocks.append(f"## Section {section} on {source.choice(WORDS)}")
            blocks += [paragraph(source, source.randint(60, 120)) for _ in range(source.randint(2, 6))]
        made.append(blocks)
    return made


def new_texts(chunker: Chunker, before: list[str], after: list[str]) -> int:
    old, new = (
        {embedded_text(chunk, True) for chunk in chunks}
        for chunks in chunker.chunk(["\n\n".join(before), "\n\n".join(after)])
    )
    return len(new - old)


@pytest.fixture(scope="module")
def chunker(minilm: TokenizerCounter) -> Chunker:
    return Chunker(Chunking(), minilm, 254)


def test_editing_one_paragraph_makes_one_new_text(chunker: Chunker) -> None:
    source = random.Random(7)
    counts = []
    for blocks in documents(40, source):
        middle = next(i for i in range(len(blocks) // 2, len(blocks)) if not blocks[i].startswith("#"))
        words = blocks[middle].split()
        for place in source.sample(range(1, len(words) - 1), 5):
            words[place] = source.choice(WORDS)
        counts.append(new_texts(chunker, blocks, [*blocks[:middle], " ".join(words), *blocks[middle + 1 :]]))
    assert counts.count(1) >= 38
    assert max(counts) <= 3


def test_an_edit_of_any_size_stays_within_its_section(chunker: Chunker) -> None:
    source = random.Random(11)
    for blocks in documents(20, source):
        middle = next(i for i in range(len(blocks) // 2, len(blocks)) if not blocks[i].startswith("#"))
        edited = [*blocks[:middle], paragraph(source, 90), *blocks[middle:]]
        assert new_texts(chunker, blocks, edited) <= 4


def test_moving_a_section_makes_no_new_text(chunker: Chunker) -> None:
    source = random.Random(5)
    sections = [[f"## Section {number}", *(paragraph(source, 90) for _ in range(3))] for number in range(4)]
    order = [sections[2], sections[0], sections[3], sections[1]]
    title = ["# Title", paragraph(source, 120)]
    before = title + [block for section in sections for block in section]
    after = title + [block for section in order for block in section]
    assert new_texts(chunker, before, after) == 0
