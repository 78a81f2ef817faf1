"""What every target must do, whatever it is; each kind inherits this class and says what it sees."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import pytest

from rag_assets.errors import SecretMissing
from rag_assets.invalidation.deliver import Outcome, deliver, retry
from rag_assets.invalidation.status import status
from rag_assets_tests.invalidation.history import NAME, History, corpus_of

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cw=="


class Bench(ABC):
    """One target of a kind, and what it knows."""

    def __init__(self, target: dict[str, Any], environ: dict[str, str]) -> None:
        self.target = {"name": "cache", **target}
        self.environ = environ

    @abstractmethod
    def forgotten(self) -> set[str]:
        """Documents whose answers it has forgotten since the last call; "everything" for all of them."""

    @abstractmethod
    def break_(self) -> None:
        """From now on it fails, but that may pass."""

    @abstractmethod
    def refuse(self) -> None:
        """From now on it refuses for good."""

    @abstractmethod
    def mend(self) -> None:
        """It works again."""


class TargetSuite:
    """Needs a fixture ``bench``."""

    def deliver(self, history: History, bench: Bench, **fields: Any) -> Outcome:
        (outcome,) = deliver(history.objects, corpus_of(bench.target, **fields), bench.environ)
        return outcome

    def started(self, history: History, bench: Bench) -> None:
        """Two documents are published and the target knows it."""
        history.publish({"a": 1, "b": 1, "c": 1})
        assert self.deliver(history, bench).state == "delivered"
        bench.forgotten()

    def test_a_new_target_is_told_to_forget_everything(self, history: History, bench: Bench) -> None:
        history.publish({"a": 1})
        history.change("a")
        outcome = self.deliver(history, bench)
        assert (outcome.state, outcome.publication, outcome.pages) == ("delivered", 2, 1)
        assert "everything" in bench.forgotten()

    def test_changed_and_removed_documents_are_forgotten_and_nothing_else(
        self, history: History, bench: Bench
    ) -> None:
        self.started(history, bench)
        history.publish({"a": 2, "c": 1, "new": 1})
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"a", "b"}

    def test_what_was_missed_comes_as_one(self, history: History, bench: Bench) -> None:
        self.started(history, bench)
        history.change("a")
        history.remove("b")
        history.roll_back(2)
        outcome = self.deliver(history, bench)
        assert (outcome.state, outcome.publication, outcome.pages) == ("delivered", 4, 1)
        assert bench.forgotten() == {"a", "b"}

    def test_an_erased_document_is_forgotten_before_it_is_published_away(
        self, history: History, bench: Bench
    ) -> None:
        self.started(history, bench)
        history.erase("b")
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"b"}

    def test_telling_twice_is_the_same_as_once(self, history: History, bench: Bench) -> None:
        self.started(history, bench)
        history.change("a")
        path = f"corpora/{NAME}/invalidation/cache.json"
        ledger = json.loads(history.objects.get(path))
        assert self.deliver(history, bench).state == "delivered"
        assert self.deliver(history, bench).state == "up to date"
        # As after a kill between the delivery and its entry.
        history.objects.put(path, json.dumps({**ledger, "telling": 2}).encode())
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"a"}

    def test_a_failure_that_passes_is_tried_again_later(
        self, history: History, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.started(history, bench)
        history.change("a")
        bench.break_()
        outcome = self.deliver(history, bench)
        assert (outcome.state, outcome.publication, outcome.pages) == ("failed", 1, 0)
        assert outcome.error and outcome.next_attempt
        history.remove("b")
        assert self.deliver(history, bench).state == "waiting"
        bench.mend()
        (outcome,) = retry(history.objects, corpus_of(bench.target), bench.environ)
        assert (outcome.state, outcome.publication, outcome.error) == ("delivered", 3, None)
        assert bench.forgotten() == {"a", "b"}
        assert status(history.objects, corpus_of(bench.target))[0].state == "delivered"

    def test_a_refusal_is_a_dead_letter_that_retry_sends(self, history: History, bench: Bench) -> None:
        self.started(history, bench)
        history.change("a")
        bench.refuse()
        assert self.deliver(history, bench).state == "dead"
        (found,) = status(history.objects, corpus_of(bench.target))
        assert found.state == "dead"
        assert [letter.span.publication for letter in found.dead] == [2]
        bench.mend()
        history.change("c")
        (outcome,) = retry(history.objects, corpus_of(bench.target), bench.environ)
        assert (outcome.state, outcome.publication) == ("delivered", 3)
        names = bench.forgotten()
        assert "everything" in names or names == {"a", "c"}
        (found,) = status(history.objects, corpus_of(bench.target))
        assert (found.state, found.dead, found.error) == ("delivered", (), None)

    def test_a_missing_secret_is_named_before_anything_is_sent(self, history: History, bench: Bench) -> None:
        history.publish({"a": 1})
        for variable in bench.environ:
            environ = {name: value for name, value in bench.environ.items() if name != variable}
            for without in (environ, {**environ, variable: " \n"}):
                with pytest.raises(SecretMissing, match=f"target cache: .*{variable} is not set; .*Set it"):
                    deliver(history.objects, corpus_of(bench.target), without)
        assert bench.forgotten() == set()

    def test_no_secret_is_written_anywhere(self, history: History, bench: Bench) -> None:
        self.started(history, bench)
        history.change("a")
        outcomes = []
        bench.break_()
        outcomes.append(self.deliver(history, bench))
        bench.refuse()
        outcomes += retry(history.objects, corpus_of(bench.target), bench.environ)
        assert [outcome.state for outcome in outcomes] == ["failed", "dead"]
        ledgers = [
            history.objects.get(info.path).decode()
            for info in history.objects.list(f"corpora/{NAME}/invalidation")
        ]
        shown = json.dumps(
            [*map(str, outcomes), *ledgers, *map(str, status(history.objects, corpus_of(bench.target)))]
        )
        for value in bench.environ.values():
            assert value not in shown
            assert self.part_of(value) not in shown

    def part_of(self, secret: str) -> str:
        """What of a secret must not be shown even alone."""
        return secret
