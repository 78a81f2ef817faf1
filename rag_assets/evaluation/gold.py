"""Gold sets: questions whose right answers in the corpus are known.

JSON Lines file → validated lines → ``GoldSet``. One line is one question::

    {"question": "Who pays for a broken pane?", "documents": ["rent.md"], "tags": ["rent"]}
    {"question": "What is the notice period?", "passages": ["three months to the end of a quarter"]}

A *target* is a document that must be found by id, or a passage that must be found by its
words. Every question has at least one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.relevance import words
from rag_assets.store.digest import digest

_SHOWN_MISTAKES = 20
_FIELDS = "question, documents, passages, answer, tags, id"


@dataclass(frozen=True, slots=True)
class Question:
    """One question and the targets that a good search finds for it."""

    id: str
    question: str
    documents: tuple[str, ...]
    passages: tuple[str, ...]
    answer: str | None
    tags: tuple[str, ...]

    @property
    def key(self) -> str:
        """Identity of the task: same question and same targets, whatever id and tags say.

        Two versions are compared on equal keys only: a question whose targets were edited is a new task.
        """
        return digest(self.question, json.dumps([sorted(self.documents), sorted(self.passages)]))


@dataclass(frozen=True, slots=True)
class GoldSet:
    """Questions in file order; ``digest`` names their content, whatever the order."""

    questions: tuple[Question, ...]
    digest: str


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

    @model_validator(mode="after")
    def _has_a_target(self) -> _Line:
        if not self.documents and not self.passages:
            raise ValueError(
                "no target: name at least one document id in 'documents' or one quote in 'passages'"
            )
        return self


def load_gold(path: Path) -> GoldSet:
    """Read and validate a gold set.

    Raises:
        GoldSetError: naming each mistake with file, line, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise GoldSetError(f"{path}: no such file; evaluation.gold in the corpus file names it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GoldSetError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    questions: list[Question] = []
    mistakes: list[str] = []
    lines_of_ids: dict[str, int] = {}
    lines_of_questions: dict[str, int] = {}
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        where = f"{path}:{number}"
        try:
            question = _question(raw)
        except ValidationError as error:
            mistakes += [f"{where}: {sentence}" for sentence in _explain(error)]
            continue
        except ValueError as error:
            mistakes.append(f"{where}: {error}")
            continue
        first = lines_of_questions.setdefault(" ".join(question.question.split()).casefold(), number)
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
        questions.append(question)
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        shown = mistakes[:_SHOWN_MISTAKES] + ([f"{path}: and {more} more mistakes"] if more > 0 else [])
        raise GoldSetError("\n".join(shown))
    if not questions:
        raise GoldSetError(f"{path}: found no question; a gold set needs at least one line")
    return GoldSet(tuple(questions), _digest(questions))


def _question(raw: str) -> Question:
    try:
        value = json.loads(raw)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not valid JSON: {error.msg} at column {error.colno}; each line is one object"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"found {type(value).__name__}; each line is a JSON object with the fields {_FIELDS}"
        )
    line = _Line.model_validate(value)
    return Question(
        id=_slug(line.question) if line.id is None else line.id,
        question=line.question,
        documents=_unique(line.documents),
        passages=_unique(line.passages),
        answer=line.answer,
        tags=_unique(line.tags),
    )


def _slug(question: str) -> str:
    """A default id that people recognise in a refusal; the digest's end tells questions with one beginning apart."""
    words = re.findall(r"\w+", question.casefold())
    return "-".join([*words[:8], digest(question)[:4]])


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
            yield f"{field}: unknown field; allowed: {_FIELDS}"
        elif not field:
            yield message
        else:
            yield f"{field}: found {_short(problem['input'])}; {message}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _digest(questions: list[Question]) -> str:
    parts = sorted(
        json.dumps([question.id, question.key, question.answer, sorted(question.tags)])
        for question in questions
    )
    return digest(*parts)
