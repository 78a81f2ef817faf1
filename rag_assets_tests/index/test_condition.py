"""Where conditions: what is understood to its end is applied, everything else is refused with a reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets import open_published
from rag_assets.corpus import Mode
from rag_assets.errors import InvalidFilter
from rag_assets.index.condition import FUNCTIONS
from rag_assets.publication.reader import PublishedIndex
from rag_assets_tests.workspace import Workspace

MODES: tuple[Mode, ...] = ("vector", "text", "hybrid")
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def reader(published: Workspace) -> PublishedIndex:
    return open_published(published.name, published.store)


def rows(reader: PublishedIndex, where: str) -> set[str]:
    """Chunks that a search with a condition finds; it is the same for a search by vector and by words."""
    return {hit.chunk_id for hit in reader.search("penguins", 100, "vector", where)}


def rows_of_lancedb(reader: PublishedIndex, where: str) -> set[str]:
    """Chunks that LanceDB itself finds."""
    found: list[dict[str, Any]] = reader.table().search().where(where).select(["chunk_id"]).to_list()
    return {row["chunk_id"] for row in found}


texts = st.sampled_from(
    ["a", "b", "a''b", "it''s (a) -- \"quoted\" ; ) name", "%", "/* x", "", "ü\u202e"]
).map("'{}'".format)
strings = st.recursive(
    st.sampled_from(["tenant", "document_id", "`title`", '"uri"', "Tenant"]) | texts,
    lambda inner: st.one_of(
        inner.map("lower({})".format), st.tuples(inner, texts).map("coalesce({0[0]}, {0[1]})".format)
    ),
    max_leaves=3,
)
numbers = st.recursive(
    st.sampled_from(["year", "price", "position", "2024", "1.5", "-1"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map("({0[0]} {0[1]} {0[2]})".format),
    max_leaves=3,
)
comparisons = st.one_of(
    st.tuples(strings, st.sampled_from(["=", "!=", "<>", "<", "LIKE", "not ilike"]), texts).map(" ".join),
    st.tuples(numbers, st.sampled_from(["=", "<", ">="]), numbers).map(" ".join),
    numbers.map("{} BETWEEN 1 AND 3000".format),
    st.lists(texts, min_size=1, max_size=3).map(lambda values: f"tenant IN ({', '.join(values)})"),
    st.sampled_from(
        ["draft", "draft is true", "tenant is not null", "year % 2 = 0", "true", "draft = false"]
    ),
    texts.map("array_has(labels, {})".format),
    st.just("array_has_any(labels, ['cold', 'hot'])"),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "or", "\nAND\t"]), inner).map(" ".join),
        inner.map("NOT ({})".format),
        inner.map("({})".format),
    ),
    max_leaves=5,
)
ENDINGS = [
    "limit 1",
    "order by tenant",
    "group by tenant",
    "having true",
    "union select 1",
    "as x",
    "tenant",
    "'a'",
    "2024",
    "-- tenant = 'b'",
    "--",
    "/* and tenant = 'b' */",
    "/*",
    "// x",
    ";",
    "; drop table x",
    ",",
    ", tenant = 'b'",
    ")",
    ") OR (true",
    ") garbage (true",
    "(",
    "[1",
    "]",
    "'",
    '"',
    "`",
    "{",
    "#x",
    "@x",
    "$1",
    "?",
    "\\",
    "\0",
    "\u00a0",
    "\u2028x",
    "\ud800",
    "x'00'",
]


@few
@given(conditions)
def test_a_complete_condition_finds_what_lancedb_finds(reader: PublishedIndex, where: str) -> None:
    try:
        expected = rows_of_lancedb(reader, where)
    except (RuntimeError, ValueError):  # types that do not fit
        with pytest.raises(InvalidFilter):
            rows(reader, where)
    else:
        assert rows(reader, where) == expected


@few
@given(conditions, st.sampled_from(ENDINGS) | conditions)
def test_whatever_follows_a_complete_condition_is_refused(
    reader: PublishedIndex, where: str, rest: str
) -> None:
    with pytest.raises(InvalidFilter):
        reader.search("penguins", 5, "vector", f"{where} {rest}")


TOKENS = (
    "( ) [ ] ' \" ` '' -- /* */ ; , = and or not in is null true draft tenant year 1 'a' '(' ')' "
    "select limit between like lower cast as :: || + - * % . n e x \\ $$ $a$ ? \n"
)
soups = st.lists(st.sampled_from(TOKENS.split(" ")) | comparisons, min_size=1, max_size=9)


@settings(few, max_examples=300)
@given(soups, st.sampled_from(["", " "]))
def test_no_condition_reaches_beyond_its_parentheses(
    reader: PublishedIndex, soup: list[str], space: str
) -> None:
    where = space.join(soup)
    try:
        rows(reader, where)
    except InvalidFilter:
        return
    assert rows_of_lancedb(reader, f"(({where})) AND 1 = 0") == set()
    assert rows_of_lancedb(reader, f"(({where})) OR 1 = 1") == rows_of_lancedb(reader, "true")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("tenant = 'a' year = 2024", "after a complete expression, found year"),
        ("tenant = 'a') OR (tenant = 'b'", "closes nothing that is open"),
        ("(tenant = 'a'", "never closed"),
        ("tenant = 'a", "the quote at character 10 is never closed"),
        ("", "empty"),
        (" \n", "empty"),
        ("colour = 'red'", "No field named colour"),
        ("year = 'x'", "could not convert"),
        ("year", "does not return a boolean"),
        ("year / 0 = 1", "Divide by zero"),
        ("cast(tenant as int) = 1", "Cannot cast"),
        ("regexp_like(tenant, '(')", "unclosed group"),
        ("tenant = $$a$$", "outside of quotes"),
        ("tenant = ?", "outside of quotes"),
        ("tenant = N'a'", "directly before the quote"),
        ("tenant\u00a0= 'a'", "'\\xa0' at character 7"),
        ("count(*) = 1", "cannot call 'count'"),
        ("repeat('x', 1000000000) = 'y'", "cannot call 'repeat'"),
        ("lpad('x', 2000000000) = 'y'", "cannot call 'lpad'"),
        ("exists (select 1)", "cannot call 'exists'"),
        ("tenant = '\ud800'", "half of a character"),
        (7, "a condition in SQL, not int"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_with_its_reason_and_the_columns(
    reader: PublishedIndex, mode: Mode, where: Any, words: str
) -> None:
    with pytest.raises(InvalidFilter) as caught:
        reader.search("penguins owls", 5, mode, where)
    message = str(caught.value)
    assert words in message
    if isinstance(where, str):
        assert "tenant" in message.rpartition("columns are")[2]
    assert not re.search(r"\.rs\b|/root|/home|registry", message), "no build path of a library"
    assert message.isprintable()


COSTLY = {
    "long": "tenant = 'a' OR " + "tenant = 'b' OR " * 20_000 + "true",
    "long text": f"tenant = '{'x' * 3000}'",
    "many terms": " OR ".join(f"year = {year}" for year in range(1001)),
    "many values": f"year IN ({', '.join(map(str, range(40_000)))})",
    "many calls": " AND ".join(["lower(tenant) = 'a'"] * 101),
    "deep": "(" * 100_000 + "draft" + ")" * 100_000,
    "seventeen brackets": "(" * 17 + "draft" + ")" * 17,
    "deep negations": "NOT " * 1000 + "draft",
    "nested negations": "draft AND NOT (" * 40 + "draft" + ")" * 40,
    "nested calls": "coalesce(" * 20 + "tenant" + ", 'x')" * 20 + " = 'a'",  # copied 2 to the 20 times
    "casts": "year" + "::int" * 1000 + " = 1",  # overflows the stack of LanceDB, and ends the process
    "sums": " + ".join(["year"] * 1000) + " = 1",
    "tests": "draft" + " IS NULL" * 1000,
    "concatenations": " || ".join(["tenant"] * 2000) + " = 'a'",
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_condition_that_would_cost_too_much_is_refused_unasked(reader: PublishedIndex, name: str) -> None:
    with pytest.raises(InvalidFilter, match="columns are") as caught:
        reader.search("penguins", 5, "hybrid", COSTLY[name])
    assert len(str(caught.value)) < 1000


def test_large_conditions_that_services_need_are_taken(reader: PublishedIndex) -> None:
    names = ", ".join(f"'tenant/{number:020}.md'" for number in range(5000))
    found = rows(reader, f"(tenant = 'b' AND (year >= 2025)) AND document_id IN ('owls.md', {names})")
    assert len(found) == 1
    folded = "tenant = 'b'"
    for _ in range(10):
        folded = f"({folded}) AND (year = 2025)"
    assert rows(reader, folded) == found


def test_what_a_condition_may_call_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "index-and-search.md").read_text()
    assert {name for name in FUNCTIONS if f"`{name}`" not in documented} == set()
