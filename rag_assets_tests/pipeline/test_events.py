"""Events at work: what waits in the inbox takes effect once, in the order of the sender's time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from rag_assets.errors import ModelError, NotPublished, StoreUnavailable
from rag_assets.events.inbox import Change, Inbox
from rag_assets.events.inbox.event import Kind
from rag_assets.invalidation.cache import AnswerCache
from rag_assets.invalidation.deliver import deliver
from rag_assets.pipeline.events import acknowledge
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.publication.publish import rollback
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.snapshots import SnapshotStore
from rag_assets_tests.servers import ValkeyServer
from rag_assets_tests.workspace import Workspace, document, run_stages

START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS: dict[str, Any] = {"watch": {}, "max_attempts": 3}
SETTINGS: dict[str, Any] = {
    "events": EVENTS,
    "parsing": {"workers": 1, "max_quarantined_share": 1},
    "gate": {"max_removed_share": 1},
}


def change(event: str, document: str, kind: Kind, at: int, text: str | None = None, **more: Any) -> Change:
    content = None if text is None else text.encode()
    return Change(event, document, kind, START + timedelta(seconds=at), "test", content, **more)


class Place:
    """A corpus with a folder and pushed documents, and its inbox."""

    def __init__(self, root: Path, **fields: Any) -> None:
        folder = {"type": "folder", "path": str(root / "handbook-documents"), "prefix": "folder/"}
        sources = [folder, {"type": "push", "prefix": "cms/"}]
        self.workspace = Workspace(root, str(root / "store"), sources=sources, **SETTINGS, **fields)
        self.inbox = Inbox.open(f"sqlite:///{root}/inbox.sqlite")
        self._runs = 0

    def pipeline(self) -> Pipeline:
        self._runs += 1
        return Pipeline(
            self.workspace.objects, self.workspace.corpus, run_id=f"run-{self._runs}", inbox=self.inbox
        )

    def accept(self, *changes: Change) -> None:
        for one in changes:
            self.inbox.accept("handbook", [one])

    def apply(self, *, only_events: bool = True) -> Pipeline:
        pipeline = self.pipeline()
        pipeline.documents(only_events=only_events)
        return pipeline

    def run(self) -> None:
        run_stages(self.pipeline())

    def states(self) -> dict[str, str]:
        return {entry.event: entry.state for entry in self.inbox.list("handbook")}

    def reasons(self) -> dict[str, str]:
        return {entry.event: entry.reason for entry in self.inbox.list("handbook") if entry.reason}

    def documents(self) -> set[str]:
        snapshots = SnapshotStore(self.workspace.objects, "handbook")
        return set(snapshots.readable(snapshots.latest())["document_id"])

    def published(self) -> dict[str, str]:
        rows = self.workspace.rows(vectors=False)
        return dict(rows.select("document_id", "text").iter_rows())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.workspace.write("a.md", "The first document.")
    found.run()
    return found


def test_content_that_an_event_brings_is_published_and_the_event_is_done(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "Penguins swim."))
    place.run()
    assert place.published() == {"folder/a.md": "The first document.", "cms/x.md": "Penguins swim."}
    assert place.states() == {"e1": "done"}
    place.accept(
        change("e2", "cms/x.md", "updated", 2, "Penguins walk."),
        change("e3", "folder/a.md", "deleted", 2),
    )
    (place.workspace.documents / "a.md").unlink()
    place.run()
    assert place.published() == {"cms/x.md": "Penguins walk."}
    assert set(place.states().values()) == {"done"}


def test_a_reference_makes_its_source_be_read(place: Place) -> None:
    place.workspace.write("a.md", "The first document, changed.")
    place.workspace.write("b.md", "Nobody announced this one.")
    place.accept(change("e1", "folder/a.md", "updated", 1))
    pipeline = place.apply()
    assert place.documents() == {"folder/a.md"}
    facts = pipeline.runs.of(pipeline.run_id)["stages"]["documents"]
    assert (facts["listed"], facts["changed"], facts["events"]["applied"]) == (1, 1, 1)
    place.apply(only_events=False)
    assert place.documents() == {"folder/a.md", "folder/b.md"}


@pytest.mark.parametrize("turn", [1, -1])
def test_the_newest_event_of_a_document_counts_however_they_arrive(place: Place, turn: int) -> None:
    events = [
        change("e1", "cms/x.md", "created", 1, "one"),
        change("e2", "cms/x.md", "updated", 2, "two"),
        change("e3", "cms/y.md", "created", 1, "why"),
        change("e4", "cms/y.md", "deleted", 2),
    ]
    place.accept(*events[::turn])
    place.run()
    assert place.published() == {"folder/a.md": "The first document.", "cms/x.md": "two"}
    assert place.states() == {"e1": "superseded", "e2": "done", "e3": "superseded", "e4": "done"}


def test_a_late_event_does_not_undo_a_newer_one(place: Place) -> None:
    place.accept(change("e2", "cms/x.md", "updated", 2, "two"))
    place.run()
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))
    place.run()
    assert place.published()["cms/x.md"] == "two"
    assert place.states() == {"e1": "superseded", "e2": "done"}


def test_an_event_without_effect_is_set_aside_with_its_reason(place: Place) -> None:
    place.accept(
        change("typo", "folder/nowhere.md", "updated", 1),
        change("poison", "cms/p.pdf", "created", 1, "no PDF at all"),
        change("picture", "cms/p", "created", 1, "x", content_type="image/png"),
        change("astray", "folder/c.md", "created", 1, "content for a folder"),
        change("good", "cms/x.md", "created", 1, "Penguins swim."),
    )
    place.run()
    assert place.states() == {
        **dict.fromkeys(("typo", "poison", "picture", "astray"), "dead"),
        "good": "done",
    }
    reasons = place.reasons()
    assert "no source" in reasons["typo"]
    assert "corrupt" in reasons["poison"]
    assert "image/png" in reasons["picture"]
    assert "push" in reasons["astray"]
    assert "'cms/'" in reasons["astray"]
    assert "'folder/' or 'cms/'" in reasons["typo"]


def test_what_was_to_leave_and_was_not_there_is_done_and_said(place: Place) -> None:
    place.accept(
        change("erase", "cms/u\u0308ber.md", "erase", 2),
        change("delete", "folder/nowhere.md", "deleted", 2),
        change("known", "folder/a.md", "deleted", 2),
    )
    pipeline = place.apply()
    assert place.states() == dict.fromkeys(("erase", "delete", "known"), "applied")
    assert place.reasons().keys() == {"erase", "delete"}
    assert "no document of this id" in place.reasons()["erase"]
    assert pipeline.runs.of(pipeline.run_id)["stages"]["documents"]["events"]["absent"] == 2


def test_a_deletion_that_is_repeated_late_does_not_take_what_was_created_after_an_erasure(
    place: Place,
) -> None:
    place.accept(change("e1", "cms/x.md", "erase", 2), change("e2", "cms/x.md", "created", 3, "new"))
    place.run()
    place.inbox.forget(datetime.now(UTC) + timedelta(days=1))
    place.accept(change("repeated", "cms/x.md", "deleted", 1))
    place.run()
    assert place.published()["cms/x.md"] == "new"


def test_the_erased_stays_erased_until_something_new_is_created(place: Place) -> None:
    place.accept(change("e1", "folder/a.md", "erase", 2), change("e2", "cms/x.md", "created", 1, "one"))
    place.run()
    assert place.published() == {"cms/x.md": "one"}
    assert ErasureLog(place.workspace.objects, "handbook").since(0) == ["folder/a.md"]
    place.accept(change("e3", "folder/a.md", "updated", 3), change("e4", "folder/a.md", "created", 1))
    place.apply(only_events=False)
    assert place.documents() == {"cms/x.md"}
    assert place.states()["e4"] == "superseded"
    assert "erased" in place.reasons()["e3"]
    place.accept(change("e5", "folder/a.md", "created", 4))
    place.run()
    assert place.published().keys() == {"folder/a.md", "cms/x.md"}


@pytest.mark.parametrize("turn", [1, -1])
def test_a_document_created_after_an_erasure_stays_in_either_order(place: Place, turn: int) -> None:
    events = [change("e1", "cms/x.md", "erase", 2), change("e2", "cms/x.md", "created", 3, "new")]
    place.accept(*events[::turn])
    place.run()
    assert place.published()["cms/x.md"] == "new"
    for late in events[::turn]:
        place.accept(change(f"single-{late.event}", "cms/z.md", late.kind, 2 + (late.kind == "created"), "z"))
        place.run()
    assert place.published()["cms/z.md"] == "z"
    assert "cms/z.md" in ErasureLog(place.workspace.objects, "handbook").since(0)


def test_an_event_waits_for_a_publication_that_contains_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))
    place.apply()
    assert place.states() == {"e1": "applied"}
    place.run()
    assert place.states() == {"e1": "done"}
    # What a rollback took back is not done anew by the old publication.
    place.accept(change("e2", "cms/x.md", "updated", 2, "two"))
    place.apply()
    rollback(place.workspace.objects, "handbook", None, reason="test", by="test")
    assert place.states()["e2"] == "applied"
    place.run()
    assert place.published()["cms/x.md"] == "two"
    assert place.states()["e2"] == "done"


def test_an_event_that_changes_nothing_is_done_without_a_publication(place: Place) -> None:
    head = place.pipeline().log.head()
    place.accept(change("e1", "folder/a.md", "updated", 1))
    place.run()
    assert place.states() == {"e1": "done"}
    assert place.pipeline().log.head() == head


def test_an_event_is_not_done_by_a_publication_whose_snapshot_was_lost(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))
    place.run()
    place.workspace.objects.delete(["corpora/handbook/snapshots/00000002.json"])
    place.accept(change("e2", "cms/y.md", "created", 2, "two"))
    pipeline = place.apply(only_events=False)
    assert pipeline.context.snapshots.latest().number == 2, (
        "the number of the published snapshot is in use again"
    )
    assert acknowledge(place.inbox, place.workspace.objects, "handbook") == 0
    assert place.states()["e2"] == "applied"
    place.run()
    assert place.states() == {"e1": "done", "e2": "done"}
    assert "cms/y.md" in place.published()


def test_runs_that_fail_because_something_is_down_do_not_count_against_events(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))

    def down(*_: object) -> None:
        raise StoreUnavailable("the store is down")

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "commit", down)
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                place.apply()
    place.run()
    assert place.states() == {"e1": "done"}


def test_runs_that_break_over_an_event_set_it_aside_at_last(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))

    def broken(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "commit", broken)
        for _ in range(3):
            with pytest.raises(MemoryError):
                place.apply()
    place.run()
    assert place.states() == {"e1": "dead"}
    assert "3" in place.reasons()["e1"]


def test_an_erasure_is_remembered_with_its_time_when_its_event_is_forgotten(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"), change("e2", "cms/x.md", "erase", 2))
    place.run()
    place.inbox.forget(datetime.now(UTC) + timedelta(days=1))
    place.accept(change("again", "cms/x.md", "created", 1, "one"))
    place.run()
    assert "cms/x.md" not in place.published()
    assert "erased after this event" in place.reasons()["again"]
    place.accept(change("new", "cms/x.md", "created", 3, "new"))
    place.run()
    assert place.published()["cms/x.md"] == "new"


def test_an_old_creation_lifts_no_erasure_on_behalf_of_a_newer_update(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"), change("e2", "cms/x.md", "erase", 2))
    place.run()
    place.inbox.forget(datetime.now(UTC) + timedelta(days=1))
    place.accept(
        change("again", "cms/x.md", "created", 1, "one"), change("later", "cms/x.md", "updated", 3, "three")
    )
    place.run()
    assert "cms/x.md" not in place.published()
    assert "erased" in place.reasons()["later"]


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_last_of_several_erasures_counts_in_any_order_and_after_its_event_is_forgotten(
    place: Place, order: tuple[int, ...]
) -> None:
    events = [
        change("first", "cms/x.md", "erase", 1),
        change("between", "cms/x.md", "created", 3, "between"),
        change("last", "cms/x.md", "erase", 5),
    ]
    for number in order:
        place.accept(events[number])
        place.apply()
    assert "cms/x.md" not in place.documents()
    place.inbox.acknowledge("handbook", 10**6, 1)
    place.inbox.forget(datetime.now(UTC) + timedelta(days=1))
    place.accept(change("repeated", "cms/x.md", "created", 3, "between"))
    place.apply()
    assert "cms/x.md" not in place.documents()


def test_an_erasure_that_is_repeated_late_does_not_take_what_was_created_after_it(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "erase", 2), change("e2", "cms/x.md", "created", 3, "new"))
    place.run()
    place.inbox.forget(datetime.now(UTC) + timedelta(days=1))
    place.accept(change("repeated", "cms/x.md", "erase", 2))
    place.run()
    assert place.published()["cms/x.md"] == "new"


def test_a_creation_that_was_set_aside_lifts_no_erasure(place: Place) -> None:
    place.accept(change("dead", "cms/x", "created", 5, "x", content_type="image/png"))
    place.apply()
    place.accept(
        change("erase", "cms/x", "erase", 2),
        change("update", "cms/x", "updated", 6, "two", content_type="text/plain"),
    )
    place.apply()
    assert "cms/x" not in place.documents()
    assert "erased" in place.reasons()["update"]


def test_content_that_cannot_be_read_leaves_what_was_there(place: Place) -> None:
    place.accept(change("good", "cms/x.md", "created", 1, "Penguins swim."))
    place.run()
    place.accept(
        change("empty", "cms/x.md", "updated", 2, ""), change("pdf", "cms/y.pdf", "created", 2, "no PDF")
    )
    place.run()
    assert place.published()["cms/x.md"] == "Penguins swim."
    assert place.states() == {"good": "done", "empty": "dead", "pdf": "dead"}
    snapshots = SnapshotStore(place.workspace.objects, "handbook")
    assert snapshots.latest().quarantined == 0, "it counts against nothing, and stops no later run"
    assert place.apply(only_events=False).context.snapshots.latest().quarantined == 0


def test_an_erasure_counts_also_where_what_follows_it_cannot_be_read(place: Place) -> None:
    place.accept(
        change("erase", "cms/p.pdf", "erase", 1), change("poison", "cms/p.pdf", "created", 2, "no PDF at all")
    )
    place.apply()
    assert place.states() == {"erase": "applied", "poison": "dead"}


@pytest.mark.parametrize("after", [[("created", 3)], [("created", 3), ("updated", 4)]])
def test_an_erased_document_does_not_come_back_when_what_follows_it_cannot_be_read(
    place: Place, after: list[tuple[Kind, int]]
) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))
    place.run()
    for number, (kind, at) in enumerate(after):
        place.accept(change(f"empty-{number}", "cms/x.md", kind, at, ""))
    place.accept(change("erase", "cms/x.md", "erase", 2))
    place.apply()
    place.apply(only_events=False)
    assert "cms/x.md" not in place.documents()


def test_content_for_an_id_that_another_source_holds_is_set_aside_and_harms_no_other(tmp_path: Path) -> None:
    place = Place(tmp_path)
    folder = {"type": "folder", "path": str(place.workspace.documents)}
    place.workspace.configure(
        **{**SETTINGS, "sources": [folder, {"type": "push", "prefix": "cms/"}]},
    )
    place.workspace.write("cms/x.md", "From the folder.")
    place.workspace.write("y.md", "Another one.")
    place.run()
    place.accept(change("clash", "cms/x.md", "updated", 1, "pushed"), change("erase", "y.md", "erase", 1))
    place.run()
    assert place.published() == {"cms/x.md": "From the folder."}
    assert place.states() == {"clash": "dead", "erase": "done"}
    assert "id, too" in place.reasons()["clash"]


def test_a_document_moves_to_the_narrower_of_two_push_sources(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.workspace.write("a.md", "The first document.")
    place.run()
    place.accept(change("e1", "cms/news/x.md", "created", 1, "one"))
    place.run()
    folder = {"type": "folder", "path": str(place.workspace.documents), "prefix": "folder/"}
    prefixes = [{"type": "push", "prefix": prefix} for prefix in ("cms/", "cms/news/")]
    place.workspace.configure(**{**SETTINGS, "sources": [folder, *prefixes]})
    place.accept(change("e2", "cms/news/x.md", "updated", 2, "two"))
    place.run()
    assert place.published()["cms/news/x.md"] == "two"
    place.apply(only_events=False)
    place.accept(change("e3", "cms/news/x.md", "deleted", 3))
    place.apply()
    place.apply(only_events=False)
    assert "cms/news/x.md" not in place.documents()


def test_no_rollback_shows_an_erased_document_again(place: Place) -> None:
    place.accept(change("e1", "cms/x.md", "created", 1, "one"))
    place.run()
    place.accept(change("e2", "cms/x.md", "erase", 2))
    place.run()
    with pytest.raises(NotPublished, match=r"erased since.*cms/x\.md"):
        rollback(place.workspace.objects, "handbook", None, reason="test", by="test")
    rollback(place.workspace.objects, "handbook", 1, reason="test", by="test")
    assert place.published() == {"folder/a.md": "The first document."}


def test_no_rollback_shows_an_erased_document_again_whose_place_a_new_one_took(place: Place) -> None:
    place.accept(change("c1", "cms/x.md", "created", 1, "secret"))
    place.run()
    place.accept(change("e2", "cms/x.md", "erase", 2))
    place.run()
    place.accept(change("c3", "cms/x.md", "created", 3, "new"))
    place.run()
    place.accept(change("u4", "cms/x.md", "updated", 4, "newer"))
    place.run()
    with pytest.raises(NotPublished, match=r"erased since.*cms/x\.md"):
        rollback(place.workspace.objects, "handbook", 2, reason="test", by="test")
    rollback(place.workspace.objects, "handbook", 4, reason="test", by="test")
    assert place.published()["cms/x.md"] == "new"


def test_a_late_erasure_forbids_no_publication_of_what_was_created_after_it(place: Place) -> None:
    place.accept(change("c3", "cms/x.md", "created", 3, "new"))
    place.run()
    place.accept(change("u4", "cms/x.md", "updated", 4, "newer"))
    place.run()
    place.accept(change("e2", "cms/x.md", "erase", 2))
    place.run()
    rollback(place.workspace.objects, "handbook", 2, reason="test", by="test")
    assert place.published()["cms/x.md"] == "new"


def test_an_update_without_creation_makes_no_later_creation_void(place: Place) -> None:
    for one in (
        change("u4", "cms/x.md", "updated", 4, "four"),
        change("e1", "cms/x.md", "erase", 1),
        change("c3", "cms/x.md", "created", 3, "three"),
    ):
        place.accept(one)
        place.apply()
    assert "cms/x.md" in place.documents()


def test_an_update_that_waited_for_its_creation_has_its_effect_then(place: Place) -> None:
    for one in (
        change("e2", "cms/x.md", "erase", 2),
        change("u4", "cms/x.md", "updated", 4, "four"),
        change("c3", "cms/x.md", "created", 3, "three"),
    ):
        place.accept(one)
        place.run()
    assert place.published()["cms/x.md"] == "four"


@pytest.mark.parametrize("document", ["cms/x.md", "folder/a.md"])
def test_an_erasure_that_comes_while_a_run_is_at_work_takes_nothing_newer(
    place: Place, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    text = "new" if document.startswith("cms") else None
    place.accept(change("c3", document, "created", 3, text))
    during(monkeypatch, lambda: place.accept(change("e2", document, "erase", 2)))
    place.apply()
    assert document in place.documents()
    assert document not in ErasureLog(place.workspace.objects, "handbook").erased()


def test_a_creation_that_comes_while_a_run_is_at_work_is_not_made_void_by_a_refused_update(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept(change("e2", "cms/x.md", "erase", 2))
    place.apply()
    place.accept(change("u4", "cms/x.md", "updated", 4, "four"))
    during(monkeypatch, lambda: place.accept(change("c3", "cms/x.md", "created", 3, "three")))
    place.run()
    assert place.published()["cms/x.md"] == "four"


def during(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something between the first batch of the next run and its second."""
    take, calls = Inbox.take, count(1)

    def taking(*args: Any, **bounds: Any) -> Any:
        if next(calls) == 2:
            act()
        return take(*args, **bounds)

    monkeypatch.setattr(Inbox, "take", taking)


