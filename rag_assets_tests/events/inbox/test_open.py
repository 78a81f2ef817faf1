"""Which database an inbox is, what its URL may be, and what is shown of it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from rag_assets.errors import ConfigurationError, InboxUnavailable
from rag_assets.events.inbox import Inbox, open_inbox
from rag_assets.events.inbox.database import Database
from rag_assets.events.inbox.event import Suspects
from rag_assets.settings import Settings
from rag_assets_tests.events.inbox.changes import change
from rag_assets_tests.servers import SECRET_KEY, PostgresServer, free_ports

OPEN = """
import sys
from rag_assets.events.inbox import Inbox
sys.stdin.readline()
Inbox.open(sys.argv[1]).ready()
"""


def test_without_a_setting_the_inbox_lies_in_the_stores_folder(tmp_path: Path) -> None:
    for folder in ("store", "what? 100% [a] #b"):
        settings = Settings(store=str(tmp_path / folder))
        inbox = open_inbox(settings)
        assert inbox.accept("handbook", [change()])
        inbox.close()
        assert (tmp_path / folder / "inbox.sqlite").exists()


def test_a_setting_names_another_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("RAG_INBOX", f"sqlite:///{tmp_path}/new/folder/events.sqlite")
    open_inbox(Settings()).close()
    assert (tmp_path / "new" / "folder" / "events.sqlite").exists()


def test_a_store_that_many_machines_reach_needs_a_database_that_they_reach_too() -> None:
    with pytest.raises(ConfigurationError, match=r"s3://bucket/prefix.*set RAG_INBOX to postgresql://"):
        open_inbox(Settings(store="s3://bucket/prefix"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "inbox.sqlite",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///inbox.sqlite?mode=ro",
        "mysql://user:hunter2@host/name",
        "postgresql://user:hunter2@host:port/name",
    ],
)
def test_any_other_url_is_refused_with_what_is_allowed_and_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed are postgresql://.* and sqlite:///path") as caught:
        Inbox.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        Inbox.open(f"sqlite:///{tmp_path}/file/inbox.sqlite")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox.sqlite").write_text("no database" * 1000)
    with pytest.raises(InboxUnavailable, match=r"inbox\.sqlite: file is not a database"):
        Inbox.open(f"sqlite:///{tmp_path}/inbox.sqlite")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_postgres_is_understood(scheme: str, postgres: PostgresServer) -> None:
    inbox = Inbox.open(postgres.new_database().replace("postgresql", scheme, 1))
    inbox.ready()
    inbox.close()


@pytest.mark.parametrize("wrong", ["password", "port", "database"])
def test_a_database_that_refuses_is_named_without_user_and_password(
    wrong: str, postgres: PostgresServer
) -> None:
    url = {
        "password": postgres.url().replace(SECRET_KEY, "hunter2"),
        "port": postgres.url().replace(str(postgres.port), str(free_ports(1)[0])),
        "database": postgres.url("nothing"),
    }[wrong]
    with pytest.raises(
        InboxUnavailable, match=r"could not open the inbox postgresql://127\.0\.0\.1:"
    ) as caught:
        Inbox.open(url)
    assert "check that the database runs and that RAG_INBOX leads to it" in str(caught.value)
    assert SECRET_KEY not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.retryable


def test_a_missing_driver_is_a_sentence_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ConfigurationError, match=r"\[deploy\]"):
        Inbox.open("postgresql://user:hunter2@127.0.0.1/name")


@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_many_that_open_a_new_inbox_at_once_all_find_it_ready(
    server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for number in range(8):
        if server == "sqlite":
            url = f"sqlite:///{tmp_path}/{number}.sqlite"
        else:
            url = request.getfixturevalue("postgres").new_database()
        together = Barrier(6)

        def open_it(_: int, url: str = url, together: Barrier = together) -> None:
            together.wait()
            inbox = Inbox.open(url)
            inbox.ready()
            inbox.close()

        with ThreadPoolExecutor(6) as pool:
            assert [*pool.map(open_it, range(6))] == [None] * 6


def test_processes_that_open_a_new_inbox_at_once_all_find_it_ready(inbox_url: str) -> None:
    openers = [
        subprocess.Popen([sys.executable, "-c", OPEN, inbox_url], stdin=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        opener.communicate(timeout=60)
        assert opener.returncode == 0


def test_sqlite_flushes_every_commit_to_the_disk(tmp_path: Path) -> None:
    engine = Database.open(f"sqlite:///{tmp_path}/inbox.sqlite").engine
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
    engine.dispose()
    assert found == ["wal", 2]


@pytest.mark.parametrize(
    ("server", "ours"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_postgres_flushes_every_commit_whatever_others_need(
    server: str, ours: str, postgres: PostgresServer
) -> None:
    import psycopg2  # type: ignore[import-untyped]

    url = postgres.new_database()
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        name = url.rpartition("/")[2]
        connection.cursor().execute(f"ALTER DATABASE {name} SET synchronous_commit = '{server}'")
    engine = Database.open(url).engine
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == ours
    engine.dispose()


def test_a_table_that_an_earlier_version_made_gets_the_columns_that_it_lacks(inbox_url: str) -> None:
    inbox = Inbox.open(inbox_url)
    inbox.accept("handbook", [change(event="e1")])
    inbox.accept("handbook", [change("b.md", event="e2")])
    inbox.take("handbook", "run")
    inbox.close()
    database = Database.open(inbox_url)
    with database.transaction("change") as connection:
        connection.exec_driver_sql("ALTER TABLE rag_inbox_changes DROP COLUMN together")
    database.engine.dispose()
    with ThreadPoolExecutor(4) as pool:
        opened = [*pool.map(Inbox.open, [inbox_url] * 4)]
    assert opened[0].suspects("handbook") == [Suspects("run", 2)]
    assert len(opened[1].take("handbook", "next")) == 2
    for one in opened:
        one.close()
