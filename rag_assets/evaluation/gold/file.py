"""Gold sets as JSON Lines: one line is one question.

::

    {"question": "Who pays for a broken pane?", "documents": ["rent.md"], "tags": ["rent"]}
    {"question": "What is the notice period?", "passages": ["three months to the end of a quarter"]}
    {"question": "What does the moon cost?", "answerable": false}
    {"question": "Who repairs the lift?", "documents": ["lift.md"], "accepted": false}
    {"question": "Who sweeps the yard?", "documents": ["yard.md"], "retired": true}

The last two are not asked: one is a proposal, until a person has removed ``accepted`` or set it to true. The
other was retired by a person, because what it wants was removed on purpose.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.gold.question import GoldSet, Question
from rag_assets.evaluation.gold.words import words
from rag_assets.store.digest import digest

_SHOWN_MISTAKES = 20
UNTAGGED = "untagged.jsonl"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _has_words(text: str) -> str:
    if not words(text):
        raise ValueError("must contain a word, or no chunk can ever be found to hold it")
    return text


_Text = Annotated[str, AfterValidator(_not_blank)]
_Passage = Annotated[str, AfterValidator(_has_words)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    question: _Text
    documents: list[_Text] = Field(default_factory=list)
    passages: list[_Passage] = Field(default_factory=list)
    answer: _Text | None = None
    tags: list[_Text] = Field(default_factory=list)
    id: _Text | None = None
    answerable: bool = True
    accepted: bool = True
    retired: bool = False

    @model_validator(mode="after")
    def _has_targets_or_no_answer(self) -> _Line:
        if self.answerable and not self.documents and not self.passages:
            raise ValueError(
                "no target: name at least one document id in 'documents' or one quote in 'passages', "
                "or set 'answerable' to false"
            )
        if not self.answerable and (self.documents or self.passages or self.answer is not None):
            raise ValueError(
                "found an unanswerable question with 'documents', 'passages' or 'answer'; "
                "allowed: none of them, since no document answers it"
            )
        return self


_FIELDS = ", ".join(_Line.model_fields)


def load_gold(path: Path) -> GoldSet:
    """Read and validate a gold set.

    Raises:
        GoldSetError: naming each mistake with file, line, what was found and what is allowed.
    """
    if not path.exists():
        raise GoldSetError(f"{path}: no such file; evaluation.gold in the corpus file names it")
    gold = read_started(path)
    if not gold.questions:
        waiting = (
            f"; {len(gold.proposals)} proposals wait for a person to accept them" if gold.proposals else ""
        )
        retired = f"; {len(gold.retired)} are retired" if gold.retired else ""
        raise GoldSetError(f"{path}: found no question; a gold set needs at least one line{waiting}{retired}")
    return gold


def read_started(path: Path) -> GoldSet:
    """A gold set that may have no question yet, or no file.

    Raises:
        GoldSetError: as ``load_gold``.
    """
    return _parse(_text(path), path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise GoldSetError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _parse(text: str, path: Path) -> GoldSet:
    questions: list[Question] = []
    mistakes: list[str] = []
    proposals: list[Question] = []
    retired: list[Question] = []
    lines_of_ids: dict[str, int] = {}
    lines_of_questions: dict[str, int] = {}
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        where = f"{path}:{number}"
        try:
            line = _line(raw)
        except ValidationError as error:
            mistakes += [f"{where}: {sentence}" for sentence in _explain(error)]
            continue
        except ValueError as error:
            mistakes.append(f"{where}: {error}")
            continue
        question = _question(line)
        first = lines_of_questions.setdefault(normalized(question.question), number)
        if first != number:
            mistakes.append(
                f"{where}: question: found {question.question!r} again; it stands in line {first}"
            )
            continue
        first = lines_of_ids.setdefault(question.id, number)
        if first != number:
            mistakes.append(
                f"{where}: id: found {question.id!r} again; line {first} has it, ids must be unique"
            )
            continue
        (retired if line.retired else questions if line.accepted else proposals).append(question)
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        shown = mistakes[:_SHOWN_MISTAKES] + ([f"{path}: and {more} more mistakes"] if more > 0 else [])
        raise GoldSetError("\n".join(shown))
    return GoldSet(tuple(questions), tuple(proposals), tuple(retired))


def as_line(question: Question, *, accepted: bool = True) -> str:
    """A question as one line of a gold set, without the fields that have their default."""
    values: dict[str, Any] = {
        "id": question.id,
        "question": question.question,
        "documents": list(question.documents),
        "passages": list(question.passages),
        "answer": question.answer,
        "tags": list(question.tags),
    }
    kept = {name: value for name, value in values.items() if value not in ([], None)}
    if not question.answerable:
        kept["answerable"] = False
    if not accepted:
        kept["accepted"] = False
    return json.dumps(kept, ensure_ascii=False)


def append_lines(path: Path, questions: Iterable[Question], *, accepted: bool = True) -> int:
    """Append questions to a gold set, which is made if there is none. Returns how many.

    Questions that it has already are left out. The file changes as a whole or not at all.

    Raises:
        GoldSetError: the file has mistakes, or would have with these questions.
    """
    before = _text(path)
    known = _parse(before, path)
    asked = {normalized(one.question) for one in (*known.questions, *known.proposals, *known.retired)}
    fresh = [one for one in questions if normalized(one.question) not in asked]
    gap = "" if not before or before.endswith("\n") else "\n"
    text = before + gap + "".join(f"{as_line(one, accepted=accepted)}\n" for one in fresh)
    _parse(text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.new")
    written.write_text(text, encoding="utf-8")
    written.replace(path)
    return len(fresh)


def split_by_tag(gold: GoldSet, folder: Path) -> dict[str, int]:
    """Write one gold set per tag. Returns the number of questions by file name.

    A question with several tags stands in several files. Files that are there already are replaced.

    Raises:
        GoldSetError: two tags give one file name.
    """
    tags = sorted({tag for question in gold.questions for tag in question.tags})
    names = {tag: f"{re.sub(r'[^A-Za-z0-9._-]+', '_', tag).strip('._') or 'tag'}.jsonl" for tag in tags}
    if len(set(names.values())) < len(names) or UNTAGGED in names.values():
        raise GoldSetError(f"tags give the same file name twice: {', '.join(tags)}; rename one")
    parts = {names[tag]: [one for one in gold.questions if tag in one.tags] for tag in tags}
    rest = [one for one in gold.questions if not one.tags]
    if rest:
        parts[UNTAGGED] = rest
    folder.mkdir(parents=True, exist_ok=True)
    for name, questions in parts.items():
        text = "".join(f"{as_line(question)}\n" for question in questions)
        (folder / name).write_text(text, encoding="utf-8")
    return {name: len(questions) for name, questions in parts.items()}


def normalized(question: str) -> str:
    """Questions that differ in nothing but case and space are one question."""
    return " ".join(question.split()).casefold()


def slug(question: str) -> str:
    """A default id that people recognise in a refusal; the digest's end tells questions with one beginning apart."""
    found = re.findall(r"\w+", question.casefold())
    return "-".join([*found[:8], digest(question)[:4]])


