"""What must come of an operation: a corpus, its settings and its publication log in memory.

``State`` is a value. ``run``, ``evaluate`` and ``rollback`` are pure functions from (state, world) to the state that
follows and how the process must end; so two processes at once are held against both serial orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from rag_assets_tests.soak.documents import PARAGRAPH_TOKENS, SECTION_TOKENS, Broken, Document

DONE, FAILED, REFUSED = 0, 1, 3
MAX_QUARANTINED_SHARE = 0.2
MAX_REMOVED_SHARE = 0.5
MAX_STALE_SHARE = 0.1
SHARD = 16

Content = Mapping[str, Document | Broken]
EMBEDDERS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "raw": {"normalize": False},
    "prefixed": {"document_prefix": "passage: "},
}


@dataclass(frozen=True)
class Settings:
    """The part of the corpus file that the walk changes."""

    max_tokens: int = SECTION_TOKENS
    include_headings: bool = True
    embedder: str = "plain"
    query_prefix: str = ""
    stem: bool = True
    vector_index: bool = False
    filters: bool = False
    engine: Literal["local", "stream"] = "local"
    keep: int = 20
    min_recall: float = 0.75

    def corpus_file(self, source: str) -> dict[str, Any]:
        """The corpus file."""
        return {
            "sources": [{"type": "folder", "path": source}],
            "parsing": {"workers": 1},
            "chunking": {"max_tokens": self.max_tokens, "include_headings": self.include_headings},
            "embedder": self.embedder_settings,
            "engine": self.engine,
            "index": {
                "text": {"stem": self.stem},
                "vector": {"type": "ivf_sq" if self.vector_index else "auto"},
                "filters": {"tenant": "string"} if self.filters else {},
            },
            "evaluation": {"gold": "gold.jsonl"},
            "gate": {"rules": [{"metric": "recall@5", "min": self.min_recall}]},
            "publication": {"keep": self.keep},
        }

    @property
    def embedder_settings(self) -> dict[str, Any]:
        """The corpus file's ``embedder``."""
        return {
            "type": "static",
            "shard_chunks": SHARD,
            "query_prefix": self.query_prefix,
            **EMBEDDERS[self.embedder],
        }

    def varied(self, name: str) -> Settings:
        """The settings with one of them changed to its other value."""
        others: Mapping[str, tuple[Any, ...]] = {
            "max_tokens": (SECTION_TOKENS, PARAGRAPH_TOKENS),
            "include_headings": (True, False),
            "embedder": tuple(EMBEDDERS),
            "query_prefix": ("", "query: "),
            "stem": (True, False),
            "vector_index": (False, True),
            "filters": (False, True),
            "engine": ("local", "stream"),
            "keep": (20, 3),
            "min_recall": (0.75, 1.0),
        }
        values = others[name]
        following = values[(values.index(getattr(self, name)) + 1) % len(values)]
        return replace(self, **{name: following})


@dataclass(frozen=True)
class Question:
    """A gold question in the words of a paragraph, whose target is that paragraph or the document that has it."""

    id: str
    paragraph: str
    document: str | None

    @property
    def line(self) -> dict[str, Any]:
        """Its line of the gold set."""
        asked = {"id": self.id, "question": " ".join(self.paragraph.split()[:10]) + "?"}
        if self.document is None:
            return {**asked, "passages": [self.paragraph]}
        return {**asked, "documents": [self.document]}


@dataclass(frozen=True)
class Row:
    """One row of the published table."""

    document_id: str
    title: str
    tenant: str
    heading_path: tuple[str, ...]
    text: str
    position: int
    embedded: str

    @property
    def seen(self) -> tuple[str, str, str, tuple[str, ...], str, int]:
        """What every reader can compare."""
        return (self.document_id, self.title, self.tenant, self.heading_path, self.text, self.position)


