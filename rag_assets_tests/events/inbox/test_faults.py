"""Processes and databases die at the worst moment; what was accepted is there, and locks are let go."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rag_assets.errors import InboxUnavailable
from rag_assets.events.inbox import Inbox
from rag_assets_tests.events.inbox.changes import change, states
from rag_assets_tests.servers import PostgresServer

CORPUS = "handbook"
ACCEPT = """
import os, signal, sys
from rag_assets.events.inbox import Inbox
from rag_assets_tests.events.inbox.changes import change
inbox = Inbox.open(sys.argv[1])
for number in range(3):
    assert inbox.accept("handbook", [change(f"{number}.md", event=f"e{number}", content=b"x")])
os.kill(os.getpid(), signal.SIGKILL)
"""
TAKE = """
import os, signal, sys
from rag_assets.events.inbox import Inbox
inbox = Inbox.open(sys.argv[1])
with inbox.exclusive("handbook"):
    assert inbox.take("handbook", f"run {os.getpid()}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
HOLD = """
import sys
from rag_assets.events.inbox import Inbox
with Inbox.open(sys.argv[1]).exclusive("handbook"):
    print("held", flush=True)
    sys.stdin.readline()
"""
RACE = """
import sys
from rag_assets.events.inbox import Inbox
from rag_assets_tests.events.inbox.changes import change
inbox = Inbox.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(sum(inbox.accept("handbook", [change(event=f"e{number}")]) for number in range(50)))
"""


def start(code: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that applies events."""
    with start(HOLD, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_was_accepted_is_there_after_the_process_was_killed(inbox: Inbox, inbox_url: str) -> None:
    with start(ACCEPT, inbox_url) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert states(inbox) == dict.fromkeys(("e0", "e1", "e2"), "pending")
    assert [received.change.content for received in inbox.take(CORPUS, "run")] == [b"x"] * 3


def test_runs_that_were_killed_over_an_event_are_counted_and_block_nobody(
    inbox: Inbox, inbox_url: str
) -> None:
    inbox.accept(CORPUS, [change(event="e")])
    for _ in range(2):
        with start(TAKE, inbox_url) as process:
            assert process.wait(60) == -signal.SIGKILL
    with inbox.exclusive(CORPUS, wait_seconds=20):
        assert inbox.give_up(CORPUS, 3) == 0
        assert inbox.give_up(CORPUS, 2) == 1
    assert states(inbox) == {"e": "dead"}


def test_processes_that_write_the_same_events_at_once_share_them(inbox: Inbox, inbox_url: str) -> None:
    processes = [start(RACE, inbox_url) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    accepted = 0
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        accepted += int(process.communicate(timeout=120)[0])
    assert accepted == 50
    assert inbox.pending(CORPUS).count == 50


def test_one_process_applies_events_and_another_is_told_what_to_do(inbox: Inbox, inbox_url: str) -> None:
    with holder(inbox_url):
        with (
            pytest.raises(
                InboxUnavailable, match=r"handbook: another run does so; when it has ended, try again"
            ),
            inbox.exclusive(CORPUS, wait_seconds=0.5),
        ):
            pass
        with inbox.exclusive("another corpus", wait_seconds=0.5):
            pass


def test_a_process_that_dies_lets_go(inbox: Inbox, inbox_url: str) -> None:
    with holder(inbox_url) as process:
        process.kill()
        with inbox.exclusive(CORPUS, wait_seconds=20):
            pass


def test_threads_of_one_process_exclude_each_other_too(inbox: Inbox) -> None:
    inside: list[int] = []
    most = 0

    def enter() -> None:
        nonlocal most
        with inbox.exclusive(CORPUS):
            inside.append(1)
            most = max(most, len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_an_error_inside_lets_go(inbox: Inbox) -> None:
    with pytest.raises(ZeroDivisionError), inbox.exclusive(CORPUS):
        _ = 1 / 0
    with inbox.exclusive(CORPUS, wait_seconds=0.5):
        pass


def test_a_delivery_that_becomes_visible_later_than_its_number_says_is_still_taken(
    postgres: PostgresServer,
) -> None:
    import psycopg2  # type: ignore[import-untyped]

    url = postgres.new_database()
    inbox = Inbox.open(url)
    inbox.accept(CORPUS, [change("first.md", event="first")])
    with closing(psycopg2.connect(url)) as slow:
        # Holds number 2 and is not committed while number 3 is.
        slow.cursor().execute(
            "INSERT INTO rag_inbox_changes (corpus, event, position, document, kind, occurred, sender, received, "
            "state, changed, attempts) SELECT corpus, 'slow', 0, 'slow.md', kind, occurred, sender, received, "
            "state, changed, 0 FROM rag_inbox_changes"
        )
        inbox.accept(CORPUS, [change("fast.md", event="fast")])
        taken = [received.number for received in inbox.take(CORPUS, "run")]
        assert taken == [1, 3]
        inbox.applied(taken, 1)
        slow.commit()
    assert [received.number for received in inbox.take(CORPUS, "run")] == [2]
    inbox.close()


def test_when_postgres_dies_it_is_an_error_and_when_it_is_back_nothing_is_lost(
    postgres: PostgresServer,
) -> None:
    inbox = Inbox.open(postgres.new_database())
    inbox.accept(CORPUS, [change(event="before")])
    postgres.kill()
    try:
        for attempt in (inbox.ready, lambda: inbox.accept(CORPUS, [change(event="meanwhile")])):
            with pytest.raises(InboxUnavailable, match=r"check that the database runs"):
                attempt()
        with pytest.raises(InboxUnavailable), inbox.exclusive(CORPUS):
            pass
    finally:
        postgres.start()
    inbox.ready()
    assert inbox.accept(CORPUS, [change(event="after")])
    assert states(inbox) == {"before": "pending", "after": "pending"}
    inbox.close()


def test_an_erased_document_is_in_no_file_of_sqlite(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("erased")
    inbox = Inbox.open(f"sqlite:///{folder}/inbox.sqlite")
    secret = b"the secret of Mr. X"
    inbox.accept(
        CORPUS, [change("a", event="1", content=secret * 1000), change("b", event="1", content=secret)]
    )
    inbox.dead({received.number: "poison" for received in inbox.take(CORPUS, "run")})
    assert any(secret in path.read_bytes() for path in folder.iterdir())
    for document in ("a", "b"):
        inbox.accept(CORPUS, [change(document, "erase", minute=1)])
    inbox.applied([received.number for received in inbox.take(CORPUS, "next run")], 1)
    assert [path.name for path in folder.iterdir() if secret in path.read_bytes()] == []
    inbox.close()
