"""Edits: what people do to documents, the corpus file and the gold set between runs.

Each changes the files and the world in memory alike, and returns what it did, or None when there was nothing that
it could do. To add one, write a function and give it a row in ``actions.EDITS``.
"""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random

from rag_assets_tests.soak.documents import Broken, Document, document, paragraph, section
from rag_assets_tests.soak.model import Settings
from rag_assets_tests.soak.world import Files, questions_on

LEAST_DOCUMENTS, MOST_DOCUMENTS, COPIES = 6, 30, 2


def edit_paragraph(files: Files, chance: Random) -> str | None:
    name, found = _readable(files, chance)
    place = chance.randrange(len(found.sections))
    first, second = found.sections[place].paragraphs
    # The first paragraph of all is what gold questions ask for; ``rewrite`` changes it, too.
    both = (paragraph(chance), second) if place and chance.random() < 0.5 else (first, paragraph(chance))
    changed = replace(found.sections[place], paragraphs=both)
    sections = (*found.sections[:place], changed, *found.sections[place + 1 :])
    files.write(name, replace(found, sections=sections))
    return f"edited section {place} of {name}"


def add_section(files: Files, chance: Random) -> str | None:
    name, found = _readable(files, chance)
    if len(found.sections) >= 6:
        return None
    place = chance.randint(1, len(found.sections))
    sections = (*found.sections[:place], section(chance), *found.sections[place:])
    files.write(name, replace(found, sections=sections))
    return f"added a section to {name}"


def remove_section(files: Files, chance: Random) -> str | None:
    name, found = _readable(files, chance)
    if len(found.sections) < 3:
        return None
    place = chance.randrange(1, len(found.sections))
    files.write(name, replace(found, sections=found.sections[:place] + found.sections[place + 1 :]))
    return f"removed section {place} of {name}"


def repeat_section(files: Files, chance: Random) -> str | None:
    """The same chunk twice in one document."""
    name, found = _readable(files, chance)
    if len(found.sections) >= 6:
        return None
    files.write(name, replace(found, sections=(*found.sections, found.sections[-1])))
    return f"repeated the last section of {name}"


def edit_front_matter(files: Files, chance: Random) -> str | None:
    name, found = _readable(files, chance)
    title, tenant = f"Title {chance.randrange(10**6)}", f"t{chance.randrange(3)}"
    files.write(name, replace(found, title=title, tenant=tenant))
    return f"edited the front matter of {name}"


def rewrite(files: Files, chance: Random) -> str | None:
    wanted = {one.document for one in files.world.gold}
    name, _ = _readable(files, chance)
    if name in wanted:  # whether search finds the document by words that are gone would be chance
        return None
    files.write(name, document(chance))
    return f"rewrote {name}"


def add_document(files: Files, chance: Random) -> str | None:
    if len(files.world.content) >= MOST_DOCUMENTS:
        return None
    name = _free(files, chance)
    files.write(name, document(chance))
    return f"added {name}"


def copy_document(files: Files, chance: Random) -> str | None:
    name, found = _readable(files, chance)
    if len(files.world.content) >= MOST_DOCUMENTS or _crowded(files, found):
        return None
    new = _free(files, chance)
    files.write(new, found)
    return f"copied {name} to {new}"


def rename_document(files: Files, chance: Random) -> str | None:
    name = chance.choice(sorted(files.world.content))
    new = _free(files, chance)
    files.rename(name, new)
    return f"renamed {name} to {new}"


def delete_document(files: Files, chance: Random) -> str | None:
    if len(files.world.content) <= LEAST_DOCUMENTS:
        return None
    name = chance.choice(sorted(files.world.content))
    files.remove(name)
    return f"deleted {name}"


def break_document(files: Files, chance: Random) -> str | None:
    broken = sum(isinstance(found, Broken) for found in files.world.content.values())
    if broken > 0.3 * len(files.world.content):
        return None
    name = chance.choice(sorted(files.world.content))
    files.write(name, Broken(chance.randrange(10**6)))
    return f"broke {name}"


def revert_document(files: Files, chance: Random) -> str | None:
    """Bring back an earlier state of a document, deleted ones included."""
    if len(files.world.content) >= MOST_DOCUMENTS:
        return None
    name = chance.choice(sorted(files.versions))
    found = chance.choice(files.versions[name])
    asked = [one.paragraph for one in files.world.gold if one.document == name]
    if _crowded(files, found) or not all(_has(found, text) for text in asked):
        return None
    files.write(name, found)
    return f"reverted {name}"


def revert_wanted(files: Files, chance: Random) -> str | None:
    """Bring back what gold questions miss."""
    for one in files.world.gold:
        for name, versions in files.versions.items():
            for found in versions:
                if found.sections[0].paragraphs[0] != one.paragraph or one.document not in (None, name):
                    continue
                there = {name} & files.world.content.keys() if one.document else files.world.content
                if any(_has(files.world.content[other], one.paragraph) for other in there):
                    continue
                files.write(name, found)
                return f"restored {name} for {one.id}"
    return None


def mend_refusal(files: Files, chance: Random) -> str | None:
    """Do what a refusal asks for: restore what questions want, or retire the questions, and be less strict."""
    files.configure(replace(files.world.settings, min_recall=Settings().min_recall))
    if chance.random() < 0.4:
        return retire_questions(files, chance)
    done = [said for _ in files.world.gold if (said := revert_wanted(files, chance)) is not None]
    return "; ".join(done) or None


def mend_broken(files: Files, chance: Random) -> str | None:
    broken = sorted(name for name, found in files.world.content.items() if isinstance(found, Broken))
    if not broken:
        return None
    for name in broken:
        if name in files.versions:
            files.write(name, files.versions[name][-1])
        else:
            files.remove(name)
    return f"mended {', '.join(broken)}"


def touch_document(files: Files, chance: Random) -> str | None:
    name = chance.choice(sorted(files.world.content))
    files.touch(name)
    return f"touched {name}"


def change_setting(files: Files, chance: Random) -> str | None:
    settings = files.world.settings
    name = chance.choice([one.name for one in fields(settings)])
    files.configure(settings.varied(name))
    return f"set {name} to {getattr(files.world.settings, name)!r}"


def retire_questions(files: Files, chance: Random) -> str | None:
    """Ask about what is there, as a person does after documents were deleted for good."""
    present = {name: found for name, found in files.world.content.items() if isinstance(found, Document)}
    if len(present) < LEAST_DOCUMENTS:
        return None
    files.ask(questions_on(present))
    return "wrote the gold set anew"


def _readable(files: Files, chance: Random) -> tuple[str, Document]:
    found = {name: one for name, one in files.world.content.items() if isinstance(one, Document)}
    name = chance.choice(sorted(found))
    return name, found[name]


def _free(files: Files, chance: Random) -> str:
    folder = chance.choice(["", "", "deep/er/"])
    return next(
        name
        for number in range(10**6)
        if (name := f"{folder}n{number}.md") not in files.world.content and name not in files.versions
    )


def _crowded(files: Files, found: Document) -> bool:
    """Whether more copies would crowd the wanted document out of the best five hits."""
    anchor = found.sections[0].paragraphs[0]
    return sum(_has(one, anchor) for one in files.world.content.values()) > COPIES


def _has(found: Document | Broken, text: str) -> bool:
    return isinstance(found, Document) and any(text in section.paragraphs for section in found.sections)
