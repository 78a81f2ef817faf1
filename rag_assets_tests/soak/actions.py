"""What may happen to a corpus. A step is a few edits and then one operation, each drawn from a weighted table.

An edit changes files and the world in memory alike. An operation runs processes and holds how they ended, and what
readers see then, against the model. To add one, write a function and give it a row in ``EDITS`` or ``OPERATIONS``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from rag_assets_tests.soak import model
from rag_assets_tests.soak.documents import Broken, Document, document, paragraph, section
from rag_assets_tests.soak.processes import Command, Ended
from rag_assets_tests.soak.world import CORPUS, Files, questions_on

if TYPE_CHECKING:
    from rag_assets_tests.soak.walk import Walk

Edit = Callable[[Files, Random], str | None]
"""Returns what it did; None when there was nothing that it could do."""
Operation = Callable[["Walk", Random], str]
"""Returns what it did."""

LEAST_DOCUMENTS, MOST_DOCUMENTS, COPIES = 6, 30, 2
TAGGED_CHANGES = 45
"""Changes of the store in a run that publishes, roughly."""


# -- edits ------------------------------------------------------------------------------------


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
    name = chance.choice(
        [
            "max_tokens",
            "include_headings",
            "embedder",
            "query_prefix",
            "stem",
            "filters",
            "engine",
            "keep",
            "min_recall",
        ]
    )
    files.configure(settings.varied(name))
    return f"set {name} to {getattr(files.world.settings, name)!r}"


def retire_questions(files: Files, chance: Random) -> str | None:
    """Ask about what is there, as a person does after documents were deleted for good."""
    present = {name: found for name, found in files.world.content.items() if isinstance(found, Document)}
    if len(present) < LEAST_DOCUMENTS:
        return None
    files.ask(questions_on(present))
    return "wrote the gold set anew"


EDITS: Sequence[tuple[int, Edit]] = (
    (10, edit_paragraph),
    (4, add_section),
    (4, remove_section),
    (2, repeat_section),
    (4, edit_front_matter),
    (2, rewrite),
    (6, add_document),
    (3, copy_document),
    (5, rename_document),
    (6, delete_document),
    (2, break_document),
    (6, revert_document),
    (4, revert_wanted),
    (3, mend_broken),
    (2, touch_document),
    (4, change_setting),
    (1, retire_questions),
)


# -- operations -------------------------------------------------------------------------------


def run(walk: Walk, chance: Random) -> str:
    reason = walk.reason()
    state, outcome = model.run(walk.state, walk.files.world, reason)
    walk.ended(_run(walk, chance, reason), outcome)
    walk.follow(state)
    return walk.told("ran", outcome)


def run_again(walk: Walk, chance: Random) -> str:
    """The same run twice: the second finds its work done."""
    said = run(walk, chance)
    state, outcome = model.run(walk.state, walk.files.world, walk.reason())
    assert state == walk.state or outcome.code, "the model publishes once"
    walk.ended(_run(walk, chance, walk.reason()), outcome)
    return f"{said}, and again"


def evaluate(walk: Walk, chance: Random) -> str:
    outcome = model.evaluate(walk.state, walk.files.world)
    walk.ended(walk.launcher.run(walk.command("evaluate", CORPUS)), outcome)
    return walk.told("evaluated", outcome)


def rollback(walk: Walk, chance: Random) -> str:
    to, arguments, reason = _target(walk, chance)
    state, outcome = model.rollback(walk.state, to, reason)
    walk.ended(walk.launcher.run(walk.command(*arguments)), outcome)
    walk.follow(state)
    return walk.told(f"rolled back to {to or 'the one before'}", outcome)


def killed_run(walk: Walk, chance: Random) -> str:
    """``kill -9`` at any moment; often the next operation is the run that ends like a clean one."""
    reason = walk.reason()
    state, _ = model.run(walk.state, walk.files.world, reason)
    ended = walk.launcher.run(_dying(walk, chance, _run_command(walk, chance, reason)))
    said = walk.killed(ended, state)
    if chance.random() < 0.6:
        said += f"; {run(walk, chance)}"
    return f"killed a run: {said}"


def killed_rollback(walk: Walk, chance: Random) -> str:
    to, arguments, reason = _target(walk, chance)
    state, _ = model.rollback(walk.state, to, reason)
    kill = {"at_change": chance.randint(1, 8)} if chance.random() < 0.7 else {"after": chance.uniform(0.5, 2)}
    ended = walk.launcher.run(walk.command(*arguments).dying(**kill))
    return f"killed a rollback to {to or 'the one before'}: {walk.killed(ended, state)}"


OPERATIONS: Sequence[tuple[int, Operation]] = (
    (40, run),
    (6, run_again),
    (6, evaluate),
    (12, rollback),
    (20, killed_run),
    (4, killed_rollback),
)


# -- parts ------------------------------------------------------------------------------------


def _run(walk: Walk, chance: Random, reason: str) -> Ended:
    return walk.launcher.run(_run_command(walk, chance, reason))


def _run_command(walk: Walk, chance: Random, reason: str) -> Command:
    return walk.command("run", CORPUS, "--reason", reason, dagster=chance.random() < 0.5)


def _target(walk: Walk, chance: Random) -> tuple[int | None, tuple[str, ...], str]:
    """A publication to roll back to, mostly one that is there."""
    reason = walk.reason()
    arguments: tuple[str, ...] = ("rollback", CORPUS, "--reason", reason)
    if chance.random() < 0.3:
        return None, arguments, reason
    last = len(walk.state.log)
    kept = sorted(walk.state.retained)
    to = chance.choice(kept) if chance.random() < 0.9 else chance.randint(1, last + 1)
    return to, (*arguments, "--to", str(to)), reason


def _dying(walk: Walk, chance: Random, command: Command) -> Command:
    command = replace(command, dagster=False)
    if chance.random() < 0.5:
        return command.dying(at_change=chance.randint(1, TAGGED_CHANGES))
    return command.dying(after=chance.uniform(0.2, 1.2 * walk.seconds_of_a_run), signal=signal.SIGKILL)


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
