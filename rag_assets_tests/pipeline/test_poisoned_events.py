"""An event that breaks every run that takes it: it dies alone, and all others take effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rag_assets.errors import StoreUnavailable
from rag_assets.ingest.sources.push import PushSource
from rag_assets_tests.pipeline.test_events import Place, change

MAX_RUNS = 12


class PanicException(BaseException):
    """What Rust libraries raise when they panic, by their own name for it."""


class Interrupted(BaseException):
    """Stands for how Dagster interrupts a step."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.workspace.write("a.md", "The first document.")
    found.run()
    return found


@contextmanager
def poisoned(documents: Sequence[str], fault: Callable[[], BaseException]) -> Iterator[None]:
    """Whoever keeps one of these documents fails."""
    put = PushSource.put

    def faulty(source: PushSource, document_id: str, data: bytes, extension: str) -> None:
        if document_id in documents:
            raise fault()
        put(source, document_id, data, extension)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PushSource, "put", faulty)
        yield


def announce(place: Place, count: int, start: int = 0) -> list[str]:
    events = [f"e{number}" for number in range(start, start + count)]
    place.accept(
        *(
            change(event, f"cms/{event}.md", "created", number, f"Text of {event}.")
            for number, event in enumerate(events)
        )
    )
    return events


def failing_runs(place: Place, *, only_events: bool, fault: type[BaseException]) -> int:
    """Run until nothing waits any more; how many runs failed."""
    for failed in range(MAX_RUNS):
        try:
            place.apply(only_events=only_events)
        except fault:
            continue
        return failed
    raise AssertionError(f"{MAX_RUNS} runs failed: {place.states()}")


@pytest.mark.parametrize(
    ("count", "poison", "only_events", "fault"),
    [
        (1, ["e0"], True, ValueError),
        (2, ["e1"], True, PanicException),
        (9, ["e8"], False, ValueError),
        (70, ["e33", "e34", "e69"], True, ValueError),
        (70, ["e0"], False, PanicException),
    ],
)
def test_only_the_poisoned_event_dies(
    place: Place, count: int, poison: list[str], only_events: bool, fault: type[BaseException]
) -> None:
    events = announce(place, count)
    with poisoned([f"cms/{event}.md" for event in poison], fault):
        failed = failing_runs(place, only_events=only_events, fault=fault)
        assert place.states() == {event: "dead" if event in poison else "applied" for event in events}
        place.run()
    assert failed <= 3 * len(poison) + 1
    assert all("runs that took it and failed" in reason for reason in place.reasons().values())
    good = {f"cms/{event}.md" for event in events if event not in poison}
    assert place.published().keys() == {"folder/a.md", *good}
    assert set(place.states().values()) <= {"done", "dead"}


def test_events_that_come_later_do_not_wait_for_the_suspects(place: Place) -> None:
    announce(place, 20)
    with poisoned(["cms/e7.md"], ValueError):
        with pytest.raises(ValueError):
            place.apply()
        announce(place, 3, start=20)
        with pytest.raises(ValueError):
            place.apply()
    states = place.states()
    assert {states[f"e{number}"] for number in (20, 21, 22)} == {"applied"}
    assert states["e7"] == "pending"


def test_an_erasure_among_the_suspects_takes_effect_first(place: Place) -> None:
    place.accept(change("old", "cms/old.md", "created", 1, "Old."))
    place.run()
    announce(place, 30)
    with poisoned(["cms/e3.md"], ValueError):
        with pytest.raises(ValueError):
            place.apply()
        place.accept(change("erase", "cms/old.md", "erase", 50))
        with pytest.raises(ValueError):
            place.apply()
    assert place.states()["erase"] == "applied"
    assert "cms/old.md" not in place.documents()


def test_a_store_that_is_down_makes_no_suspects_and_counts_against_none(place: Place) -> None:
    events = announce(place, 20)
    for _ in range(5):
        with poisoned(["cms/e7.md"], lambda: StoreUnavailable("down")), pytest.raises(StoreUnavailable):
            place.apply()
    assert place.inbox.suspects("handbook") == []
    with poisoned(["cms/e7.md"], ValueError), pytest.raises(ValueError):
        place.apply()
    before = {entry.event: entry.attempts for entry in place.inbox.list("handbook")}
    for _ in range(5):
        with poisoned(["cms/e7.md"], lambda: StoreUnavailable("down")), pytest.raises(StoreUnavailable):
            place.apply()
    entries = place.inbox.list("handbook")
    assert {
        entry.event: entry.attempts for entry in entries if entry.state == "pending"
    }.items() <= before.items()
    place.run()
    assert place.states() == dict.fromkeys(events, "done")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, Interrupted])
def test_an_interrupted_run_counts_against_no_event(place: Place, fault: type[BaseException]) -> None:
    events = announce(place, 3)
    for _ in range(5):
        with poisoned(["cms/e1.md"], fault), pytest.raises(fault):
            place.apply()
    assert place.inbox.suspects("handbook") == []
    place.run()
    assert place.states() == dict.fromkeys(events, "done")


def test_a_source_that_breaks_every_whole_run_kills_no_event(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = announce(place, 3)

    def broken(_: PushSource) -> Iterator[None]:
        raise ValueError("no listing")

    with monkeypatch.context() as patch:
        patch.setattr(PushSource, "list", broken)
        for _ in range(10):
            with pytest.raises(ValueError, match="no listing"):
                place.apply(only_events=False)
    place.run()
    assert place.states() == dict.fromkeys(events, "done")


def test_what_a_run_says_counts_all_its_parts(place: Place) -> None:
    announce(place, 20)
    with poisoned(["cms/e7.md"], ValueError), pytest.raises(ValueError):
        place.apply()
    pipeline = place.apply()
    facts = pipeline.runs.of(pipeline.run_id)["stages"]["documents"]
    assert facts["events"]["applied"] == facts["events"]["taken"] == facts["new"] == 20