def test_an_erasure_does_not_wait_for_a_model_that_cannot_be_found(place: Place) -> None:
    corpus, objects = place.workspace.corpus, place.workspace.objects
    place.accept(change("e1", "folder/a.md", "erase", 1))
    nowhere = corpus.embedder.model_copy(update={"model": "/nowhere"})
    broken = corpus.model_copy(update={"embedder": nowhere})
    with pytest.raises(ModelError):
        Pipeline(objects, broken, run_id="broken", inbox=place.inbox).documents(only_events=True)
    assert "folder/a.md" in ErasureLog(objects, "handbook").erased()
    assert place.states() == {"e1": "pending"}
    place.apply()
    assert place.documents() == set()


def test_an_erasure_behind_a_rollback_that_holds_makes_the_run_red(place: Place) -> None:
    place.accept(change("c1", "cms/x.md", "created", 1, "secret"))
    place.run()
    place.accept(change("d2", "cms/x.md", "deleted", 2))
    place.run()
    rollback(place.workspace.objects, "handbook", 2, reason="test", by="test")
    place.run()
    assert place.published()["cms/x.md"] == "secret"
    place.accept(change("e3", "cms/x.md", "erase", 3))
    with pytest.raises(NotPublished, match=r"erased since.*cms/x\.md.*rollback --to"):
        place.run()
    rollback(place.workspace.objects, "handbook", 3, reason="test", by="test")
    place.run()
    assert place.states()["e3"] == "done"
    assert "cms/x.md" not in place.published()


