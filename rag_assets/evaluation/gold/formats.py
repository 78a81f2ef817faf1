"""Gold sets from the formats in which question sets come: BEIR folders, SQuAD files, CSV tables.

file of another format → ``Imported``: questions, and the documents that they ask about where the
format holds them. Documents become Markdown files that a folder source can list.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.gold.file import normalized, slug
from rag_assets.evaluation.gold.question import Question

CSV_FIELDS = ("question", "documents", "passages", "answer", "tags", "id", "answerable")
LISTS = ("documents", "passages", "tags")
YES = frozenset(("yes", "true", "1", "y", ""))
NO = frozenset(("no", "false", "0", "n"))
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Imported:
    """What a file of another format holds.

    Attributes:
        questions: each question once; later ones that differ only in case or space are left out.
        documents: (id, Markdown) of the documents that came with them.
        left_out: questions without a usable target, and repeated ones.
    """

    questions: tuple[Question, ...]
    documents: tuple[tuple[str, str], ...]
    left_out: int


def read_beir(folder: Path, split: str = "test") -> Imported:
    """A BEIR folder: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.

    Judgements above zero are targets. A query whose ``metadata.answerable`` is false becomes an
    unanswerable question; one without a judgement is left out.

    Raises:
        GoldSetError: a file is missing or a line cannot be read.
    """
    documents: dict[str, str] = {}
    names: dict[str, str] = {}
    for document in _json_lines(folder / "corpus.jsonl"):
        name = names[document["_id"]] = f"{_safe(document['_id'])}.md"
        if name in documents:
            raise GoldSetError(f"{folder / 'corpus.jsonl'}: two ids give the file name {name!r}")
        documents[name] = _markdown(document.get("title"), document["text"])
    relevant: dict[str, list[str]] = {}
    judged = folder / "qrels" / f"{split}.tsv"
    for number, line in enumerate(_text(judged).splitlines(), start=1):
        if number == 1 and not line.rpartition("\t")[2].strip().lstrip("-").isdigit():
            continue  # the header, which some sets do without
        try:
            asked, document_id, score = line.split("\t")
            if int(score) > 0:
                relevant.setdefault(asked, []).append(names[document_id])
        except (ValueError, KeyError) as error:
            raise GoldSetError(
                f"{judged}:{number}: found {line!r}; each line is query, document and score, with tabs between"
            ) from error
    found = []
    for query in _json_lines(folder / "queries.jsonl"):
        facts = query.get("metadata")
        facts = facts if isinstance(facts, dict) else {}
        answers = facts.get("answers")
        answers = answers if isinstance(answers, list) else []
        if not facts.get("answerable", True):
            found.append(Question(query["_id"], query["text"], answerable=False))
        elif query["_id"] in relevant:
            targets = tuple(dict.fromkeys(relevant[query["_id"]]))
            answer = str(answers[0]).strip() if answers else ""
            found.append(Question(query["_id"], query["text"], targets, answer=answer or None))
        else:
            found.append(Question(query["_id"], query["text"]))
    return _imported(found, documents)


def read_squad(path: Path) -> Imported:
    """A SQuAD file, version 1.1 or 2.0: each paragraph is a document, each answer's sentence a passage.

    Raises:
        GoldSetError: the file is missing or not of this format.
    """
    documents: dict[str, str] = {}
    found = []
    try:
        for article in json.loads(_text(path))["data"]:
            title = article.get("title") or "paragraph"
            for paragraph in article["paragraphs"]:
                name = f"{_safe(title)}-{len(documents):05d}.md"
                if not isinstance(paragraph["context"], str):
                    raise TypeError(f"the context of paragraph {len(documents) + 1} is no text")
                documents[name] = _markdown(None, paragraph["context"])
                for question in paragraph["qas"]:
                    found.append(_squad_question(question, name, paragraph["context"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GoldSetError(f"{path}: not a SQuAD file: {type(error).__name__}: {error}") from error
    return _imported(found, documents)


def read_csv(path: Path, columns: Mapping[str, str], separator: str = ";") -> Imported:
    """A table with a header, one question per row.

    Args:
        path: UTF-8 text; commas, semicolons or tabs between the columns.
        columns: header of a field (``CSV_FIELDS``) where it is not the field's own name.
        separator: between several documents, passages or tags in one cell.

    Raises:
        GoldSetError: naming the header that is missing.
    """
    text = _text(path)
    if not text:
        raise GoldSetError(f"{path}: the file is empty; the first line names the columns")
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(text.split("\n", 1)[0], delimiters=",;\t")
    except csv.Error:
        dialect = "excel"
    # Not splitlines(): a cell may hold U+2028 and other characters that it takes for line ends.
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect, strict=True)
    try:
        present = {name.strip().casefold(): name for name in reader.fieldnames or () if name}
        headers = {field: present.get(columns.get(field, field).casefold()) for field in CSV_FIELDS}
        lacking = [field for field in ("question", *columns) if headers.get(field) is None]
        if lacking:
            wanted = columns.get(lacking[0], lacking[0])
            raise GoldSetError(f"{path}:1: no column {wanted!r}; found {', '.join(present.values())}")
        found = [
            _row({field: row.get(header or "") or "" for field, header in headers.items()}, separator)
            for row in reader
        ]
    except (csv.Error, ValueError) as error:
        raise GoldSetError(f"{path}:{reader.line_num}: {error}") from error
    return _imported([question for question in found if question.question], {})


def write_documents(folder: Path, documents: Iterable[tuple[str, str]]) -> int:
    """Write imported documents below a folder. Returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, text in documents:
        (folder / name).write_text(text, encoding="utf-8")
        count += 1
    return count


