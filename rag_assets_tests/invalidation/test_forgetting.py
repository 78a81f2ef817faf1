"""The promise, on random histories: what a change makes wrong misses at once, and all else still hits."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets.invalidation.cache import AnswerCache
from rag_assets.invalidation.deliver import deliver
from rag_assets.invalidation.notice import Notice
from rag_assets_tests.invalidation.history import NAME, History, corpus_of, difference
from rag_assets_tests.invalidation.teller import Teller
from rag_assets_tests.servers import ValkeyServer

DOCUMENTS = [f"d{number}" for number in range(4)]
QUESTIONS = [f"q{number}" for number in range(3)]
STATE = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2), min_size=2, max_size=4)


@dataclass
class Answer:
    value: bytes
    documents: frozenset[str]
    publication: int


@dataclass
class World:
    """The cache, and what a person with all states at hand would expect of it."""

    cache: AnswerCache
    states: list[dict[str, int]] = field(default_factory=lambda: [{}, {"d0": 0}])
    told: int = 1
    floor: int = 1
    stamps: dict[str, int] = field(default_factory=dict)  # document → publication whose notice named it
    erased: set[str] = field(default_factory=set)
    kept: dict[str, Answer] = field(default_factory=dict)
    puts: int = 0

    def put(self, question: str, documents: frozenset[str], back: int) -> None:
        """An answer that was made from one of the last publications arrives now."""
        publication = max(len(self.states) - 1 - back, 1)
        used = frozenset(documents & self.states[publication].keys())
        self.puts += 1
        answer = Answer(b"%d" % self.puts, used, publication)
        older = question in self.kept and self.kept[question].publication > publication
        late = publication < self.floor or any(self.stamps.get(name, 0) > publication for name in used)
        expected = not (older or late or used & self.erased)
        assert self.cache.put(question, answer.value, used, publication) == expected
        if expected:
            self.kept[question] = answer

    def name(self, documents: set[str], publication: int) -> None:
        """A notice up to a publication named these as changed or removed."""
        self.told = publication
        for document in documents:
            self.stamps[document] = publication
        for question, answer in list(self.kept.items()):
            if answer.documents & documents and answer.publication < publication:
                del self.kept[question]

    def erase(self, document: str) -> None:
        self.erased.add(document)
        self.kept = {
            question: answer for question, answer in self.kept.items() if document not in answer.documents
        }

    def flush(self, publication: int) -> None:
        self.told = self.floor = publication
        self.kept.clear()
        self.stamps.clear()

    def check(self) -> None:
        """Exactly what was kept hits, and none of it is wrong for what was told."""
        for question in QUESTIONS:
            found = self.cache.get(question)
            expected = self.kept.get(question)
            assert found == (expected.value if expected else None), question
            if expected is None:
                continue
            assert not expected.documents & self.erased
            for document in expected.documents:
                seen = {state.get(document) for state in self.states[expected.publication : self.told + 1]}
                assert len(seen) <= 1, f"{question} rests on {document}, which has changed"


PUTS = st.tuples(
    st.just("put"), st.sampled_from(QUESTIONS), st.frozensets(st.sampled_from(DOCUMENTS)), st.integers(0, 3)
)
REAL_STEPS = st.one_of(
    PUTS,
    PUTS,
    PUTS,
    st.tuples(st.just("publish"), STATE),
    st.tuples(st.just("publish"), STATE),
    st.tuples(st.just("roll back"), st.integers(0, 5)),
    st.tuples(st.just("tell"), st.integers(1, 3)),
    st.tuples(st.just("tell"), st.just(1000)),
    st.tuples(st.just("erase"), st.sampled_from(DOCUMENTS)),
)
STEPS = st.one_of(REAL_STEPS, st.tuples(st.just("repeat"), st.integers(0, 100)), st.tuples(st.just("miss")))


@given(st.lists(STEPS, min_size=15, max_size=60))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_exactly_the_wrong_answers_are_forgotten(redis_url: str, steps: list[tuple[object, ...]]) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    teller, sent = Teller(redis_url), list[Notice]()
    world = World(AnswerCache(redis_url, NAME))
    teller.start()
    for step in steps:
        match step:
            case ("put", str(question), frozenset(documents), int(back)):
                world.put(question, documents, back)
            case ("publish", dict(state)):
                world.states.append(state)
            case ("roll back", int(back)):
                world.states.append(world.states[max(len(world.states) - 1 - back, 1)])
            case ("tell", int(size)):
                head = len(world.states) - 1
                span = world.states[world.told : head + 1]
                records = [difference(*pair) for pair in pairwise(span)]
                notices = teller.pages(world.told, head, *records, size=size)
                teller.send(notices)
                sent += notices
                world.name({name for notice in notices for name in notice.forgotten}, head)
                for notice in notices:
                    # Published after the erasure was told: there is a new document in its place.
                    world.erased -= {*notice.changed, *notice.added}
            case ("repeat", int(number)) if sent:
                notice = sent[number % len(sent)]
                again = {*notice.changed, *notice.added} & world.erased
                if not again:  # a repeated page would lift the mark; delivery never sends an older one
                    teller.target.send(notice)
                    # It is right to forget again what the notice names.
                    for question, answer in list(world.kept.items()):
                        named = answer.documents & set(notice.forgotten)
                        if named and answer.publication < notice.publication:
                            raise AssertionError(f"{question} was kept beyond its notice")
            case ("erase", str(document)):
                teller.send(teller.pages(world.told, world.told, erased=[document], erasures=(0, 1)))
                world.erase(document)
            case ("miss",):
                world.states += [world.states[-1], world.states[-1]]
                head = len(world.states) - 1
                teller.send(teller.pages(head - 1, head))
                world.flush(head)
        world.check()


def follow(server: ValkeyServer, steps: list[tuple[object, ...]]) -> None:
    """The same through real publications, the real store and ``deliver``."""
    import redis

    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    corpus = corpus_of({"name": "cache", "type": "redis", "url_variable": "URL"})
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "store")
        history.publish({"d0": 0})
        world = World(AnswerCache(server.url, NAME), states=history.states)
        assert deliver(history.objects, corpus, {"URL": server.url})[0].state == "delivered"
        for step in steps:
            match step:
                case ("put", str(question), frozenset(documents), int(back)):
                    world.put(question, documents, back)
                case ("publish", dict(state)):
                    history.publish(state)
                case ("roll back", int(back)):
                    history.roll_back(max(history.head - back, 1))
                case ("tell", _):
                    span = history.states[world.told :]
                    wrong = {
                        name
                        for pair in pairwise(span)
                        for name, change in difference(*pair).items()
                        if change != "added"
                    }
                    (outcome,) = deliver(history.objects, corpus, {"URL": server.url})
                    assert outcome.state in ("delivered", "up to date")
                    world.name(wrong, history.head)
                case ("erase", str(document)):
                    history.erase(document)
                    (outcome,) = deliver(history.objects, corpus, {"URL": server.url})
                    assert outcome.state in ("delivered", "up to date")
                    span = history.states[world.told :]
                    records = [difference(*pair) for pair in pairwise(span)]
                    named = {
                        name for record in records for name, change in record.items() if change != "added"
                    }
                    world.name(named, history.head)
                    world.erase(document)
            world.check()


@given(st.lists(REAL_STEPS, min_size=10, max_size=30))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_so_it_is_with_real_publications(valkey: ValkeyServer, steps: list[tuple[object, ...]]) -> None:
    follow(valkey, steps)


@pytest.mark.slow
@given(st.lists(REAL_STEPS, min_size=10, max_size=30))
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_so_it_is_with_many_real_publications(valkey: ValkeyServer, steps: list[tuple[object, ...]]) -> None:
    follow(valkey, steps)