def _line(raw: str) -> _Line:
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not valid JSON: {error.msg} at column {error.colno}; each line is one object"
        ) from error
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a character, a lone surrogate such as \\ud800") from error
    except RecursionError as error:
        raise ValueError("nested too deeply; each line is one flat object") from error
    except ValueError as error:
        raise ValueError("holds a number of too many digits; no field is a number") from error
    if not isinstance(value, dict):
        raise ValueError(
            f"found {type(value).__name__}; each line is a JSON object with the fields {_FIELDS}"
        )
    line = _Line.model_validate(value)
    if not all(name.isprintable() for name in (line.id or "", *line.tags)):
        raise ValueError("id and tags: found a control character; names are shown in terminals and reports")
    return line


def _question(line: _Line) -> Question:
    return Question(
        id=slug(line.question) if line.id is None else line.id,
        question=line.question,
        documents=_unique(line.documents),
        passages=_unique(line.passages),
        answer=line.answer,
        tags=_unique(line.tags),
        answerable=line.answerable,
    )


def _unique(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        if problem["type"] == "missing":
            yield f"{field}: missing; this field is required"
        elif problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(field, list(_Line.model_fields), n=1)
            yield f"{field}: unknown field; {f'did you mean {close[0]!r}? ' if close else ''}allowed: {_FIELDS}"
        elif problem["type"] == "list_type":
            yield f"{field}: found {_short(problem['input'])}; allowed: a list, such as {_as_list(problem['input'])}"
        elif not field:
            yield message
        else:
            yield f"{field}: found {_short(problem['input'])}; {message}"


def _as_list(value: Any) -> str:
    """What was probably meant."""
    return json.dumps([value] if isinstance(value, str) else ["…"], ensure_ascii=False)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
