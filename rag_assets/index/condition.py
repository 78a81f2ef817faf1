"""Check a where condition before LanceDB sees it.

condition → the same condition in parentheses, or InvalidFilter. LanceDB parses ``SELECT … WHERE <condition>`` and
ignores what follows the first complete expression, so that a forgotten AND would widen the result. In parentheses,
what follows is a syntax error, provided that the condition cannot close them itself. Therefore it is split into
tokens here: parentheses must match, and nothing is let through that hides one (comments, other kinds of strings). The
grammar itself stays LanceDB's.

The same tokens bound what a condition may cost. LanceDB's planner has no limits of its own: nested expressions
overflow its stack and end the process, functions such as ``lpad`` fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag_assets.errors import InvalidFilter, printable

LONGEST = 200_000
"""Characters of a condition."""
LONGEST_TEXT = 2_000
"""Characters of one text in quotes. The memory of a pattern grows with the square of its length."""
MOST_TERMS = 1_000
"""Expressions that AND and OR join. Each may be computed for every row."""
MOST_CALLS = 100
"""Calls of functions, and ``||``. Each may hold a copy of a column of texts in memory."""
MOST_VALUES = 32_768
"""Values of a condition, those that the planner repeats counted as often as it may repeat them."""
COPIES = 3
"""How often the planner may repeat the arguments of a call, and what stands before IN and BETWEEN."""
DEEPEST = 16
"""Brackets within one another."""
LONGEST_CHAIN = 40
"""Tokens that may follow one another without AND, OR or a comma, those before an open bracket included."""
SHOWN, LONGEST_REASON = 200, 500
"""Characters of a condition and of LanceDB's opinion on it that a message shows."""

FUNCTIONS = frozenset(
    [
        *("array_contains", "array_has", "array_has_all", "array_has_any", "array_length", "array_position"),
        *("arrays_overlap", "cardinality", "list_contains", "list_has", "list_has_all", "list_has_any"),
        "list_length",
        *("ascii", "btrim", "char_length", "character_length", "contains", "contains_tokens"),
        *("ends_with", "initcap", "left", "length", "lower", "ltrim", "octet_length", "regexp_like"),
        *("regexp_match", "reverse", "right", "rtrim", "split_part", "starts_with", "strpos", "upper"),
        *("abs", "ceil", "floor", "greatest", "isnan", "least", "round", "sqrt", "trunc"),
        *("coalesce", "ifnull", "nullif", "nvl"),
        *("current_date", "current_timestamp", "date_part", "date_trunc", "now", "to_date", "to_timestamp"),
        *("to_timestamp_millis", "to_timestamp_seconds", "today"),
    ]
)
"""What a condition may call: functions whose result and time are bounded by their arguments."""

_SEPARATORS = frozenset(["and", "or", ","])
_COPYING = frozenset(["between", "in"])
_OPERATORS = frozenset(["not", "is", "like", "ilike", "escape", *_COPYING])
_NO_FUNCTIONS = frozenset(["and", "or", "cast", "date", "decimal", "timestamp", *_OPERATORS])
"""Words that may stand directly before a parenthesis or a quote."""
_CLOSED_BY = {"(": ")", "[": "]"}
_TOKEN = re.compile(
    r"""
      (?P<space> [\ \t\r\n]+ )
    | (?P<text> '[^']*' )
    | (?P<name> "[^"]*" | `[^`]*` )
    | (?P<number> [0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)? | \.[0-9]+(?:[eE][+-]?[0-9]+)? )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<refused> -- | /\* | // )
    | (?P<bracket> [()\[\]] )
    | (?P<operator> <> | != | <= | >= | == | \|\| | :: | [=<>+\-*/%.,] )
    """,
    re.VERBOSE,
)

_BUILD_PATH = re.compile(r",? ?/\S*\.rs:\d+(?::\d+)?")
_SYNTAX = re.compile(r"\(sql parser error: (.*)\)")
_UNKNOWN = re.compile(r"Schema error: (No field named .*?)\. Valid fields are ")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """An operator or a word, in lower case; empty for values in quotes."""
        return "" if self.kind in ("text", "name") else self.text.lower()


@dataclass(slots=True)
class _Level:
    """What stands between an open bracket and here.

    ``chain`` and ``values`` count tokens and values since the last separator, ``earlier`` the values before it.
    """

    closed_by: str = ""
    is_call: bool = False
    chain: int = 0
    values: int = 0
    earlier: int = 0
    betweens: int = 0

    def separate(self) -> None:
        self.earlier += self.values
        self.chain = self.values = 0


def enclosed(where: object, columns: Sequence[str]) -> str:
    """Check a condition and put it into parentheses.

    Args:
        where: the condition, in SQL.
        columns: columns of the table, for the message.

    Raises:
        InvalidFilter: it is no text, has unbalanced brackets, characters or functions that a condition may not
            have, or is too long, too deep or of too many terms.
    """
    if not isinstance(where, str):
        raise InvalidFilter(f"where is expected to be a condition in SQL, not {type(where).__name__}")
    try:
        if len(where) > LONGEST:
            raise ValueError(f"it has {len(where):,} characters; allowed are {LONGEST:,}")
        where.encode()
        _check(list(_tokens(where)))
    except UnicodeEncodeError as error:
        raise refused(where, f"character {error.start + 1:,} is half of a character", columns) from error
    except ValueError as mistake:
        raise refused(where, str(mistake), columns) from mistake
    return f"({where})"


