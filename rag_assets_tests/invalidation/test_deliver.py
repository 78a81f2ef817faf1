"""Delivery over time: ledgers, pauses, dead letters, and what is told when nobody knows any more."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rag_assets.errors import ConfigurationError, StoreUnavailable
from rag_assets.invalidation.deliver import Outcome, deliver, retry
from rag_assets.invalidation.ledger import KEPT_DEAD_LETTERS, Ledger, read_ledger, write_ledger
from rag_assets.invalidation.status import status
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.receiver import Receiver, Reply, Request
from rag_assets_tests.invalidation.suite import SECRET

ENVIRON = {"HOOK_SECRET": SECRET}


def hook(receiver: Receiver, name: str = "hook") -> dict[str, Any]:
    return {"name": name, "type": "webhook", "url": receiver.url, "secret_variable": "HOOK_SECRET"}


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The notices that arrived, taken or not."""
    return [json.loads(request.body)["data"] for request in receiver.requests]


def one(history: History, receiver: Receiver, **fields: Any) -> Outcome:
    (outcome,) = deliver(history.objects, corpus_of(hook(receiver), **fields), ENVIRON)
    return outcome


def rest_is_over(history: History, name: str = "hook") -> None:
    """As if the pause after a failure were over."""
    path = f"corpora/{NAME}/invalidation/{name}.json"
    record = {**json.loads(history.objects.get(path)), "next_attempt": None}
    history.objects.put(path, json.dumps(record).encode())


def ledger_of(history: History, name: str = "hook") -> Ledger:
    found = read_ledger(history.objects, NAME, name)
    assert found is not None
    return found


def test_before_the_first_publication_there_is_nothing_to_tell(history: History, receiver: Receiver) -> None:
    assert one(history, receiver) == Outcome("hook", "up to date", 0)
    assert read_ledger(history.objects, NAME, "hook") is None
    (found,) = status(history.objects, corpus_of(hook(receiver)))
    assert (found.state, found.publication, found.head, found.behind) == ("delivered", 0, 0, 0)
    assert not receiver.requests


def test_a_corpus_without_targets_tells_nobody(history: History) -> None:
    history.publish({"a": 1})
    corpus = corpus_of({"name": "x", "type": "python", "entry_point": "x"})
    assert deliver(history.objects, corpus.model_copy(update={"invalidation": None}), {}) == []


