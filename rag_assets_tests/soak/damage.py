"""Damage of one random object: what a power cut, a full disk or a slip of the hand leaves behind.

The next run ends as if nothing had happened, or says what helps; the walk does that, and then it ends so. Readers
may meet errors until then, but never see what was not published.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from rag_assets.store.objects import ObjectInfo, ObjectStore
from rag_assets_tests.soak import model
from rag_assets_tests.soak.model import State
from rag_assets_tests.soak.operations import run_command
from rag_assets_tests.soak.world import CORPUS

if TYPE_CHECKING:
    from rag_assets_tests.soak.walk import Walk

CURES = 4
"""Cures that are tried one after the other."""
NEWEST = 5
OWN = ("pushed", "erasures")
"""Folders of a corpus that cannot be made anew; messages say so."""
FOLDERS = (
    f"index/{CORPUS}.lance",
    f"corpora/{CORPUS}",
    "content/documents",
    "content/chunks",
    "content/embeddings",
)
"""Folders that are lost as a whole."""

HOWS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "without its fields": lambda data: b"{}",
}
STRAYS = ("notes.json", "notes.txt", "0000.parquet")
BACKUP = re.compile(r"put (it|the object) back from a backup")
DELETION = re.compile(r"delete it")
AGAIN = re.compile(r"run again|run the corpus again|makes it anew")


def damage(walk: Walk, chance: Random) -> str:
    """Damage one object, or lose a folder; look, and run until all is well."""
    kind, patient = _drawn(walk.checker.objects, chance)
    walk.tolerate_errors()
    patient.harm()
    walk.note(patient.said)
    walk.counts.damages[kind] += 1
    walk.refused = None
    if patient.holds("content/embeddings/"):
        walk.embedded.lost()
    if patient.holds(f"corpora/{CORPUS}/snapshots/"):
        walk.checker.changes_are_known = False
    look(walk, chance)
    said = f"{patient.said}; {heal(walk, chance, patient)}"
    walk.checker.reopen()
    return said


class Patient:
    """Objects, what they held and what was made of them; None stands for no object."""

    def __init__(
        self,
        objects: ObjectStore,
        said: str,
        saved: Mapping[str, bytes | None],
        harmed: Mapping[str, bytes | None],
    ) -> None:
        self._objects = objects
        self.said = said
        self._saved = saved
        self._harmed = harmed

    def holds(self, prefix: str) -> bool:
        """Whether one of the objects lies under a prefix."""
        return any(path.startswith(prefix) for path in self._saved)

    def harm(self) -> None:
        """Damage them."""
        self._put(self._harmed)

    def restore(self) -> None:
        """Put them back from the backup."""
        self._put(self._saved)

    def is_as_harmed(self) -> bool:
        """Whether nothing has been done about them."""
        return all(self._objects.find(path) == data for path, data in self._harmed.items())

    def _put(self, contents: Mapping[str, bytes | None]) -> None:
        self._objects.delete(path for path, data in contents.items() if data is None)
        for path, data in contents.items():
            if data is not None:
                self._objects.put(path, data)


def look(walk: Walk, chance: Random) -> None:
    """Commands on a damaged store answer, or say in words why not."""
    commands = [
        walk.command("status", CORPUS, "--json"),
        walk.command("history", CORPUS, "--json"),
        walk.command("plan", CORPUS, "--json"),
        walk.command("query", CORPUS, "which words", "--json"),
    ]
    command = chance.choice(commands)
    ended = walk.launcher.run(command)
    assert "Traceback" not in ended.err, f"{command.arguments[0]} on a damaged store:\n{ended.err}"
    assert ended.code in (model.DONE, model.FAILED), ended.message


def heal(walk: Walk, chance: Random, patient: Patient) -> str:
    """Run, and do what messages say, until a run ends as the model says."""
    cures: list[str] = []
    for letter in "abcde"[: CURES + 1]:
        reason = walk.reason() + letter
        ended = walk.launcher.run(run_command(walk, chance, reason))
        assert "Traceback" not in ended.err, f"a trace instead of a message:\n{ended.err}"
        walk.embedded.take()
        bases = [walk.state, *without(walk.state, patient)]
        found = [model.run(base, walk.files.world, reason) for base in bases]
        agreeing = [state for state, outcome in found if outcome.agrees(ended.code, ended.message)]
        if agreeing and (ended.code == model.DONE or ended.code == model.REFUSED or found[0][1].says):
            said = f"a run ended with {ended.code}"
            if cures:
                said += f" after {', '.join(cures)}"
            if patient.is_as_harmed():
                said += f"; put back, since {_put_back(walk, patient, agreeing)}"
            walk.follow(walk.matching([*agreeing, walk.state], partial=False, shown="a run after damage"))
            return said
        cures.append(_cured(walk, ended.message, cures, patient, found[0][1]))
        walk.note(f"cure: {cures[-1]}")
    raise AssertionError(f"no cure worked: {', '.join(cures)}")


def without(state: State, patient: Patient) -> list[State]:
    """What is left of the log when the tag of a publication, or the whole index, is lost."""
    if patient.holds(f"index/{CORPUS}.lance/_versions/") and patient.holds(f"index/{CORPUS}.lance/data/"):
        return [State()]
    for number in sorted(state.retained):
        if patient.holds(f"index/{CORPUS}.lance/_refs/tags/pub-{number:08d}"):
            log = state.log if number < len(state.log) else state.log[:-1]
            return [State(log, state.retained - {number})]
    return []


def _put_back(walk: Walk, patient: Patient, agreeing: Sequence[State]) -> str:
    """Restore what no run has noticed; a publication that was made meanwhile must do without it."""
    number = max(walk.checker.log.versions(), default=0)
    made = next((state.head for state in agreeing if len(state.log) == number > len(walk.state.log)), None)
    if made is not None:
        walk.checker.reopen()
        walk.checker.rows(made)
    patient.restore()
    return "nothing needed it" if made else "nothing was published"


def _cured(walk: Walk, message: str, before: Sequence[str], patient: Patient, outcome: model.Outcome) -> str:
    """Do what a message says; returns what that was."""
    if AGAIN.search(message) and "running again" not in before:
        return "running again"
    url = walk.checker.objects.url
    named = {path for path in re.findall(re.escape(url) + r"/([^\s:;,'\"]+)", message) if path}
    if BACKUP.search(message):
        assert any(map(patient.holds, named)), (
            f"another object than the damaged one is wanted back:\n{message}"
        )
        patient.restore()
        return "a restore from the backup"
    assert DELETION.search(message) and named, (
        f"neither as the model says ({outcome}) nor with a cure:\n{message}"
    )
    walk.checker.objects.delete(named)
    return f"a deletion of {', '.join(named)}"


def kind_of(path: str) -> str:
    """Which kind of object stands under a path."""
    folder, *parts = path.split("/")
    if folder == "content":
        return f"content/{parts[0]}/{parts[2] if len(parts) > 3 else parts[2].split('.')[0]}"
    if folder == "corpora":
        return f"corpora/{'/'.join(parts[1:-1][:1])}{Path(path).suffix}"
    if folder == "index":
        return f"index/{parts[1]}" + ("/pub" if parts[-1].startswith("pub-") else "")
    return path


def _drawn(objects: ObjectStore, chance: Random) -> tuple[str, Patient]:
    """A kind of object, and one of its objects, often a new one, or a file that does not belong there; or a folder."""
    if chance.random() < 0.08:
        folder = chance.choice(FOLDERS)
        saved = {
            info.path: objects.get(info.path)
            for info in objects.list(folder)
            if info.path.split("/")[2] not in OWN
        }
        return folder, Patient(objects, f"lost the folder {folder}", saved, dict.fromkeys(saved))
    kinds: defaultdict[str, list[ObjectInfo]] = defaultdict(list)
    for info in objects.list(""):
        parts = info.path.split("/")
        if not (parts[0] == "corpora" and parts[2] in OWN):
            kinds[kind_of(info.path)].append(info)
    kind = chance.choice(sorted(kinds))
    found = sorted(kinds[kind], key=lambda info: (info.modified, info.path))
    path = chance.choice(found[-NEWEST:] if chance.random() < 0.7 else found).path
    if chance.random() < 0.12:
        stray = f"{path.rpartition('/')[0]}/{chance.choice(STRAYS)}".removeprefix("/")
        return "stray file", Patient(objects, f"stray file {stray}", {stray: None}, {stray: b"stray"})
    how = chance.choice([name for name in HOWS if name != "without its fields" or path.endswith(".json")])
    data = objects.get(path)
    return kind, Patient(objects, f"{how}: {path}", {path: data}, {path: HOWS[how](data)})
