"""Real documents to measure with: states of the cpp-docs repository, and any number of recombinations."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

BUNDLE = "documents/cpp-docs.bundle"
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def clone_cpp_docs(data: Path, folder: Path, tag: str = "2025-06") -> Path:
    """A working copy of cpp-docs at a tag: about 9,800 Markdown files."""
    git("clone", "--quiet", "--no-checkout", str(data / BUNDLE), str(folder))
    git("checkout", "--quiet", tag, folder=folder)
    return folder


def git(*arguments: str, folder: Path | None = None) -> None:
    """Run git."""
    subprocess.run(
        ["git", *(["-C", str(folder)] if folder else []), *arguments], check=True, stdin=subprocess.DEVNULL
    )


def copy_some(source: Path, target: Path, count: int) -> Path:
    """The first ``count`` Markdown files below a folder, by name."""
    for path in sorted(source.rglob("*.md"))[:count]:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return target


def paragraphs_of(folder: Path) -> list[str]:
    """Distinct paragraphs of 200 to 900 characters: prose, lists, code and tables as they stand there."""
    found: dict[str, None] = {}
    for path in sorted(folder.rglob("*.md")):
        text = FRONT_MATTER.sub("", path.read_text(encoding="utf-8", errors="replace"))
        for paragraph in text.split("\n\n"):
            if 200 <= len(paragraph) <= 900 and "```" not in paragraph and not paragraph.startswith("#"):
                found[paragraph.strip()] = None
    return list(found)


def recombined(paragraphs: list[str], count: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """(name, text) of documents put together from real paragraphs, about 2 kB each; all texts differ."""
    chosen = random.Random(seed)
    for number in range(count):
        parts = [f"# Note {number}", *chosen.sample(paragraphs, 2)]
        parts += [f"## Details of note {number}", *chosen.sample(paragraphs, 2)]
        yield f"{number // 1000:03d}/{number:06d}.md", "\n\n".join(parts) + "\n"


def write_documents(folder: Path, documents: Iterator[tuple[str, str]]) -> Path:
    """Write documents below a folder."""
    for name, text in documents:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def edit_documents(folder: Path, share: float, mark: str) -> int:
    """Add a sentence to the first paragraph of evenly spread documents. Returns how many."""
    paths = sorted(folder.rglob("*.md"))
    count = max(1, round(len(paths) * share))
    for path in paths[:: len(paths) // count][:count]:
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text.rstrip()}\n\nAdded later: {mark}, {path.stem}.\n", encoding="utf-8")
    return count