def refused(where: str, reason: str, columns: Sequence[str]) -> InvalidFilter:
    """What a caller is told of a condition that cannot be used."""
    shown = printable(where if len(where) <= SHOWN else f"{where[:SHOWN]}…")
    return InvalidFilter(
        f"where {shown!r}: {printable(reason[:LONGEST_REASON])}. The columns are {', '.join(columns)}"
    )


def mistake_in(error: Exception) -> str | None:
    """What LanceDB says is wrong with a condition, on one line; None where it says that something else is wrong."""
    text = " ".join(_BUILD_PATH.sub("", str(error)).split())
    if "Invalid input" not in text and "filter expression" not in text:
        return None
    found = _SYNTAX.search(text) or _UNKNOWN.search(text)
    if found is not None:
        return found[1].replace(
            "Expected: ), found:", "expected AND, OR or the end after a complete expression, found"
        )
    for lead in ("Invalid input, ", "Invalid user input: ", "to batch: "):
        text = text.rpartition(lead)[2]
    return text


def _tokens(where: str) -> Iterator[_Token]:
    at = 0
    while at < len(where):
        found = _TOKEN.match(where, at)
        if found is None or found.lastgroup == "refused":
            raise ValueError(_unreadable(where, at))
        if found.lastgroup != "space":
            yield _Token(str(found.lastgroup), found.group(), at)
        at = found.end()


def _unreadable(where: str, at: int) -> str:
    character = where[at]
    if character in "'\"`":
        return f"the quote at character {at + 1:,} is never closed"
    if where.startswith(("--", "/*", "//"), at):
        return f"{where[at : at + 2]} at character {at + 1:,}: a condition has no comments"
    return (
        f"{character!a} at character {at + 1:,}: outside of quotes a condition has ASCII letters, digits, "
        "brackets and the operators = != < <= > >= + - * / % || ::"
    )


def _check(tokens: Sequence[_Token]) -> None:
    if not tokens:
        raise ValueError("it is empty; leave it out to search everything")
    levels, terms, calls = [_Level()], 1, 0
    for before, token in zip([None, *tokens], tokens, strict=False):
        word, level = token.word, levels[-1]
        if token.kind == "text":
            _check_text(before, token)
        if word in (")", "]"):
            if word != level.closed_by:
                raise ValueError(f"{word} at character {token.start + 1:,} closes nothing that is open")
            inner = levels.pop()
            levels[-1].values += (inner.earlier + inner.values) * (COPIES if inner.is_call else 1)
        elif word == "and" and level.betweens:
            level.betweens -= 1
        elif word in _SEPARATORS:
            terms += word != ","
            level.separate()
        else:
            level.chain += 1
            level.betweens += word == "between"
            calls += word == "||"
            if word in _CLOSED_BY:
                is_call = word == "(" and _is_call(before)
                calls += is_call
                levels.append(_Level(_CLOSED_BY[word], is_call))
            elif word in _COPYING:
                level.values *= COPIES
            elif word not in _OPERATORS and token.kind != "operator":
                level.values += 1
        _check_size(levels)
    if terms > MOST_TERMS:
        raise ValueError(
            f"it joins {terms:,} expressions with AND and OR; allowed are {MOST_TERMS:,}; see IN"
        )
    if calls > MOST_CALLS:
        raise ValueError(f"it has {calls:,} calls and ||; allowed are {MOST_CALLS:,}")
    if len(levels) > 1:
        raise ValueError(f"a bracket is never closed: expected {levels[-1].closed_by} at the end")


def _check_size(levels: Sequence[_Level]) -> None:
    if len(levels) > DEEPEST + 1:
        raise ValueError(f"it has more than {DEEPEST} brackets within one another")
    if sum(level.chain for level in levels) > LONGEST_CHAIN:
        raise ValueError(f"it has more than {LONGEST_CHAIN} words and operators without AND, OR or a comma")
    if sum(level.earlier + level.values for level in levels) > MOST_VALUES:
        raise ValueError(
            f"it has more than {MOST_VALUES:,} values, those that calls, IN and BETWEEN repeat included"
        )


def _check_text(before: _Token | None, quote: _Token) -> None:
    """Refuse long texts, and E'…', N'…' and others: what ends those is not known here."""
    if len(quote.text) - 2 > LONGEST_TEXT:
        raise ValueError(
            f"the text at character {quote.start + 1:,} has more than {LONGEST_TEXT:,} characters"
        )
    if (
        before is not None
        and before.kind == "word"
        and before.word not in _NO_FUNCTIONS
        and before.start + len(before.text) == quote.start
    ):
        raise ValueError(f"{before.text} directly before the quote at character {quote.start + 1:,}")


def _is_call(before: _Token | None) -> bool:
    """Whether a parenthesis opens the arguments of a function. Raises ValueError when that may not be called."""
    if before is None or before.kind not in ("word", "name") or before.word in _NO_FUNCTIONS:
        return False
    if before.word not in FUNCTIONS:
        raise ValueError(
            f"a condition cannot call {before.text!r}; docs/index-and-search.md lists what it can"
        )
    return True
