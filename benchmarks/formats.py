"""How well and how fast each document format is parsed.

All files of ``documents/mixed-formats`` → parser pool → outcome by format; where the expected text
is known, its similarity to ours. ``python -m benchmarks.formats [SHARED_DATA]``
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag_assets.corpus import Parsing
from rag_assets.ingest.parsing.document import ParsedDocument, Rejection
from rag_assets.ingest.parsing.formats import format_of
from rag_assets.ingest.parsing.pool import ParserPool

WORD = re.compile(r"\w+")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def similarity(found: str, expected: str) -> float:
    """F1 of the words of two texts as multisets, 0 to 1; markup and images do not count."""
    ours, theirs = (Counter(WORD.findall(COMMENT.sub(" ", text).lower())) for text in (found, expected))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


def documents(shared_data: Path) -> list[Path]:
    """The files to parse: all that have an extension; expected texts are Markdown files like others."""
    folder = shared_data / "documents" / "mixed-formats"
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix)


def expected_text(source: Path) -> str | None:
    """The expected Markdown of a source, or None where nobody wrote it down."""
    folder = source.parent.parent / "groundtruth"
    for name in (f"{source.name}.md", f"{source.stem}.md"):
        if source.parent.name == "sources" and (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    return None


def outcomes(paths: list[Path], config: Parsing) -> dict[Path, ParsedDocument | Rejection]:
    """Outcome of each file; unknown extensions are rejected as the pipeline rejects them."""
    with ParserPool(config) as pool:
        return {Path(key): found for key, found in pool.parse(_items(paths))}


def _items(paths: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    for path in paths:
        yield str(path), format_of(path.name) or path.suffix, path.read_bytes()


def measure(shared_data: Path) -> list[dict[str, Any]]:
    """One row for each format: files, parsed, quarantined by reason, similarity, documents per second."""
    by_format: dict[str, list[Path]] = defaultdict(list)
    for path in documents(shared_data):
        by_format[format_of(path.name) or "unsupported"].append(path)
    rows = []
    for format, paths in sorted(by_format.items()):
        start = time.perf_counter()
        found = outcomes(paths, Parsing())
        seconds = time.perf_counter() - start
        scores = [
            similarity(outcome.text, expected)
            for path, outcome in found.items()
            if isinstance(outcome, ParsedDocument) and (expected := expected_text(path)) is not None
        ]
        rejected = Counter(outcome.reason for outcome in found.values() if isinstance(outcome, Rejection))
        rows.append(
            {
                "format": format,
                "files": len(paths),
                "parsed": len(paths) - rejected.total(),
                "quarantined": dict(sorted(rejected.items())),
                "compared": len(scores),
                "similarity_median": statistics.median(scores) if scores else None,
                "similarity_mean": statistics.fmean(scores) if scores else None,
                "documents_per_second": len(paths) / seconds,
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    shared_data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "shared" / "data"
    print("format       files parsed compared  median   mean   docs/s  quarantined")
    for row in measure(shared_data):
        scores = (f"{value:.3f}" if value is not None else "-" for value in map(row.get, SIMILARITIES))
        reasons = ", ".join(f"{count} {reason}" for reason, count in row["quarantined"].items()) or "none"
        print(
            f"{row['format']:<12} {row['files']:>5} {row['parsed']:>6} {row['compared']:>8}  "
            f"{'  '.join(f'{score:>5}' for score in scores)}  {row['documents_per_second']:>7.0f}  {reasons}"
        )


SIMILARITIES = ("similarity_median", "similarity_mean")


if __name__ == "__main__":
    main()
