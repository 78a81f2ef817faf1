"""What an inbox promises to those who write and to those who read, in SQLite and in Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

from rag_assets.events.inbox import Change, Inbox, Pending
from rag_assets.events.inbox.event import Brought, Suspects
from rag_assets.events.inbox.inbox import REMEMBERED
from rag_assets_tests.events.inbox.changes import NOON, change, states

CORPUS = "handbook"


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def accept(inbox: Inbox, *changes: Change) -> None:
    for one in changes:
        assert inbox.accept(CORPUS, [one])


def taken(inbox: Inbox, run: str, **bounds: int) -> list[str]:
    return [received.change.event for received in inbox.take(CORPUS, run, **bounds)]


def test_what_is_accepted_is_taken_as_it_was_sent(inbox: Inbox) -> None:
    sent = Change(
        event="e",
        document="größe/ß.pdf",
        kind="created",
        occurred=datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        sender="the CMS",
        content=bytes(range(256)) * 1000,
        content_type="application/pdf",
    )
    before = datetime.now(UTC)
    accept(inbox, sent)
    (received,) = inbox.take(CORPUS, "run")
    assert received.change == sent
    assert received.attempts == 1
    assert before <= received.received <= datetime.now(UTC)


def test_an_event_is_accepted_once_for_each_corpus(inbox: Inbox) -> None:
    assert inbox.accept("one", [change(event="e")])
    assert not inbox.accept("one", [change("b.md", event="e"), change("c.md", event="e")])
    assert inbox.accept("two", [change(event="e")])
    assert inbox.counts() == {"one": {"pending": 1}, "two": {"pending": 1}}


def test_an_event_that_is_done_is_still_known(inbox: Inbox) -> None:
    accept(inbox, change(event="e"))
    (received,) = inbox.take(CORPUS, "run")
    inbox.applied([received.number], 1)
    inbox.acknowledge(CORPUS, 1, 1)
    assert not inbox.accept(CORPUS, [change(event="e")])


def test_a_delivery_of_many_documents_is_kept_whole_and_in_order(inbox: Inbox) -> None:
    names = [f"{number}.md" for number in range(1_234)]
    assert inbox.accept(CORPUS, [change(name, event="e") for name in names])
    found: list[str] = []
    while batch := inbox.take(CORPUS, "run", limit=500):
        found += [received.change.document for received in batch]
    assert found == names
    assert [entry.document for entry in inbox.find(CORPUS, "e")] == names


def test_of_many_concurrent_deliveries_of_one_event_exactly_one_is_accepted(inbox: Inbox) -> None:
    for number in range(5):
        delivery = [change(f"{name}.md", event=f"e{number}") for name in range(3)]
        with ThreadPoolExecutor(8) as pool:
            won = [*pool.map(partial(inbox.accept, CORPUS), [delivery] * 8)]
        assert sum(won) == 1
    assert inbox.pending(CORPUS).count == 15


def test_pending_says_what_waits(inbox: Inbox) -> None:
    assert inbox.pending(CORPUS) == Pending(0, 0, None, None, 0, 0)
    accept(inbox, change("a"), change("b", "deleted"), change("c", "erase"))
    found = inbox.pending(CORPUS)
    assert (found.count, found.urgent, found.attempts) == (3, 2, 0)
    assert found.oldest is not None and found.newest is not None and found.oldest < found.newest
    assert found.last == max(entry.number for entry in inbox.list(CORPUS))
    inbox.take(CORPUS, "run")
    assert inbox.pending(CORPUS).attempts == 1
    inbox.take(CORPUS, "run")
    assert inbox.pending(CORPUS).attempts == 3
    assert inbox.pending("other") == Pending(0, 0, None, None, 0, 0)


def test_erasures_come_first_and_alone_then_deletions_then_what_came_first(inbox: Inbox) -> None:
    accept(
        inbox,
        change("a", event="1"),
        change("b", "deleted", event="2"),
        change("c", "created", event="3"),
        change("d", "erase", event="4"),
    )
    assert [taken(inbox, "run") for _ in range(3)] == [["4"], ["2", "1", "3"], []]


def test_a_run_takes_everything_batch_by_batch_and_nothing_twice(inbox: Inbox) -> None:
    accept(inbox, *[change(f"{number}", event=f"{number}") for number in range(5)])
    assert [taken(inbox, "run", limit=2) for _ in range(4)] == [["0", "1"], ["2", "3"], ["4"], []]
    assert taken(inbox, "next run") == ["0", "1", "2", "3", "4"]


def test_a_batch_is_bounded_in_bytes_but_never_stuck(inbox: Inbox) -> None:
    accept(
        inbox,
        change("a", event="1", content=b"x" * 60),
        change("b", event="2", content=b"x" * 60),
        change("c", event="3"),
        change("d", event="4", content=b"x" * 500),
    )
    batches = [taken(inbox, "run", max_bytes=100) for _ in range(4)]
    assert batches == [["1"], ["2", "3"], ["4"], []]


def test_an_attempt_is_on_record_before_anything_is_done(inbox: Inbox) -> None:
    accept(inbox, change(event="e"))
    for number in (1, 2, 3):
        (received,) = inbox.take(CORPUS, f"run {number}")
        assert received.attempts == number
    (entry,) = inbox.find(CORPUS, "e")
    assert (entry.attempts, entry.run_id, entry.state) == (3, "run 3", "pending")


def test_an_attempt_that_failed_for_another_reason_does_not_count(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1"), change("b", event="2"))
    first, _ = inbox.take(CORPUS, "run")
    inbox.applied([first.number], 1)
    assert inbox.release(CORPUS, "another run") == 0
    assert inbox.release(CORPUS, "run") == 1
    assert inbox.give_up(CORPUS, 1) == 0
    (received,) = inbox.take(CORPUS, "run")
    assert (received.change.event, received.attempts) == ("2", 1)


def test_when_a_document_was_created_and_applied_last(inbox: Inbox) -> None:
    accept(
        inbox,
        change("twice", "created", minute=1),
        change("twice", "created", minute=3),
        change("twice", "erase", minute=4),
        change("changed", "created", minute=1),
        change("changed", "updated", minute=2, event="applied"),
        change("updated", "updated", minute=3),
        change("gone", "deleted", minute=3),
        change("dropped", "created", minute=3, event="dropped"),
        change("dead", "created", minute=3, event="dead"),
    )
    inbox.drop(CORPUS, "dropped", "")
    rows = [*inbox.take(CORPUS, "run"), *inbox.take(CORPUS, "run")]
    number = {row.change.event: row.number for row in rows}
    inbox.dead({number["dead"]: "no parser"})
    inbox.applied([number["applied"]], 7)
    names = ["twice", "changed", "updated", "gone", "dropped", "dead", "unknown"]
    expected = {
        "twice": Brought(at(3), None),
        "changed": Brought(at(1), at(2), None),
        "updated": Brought(None, None),
    }
    assert inbox.brought(CORPUS, names) == expected
    inbox.retry(CORPUS, "dead")
    assert inbox.brought(CORPUS, names) == {**expected, "dead": Brought(at(3), None)}
    assert inbox.brought("other", names) == {}


def test_of_two_changes_of_a_document_the_later_one_counts_whatever_came_first(inbox: Inbox) -> None:
    accept(
        inbox,
        change("a", minute=5, event="late", content=b"new"),
        change("a", minute=1, event="early", content=b"old"),
        change("b", minute=0, event="other"),
    )
    assert taken(inbox, "run") == ["late", "other"]
    (entry,) = inbox.find(CORPUS, "early")
    assert (entry.state, entry.size) == ("superseded", None)
    assert entry.reason is not None and "late" in entry.reason


def test_at_the_same_moment_the_later_row_counts(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1"), change("a", event="2"))
    assert inbox.accept(CORPUS, [change("b", "created", event="3"), change("b", "deleted", event="3")])
    found = inbox.take(CORPUS, "run")
    assert [(received.change.event, received.change.kind) for received in found] == [
        ("3", "deleted"),
        ("2", "updated"),
    ]


def test_a_late_change_does_not_undo_a_newer_one_that_was_applied(inbox: Inbox) -> None:
    for finish in ("applied", "done"):
        accept(inbox, change(finish, minute=5))
        (received,) = inbox.take(CORPUS, f"run {finish}")
        inbox.applied([received.number], 1)
        if finish == "done":
            inbox.acknowledge(CORPUS, 1, 1)
        accept(inbox, change(finish, minute=1, event=f"late for {finish}"))
        assert taken(inbox, f"next {finish}") == []
        assert states(inbox)[f"late for {finish}"] == "superseded"


def test_a_change_that_was_set_aside_supersedes_nothing(inbox: Inbox) -> None:
    accept(inbox, change("a", minute=5, event="dead"), change("b", minute=5, event="dropped"))
    first, second = inbox.take(CORPUS, "run")
    inbox.dead({first.number: "poison", second.number: "poison"})
    inbox.drop(CORPUS, "dropped", "not wanted")
    accept(inbox, change("a", minute=1, event="1"), change("b", minute=1, event="2"))
    assert taken(inbox, "next run") == ["1", "2"]


def test_an_erasure_is_never_superseded_and_comes_before_what_is_newer(inbox: Inbox) -> None:
    accept(
        inbox,
        change("a", minute=1, event="before", content=b"old"),
        change("a", minute=9, event="after", content=b"new"),
        change("a", "erase", minute=5, event="erase"),
    )
    assert [taken(inbox, "run") for _ in range(2)] == [["erase"], ["after"]]
    assert states(inbox)["before"] == "superseded"


def test_what_is_superseded_after_it_was_taken_stays_so(inbox: Inbox) -> None:
    accept(inbox, change("a", minute=1, event="old"))
    (old,) = inbox.take(CORPUS, "run")
    accept(inbox, change("a", minute=2, event="new"))
    (new,) = inbox.take(CORPUS, "run")
    inbox.applied([old.number, new.number], 3)
    assert states(inbox) == {"old": "superseded", "new": "applied"}


def test_a_change_goes_from_applied_to_done_with_the_publication_that_contains_it(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1", content=b"x"), change("b", event="2"))
    first, second = inbox.take(CORPUS, "run")
    inbox.applied([first.number], 4)
    inbox.applied([second.number], 5)
    assert inbox.find(CORPUS, "1")[0].size is None
    assert inbox.acknowledge(CORPUS, 4, 7) == 1
    assert inbox.acknowledge("other", 9, 9) == 0
    assert states(inbox) == {"1": "done", "2": "applied"}
    assert inbox.acknowledge(CORPUS, 5, 8) == 1
    found = [inbox.find(CORPUS, event)[0] for event in ("1", "2")]
    assert [(entry.snapshot, entry.publication) for entry in found] == [(4, 7), (5, 8)]
    assert inbox.acknowledge(CORPUS, 5, 8) == 0


def test_doing_it_twice_is_the_same_as_once(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1"), change("b", event="2"))
    first, second = inbox.take(CORPUS, "run")
    inbox.applied([first.number], 4)
    inbox.dead({second.number: "poison"})
    inbox.applied([first.number, second.number], 5)
    inbox.dead({first.number: "poison too", second.number: "another reason"})
    found = [inbox.find(CORPUS, event)[0] for event in ("1", "2")]
    assert [(entry.state, entry.snapshot, entry.reason) for entry in found] == [
        ("applied", 4, None),
        ("dead", None, "poison"),
    ]


def test_many_rows_are_settled_at_once(inbox: Inbox) -> None:
    assert inbox.accept(CORPUS, [change(f"{number}", event="e") for number in range(2_500)])
    rows = inbox.take(CORPUS, "run", limit=5_000)
    inbox.applied([received.number for received in rows], 1)
    assert inbox.counts() == {CORPUS: {"applied": 2_500}}


def test_what_runs_failed_over_too_often_is_set_aside_with_the_last_run(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1"))
    inbox.take(CORPUS, "run one")
    accept(inbox, change("b", event="2"))
    inbox.take(CORPUS, "run two")
    assert inbox.give_up("other", 2) == 0
    assert inbox.give_up(CORPUS, 2) == 1
    assert states(inbox) == {"1": "dead", "2": "pending"}
    reason = inbox.find(CORPUS, "1")[0].reason
    assert reason == "runs that took it and failed: 2, the last was run two"


def test_what_failed_together_is_not_given_up(inbox: Inbox) -> None:
    accept(inbox, *(change(name, event=name) for name in "abcd"))
    for number in range(5):
        assert len(inbox.take(CORPUS, f"run {number}")) == 4
    assert inbox.give_up(CORPUS, 2) == 0
    assert inbox.suspects(CORPUS) == [Suspects("run 4", 4)]


def test_suspects_are_taken_apart_from_what_is_fresh(inbox: Inbox) -> None:
    accept(inbox, *(change(name, event=name) for name in "abcd"))
    inbox.take(CORPUS, "one")
    accept(inbox, change("e", event="e"))
    (group,) = inbox.suspects(CORPUS)
    assert [received.change.event for received in inbox.take(CORPUS, "two", among="fresh")] == ["e"]
    (taken,) = inbox.take(CORPUS, "two", 1, among=group)
    inbox.applied([taken.number], 1)
    assert [received.change.event for received in inbox.take(CORPUS, "two", 1, among=group)] == ["b"]
    assert inbox.suspects(CORPUS) == [Suspects("two", 2), Suspects("one", 4)]
    assert inbox.suspects("other") == []


def test_a_suspect_that_is_given_back_stays_one(inbox: Inbox) -> None:
    accept(inbox, change("a", event="a"), change("b", event="b"))
    inbox.take(CORPUS, "one")
    (group,) = inbox.suspects(CORPUS)
    assert len(inbox.take(CORPUS, "two", 1, among=group)) == 1
    assert inbox.release(CORPUS, "two") == 1
    assert [entry.attempts for entry in inbox.list(CORPUS)] == [1, 1]
    assert len(inbox.suspects(CORPUS)) == 2
    assert inbox.take(CORPUS, "three", among="fresh") == []


def test_a_dead_event_can_be_tried_again_as_if_it_were_new(inbox: Inbox) -> None:
    accept(inbox, change("a", event="e", content=b"x"))
    inbox.take(CORPUS, "run")
    inbox.give_up(CORPUS, 1)
    assert inbox.retry(CORPUS, "unknown") == 0
    assert inbox.retry(CORPUS, "e") == 1
    (received,) = inbox.take(CORPUS, "run")  # also for the run that had taken it
    assert (received.attempts, received.change.content) == (1, b"x")
    assert inbox.find(CORPUS, "e")[0].reason is None


def test_only_dead_events_are_tried_again(inbox: Inbox) -> None:
    accept(inbox, change("a", event="e"))
    (received,) = inbox.take(CORPUS, "run")
    assert inbox.retry(CORPUS, "e") == 0
    inbox.applied([received.number], 1)
    assert inbox.retry(CORPUS, "e") == 0
    assert inbox.drop(CORPUS, "e", "too late") == 0
    assert states(inbox) == {"e": "applied"}


def test_a_dropped_event_keeps_its_record_and_loses_its_content(inbox: Inbox) -> None:
    accept(inbox, change("a", event="e", content=b"x"))
    assert inbox.find(CORPUS, "e")[0].size == 1
    assert inbox.drop(CORPUS, "e", "not wanted") == 1
    (entry,) = inbox.find(CORPUS, "e")
    assert (entry.state, entry.reason, entry.size) == ("dropped", "not wanted", None)
    assert taken(inbox, "run") == []
    assert inbox.retry(CORPUS, "e") == 0
    assert not inbox.accept(CORPUS, [change("a", event="e")])


def test_an_erasure_takes_the_content_of_older_dead_events_along(inbox: Inbox) -> None:
    accept(inbox, change("a", minute=1, event="dead", content=b"x"), change("b", event="other", content=b"x"))
    inbox.dead({received.number: "poison" for received in inbox.take(CORPUS, "run")})
    accept(inbox, change("a", "erase", minute=2, event="erase"))
    accept(inbox, change("a", "created", minute=3, event="again", content=b"y"))
    (erasure,) = inbox.take(CORPUS, "next run")
    inbox.applied([erasure.number], 1)
    sizes = {entry.event: entry.size for entry in inbox.list(CORPUS)}
    assert sizes == {"dead": None, "other": 1, "erase": None, "again": 1}


def test_what_is_long_done_is_forgotten_and_what_is_dead_is_not(inbox: Inbox) -> None:
    accept(inbox, *[change(name, event=name) for name in ("done", "dead", "dropped", "pending", "applied")])
    rows = {received.change.event: received.number for received in inbox.take(CORPUS, "run")}
    accept(inbox, change("done", minute=-5, event="superseded"))
    inbox.take(CORPUS, "run")
    inbox.applied([rows["done"]], 1)
    inbox.acknowledge(CORPUS, 1, 1)
    inbox.applied([rows["applied"]], 2)
    inbox.dead({rows["dead"]: "poison"})
    inbox.drop(CORPUS, "dropped", "not wanted")
    now = datetime.now(UTC)
    assert inbox.forget(now - REMEMBERED) == 0
    assert inbox.forget(now + timedelta(seconds=1)) == 3
    assert states(inbox).keys() == {"dead", "pending", "applied"}


def test_numbers_of_forgotten_rows_never_come_again(inbox: Inbox) -> None:
    accept(inbox, change(event="1"))
    last = inbox.pending(CORPUS).last
    inbox.drop(CORPUS, "1", "")
    inbox.forget(datetime.now(UTC) + timedelta(seconds=1))
    accept(inbox, change(event="2"))
    assert inbox.pending(CORPUS).last > last


def test_an_event_of_which_a_part_is_forgotten_is_still_known(inbox: Inbox) -> None:
    assert inbox.accept(CORPUS, [change("a", event="e"), change("b", event="e")])
    first, second = inbox.take(CORPUS, "run")
    inbox.applied([first.number], 1)
    inbox.acknowledge(CORPUS, 1, 1)
    inbox.dead({second.number: "poison"})
    inbox.forget(datetime.now(UTC) + timedelta(seconds=1))
    assert not inbox.accept(CORPUS, [change("a", event="e"), change("b", event="e")])
    assert [entry.document for entry in inbox.find(CORPUS, "e")] == ["b"]


def test_the_list_is_newest_first_and_narrowed_by_corpus_and_state(inbox: Inbox) -> None:
    accept(inbox, change("a", event="1"), change("b", event="2"))
    assert inbox.accept("other", [change("c", event="3")])
    inbox.drop(CORPUS, "1", "not wanted")
    assert [entry.event for entry in inbox.list()] == ["3", "2", "1"]
    assert [entry.event for entry in inbox.list(CORPUS)] == ["2", "1"]
    assert [entry.event for entry in inbox.list(state="pending")] == ["3", "2"]
    assert [entry.event for entry in inbox.list(CORPUS, "dropped")] == ["1"]
    assert [entry.event for entry in inbox.list(limit=1)] == ["3"]
    (entry,) = inbox.list("other")
    assert (entry.document, entry.kind, entry.occurred, entry.sender) == ("c", "updated", NOON, "tests")


def test_content_that_looks_like_a_statement_is_content(inbox: Inbox) -> None:
    document = "a'); DROP TABLE rag_inbox_changes; --"
    accept(inbox, change(document, event="e' OR '1'='1", content=b"'; --"))
    assert [received.change.document for received in inbox.take(CORPUS, "run' --")] == [document]
