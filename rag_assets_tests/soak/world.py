"""The files that runs find (documents, corpus file, gold set) and the same in memory."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from random import Random

import yaml

from rag_assets_tests.soak.documents import Broken, Document, document
from rag_assets_tests.soak.model import Question, Settings, World

CORPUS = "walk"
DOCUMENTS = 16
QUESTIONS = 12


class Files:
    """A folder with a corpus, kept equal to a ``World``."""

    def __init__(self, root: Path, chance: Random) -> None:
        self.folder = root / "documents"
        self.corpora = root / "corpora"
        self.folder.mkdir(parents=True)
        self.corpora.mkdir()
        first = {f"d{number}.md": document(chance) for number in range(DOCUMENTS)}
        self.versions: dict[str, list[Document]] = {name: [found] for name, found in first.items()}
        """Every readable state of a document, for reverts."""
        self.world = World({}, Settings(), ())
        for name, found in first.items():
            self.write(name, found)
        self.ask(questions_on(first))
        self.configure(self.world.settings)

    def write(self, name: str, found: Document | Broken) -> None:
        """Write a document, in place or as a new file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.content)
        self._hold({**self.world.content, name: found})
        if isinstance(found, Document) and found not in self.versions.setdefault(name, []):
            self.versions[name].append(found)

    def remove(self, name: str) -> None:
        """Delete a document."""
        (self.folder / name).unlink()
        self._hold({other: found for other, found in self.world.content.items() if other != name})

    def rename(self, name: str, new: str) -> None:
        """Move a document to a name that is free."""
        (self.folder / new).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).rename(self.folder / new)
        found = self.world.content[name]
        self._hold({**{k: v for k, v in self.world.content.items() if k != name}, new: found})
        if isinstance(found, Document):
            self.versions.setdefault(new, []).append(found)

    def touch(self, name: str) -> None:
        """Give a document another time."""
        os.utime(self.folder / name)

    def configure(self, settings: Settings) -> None:
        """Write the corpus file."""
        text = yaml.safe_dump(settings.corpus_file(str(self.folder)))
        (self.corpora / f"{CORPUS}.yaml").write_text(text)
        self.world = replace(self.world, settings=settings)

    def ask(self, gold: tuple[Question, ...]) -> None:
        """Write the gold set."""
        (self.corpora / "gold.jsonl").write_text("".join(json.dumps(one.line) + "\n" for one in gold))
        self.world = replace(self.world, gold=gold)

    def _hold(self, content: dict[str, Document | Broken]) -> None:
        self.world = replace(self.world, content=content)


def questions_on(content: dict[str, Document]) -> tuple[Question, ...]:
    """Gold questions on what is there, as a person writes them after documents were retired."""
    by_anchor = {
        found.sections[0].paragraphs[0]: name for name, found in sorted(content.items(), reverse=True)
    }
    asked = sorted((name, anchor) for anchor, name in by_anchor.items())[:QUESTIONS]
    # Every third question names its document, the others quote a passage.
    return tuple(
        Question(f"q{number}", anchor, name if number % 3 == 0 else None)
        for number, (name, anchor) in enumerate(asked)
    )
