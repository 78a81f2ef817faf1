"""Documents of the walk, and the chunks that they must give, known without the chunker.

Every paragraph is 24 words of six letters, about 45 tokens, and every section has two of them. So a limit of
128 tokens makes each section a chunk, and one of 64 tokens makes each paragraph a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

SECTION_TOKENS, PARAGRAPH_TOKENS = 128, 64
WORDS = 24


@dataclass(frozen=True)
class Chunk:
    """One chunk that readers must see, apart from the document's own fields."""

    heading_path: tuple[str, ...]
    text: str
    embedded: str


@dataclass(frozen=True)
class Section:
    """A heading and two paragraphs."""

    heading: str
    paragraphs: tuple[str, str]


@dataclass(frozen=True)
class Document:
    """A Markdown document with front matter."""

    title: str
    tenant: str
    sections: tuple[Section, ...]

    @property
    def content(self) -> bytes:
        """What stands in the file."""
        parts = [f"---\ntitle: {self.title}\ntenant: {self.tenant}\n---\n# {self.heading}\n"]
        for section in self.sections:
            parts += [f"## {section.heading}\n", *(f"{text}\n" for text in section.paragraphs)]
        return "\n".join(parts).encode()

    @property
    def heading(self) -> str:
        """The heading of the whole; it depends on the text alone, so that an edited title changes no chunk."""
        return f"About {self.sections[0].heading}"

    def chunks(self, max_tokens: int, include_headings: bool) -> list[Chunk]:
        """The chunks in their order."""
        found = []
        for number, section in enumerate(self.sections):
            path = (self.heading, section.heading)
            opening = (
                f"## {section.heading}\n\n" if number else f"# {self.heading}\n\n## {section.heading}\n\n"
            )
            above = f"{self.heading}\n\n" if number else ""
            first, second = section.paragraphs
            if max_tokens == SECTION_TOKENS:
                found.append(Chunk(path, f"{opening}{first}\n\n{second}", above))
            else:
                found.append(Chunk(path, f"{opening}{first}", above))
                found.append(Chunk(path, second, f"{' > '.join(path)}\n\n"))
        # So far ``embedded`` held what stands before the text.
        return [
            replace(chunk, embedded=chunk.embedded + chunk.text if include_headings else chunk.text)
            for chunk in found
        ]


@dataclass(frozen=True)
class Broken:
    """A file that no parser reads: it is quarantined."""

    number: int

    @property
    def content(self) -> bytes:
        """What stands in the file."""
        return b"\0\1\2 binary " + str(self.number).encode()


def paragraph(chance: Random) -> str:
    """A paragraph that no other one resembles."""
    words = [
        "".join(chance.choice("bcdfglmnprst") + chance.choice("aeiou") for _ in range(3))
        for _ in range(WORDS)
    ]
    return f"{' '.join(words).capitalize()}."


def section(chance: Random) -> Section:
    """A section with a heading of its own."""
    return Section(paragraph(chance).split()[0].strip("."), (paragraph(chance), paragraph(chance)))


def document(chance: Random) -> Document:
    """A document of two to four sections."""
    sections = tuple(section(chance) for _ in range(chance.randint(2, 4)))
    return Document(f"Title {chance.randrange(10**6)}", f"t{chance.randrange(3)}", sections)