@pytest.mark.parametrize("text", [None, ""])
def test_a_creation_that_fails_does_not_lift_the_erasure_of_a_source_s_document(
    place: Place, text: str | None
) -> None:
    path = place.workspace.documents / "a.md"
    place.workspace.write("b.md", "Another document.")
    place.accept(change("e2", "folder/a.md", "erase", 2))
    place.apply(only_events=False)
    path.unlink()
    if text is not None:
        path.write_text(text)
    place.accept(change("c3", "folder/a.md", "created", 3))
    place.apply()
    assert place.states()["c3"] == "dead"
    path.write_text("The first document.")
    place.apply(only_events=False)
    assert place.documents() == {"folder/b.md"}


def test_a_pushed_creation_that_cannot_be_read_does_not_lift_the_erasure(place: Place) -> None:
    place.accept(change("e2", "cms/x.md", "erase", 2))
    place.apply()
    place.accept(change("c3", "cms/x.md", "created", 3, ""))
    place.apply()
    assert "cms/x.md" in ErasureLog(place.workspace.objects, "handbook").erased()


def test_a_document_that_is_erased_and_created_as_it_was_can_be_cached_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer
) -> None:
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    monkeypatch.setenv("CACHE_URL", valkey.url)
    target = {"name": "cache", "type": "redis", "url_variable": "CACHE_URL"}
    place = Place(tmp_path, invalidation={"targets": [target]})
    place.workspace.write("a.md", "The first document.")
    place.run()
    cache = AnswerCache(valkey.url, "handbook")
    corpus, objects = place.workspace.corpus, place.workspace.objects
    deliver(objects, corpus)
    assert cache.put("question", b"answer", ["folder/a.md"], 1)
    place.accept(change("e2", "folder/a.md", "erase", 2))
    place.apply()
    assert cache.get("question") is None, "at once"
    assert not cache.put("question", b"answer", ["folder/a.md"], 1)
    place.accept(change("c3", "folder/a.md", "created", 3))
    place.run()
    deliver(objects, corpus)
    assert cache.put("question", b"answer", ["folder/a.md"], 1)


