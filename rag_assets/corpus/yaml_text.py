"""YAML that people write → its values, and the same as a document that knows the line of each of them.

text → events, counted → values. A few hundred characters of aliases can stand for billions of values, brackets can
nest deeper than Python's stack, a number can have more digits than can be shown, and an escape can write characters
that nothing takes: such files are refused, with the line at which they pass the bounds, before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import Node

MAX_CHARACTERS = 250_000
MAX_VALUES = 20_000
"""Keys, values and groups, each alias counted as all that it stands for."""
MAX_DEPTH = 40
MAX_BITS = 64
_LONGEST_NUMBER = 2 * MAX_BITS  # characters: binary digits with separators
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that YAML's escapes can write and no path, database or terminal should be given."""
_TOO_DEEP = "nested too deeply, or an alias contains itself"
_INTEGER = "tag:yaml.org,2002:int"


class YamlMistake(ValueError):
    """A text that is no YAML, or beyond the bounds; ``line`` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def text_of(path: Path) -> str:
    """The text of a file, or as much of it as shows that it is too long. Raises OSError, UnicodeDecodeError."""
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_CHARACTERS + 1)


def parse_yaml(text: str) -> tuple[Any, Any]:
    """The values of a text, and its document for ``mistakes.line_of``.

    Raises:
        YamlMistake: with the line and what is wrong there.
    """
    if len(text) > MAX_CHARACTERS:
        line = text.count("\n", 0, MAX_CHARACTERS) + 1
        raise YamlMistake(line, f"the file goes on; allowed: {MAX_CHARACTERS:,} characters")
    try:
        _check_extent(text)
        loader = YAML(typ="safe", pure=True)
        loader.Constructor = _Constructor
        return loader.load(text), YAML(typ="rt").load(text)
    except YamlMistake:
        raise
    except DuplicateKeyError as error:
        problem = str(error.problem).split(" with value")[0].replace("found duplicate key", "field")
        raise YamlMistake(_line(error), f"{problem} stands twice; allowed: once") from error
    except MarkedYAMLError as error:
        raise YamlMistake(_line(error), f"not valid YAML: {error.problem}") from error
    except Exception as error:  # the seam to ruamel, which lets through whatever its parts raise
        raise YamlMistake(1, f"not valid YAML: {error}") from error


def _check_extent(text: str) -> None:
    """Count values and depth from the parser's events, which are made one by one and hold nothing."""
    total = 0
    sizes: dict[str, int] = {}  # values that an anchor stands for
    opened: list[tuple[str | None, int]] = []  # anchor of each open group, and the total before it
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        match event:
            case AliasEvent() if any(anchor == event.anchor for anchor, _ in opened):
                raise YamlMistake(line, _TOO_DEEP)
            case AliasEvent():
                total += sizes.get(event.anchor, 1)
            case ScalarEvent():
                _check_characters(event.value, line)
                total += 1
                sizes[event.anchor] = 1
            case CollectionStartEvent():
                opened.append((event.anchor, total))
                total += 1
            case CollectionEndEvent():
                anchor, before = opened.pop()
                if anchor is not None:
                    sizes[anchor] = total - before
        if total > MAX_VALUES:
            raise YamlMistake(line, f"more than {MAX_VALUES:,} values, aliases written out; allowed: as many")
        if len(opened) > MAX_DEPTH:
            raise YamlMistake(line, _TOO_DEEP)


def _check_characters(text: str, line: int) -> None:
    found = _UNWRITABLE.search(text)
    if found:
        raise YamlMistake(
            line,
            f"found the character {found[0]!a}; allowed: text without control characters but tab and newline",
        )


class _Constructor(SafeConstructor):
    """Says at which line a value cannot be built, and takes no number that cannot be shown."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        digits = len(node.value) if node.tag == _INTEGER else 0
        if digits > _LONGEST_NUMBER:
            raise _mistake(node, f"found a whole number of {digits:,} characters; allowed: {MAX_BITS} bits")
        with _placed(node):
            value = super().construct_object(node, deep=deep)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise _mistake(node, f"found {value}; allowed: whole numbers of {MAX_BITS} bits")
        return value

    def construct_mapping(self, node: Node, deep: bool = False) -> Any:
        with _placed(node):
            return super().construct_mapping(node, deep=deep)


@contextmanager
def _placed(node: Node) -> Iterator[None]:
    """Give what int(), date() and hash() raise the place of a node."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise _mistake(node, str(error)) from error


def _mistake(node: Node, problem: str) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)


def _line(error: MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1
