"""Whatever a document says of itself fits into every row of the index, and its text is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag_assets.ingest.chunking.outline import outline
from rag_assets.ingest.parsing.bounds import MAX_METADATA, MAX_NAME, MAX_TITLE, MAX_VALUE, MAX_WARNINGS
from rag_assets.ingest.parsing.document import ParsedDocument
from rag_assets.ingest.parsing.parse import parse
from rag_assets_tests.ingest.parsing import samples
from rag_assets_tests.workspace import Workspace

NINES = "9" * 4000
YAML = [
    "a: 0x" + "f" * 4000,
    "a: -0x" + "f" * 60_000,
    "a: 0b" + "1" * 60_000,
    "a: 0" + "7" * 60_000,
    f"a: {NINES}",
    f"a: {'9' * 5000}",
    "a: 1" + ":59" * 5000,
    "a: 1" + ":59" * 3000 + ".5",
    "0x" + "f" * 4000 + ": a",
    "[0x" + "f" * 4000 + "]: a",
    "a: [.inf, -.inf, .nan, 1e999]",
    "a: 2001-12-14t21:59:43.10-99:99",
    "a: 9999-12-31t23:59:59.99-23:59",
    "a: 0001-01-01t00:00:00+23:59",
    "a: !!int",
    "a: !!float ''",
    "a: !!bool perhaps",
    "a: !!timestamp never",
    "a: !!binary 'not base64'",
    "a: !!binary /+8=",
    "a: !!set {b, c, 1, 2001-01-01}",
    "a: !!omap [b: 1]",
    "a: !!pairs [b: 1, b: 2]",
    "a: !!python/object/apply:os.system [exit]",
    'a: "\\uD83D"\n"\\uDE00": "\\uD83D\\uDE00"',
    'a: "x\\0y"\n"\\0": 1',
    f"{'k' * 5000}: a\nb: {{{'k' * 5000}: 1, c: 2}}",
    "parsing_warnings: [mine]\nfront_matter_error: 3",
    f"a: {'x' * 60_000}",
    f"a: &a {'x' * 30_000}\nb: [{'*a, ' * 8000}]\nc: d",
    f"a: &a {{b: {'x' * 30_000}}}\n" + "".join(f"k{n}: *a\n" for n in range(3000)),
    f"a: &a [{'x, ' * 900}]\nb: {{<<: [*a, *a]}}",
    "a: &a {b: 1}\nc: {<<: [" + "*a, " * 5000 + "]}",
    "\n".join(f"key{n}: {n}" for n in range(4000)),
    "a: " + "[" * 45 + "]" * 45,
    "a: " + "{b: " * 3000 + "}" * 3000,
    "a: " + "[" * 30_000,
    "- " * 30_000,
    "? " * 30_000,
]
TOML = [
    "a = 0x" + "f" * 4000,
    f"a = {NINES}",
    f"a = {'9' * 5000}",
    "a = [inf, nan, -inf, 1e999]",
    "a = 1979-05-27T07:32:00.999999-23:59\nb = 07:32:00\nc = 1979-05-27",
    'a = "\\u0000"',
    f'"{"k" * 5000}" = 1\nc = 2',
    "a = " + "[" * 2000 + "]" * 2000,
    "a" + ".a" * 500 + " = 1",
    f"[{'a.' * 500}a]\nb = 1",
    f'a = "{"x" * 60_000}"',
]


def size(metadata: dict[str, Any]) -> int:
    """Bytes in the store; fails for what neither JSON nor UTF-8 can hold."""
    return len(json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode())


def assert_bounded(document: ParsedDocument) -> None:
    assert size(document.metadata) <= 2 * MAX_METADATA
    assert "\0" not in json.dumps(document.metadata, ensure_ascii=False)
    assert len(document.title) <= MAX_TITLE
    assert len(document.warnings) <= MAX_WARNINGS
    assert size({"": list(document.warnings)}) <= 400 * MAX_WARNINGS


@pytest.mark.parametrize("fence", ["---", "+++"])
def test_any_front_matter_is_bounded_and_leaves_the_body(fence: str) -> None:
    for block in YAML if fence == "---" else TOML:
        document = parse(f"{fence}\n{block}\n{fence}\n# Title\n\nThe body.\n".encode(), "markdown")
        assert document.text.endswith("# Title\n\nThe body.\n"), block[:60]
        if "front_matter_error" not in document.metadata:
            assert document.title == "Title", block[:60]
        assert_bounded(document)


def test_a_number_that_no_database_holds_becomes_its_digits() -> None:
    found = parse(
        f"---\na: {NINES}\nb: 0x{'f' * 4000}\nc: 18446744073709551615\n---\nx\n".encode(), "markdown"
    )
    assert found.metadata == {"a": NINES, "b": f"0x{'f' * 3998}", "c": 2**64 - 1}
    assert found.warnings == ("The metadata value 'b' was cut: a text may have 4,000 characters.",)


def test_aliases_do_not_unfold() -> None:
    block = f"a: &a {'x' * 30_000}\nb: [{'*a, ' * 8000}]\nc: d"
    found = parse(f"---\n{block}\n---\nx\n".encode(), "markdown")
    assert {name: len(str(value)) for name, value in found.metadata.items()} == {"a": MAX_VALUE, "c": 1}
    assert found.warnings == (
        "The metadata value 'a' was cut: a text may have 4,000 characters.",
        "The metadata value 'b' was left out: all of them may have 16,000 characters.",
    )


def test_names_that_are_too_long_are_left_out_at_every_depth() -> None:
    block = f"{'k' * (MAX_NAME + 1)}: a\n{'k' * MAX_NAME}: b\nc: {{{'k' * (MAX_NAME + 1)}: 1, d: 2}}"
    found = parse(f"---\n{block}\n---\nx\n".encode(), "markdown")
    assert found.metadata == {"k" * MAX_NAME: "b", "c": {"d": 2}}
    assert len(found.warnings) == 2


def test_many_warnings_are_few_and_say_how_many_more_there_are() -> None:
    block = "\n".join(f"{'k' * 300}{number}: 1" for number in range(100))
    found = parse(f"---\n{block}\n---\nx\n".encode(), "markdown")
    assert len(found.warnings) == MAX_WARNINGS
    assert found.warnings[-1] == "And 91 more warnings."


def test_sets_have_one_order_in_every_process() -> None:
    block = "a: !!set {" + ", ".join(f"word{number}" for number in range(40)) + "}"
    found = parse(f"---\n{block}\n---\nx\n".encode(), "markdown")
    assert found.metadata["a"] == sorted(f"word{number}" for number in range(40))


LONG = "T" * 1_400_000


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("markdown", f"# {LONG}\n\nText.\n"),
        ("markdown", f"{LONG}\n===\n\nText.\n"),
        ("markdown", f"---\ntitle: {LONG[:60_000]}\n---\nText.\n"),
        ("html", f"<title>{LONG}</title><p>Text."),
        ("html", f"<h1>{LONG}</h1><p>Text."),
        ("html", f'<meta name="author" content="{LONG}"><title>x</title><p>Text.'),
        ("rst", f"{'=' * 60_000}\n{LONG[:60_000]}\n{'=' * 60_000}\n\nText.\n"),
        ("rst", f"Title\n=====\n\n:Author: {LONG[:60_000]}\n:{'n' * 5000}: x\n\nText.\n"),
        ("pdf", samples.pdf((12, "Text"), title="T" * 60_000)),
        ("docx", samples.docx(samples.paragraph("Text"), title=LONG)),
    ],
)
def test_titles_and_properties_of_every_format_are_bounded_with_a_warning(
    format: str, data: str | bytes
) -> None:
    document = parse(data.encode() if isinstance(data, str) else data, format)
    assert "Text" in document.text
    assert_bounded(document)
    assert document.warnings


def test_what_fits_is_not_touched_and_not_warned_of() -> None:
    title = "T" * MAX_TITLE
    found = parse(f"---\na: {'x' * MAX_VALUE}\n---\n# {title}\n\n{'word ' * 500}\n".encode(), "markdown")
    assert (found.title, found.warnings) == (title, ())
    assert found.metadata == {"a": "x" * MAX_VALUE}


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (f"# {LONG}\n\nx\n", True),
        (f"x\n\n   ###### {LONG}", True),
        (f"x\n\n{LONG}\n---\n", True),
        (f"```\n# {LONG}\n```\n", False),
        (f"x\n\n{LONG}\n\n---\n", False),
        (f"{'x ' * 300}\n{'x ' * 300}\n===\n", False),
        (f"    # {LONG}\n", False),
        (f"#{LONG}\n", False),
        ("# short\n" * 1000, False),
    ],
)
def test_headings_that_a_path_cuts_are_warned_of(text: str, warned: bool) -> None:
    warnings = parse(text.encode(), "markdown").warnings
    assert any(warning.startswith("Heading paths were cut") for warning in warnings) == warned
    longest = max((len(title) for section in outline(text) for title in section.path), default=0)
    assert longest == (MAX_TITLE if warned else min(longest, 10))


def test_a_heading_path_repeats_no_more_than_its_bound() -> None:
    text = "".join(f"{'#' * level} {LONG}\n\n" for level in range(1, 7)) + "###### a\n\nx\n\n" * 50
    longest = max(sum(map(len, section.path)) for section in outline(text))
    assert longest <= 6 * MAX_TITLE


@settings(max_examples=60, deadline=None)
@given(
    block=st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.integers(2**60, 2**70),
            st.floats(),
            st.text(),
            st.binary(),
            st.dates(),
            st.datetimes(),
        ),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=30,
    )
)
def test_any_yaml_value_becomes_json(block: Any) -> None:
    import yaml

    text = yaml.safe_dump({"value": block}, allow_unicode=True)
    document = parse(f"---\n{text}---\nThe body.\n".encode("utf-8", "replace"), "markdown")
    assert document.text.endswith("The body.\n")
    assert_bounded(document)


SUFFIXES = [".md", ".html", ".rst", ".txt", ".pdf", ".docx"]


def beginnings() -> st.SearchStrategy[bytes]:
    whole = [
        b"---\n",
        b"+++\n",
        b"<html><title>",
        b".. role:: x\n\n",
        samples.pdf((12, "Apple")),
        samples.docx(samples.paragraph("Apple")),
        *(f"---\n{block}\n---\n".encode() for block in YAML),
        *(f"+++\n{block}\n+++\n".encode() for block in TOML),
    ]
    return st.tuples(st.sampled_from(whole), st.integers(0, 70_000)).map(lambda drawn: drawn[0][: drawn[1]])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("bytes")
    parsing = {"workers": 1, "max_quarantined_share": 1}
    workspace = Workspace(root, str(root / "store"), parsing=parsing, gate={"max_removed_share": 1})
    for suffix in SUFFIXES[:4]:
        workspace.write(f"good{suffix}", "Apples are red.\n")
    workspace.run()
    yield workspace


@settings(max_examples=4, deadline=None)
@example(
    documents=[
        *((".md", f"---\n{block}\n---\n".encode(), b"Text.") for block in YAML),
        *((".md", f"+++\n{block}\n+++\n".encode(), b"Text.") for block in TOML),
    ]
)
@given(
    documents=st.lists(
        st.tuples(
            st.sampled_from(SUFFIXES),
            st.one_of(st.just(b""), beginnings()),
            st.one_of(st.binary(max_size=2000), st.text(max_size=500).map(str.encode)),
        ),
        min_size=20,
        max_size=40,
    )
)
def test_whatever_bytes_documents_have_all_others_are_published(
    published: Workspace, documents: list[tuple[str, bytes, bytes]]
) -> None:
    for old in published.documents.glob("odd*"):
        old.unlink()
    names = set()
    for number, (suffix, beginning, rest) in enumerate(documents):
        names.add(f"odd{number}{suffix}")
        Path(published.documents, f"odd{number}{suffix}").write_bytes(beginning + rest)
    published.run()
    pipeline, _ = published.pipeline()
    snapshot = pipeline.context.snapshots.latest()
    quarantined = pipeline.context.snapshots.quarantined(snapshot)
    rejected = {name for name, reason in quarantined.select("document_id", "reason").iter_rows() if reason}
    found = set(published.rows(vectors=False)["document_id"])
    assert {f"good{suffix}" for suffix in SUFFIXES[:4]} <= found
    assert found & rejected == set()
    assert found | rejected >= names