@dataclass(frozen=True)
class Spec:
    """What an index is made of; equal specs give equal rows."""

    content: tuple[tuple[str, Document | None], ...]
    chunker: tuple[int, bool]
    embedder: str
    table: tuple[bool, str, str]
    text: bool
    vector: bool

    @cached_property
    def documents(self) -> dict[str, Document]:
        """The readable documents."""
        return {name: found for name, found in self.content if found is not None}

    @cached_property
    def names(self) -> frozenset[str]:
        """All documents, quarantined ones included."""
        return frozenset(name for name, _ in self.content)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows, in no particular order."""
        return tuple(
            Row(name, found.title, found.tenant, chunk.heading_path, chunk.text, position, chunk.embedded)
            for name, found in self.documents.items()
            for position, chunk in enumerate(found.chunks(*self.chunker))
        )

    @cached_property
    def texts(self) -> frozenset[str]:
        """The distinct texts that need a vector."""
        return frozenset(row.embedded for row in self.rows)

    def same_rows_as(self, other: Spec) -> bool:
        """Whether only documents differ."""
        return (self.chunker, self.embedder, self.table) == (other.chunker, other.embedder, other.table)


def specify(content: Content, settings: Settings) -> Spec:
    """The spec of a corpus."""
    return Spec(
        content=tuple(
            (name, found if isinstance(found, Document) else None) for name, found in sorted(content.items())
        ),
        chunker=(settings.max_tokens, settings.include_headings),
        embedder=settings.embedder,
        table=(settings.filters, settings.embedder, settings.query_prefix),
        text=settings.stem,
        vector=settings.vector_index,
    )


@dataclass(frozen=True)
class World:
    """What a run finds: documents, settings and gold questions."""

    content: Content
    settings: Settings
    gold: tuple[Question, ...]

    @property
    def spec(self) -> Spec:
        """What a run makes of it."""
        return specify(self.content, self.settings)


@dataclass(frozen=True)
class Published:
    """One entry of the log.

    ``build`` names the candidate, which a rollback shares with its target; ``removed`` of ``base_documents`` documents
    went when it was built. ``changes_at_most`` stands in its record when an older snapshot was lost.
    """

    number: int
    kind: Literal["publish", "rollback"]
    reason: str
    spec: Spec
    build: int
    removed: int
    base_documents: int
    changes: Mapping[str, int]
    changes_at_most: Mapping[str, int]
    held: frozenset[Spec] = frozenset()


@dataclass(frozen=True)
class State:
    """The publication log, and which of its entries are retained."""

    log: tuple[Published, ...] = ()
    retained: frozenset[int] = frozenset()

    @property
    def head(self) -> Published | None:
        """What readers see."""
        return self.log[-1] if self.log else None

    @property
    def on_record(self) -> tuple[Published, ...]:
        """What ``history`` shows: all but those whose tag was lost."""
        oldest = min(self.retained, default=0)
        return tuple(one for one in self.log if one.number in self.retained or one.number < oldest)

    def find(self, number: int) -> Published | None:
        """A retained publication."""
        return next((one for one in self.log if one.number == number and number in self.retained), None)


@dataclass(frozen=True)
class Outcome:
    """How a process must end: its exit code, and words of its message."""

    code: int
    says: str = ""

    def agrees(self, code: int, message: str) -> bool:
        """Whether a process ended so."""
        return code == self.code and self.says in message


def run(state: State, world: World, reason: str) -> tuple[State, Outcome]:
    """Bring readers to the world, or say why not."""
    ended = stopped(world)
    if ended is not None:
        return state, ended
    spec, head = world.spec, state.head
    if head is not None and (spec == head.spec or spec in head.held):
        # What readers see already has lost nothing.
        refused = _refusal(head.spec, world, head.removed, head.base_documents, None)
        return state, Outcome(REFUSED, refused) if refused else Outcome(DONE)
    changes = changes_between(head.spec if head else None, spec)
    base = len(head.spec.documents) if head else 0
    refused = _refusal(spec, world, changes.get("removed", 0), base, head.spec if head else None)
    if refused:
        return state, Outcome(REFUSED, refused)
    return rebuild(state, world, reason), Outcome(DONE)


def rebuild(state: State, world: World, reason: str) -> State:
    """Publish the world, whatever is published."""
    head, spec = state.head, world.spec
    changes = changes_between(head.spec if head else None, spec)
    published = Published(
        number=head.number + 1 if head else 1,
        kind="publish",
        reason=reason,
        spec=spec,
        build=max((one.build for one in state.log), default=0) + 1,
        removed=changes.get("removed", 0),
        base_documents=len(head.spec.documents) if head else 0,
        changes=changes,
        changes_at_most=changes_between(head.spec if head else None, spec, unknown=True),
    )
    retained = sorted({*state.retained, published.number})[-world.settings.keep :]
    return State((*state.log, published), frozenset(retained))


def evaluate(state: State, world: World) -> Outcome:
    """Measure what a run would publish; publish nothing."""
    ended = stopped(world)
    if ended is not None:
        return ended
    head, spec = state.head, world.spec
    if head is not None and spec in head.held and spec != head.spec:
        return Outcome(FAILED, "a rollback took back")
    return run(state, world, "")[1]


def rollback(state: State, to: int | None, reason: str) -> tuple[State, Outcome]:
    """Publish an earlier publication's version again."""
    head = state.head
    if head is None:
        return state, Outcome(FAILED, "nothing is published yet")
    if to is None and head.number == 1:
        return state, Outcome(FAILED, "there is only one publication")
    number = head.number - 1 if to is None else to
    target = state.find(number)
    if target is None:
        return state, Outcome(FAILED, f"publication {number} is not retained")
    if target.build == head.build:
        return state, Outcome(FAILED, "is what readers see already")
    published = replace(
        target,
        number=head.number + 1,
        kind="rollback",
        reason=reason or f"rollback to publication {number}",
        held=frozenset({*head.held, head.spec} - {target.spec}),
        changes=changes_between(head.spec, target.spec),
        changes_at_most=changes_between(head.spec, target.spec, unknown=True),
    )
    return State((*state.log, published), state.retained | {published.number}), Outcome(DONE)


