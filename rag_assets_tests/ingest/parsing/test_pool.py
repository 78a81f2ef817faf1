"""The parser pool: limits hold, the guilty document alone is rejected, memory stays bounded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.corpus import Parsing
from rag_assets.errors import ConfigurationError
from rag_assets.ingest.parsing.document import ParsedDocument, Rejection
from rag_assets.ingest.parsing.formats import EXTENSIONS
from rag_assets.ingest.parsing.pool import BATCH_DOCUMENTS, Item, ParserPool
from rag_assets_tests.ingest.parsing import samples

FAULTY = "rag_assets_tests.ingest.parsing.faulty:parse"
LIMITS = Parsing(timeout_seconds=2, memory_mb=256, max_bytes=5_000_000, workers=2)


def faulty_outcomes(*orders: str, format: str = "markdown") -> dict[str, ParsedDocument | Rejection]:
    items = [(str(number), format, order.encode()) for number, order in enumerate(orders)]
    with ParserPool(LIMITS, FAULTY) as pool:
        results = list(pool.parse(items))
    assert len(results) == len(items)
    return dict(results)


@pytest.mark.parametrize(
    ("order", "reason", "sentence"),
    [
        ("hang", "timeout", "Parsing took longer than the allowed 2 seconds."),
        ("eat memory", "memory", "Parsing needs more than the allowed 256 MiB of memory."),
        ("crash", "crashed", "The parser process died (signal 6) over this document."),
        ("exit", "crashed", "The parser process died (exit code 3) over this document."),
        ("reject", "corrupt", "Ordered to be rejected."),
    ],
)
def test_a_misbehaving_document_is_rejected_and_its_batch_is_not(
    order: str, reason: str, sentence: str
) -> None:
    outcomes = faulty_outcomes(*["fine"] * 5, order, *["fine"] * 5)
    assert outcomes.pop("5") == Rejection(reason, sentence)  # type: ignore[arg-type]
    assert all(isinstance(outcome, ParsedDocument) for outcome in outcomes.values())
    assert len(outcomes) == 10


def test_several_misbehaving_documents_cost_only_themselves() -> None:
    outcomes = faulty_outcomes("fine", "crash", "hang", "fine", "exit", "eat memory", "fine", format="pdf")
    rejected = {key: outcome.reason for key, outcome in outcomes.items() if isinstance(outcome, Rejection)}
    assert rejected == {"1": "crashed", "2": "timeout", "4": "crashed", "5": "memory"}


@pytest.mark.parametrize(
    "order",
    [
        "say much",
        "say frame {}",
        "say frame [",
        "say frame []",
        "say frame " + "[" * 100_000,
        'say frame [{"reason": "unheard of", "detail": ""}]',
        'say frame [{"reason": "corrupt"}]',
        'say frame [{"title": "", "metadata": {}, "warnings": [], "bytes": 5}]',
        'say frame [{"title": "", "metadata": {}, "warnings": [], "bytes": -1}]',
        'say frame [{"title": "", "metadata": {}, "warnings": [], "bytes": 0}]',
        'say frame [{"title": "", "metadata": {"a": NaN}, "warnings": [], "bytes": 0}]',
        f'say frame [{{"title": "", "metadata": {{"a": {"9" * 5000}}}, "warnings": [], "bytes": 0}}]',
        "give no text",
        "give a long title",
        "give much metadata",
        "give a giant number",
        "give half a character",
        "give no number",
        "give no JSON",
    ],
)
def test_a_reply_that_no_honest_worker_gives_rejects_its_document_alone(order: str) -> None:
    outcomes = faulty_outcomes("fine", order, "fine")
    rejected = outcomes.pop("1")
    assert isinstance(rejected, Rejection)
    assert rejected.reason == "crashed"
    assert all(isinstance(outcome, ParsedDocument) for outcome in outcomes.values())


def test_a_worker_that_stops_in_the_middle_of_a_reply_is_killed_at_the_time_limit() -> None:
    outcomes = faulty_outcomes("fine", "say half", "fine")
    assert outcomes.pop("1") == Rejection("timeout", "Parsing took longer than the allowed 2 seconds.")
    assert all(isinstance(outcome, ParsedDocument) for outcome in outcomes.values())


def test_nothing_that_a_worker_sends_is_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    outcomes = faulty_outcomes("fine", f"say pickle {trap}", "fine")
    assert isinstance(outcomes["1"], Rejection)
    assert not trap.exists()


def test_the_text_of_a_document_is_bounded_before_it_leaves_the_worker() -> None:
    outcomes = faulty_outcomes("fine", "give a long text")
    assert outcomes["1"] == Rejection("oversized", "The text has 21,000,000 bytes; 20,000,000 are allowed.")


def test_texts_that_are_too_many_for_one_reply_come_one_by_one() -> None:
    config = LIMITS.model_copy(update={"max_bytes": 30_000})
    items = [(str(number), "markdown", b"fine " * 5000) for number in range(100)]
    with ParserPool(config, FAULTY) as pool:
        assert all(isinstance(outcome, ParsedDocument) for _, outcome in pool.parse(items))


def test_the_reason_of_a_rejection_can_be_stored_and_shown() -> None:
    outcomes = faulty_outcomes("give a reason")
    assert outcomes["0"] == Rejection("corrupt", "a reason: \ufffd\ufffd[31m")


def test_a_worker_that_ran_out_of_memory_reads_nothing_more() -> None:
    orders = ("fine", "eat memory", "fine too")
    with ParserPool(LIMITS.model_copy(update={"workers": 1}), FAULTY) as pool:
        found = dict(pool.parse((order, "pdf", order.encode()) for order in orders))
    read = [outcome for outcome in found.values() if isinstance(outcome, ParsedDocument)]
    assert len({outcome.metadata["process"] for outcome in read}) == len(read) == 2


def test_workers_inherit_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "RAG_INBOX",
        "OPENAI_API_KEY",
        "HANDBOOK_WEBHOOK_SECRET",
        "DATABASE_URL",
    ):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("LANG", "C.UTF-8")
    outcome = faulty_outcomes("show environment")["0"]
    assert isinstance(outcome, ParsedDocument)
    assert "hush" not in outcome.text
    assert "LANG=C.UTF-8" in outcome.text


def test_a_document_above_the_size_limit_is_not_parsed() -> None:
    config = LIMITS.model_copy(update={"max_bytes": 10})
    items = [("small", "text", b"123456789"), ("large", "text", b"12345678901")]
    with ParserPool(config) as pool:
        outcomes = dict(pool.parse(items))
    assert isinstance(outcomes["small"], ParsedDocument)
    assert outcomes["large"] == Rejection("oversized", "The file has 11 bytes; 10 are allowed.")


def test_both_workers_share_the_documents() -> None:
    outcomes = faulty_outcomes(*["fine"] * 40, format="pdf")
    processes = {
        outcome.metadata["process"] for outcome in outcomes.values() if isinstance(outcome, ParsedDocument)
    }
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_input_is_read_only_a_few_batches_ahead() -> None:
    pulled = 0

    def items() -> Iterator[Item]:
        nonlocal pulled
        for number in range(BATCH_DOCUMENTS * 100):
            pulled += 1
            yield str(number), "markdown", b"fine"

    with ParserPool(LIMITS, FAULTY) as pool:
        results = pool.parse(items())
        next(results)
        assert pulled <= BATCH_DOCUMENTS * (2 * LIMITS.workers + 2)
        assert len(list(results)) == BATCH_DOCUMENTS * 100 - 1


def test_a_pool_serves_one_input_after_another_and_leaves_no_process() -> None:
    with ParserPool(LIMITS, FAULTY) as pool:
        first, second = (dict(pool.parse([(key, "pdf", b"fine")])) for key in ("a", "b"))
    processes = {
        outcome.metadata["process"]
        for outcome in [*first.values(), *second.values()]
        if isinstance(outcome, ParsedDocument)
    }
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(str(process)), 0)


def test_leaving_early_does_not_wait_for_a_hanging_document() -> None:
    patient = LIMITS.model_copy(update={"timeout_seconds": 600})
    with ParserPool(patient, FAULTY) as pool:
        results = pool.parse([("a", "pdf", b"fine"), ("b", "pdf", b"hang")])
        assert next(results)[0] == "a"
        start = time.monotonic()
    assert time.monotonic() - start < 10


def test_workers_that_cannot_start_are_an_error_and_not_a_quarantine() -> None:
    with (
        ParserPool(LIMITS, "rag_assets_tests.ingest.parsing.missing:parse") as pool,
        pytest.raises(ConfigurationError, match=r"(?s)did not start.*ModuleNotFoundError"),
    ):
        list(pool.parse([("a", "pdf", b"x")]))


def test_a_single_small_file_waits_less_than_a_second_for_its_worker() -> None:
    start = time.monotonic()
    with ParserPool(LIMITS) as pool:
        [(_, document)] = pool.parse([("a", "markdown", b"# Title\n\ntext")])
    assert time.monotonic() - start < 1
    assert isinstance(document, ParsedDocument)
    assert document.title == "Title"


def test_no_items_are_no_results() -> None:
    with ParserPool(LIMITS) as pool:
        assert list(pool.parse([])) == []


def test_every_format_goes_through_the_workers() -> None:
    files = {
        "markdown": b"# Apple\n",
        "html": b"<h1>Apple</h1>",
        "rst": b"Apple\n=====\n",
        "text": b"Apple",
        "pdf": samples.pdf((12, "Apple")),
        "docx": samples.docx(samples.paragraph("Apple")),
        "odt": b"Apple",
    }
    with ParserPool(LIMITS) as pool:
        outcomes = dict(pool.parse([(format, format, data) for format, data in files.items()]))
    unsupported = outcomes.pop("odt")
    assert isinstance(unsupported, Rejection)
    assert unsupported.reason == "unsupported"
    for outcome in outcomes.values():
        assert isinstance(outcome, ParsedDocument)
        assert "Apple" in outcome.text


HEADS = [
    b"",
    b"%PDF-1.4\n",
    b"PK\x03\x04",
    b"---\n",
    b"<html>",
    b".. a::\n",
    samples.pdf((12, "x"))[:300],
    samples.docx(samples.paragraph("x"))[:400],
]


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[ParserPool]:
    with ParserPool(LIMITS) as pool:
        yield pool


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(
        st.tuples(
            st.sampled_from(sorted({*EXTENSIONS.values()})),
            st.sampled_from(HEADS),
            st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)),
        ),
        max_size=20,
    )
)
def test_any_bytes_are_either_parsed_or_rejected(
    shared_pool: ParserPool, files: list[tuple[str, bytes, bytes]]
) -> None:
    items = [(str(number), format, head + rest) for number, (format, head, rest) in enumerate(files)]
    outcomes = list(shared_pool.parse([("good", "pdf", samples.pdf((12, "Apple"))), *items]))
    assert sorted(key for key, _ in outcomes) == sorted(["good", *(key for key, _, _ in items)])
    for key, outcome in outcomes:
        if isinstance(outcome, ParsedDocument):
            assert outcome.text.strip()
            outcome.text.encode("utf-8")
        else:
            assert key != "good"
            assert outcome.reason != "crashed"
            assert outcome.detail.endswith(".")
