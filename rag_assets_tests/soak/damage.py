"""Damage of one random object: what a power cut, a full disk or a slip of the hand leaves behind.

The next run ends as if nothing had happened, or says what helps; the walk does that, and then it ends so. Readers
may meet errors until then, but never see what was not published.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
"""Objects that a message may name one after the other."""
NEWEST = 5
OWN = ("pushed", "erasures")
"""Folders of a corpus that cannot be made anew; messages say so."""

HOWS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "without its fields": lambda data: b"{}",
}
CURE = re.compile(r"put it back from a backup|delete it|delete index/\S+ and corpora/\S+")
"""Words of a message that say what helps."""
STRAYS = ("notes.json", "notes.txt", "0000.parquet")


def damage(walk: Walk, chance: Random) -> str:
    """Damage one object, look, and run until all is well."""
    objects = walk.checker.objects
    kind, info = _drawn(objects, chance)
    walk.tolerate_errors()
    if chance.random() < 0.15:
        stray = f"{info.path.rsplit('/', 1)[0]}/{chance.choice(STRAYS)}"
        objects.put(stray, b"stray")
        patient = Patient(stray, None, b"stray")
        said = f"stray file {stray}"
    else:
        names = [name for name in HOWS if name != "without its fields" or info.path.endswith(".json")]
        how = chance.choice(names)
        saved = objects.get(info.path)
        patient = Patient(info.path, saved, HOWS[how](saved))
        patient.harm(objects)
        said = f"{how}: {info.path}"
    walk.note(said)
    walk.counts.damages[kind] += 1
    if "/embeddings/" in info.path:
        walk.embedded.lost()
    look(walk, chance)
    said += f"; {heal(walk, chance, patient)}"
    walk.checker.reopen()
    return said


class Patient:
    """An object, what it held (None: it was not there) and what was made of it (None: it is not there)."""

    def __init__(self, path: str, saved: bytes | None, harmed: bytes | None) -> None:
        self.path = path
        self._saved = saved
        self._harmed = harmed

    def harm(self, objects: ObjectStore) -> None:
        """Damage it."""
        _put(objects, self.path, self._harmed)

    def restore(self, objects: ObjectStore) -> None:
        """Put it back from the backup."""
        _put(objects, self.path, self._saved)

    def is_as_harmed(self, objects: ObjectStore) -> bool:
        """Whether nothing has been done about it."""
        return objects.find(self.path) == self._harmed != self._saved


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
    objects, cures = walk.checker.objects, list[str]()
    for letter in "abcd"[:CURES]:
        reason = walk.reason() + letter
        ended = walk.launcher.run(run_command(walk, chance, reason))
        assert "Traceback" not in ended.err, f"a trace instead of a message:\n{ended.err}"
        walk.embedded.take()
        bases = [walk.state, *without_a_publication(walk.state, patient.path)]
        found = [model.run(base, walk.files.world, reason) for base in bases]
        agreeing = [
            state for state, outcome in found if outcome.code == ended.code and outcome.says in ended.message
        ]
        cure = CURE.search(ended.message)
        if agreeing and (ended.code == model.DONE or cure is None):
            said = f"a run ended with {ended.code} after {' and '.join([*cures, 'that'])}"
            if patient.is_as_harmed(objects):
                said += f", and it was put back: {_put_back(walk, patient, agreeing)}"
            walk.follow(walk.matching([*agreeing, walk.state], partial=False, shown="a run after damage"))
            return said
        assert cure is not None, (
            f"neither as the model says ({found[0][1]}) nor with a cure:\n{ended.message}"
        )
        cures.append(apply(walk, chance, cure[0], ended.message, patient))
        walk.note(f"cure: {cures[-1]}")
    raise AssertionError(f"no cure worked: {', '.join(cures)}")


def _put_back(walk: Walk, patient: Patient, agreeing: Sequence[State]) -> str:
    """Restore what no run has noticed; a publication that was made meanwhile must do without it."""
    number = max(walk.checker.log.versions(), default=0)
    made = next((state.head for state in agreeing if len(state.log) == number > len(walk.state.log)), None)
    if made is not None:
        walk.checker.reopen()
        walk.checker.rows(made)
    patient.restore(walk.checker.objects)
    return "nothing needed it" if made else "nothing was published"


def without_a_publication(state: State, path: str) -> list[State]:
    """What is left of the log when the damaged object is the tag of a publication."""
    tag = re.search(r"_refs/tags/pub-(\d{8})", path)
    if tag is None:
        return []
    number = int(tag[1])
    log = state.log if number < len(state.log) else state.log[:-1]
    return [State(log, state.retained - {number})]


def apply(walk: Walk, chance: Random, cure: str, message: str, patient: Patient) -> str:
    """Do what a message says."""
    objects = walk.checker.objects
    if cure.startswith("delete index") or (cure.startswith("put it back") and chance.random() < 0.5):
        return walk.start_anew()
    named = re.findall(re.escape(objects.url) + r"/([^\s:;,'\"]+)", message)
    assert named, f"the message tells to {cure!r} and names no object:\n{message}"
    if cure.startswith("put it back"):
        assert patient.path in named, (
            f"{patient.path} was damaged, but the message wants others back:\n{message}"
        )
        patient.restore(objects)
        return "a restore from the backup"
    objects.delete(named)
    return f"a deletion of {', '.join(named)}"


def kind_of(path: str) -> str:
    """Which kind of object stands under a path."""
    folder, *parts = path.split("/")
    if folder == "content":
        return f"content/{parts[0]}/{parts[2] if len(parts) > 3 else parts[2].split('.')[0]}"
    if folder == "corpora":
        return f"corpora/{'/'.join(parts[1:-1]) or parts[-1]}{parts[-1][parts[-1].rfind('.') :]}"
    if folder == "index":
        return f"index/{parts[1]}" + ("/pub" if parts[-1].startswith("pub-") else "")
    return folder


def _drawn(objects: ObjectStore, chance: Random) -> tuple[str, ObjectInfo]:
    """A kind of object, and one of its objects; often a new one."""
    kinds: defaultdict[str, list[ObjectInfo]] = defaultdict(list)
    for info in objects.list(""):
        parts = info.path.split("/")
        if not (parts[0] == "corpora" and parts[2] in OWN):
            kinds[re.sub(r"[0-9a-f]{8,}(-\w+)*", "*", kind_of(info.path))].append(info)
    kind = chance.choice(sorted(kinds))
    found = sorted(kinds[kind], key=lambda info: (info.modified, info.path))
    return kind, chance.choice(found[-NEWEST:] if chance.random() < 0.7 else found)


def _put(objects: ObjectStore, path: str, data: bytes | None) -> None:
    if data is None:
        objects.delete([path])
    else:
        objects.put(path, data)