def test_the_ledger_is_documented(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    record = json.loads(history.objects.get(f"corpora/{NAME}/invalidation/hook.json"))
    assert datetime.fromisoformat(record.pop("epoch")) <= datetime.fromisoformat(record.pop("delivered_at"))
    assert len(record.pop("identity")) == 32
    assert record == {
        "target": "hook",
        "publication": 1,
        "candidate": "cand-test",
        "erasure": 0,
        "telling": 0,
        "everything": False,
        "attempts": 0,
        "error": None,
        "next_attempt": None,
        "dead": [],
    }


def test_pauses_grow_until_what_is_due_is_given_up_and_what_comes_later_flows_on(
    history: History, receiver: Receiver
) -> None:
    history.publish({"a": 1, "b": 1})
    one(history, receiver)
    history.change("a")
    receiver.script = lambda number, request: Reply(503)
    pauses = []
    for attempt in range(1, 5):
        outcome = one(history, receiver, max_attempts=5)
        assert outcome.state == "failed" and outcome.next_attempt
        assert ledger_of(history).attempts == attempt
        pauses.append((datetime.fromisoformat(outcome.next_attempt) - datetime.now(UTC)).total_seconds())
        assert one(history, receiver, max_attempts=5).state == "waiting"
        rest_is_over(history)
    assert [round(pause / 30) for pause in pauses] == [1, 2, 4, 8]
    assert one(history, receiver, max_attempts=5).state == "dead"
    (found,) = status(history.objects, corpus_of(hook(receiver)))
    assert (found.state, found.publication, found.behind, found.attempts) == ("dead", 2, 0, 0)
    assert found.dead[0].reason == "answered 503"
    receiver.script = lambda number, request: Reply()
    receiver.requests.clear()
    history.change("b")
    assert one(history, receiver).state == "delivered"
    assert [(n["after"], n["publication"], n["changed"]) for n in told(receiver)] == [(2, 3, ["b"])]
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "dead", "until somebody retries"
    assert retry(history.objects, corpus_of(hook(receiver)), ENVIRON)[0].state == "delivered"
    assert [(n["after"], n["publication"], n["changed"]) for n in told(receiver)[1:]] == [(1, 3, ["a", "b"])]
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "delivered"
    assert retry(history.objects, corpus_of(hook(receiver)), ENVIRON)[0].state == "up to date"


def test_a_retry_that_fails_keeps_the_dead_letters(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    receiver.script = lambda number, request: Reply(400)
    for _ in range(3):
        history.change("a")
        assert one(history, receiver).state == "dead"
    assert retry(history.objects, corpus_of(hook(receiver)), ENVIRON)[0].state == "failed"
    found = ledger_of(history).dead
    assert [(letter.span.after, letter.span.publication) for letter in found] == [(1, 2), (2, 3), (3, 4)]
    receiver.script = lambda number, request: Reply()
    receiver.requests.clear()
    retry(history.objects, corpus_of(hook(receiver)), ENVIRON)
    assert [(n["after"], n["publication"]) for n in told(receiver)] == [(1, 4)]


def test_a_target_that_was_not_told_is_never_up_to_date(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    receiver.script = lambda number, request: Reply(404, body=b"no such hook")
    assert one(history, receiver).state == "dead"
    for _ in range(3):
        outcome = one(history, receiver)
        assert (outcome.state, outcome.publication, outcome.pages) == ("dead", 1, 0)
        assert outcome.error == "answered 404: no such hook"
    assert len(receiver.requests) == 1, "it is not sent again unasked"
    receiver.script = lambda number, request: Reply()
    assert retry(history.objects, corpus_of(hook(receiver)), ENVIRON)[0].state == "delivered"
    assert one(history, receiver).state == "up to date"


def test_dead_letters_are_bounded_and_lose_nothing(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    now, found = datetime.now(UTC), ledger_of(history)
    for publication in range(2, KEPT_DEAD_LETTERS + 12):
        found = found.given_up(found.due(publication, 0), "cand", "no", now)
    assert len(found.dead) == KEPT_DEAD_LETTERS
    span = found.with_dead(found.due(found.publication, 0))
    assert (span.after, span.publication) == (1, KEPT_DEAD_LETTERS + 11)
    assert found.delivered(span, "cand", now).dead == ()


def test_an_erasure_that_was_given_up_is_told_again_by_retry(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1, "b": 1})
    one(history, receiver)
    history.erase("a")
    receiver.script = lambda number, request: Reply(400)
    assert one(history, receiver).state == "dead"
    receiver.script = lambda number, request: Reply()
    receiver.requests.clear()
    retry(history.objects, corpus_of(hook(receiver)), ENVIRON)
    assert [(n["kind"], n["erased"]) for n in told(receiver)] == [("erase", ["a"])]


def test_one_target_s_failure_keeps_no_other_waiting(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    with Receiver(lambda number, request: Reply(delay=60)).running() as slow:
        targets = [{**hook(slow, f"slow{n}"), "timeout_seconds": 1.5} for n in range(2)]
        corpus = corpus_of(*targets, hook(receiver))
        arrived: list[float] = []
        receiver.script = lambda number, request: arrived.append(time.monotonic()) or Reply()  # type: ignore[func-returns-value]
        started = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rag_assets.invalidation.telling.TRIES", 1)
            outcomes = deliver(history.objects, corpus, ENVIRON)
    assert [(outcome.target, outcome.state) for outcome in outcomes] == [
        ("slow0", "failed"),
        ("slow1", "failed"),
        ("hook", "delivered"),
    ]
    assert arrived[0] - started < 1.4


SPAN = {"after": 1, "publication": 1, "erased_after": 0, "erasure": 0, "everything": False}


@pytest.mark.parametrize(
    "damage",
    [
        {"publication": None},
        {"publication": "1"},
        {"publication": -1},
        {"erasure": 0.5},
        {"attempts": "9"},
        {"everything": 0},
        {"next_attempt": "soon"},
        {"next_attempt": "2026-01-01T00:00:00"},
        {"delivered_at": 1},
        {"epoch": None},
        {"epoch": ""},
        {"target": "another"},
        {"unknown": 1},
        {"dead": "abc"},
        {"dead": [{"span": {**SPAN, "after": "a"}, "reason": "x", "time": "2026-01-01T00:00:00Z"}]},
        {"dead": [{"span": SPAN, "reason": "x", "time": "y"}]},
    ],
)
def test_a_ledger_of_which_anything_is_damaged_makes_everything_forgotten(
    history: History, receiver: Receiver, damage: dict[str, Any]
) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    path = f"corpora/{NAME}/invalidation/hook.json"
    record = {**json.loads(history.objects.get(path)), **damage}
    history.objects.put(path, json.dumps(record).encode())
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "behind"
    assert one(history, receiver).state == "delivered"
    assert told(receiver)[-1]["everything"]


def test_a_ledger_with_dead_letters_is_read_as_it_was_written(history: History) -> None:
    now = datetime.now(UTC)
    written = Ledger("hook", "identity", now.isoformat(), publication=1, everything=False)
    written = written.given_up(written.due(2, 3), "cand", "no", now).failed("later", now, timedelta())
    write_ledger(history.objects, NAME, written)
    assert ledger_of(history) == written


@pytest.mark.parametrize("wrong", ["2999-01-01", "2999-01-01T00:00:00+00:00", "2999-01-01T00:00:00.5+00:00"])
def test_a_new_epoch_is_later_whatever_the_clocks_say(wrong: str) -> None:
    now = datetime.now(UTC)
    found = Ledger("hook", "identity", now.isoformat(), everything=False)
    assert found.anew(now).epoch > found.epoch
    later = found.anew(now, wrong)
    assert later.everything
    assert later.epoch > wrong
    assert datetime.fromisoformat(later.epoch).tzinfo
    assert replace(found, epoch=wrong).anew(now).epoch > wrong


def test_a_store_that_fails_for_a_moment_is_a_failure(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> None:
        raise StoreUnavailable("away")

    history.publish({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr("rag_assets.invalidation.telling.write_ledger", away)
        outcome = one(history, receiver)
    assert (outcome.state, outcome.publication, outcome.error) == ("failed", 0, "away")
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "behind"
    assert one(history, receiver).state == "delivered"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"dead": [1]}', b"\xff", None])
def test_a_lost_or_damaged_ledger_makes_everything_forgotten(
    history: History, receiver: Receiver, damage: bytes | None
) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    path = f"corpora/{NAME}/invalidation/hook.json"
    if damage is None:
        history.objects.delete([path])
    else:
        history.objects.put(path, damage)
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "behind"
    assert one(history, receiver).state == "delivered"
    first, second = told(receiver)
    assert second["everything"]
    assert second["epoch"] > first["epoch"]


def test_publications_that_are_no_longer_on_record_make_everything_forgotten(
    history: History, receiver: Receiver
) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    for _ in range(4):
        history.change("a")
    history.log.drop([1, 2, 3])
    outcome = one(history, receiver)
    assert outcome.state == "delivered"
    assert not told(receiver)[-1]["everything"], "dropped publications are still on record"
    for _ in range(3):
        history.change("b")
    history.forget_records([5, 6])
    assert one(history, receiver).state == "delivered"
    notice = told(receiver)[-1]
    assert (notice["everything"], notice["after"], notice["publication"]) == (True, 0, 8)
    assert notice["epoch"] == told(receiver)[0]["epoch"]
    assert one(history, receiver).state == "up to date"


def test_a_store_that_was_put_back_makes_everything_forgotten(
    history: History, receiver: Receiver, tmp_path: Any
) -> None:
    history.publish({"a": 1})
    for _ in range(3):
        history.change("a")
    one(history, receiver)
    ledger = history.objects.get(f"corpora/{NAME}/invalidation/hook.json")
    earlier = History(tmp_path / "earlier")
    earlier.publish({"a": 1})
    earlier.objects.put(f"corpora/{NAME}/invalidation/hook.json", ledger)
    assert status(earlier.objects, corpus_of(hook(receiver)))[0].state == "behind"
    assert one(earlier, receiver).state == "delivered"
    first, second = told(receiver)
    assert (second["everything"], second["publication"]) == (True, 1)
    assert second["epoch"] > first["epoch"]


@pytest.mark.parametrize("more", [0, 1])
def test_an_index_that_was_built_anew_up_to_the_same_number_makes_everything_forgotten(
    history: History, receiver: Receiver, tmp_path: Any, more: int
) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    ledger = history.objects.get(f"corpora/{NAME}/invalidation/hook.json")
    anew = History(tmp_path / "anew", candidate="cand-anew")
    anew.publish({"a": 2})
    for _ in range(more):
        anew.change("a")
    anew.objects.put(f"corpora/{NAME}/invalidation/hook.json", ledger)
    assert status(anew.objects, corpus_of(hook(receiver)))[0].state == "behind"
    assert one(anew, receiver).state == "delivered"
    first, second = told(receiver)
    assert (second["everything"], second["publication"]) == (True, 1 + more)
    assert second["epoch"] > first["epoch"]
    assert one(anew, receiver).state == "up to date"


def test_a_ledger_of_the_version_before_knows_no_candidate_and_goes_on(
    history: History, receiver: Receiver
) -> None:
    history.publish({"a": 1})
    one(history, receiver)
    path = f"corpora/{NAME}/invalidation/hook.json"
    record = json.loads(history.objects.get(path))
    del record["candidate"]
    history.objects.put(path, json.dumps(record).encode())
    assert one(history, receiver).state == "up to date"
    history.change("a")
    assert one(history, receiver).state == "delivered"
    assert not told(receiver)[-1]["everything"]
    assert ledger_of(history).candidate == "cand-test"


def test_a_new_target_is_told_which_documents_must_not_come_back(
    history: History, receiver: Receiver
) -> None:
    history.publish({"a": 1, "b": 1, "c": 1})
    history.erase("a", "b")
    history.erase(lifted=["b"])
    one(history, receiver)
    assert [(n["everything"], n["erased"]) for n in told(receiver)] == [(True, ["a"])]


def test_an_erasure_comes_with_the_publication_that_follows_it(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1, "b": 1})
    one(history, receiver)
    history.erase("a")
    history.remove("a")
    one(history, receiver)
    notice = told(receiver)[-1]
    assert (notice["kind"], notice["removed"], notice["erased"]) == ("publish", ["a"], ["a"])
    assert one(history, receiver).state == "up to date"


def test_large_changes_come_in_pages(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.published.PAGE_DOCUMENTS", 10)
    history.publish({f"d{number:03d}": 1 for number in range(95)})
    one(history, receiver)
    receiver.requests.clear()
    history.publish({f"d{number:03d}": 2 for number in range(40)})
    outcome = one(history, receiver)
    assert (outcome.state, outcome.pages) == ("delivered", 10)
    notices = told(receiver)
    assert [notice["page"] for notice in notices] == list(range(1, 11))
    assert max(len(notice["changed"] + notice["removed"]) for notice in notices) == 10
    assert sorted(name for notice in notices for name in notice["changed"]) == [
        f"d{n:03d}" for n in range(40)
    ]


def test_an_unknown_target_cannot_be_retried(history: History, receiver: Receiver) -> None:
    with pytest.raises(ConfigurationError, match="handbook has no invalidation target 'hok'; targets: hook"):
        retry(history.objects, corpus_of(hook(receiver)), ENVIRON, target="hok")


def test_only_the_named_target_is_retried(history: History, receiver: Receiver) -> None:
    history.publish({"a": 1})
    corpus = corpus_of(hook(receiver, "one"), hook(receiver, "two"))
    (outcome,) = retry(history.objects, corpus, ENVIRON, target="two")
    assert (outcome.target, outcome.state) == ("two", "delivered")
    assert read_ledger(history.objects, NAME, "one") is None


def test_a_process_that_was_killed_while_it_held_the_lease_is_waited_for(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish({"a": 1})
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.6)
    record = {"holder": "killed", "until": time.time() + 0.5}
    path = f"corpora/{NAME}/invalidation/hook.lease/00000007.json"
    history.objects.put(path, json.dumps(record).encode())
    started = time.monotonic()
    assert one(history, receiver).state == "delivered"
    assert time.monotonic() - started > 0.4


def test_a_target_that_another_process_is_telling_is_busy(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish({"a": 1})
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.3)
    record = {"holder": "another", "until": time.time() + 600}
    path = f"corpora/{NAME}/invalidation/hook.lease/00000001.json"
    history.objects.put(path, json.dumps(record).encode())
    outcome = one(history, receiver)
    assert (outcome.state, outcome.error) == ("busy", "another process is telling it")
    assert not receiver.requests


def test_who_lost_the_lease_between_two_pages_sends_no_further_one(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.published.PAGE_DOCUMENTS", 1)
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.2)
    history.publish({"a": 1, "b": 1, "c": 1})
    one(history, receiver)
    receiver.requests.clear()
    history.publish({})
    receiver.script = lambda number, request: Reply(delay=0.3)
    outcome = one(history, receiver)
    assert outcome.state == "busy"
    assert outcome.error and "ran out" in outcome.error
    assert len(receiver.requests) == 1
    assert ledger_of(history).publication == 1, "what was not finished is told again"


def test_two_processes_at_once_never_tell_an_older_notice_after_a_newer_one(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.published.PAGE_DOCUMENTS", 2)
    monkeypatch.setattr("rag_assets.invalidation.lease.POLL_SECONDS", 0.005)
    history.publish({f"d{number}": 1 for number in range(6)})
    one(history, receiver)
    acknowledged: list[tuple[int, int]] = []

    def script(number: int, request: Request) -> Reply:
        notice = json.loads(request.body)["data"]
        if number % 7 == 0:
            return Reply(503)
        acknowledged.append((notice["publication"], notice["page"]))
        return Reply(delay=0.002)

    receiver.script = script
    done = threading.Event()
    outcomes: list[Outcome] = []

    def deliverer() -> None:
        while not done.is_set():
            outcomes.append(one(history, receiver))

    threads = [threading.Thread(target=deliverer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(15):
        history.change(*(f"d{(number + step) % 6}" for step in range(5)))
    time.sleep(0.3)
    done.set()
    for thread in threads:
        thread.join()
    retry(history.objects, corpus_of(hook(receiver)), ENVIRON)
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == (16, 3)
    assert {outcome.state for outcome in outcomes} <= {"delivered", "up to date", "busy"}
    assert len({publication for publication, _ in acknowledged}) > 1


def test_deliveries_work_on_every_store(
    store_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(store_url)
    history.publish({"a": 1, "b": 1})
    assert one(history, receiver).state == "delivered"
    history.change("a")
    history.erase("b")
    assert one(history, receiver).state == "delivered"
    assert one(history, receiver).state == "up to date"
    notice = told(receiver)[-1]
    assert (notice["changed"], notice["erased"]) == (["a"], ["b"])
    assert status(history.objects, corpus_of(hook(receiver)))[0].state == "delivered"