KINDS: Sequence[Kind] = ("created", "updated", "deleted", "erase")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(KINDS)), min_size=1, max_size=8),
    data=st.data(),
)
def test_any_order_in_any_number_of_runs_gives_the_state_of_the_senders_order(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Kind]], data: st.DataObject
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    expected: dict[str, str] = {}
    erased: set[str] = set()
    events = []
    for at, (name, kind) in enumerate(history):
        identity = f"cms/{name}.md"
        events.append(
            change(f"e{at}", identity, kind, at, None if kind in ("deleted", "erase") else f"text {at}")
        )
    # The senders' order: an erasure forbids updates until a creation.
    for one in events:
        if one.kind == "erase":
            erased.add(one.document)
        if one.kind == "created":
            erased.discard(one.document)
        if one.content is None:
            expected.pop(one.document, None)
        elif one.document not in erased:
            expected[one.document] = one.content.decode()
    place.workspace.write("a.md", document(1, sections=1))
    os.utime(place.workspace.documents / "a.md", (1_700_000_000,) * 2)  # a young file is read twice
    place.apply(only_events=False)
    for one in data.draw(st.permutations(events)):
        place.accept(one, *([one] if data.draw(st.booleans()) else []))
        if data.draw(st.booleans()):
            place.apply()
    place.apply()
    snapshots = SnapshotStore(place.workspace.objects, "handbook")
    rows = snapshots.readable(snapshots.latest())
    assert set(rows["document_id"]) - {"folder/a.md"} == expected.keys()
    before = snapshots.latest()
    place.apply(only_events=False)
    assert snapshots.latest() == before