def changes_between(old: Spec | None, new: Spec, *, unknown: bool = False) -> dict[str, int]:
    """How many documents read differently, by kind of change; all that both have, when that is ``unknown``."""
    before = {} if old is None else old.documents
    same_rows = old is not None and new.same_rows_as(old) and not unknown
    found: Counter[str] = Counter()
    for name in before.keys() | new.documents.keys():
        if name not in before:
            found["added"] += 1
        elif name not in new.documents:
            found["removed"] += 1
        elif not same_rows or before[name] != new.documents[name]:
            found["changed"] += 1
    return dict(found)


def stopped(world: World) -> Outcome | None:
    """Why a run ends before there is a candidate; None when nothing stops it."""
    broken = sum(isinstance(found, Broken) for found in world.content.values())
    if broken > MAX_QUARANTINED_SHARE * len(world.content):
        return Outcome(FAILED, "are quarantined")
    if broken == len(world.content):
        return Outcome(FAILED, "no readable document")
    return None


def _refusal(spec: Spec, world: World, removed: int, base: int, before: Spec | None) -> str:
    """Words of the gate's refusal; empty when it lets the rows pass.

    Args:
        spec: what is judged.
        world: with the gold set and the rules.
        removed: documents that it removed when it was built.
        base: documents of what it was built on.
        before: what readers see instead; None for what they see.
    """
    if removed > MAX_REMOVED_SHARE * base:
        return f"{removed} of {base} published documents would be removed"
    gone = {one.id for one in world.gold if one.document is not None and one.document not in spec.names}
    if len(gone) > MAX_STALE_SHARE * len(world.gold):
        return f"{len(gone)} of {len(world.gold)} gold questions want documents"
    # What the version before had, too, is lost and counts 0; what neither has is stale and does not count.
    stale = gone - {one.id for one in world.gold if before is not None and one.document in before.names}
    asked = [one for one in world.gold if one.id not in stale]
    found = sum(_is_found(one, spec) for one in asked) / len(asked)
    if found < world.settings.min_recall - 1e-9:
        return f"is {found:.3f}"
    return ""


def _is_found(question: Question, spec: Spec) -> bool:
    """Whether search for a paragraph's own words finds the target: always, if it is there."""
    return any(
        question.paragraph in row.text and question.document in (None, row.document_id) for row in spec.rows
    )