def _imported(found: list[Question], documents: Mapping[str, str]) -> Imported:
    distinct: dict[str, Question] = {}
    for question in found:
        if question.documents or question.passages or not question.answerable:
            distinct.setdefault(normalized(question.question), question)
    return Imported(tuple(distinct.values()), tuple(documents.items()), len(found) - len(distinct))


def _squad_question(question: Mapping[str, Any], name: str, context: str) -> Question:
    """One without a usable answer has no target, and is left out by that."""
    text, identity = str(question["question"] or "").strip(), str(question["id"])
    if question.get("is_impossible", False):
        return Question(identity, text, answerable=False)
    for answer in question.get("answers") or ():
        if text and isinstance(answer.get("text"), str) and isinstance(answer.get("answer_start"), int):
            sentence = _sentence_at(context, answer["answer_start"])
            return Question(identity, text, (name,), (sentence,), answer=answer["text"].strip() or None)
    return Question(identity, text)


def _sentence_at(context: str, offset: int) -> str:
    """The sentence around a character offset."""
    start = 0
    for match in _SENTENCE.finditer(context):
        if match.end() > offset:
            return context[start : match.start()].strip()
        start = match.end()
    return context[start:].strip()


def _row(cells: Mapping[str, str], separator: str) -> Question:
    text = cells["question"].strip()
    documents, passages, tags = (
        tuple(dict.fromkeys(part.strip() for part in cells[field].split(separator) if part.strip()))
        for field in LISTS
    )
    identity = cells["id"].strip() or slug(text)
    said = cells["answerable"].strip().casefold()
    if said not in YES | NO:
        raise ValueError(
            f"answerable: found {said!r}; allowed: {', '.join(sorted((YES | NO) - {''}))}, or nothing"
        )
    if said in NO:
        return Question(identity, text, tags=tags, answerable=False)
    return Question(identity, text, documents, passages, cells["answer"].strip() or None, tags)


def _markdown(title: str | None, text: str) -> str:
    return f"# {title}\n\n{text}\n" if title else f"{text}\n"


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", str(name)).strip("._") or "document"


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            yield {**value, "_id": str(value["_id"]), "text": str(value["text"])}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GoldSetError(f"{path}:{number}: not a line of a BEIR folder: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise GoldSetError(f"{path.absolute()}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GoldSetError(f"{path}: cannot be read as UTF-8 text: {error}") from error
