"""Damage of one random object: what a power cut, a full disk or a slip of the hand leaves behind.

The next run ends as if nothing had happened, or says what helps; the walk does that, and then it ends so. Readers
may meet errors until then, but never see what was not published.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from rag_assets.publication.record import LOST, Publication
from rag_assets.store.objects import ObjectInfo, ObjectStore
from rag_assets_tests.soak import model
from rag_assets_tests.soak.model import Published, State
from rag_assets_tests.soak.operations import run_command
from rag_assets_tests.soak.processes import Ended
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
BACKUP = re.compile(r"(?i)put \S+( object)? back from a backup")
FOLDER = re.compile(r"delete that folder")
ELSEWHERE = re.compile(r"go to another publication")
WENT_BACK = re.compile(r"publication (\d+) was lost; back to publication (\d+)")
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
        if ended.code != model.FAILED or model.stopped(walk.files.world) is not None:
            state = ended_well(walk, patient, ended, reason)
            said = f"a run ended with {ended.code}{f' after {_and(cures)}' if cures else ''}"
            if patient.is_as_harmed() and (put_back := _put_back(walk, patient, state, reason)) is not None:
                state = put_back
                said += "; put back"
            walk.follow(state)
            return said
        cures.append(_cured(walk, chance, ended.message, cures, patient))
        walk.note(f"cure: {cures[-1]}")
    raise AssertionError(f"no cure worked: {_and(cures)}")


def ended_well(walk: Walk, patient: Patient, ended: Ended, reason: str) -> State:
    """The log that a run left behind: what was mended before it, and on top of that what the model says."""
    observed = walk.checker.log.history()
    made = any(one.reason == reason for one in observed)
    before = mended(walk.state, patient, [one for one in observed if one.reason != reason])
    found = [model.run(before, walk.files.world, reason)]
    if made and before.head is not None:
        if before.head.spec == walk.files.world.spec:  # what readers see was damaged: the same once more
            found.append((model.rebuild(before, walk.files.world, reason), model.Outcome(model.DONE)))
        if patient.holds(f"corpora/{CORPUS}/publications/"):  # with it, what a rollback took back
            head = replace(before.head, held=frozenset())
            found.append(model.run(replace(before, log=(*before.log[:-1], head)), walk.files.world, reason))
    for state, outcome in found:
        as_made = made == (state.head is not None and state.head.reason == reason)
        if as_made and outcome.agrees(ended.code, ended.message):
            return replace(state, retained=frozenset(walk.checker.log.versions()))
    raise AssertionError(
        f"ended with {ended.code}, {'' if made else 'not '}having published; expected {found[0][1]}:\n{ended.message}"
    )


def _put_back(walk: Walk, patient: Patient, state: State, reason: str) -> State | None:
    """Restore what no run has noticed; a publication that was made meanwhile does without it.

    Returns:
        what the log is then; None when something else was done about the damage.
    """
    numbers = {one.number for one in state.log}
    if any(one.number not in numbers and patient.holds(record_of(one.number)) for one in walk.state.log):
        return None
    made = state.head is not None and state.head.reason == reason
    if made:
        assert state.head is not None
        walk.checker.reopen()
        walk.checker.rows(state.head)
    elif state.head is not None and not {one.number for one in walk.state.on_record} <= numbers:
        return None
    patient.restore()
    kept = state if made else walk.state
    return replace(kept, retained=frozenset(walk.checker.log.versions()))


def mended(state: State, patient: Patient, observed: Sequence[Publication]) -> State:
    """The log after mending: records may be made anew, and readers may have gone back to a whole publication.

    Raises:
        AssertionError: a publication is there that was never made, or one is gone that the damage does not touch.
    """
    known = {one.number: one for one in state.log}
    log: list[Published] = []
    for one in observed:
        back = WENT_BACK.fullmatch(one.reason)
        entry = known.get(one.number)
        if back is not None and entry is None:
            lost, target = known[int(back[1])], known[int(back[2])]
            held = lost.held - {target.spec}
            entry = replace(target, number=one.number, kind="rollback", reason=one.reason, held=held)
        assert entry is not None, f"publication {one.number} was never made: {one}"
        if one.reason == LOST or back is not None:
            entry = replace(entry, reason=one.reason, changes=one.changes, changes_at_most=one.changes)
        known[one.number] = entry
        log.append(entry)
    gone = {one.number for one in state.on_record} - {one.number for one in log}
    unknown = {number for number in gone if number in state.retained or not patient.holds(record_of(number))}
    assert not unknown or patient.holds(f"index/{CORPUS}.lance/"), f"publications {sorted(unknown)} are gone"
    return State(tuple(log), frozenset(one.number for one in log if one.number not in gone))


def record_of(number: int) -> str:
    """Beginning of the path of a publication's record. Nothing else tells of one that is not retained any more."""
    return f"corpora/{CORPUS}/publications/{number:08d}-"


def _cured(walk: Walk, chance: Random, message: str, before: Sequence[str], patient: Patient) -> str:
    """Do what a message says; returns what that was."""
    url = walk.checker.objects.url
    named = {path for path in re.findall(re.escape(url) + r"/([^\s:;,'\"]+)", message) if path}
    if ELSEWHERE.search(message):
        others = [one for one in walk.state.log if one.number in walk.state.retained]
        to = next(one.number for one in reversed(others) if one.build != walk.state.log[-1].build)
        reason = f"{walk.reason()}-elsewhere"
        state, outcome = model.rollback(walk.state, to, reason)
        command = walk.command("rollback", CORPUS, "--to", str(to), "--reason", reason)
        walk.ended(walk.launcher.run(command), outcome)
        walk.follow(state)
        return f"a rollback to {to}"
    if AGAIN.search(message) and "running again" not in before:
        return "running again"
    assert named, f"neither as the model says nor with a cure:\n{message}"
    if FOLDER.search(message) and chance.random() < 0.5:
        walk.checker.objects.delete(info.path for path in named for info in walk.checker.objects.list(path))
        walk.follow(State())
        return "a new index"
    if BACKUP.search(message):
        assert any(map(patient.holds, named)), (
            f"another object than the damaged one is wanted back:\n{message}"
        )
        patient.restore()
        return "a restore from the backup"
    assert DELETION.search(message), f"neither as the model says nor with a cure:\n{message}"
    walk.checker.objects.delete(named)
    return f"a deletion of {', '.join(named)}"


def _and(cures: Sequence[str]) -> str:
    return " and ".join(cures)


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
