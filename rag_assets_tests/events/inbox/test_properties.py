"""Whatever is repeated, mixed up or interrupted: in the end each document is what its latest change says."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets.events.inbox import Change, Inbox
from rag_assets_tests.events.inbox.changes import change

DOCUMENTS = ("a.md", "b.md", "c.md")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[Change]], list[int]]:
    """Deliveries in the order of their arrival, some of them repeated, and when runs take place."""
    deliveries = []
    for number in range(draw(st.integers(1, 6))):
        minute = draw(st.integers(0, 4))
        deliveries.append(
            [
                change(
                    draw(st.sampled_from(DOCUMENTS)),
                    draw(st.sampled_from(["created", "updated", "deleted"])),
                    minute=minute,
                    event=f"e{number}",
                    content=f"{number}.{position}".encode(),
                )
                for position in range(draw(st.integers(1, 3)))
            ]
        )
    arrivals = draw(st.lists(st.sampled_from(deliveries), min_size=len(deliveries), max_size=12))
    runs = draw(st.lists(st.integers(0, len(arrivals)), max_size=4))
    return arrivals, runs


def run(inbox: Inbox, corpus: str, number: int, documents: dict[str, Change], *, dies: bool) -> None:
    """Take all and apply it; a run that dies has changed documents and said nothing."""
    taken = []
    with inbox.exclusive(corpus):
        while batch := inbox.take(corpus, f"run {number}", limit=2):
            for received in batch:
                documents[received.change.document] = received.change
            taken += [received.number for received in batch]
        if not dies:
            inbox.applied(taken, number)
            inbox.acknowledge(corpus, number, number)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_inbox(request: pytest.FixtureRequest) -> Iterator[Inbox]:
    """One inbox for all examples; each has a corpus of its own."""
    folder = Path(mkdtemp())
    if request.param == "sqlite":
        inbox = Inbox.open(f"sqlite:///{folder}/inbox.sqlite")
    else:
        inbox = Inbox.open(request.getfixturevalue("postgres").new_database())
    yield inbox
    inbox.close()
    shutil.rmtree(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), deaths=st.sets(st.integers(0, 3)))
def test_each_document_ends_as_its_latest_change_says(
    shared_inbox: Inbox, history: tuple[list[list[Change]], list[int]], deaths: set[int]
) -> None:
    inbox, corpus = shared_inbox, f"handbook_{uuid.uuid4().hex}"
    arrivals, runs = history
    documents: dict[str, Change] = {}
    rows: dict[str, list[tuple[tuple[object, int], Change]]] = {}
    known: set[str] = set()
    for place, delivery in enumerate(arrivals):
        for number, when in enumerate(runs):
            if when == place:
                run(inbox, corpus, number, documents, dies=number in deaths)
        fresh = delivery[0].event not in known
        assert inbox.accept(corpus, delivery) == fresh
        known.add(delivery[0].event)
        if fresh:
            for one in delivery:
                order = (one.occurred, sum(map(len, rows.values())))
                rows.setdefault(one.document, []).append((order, one))
    run(inbox, corpus, 99, documents, dies=False)
    latest = {document: max(found, key=lambda row: row[0])[1] for document, found in rows.items()}
    assert documents == latest
    assert set(inbox.counts()[corpus]) <= {"done", "superseded"}
    assert all(entry.size is None for entry in inbox.list(corpus, limit=1000))
