"""Public question sets with reference answers, each as questions and the documents that they ask about.

files of a set → questions as a gold set has them, and its documents: Markdown made of the set's own texts,
or files as they come. What a reader leaves out, it counts. Tags say which kind of question it is, so that a
report shows which kinds fail.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rag_assets.evaluation.gold.file import normalized, slug
from rag_assets.evaluation.gold.formats import Imported, read_beir, read_squad, write_documents
from rag_assets.evaluation.gold.question import Question

# Where an answer of SEC 10-Q was found: names of files and sections, which are no part of the answer.
SOURCE_NOTE = re.compile(r"\s*(?:\(SOURCE: [^)\n]*\)|SOURCE\(S\):.*)")
ANSWERABLE, UNANSWERABLE = "ANSWERABLE", "UNANSWERABLE"
TURNS = 2
"""Turns of the user that make a question of MTRAG; see ``read_mtrag``."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions and their documents.

    Attributes:
        imported: questions, and the documents that become Markdown files.
        files: documents that are files already; their names are their ids.
    """

    imported: Imported
    files: tuple[Path, ...] = ()

    def first(self, count: int) -> QuestionSet:
        """The first questions and only the documents that they want: as small as a set can be."""
        questions = self.imported.questions[:count]
        wanted = {name for question in questions for name in question.documents}
        documents = tuple(one for one in self.imported.documents if one[0] in wanted)
        files = tuple(path for path in self.files if path.name in wanted)
        return QuestionSet(Imported(questions, documents, self.imported.left_out), files)

    def write(self, folder: Path) -> None:
        """Put all documents into a folder, so that a folder source gives them the ids that the questions name."""
        write_documents(folder, self.imported.documents)
        for path in self.files:
            shutil.copyfile(path, folder / path.name)


def question_sets(data: Path) -> dict[str, QuestionSet]:
    """All sets. ``data``: folder with the real data."""
    qa = data / "qa"
    return {
        "squad2": QuestionSet(read_squad(qa / "squad2-unanswerable" / "small.json")),
        "clapnq": QuestionSet(read_beir(data / "retrieval" / "clapnq")),
        "mtrag": QuestionSet(
            read_mtrag(qa / "mtrag" / "mtragun-human" / "generation_tasks" / "reference.jsonl")
        ),
        "tatqa": QuestionSet(read_tatqa(qa / "tatqa-dev" / "tatqa_dataset_dev.json")),
        "sec-10q": read_sec10q(qa / "sec-10q" / "data" / "v1"),
    }


def read_mtrag(path: Path) -> Imported:
    """MTRAG-UN: the last turn of a conversation, with the passages from which people answered it.

    Its corpora are absent, so the passages of all tasks together are the documents; a passage that stands
    there under two ids is one document. The set holds no rewritten questions. Most last turns depend on
    what was said before, so the user's turn before the last stands in front of it.

    Tasks that are partly answerable or underspecified are left out: a good answer to these says what it
    lacks or asks back, which is neither an answer nor an abstention.
    """
    names: dict[str, str] = {}
    found = []
    tasks = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for task in tasks:
        targets = [
            names.setdefault(passage["text"].strip(), f"{passage['document_id']}.md")
            for passage in task["contexts"]
        ]
        turns = [turn["text"].strip() for turn in task["input"] if turn["speaker"] == "user"]
        identity, question, tags = task["task_id"], "\n".join(turns[-TURNS:]), (task["Collection"],)
        (label,) = task["answerability"]
        if label == ANSWERABLE:
            answer = task["targets"][0]["text"].strip()
            found.append(Question(identity, question, tuple(dict.fromkeys(targets)), (), answer, tags))
        elif label == UNANSWERABLE:
            found.append(Question(identity, question, tags=tags, answerable=False))
    documents = {name: f"{text}\n" for text, name in names.items()}
    return _imported(found, documents, len(tasks))


def read_tatqa(path: Path) -> Imported:
    """TAT-QA: questions about a table of an annual report and the paragraphs around it.

    Each context is one document, the table first: the set does not say between which paragraphs it stood.
    """
    documents: dict[str, str] = {}
    found = []
    for context in json.loads(path.read_text(encoding="utf-8")):
        name = f"{context['table']['uid']}.md"
        paragraphs = sorted(context["paragraphs"], key=lambda paragraph: int(paragraph["order"]))
        texts = [_table(context["table"]["table"]), *(paragraph["text"].strip() for paragraph in paragraphs)]
        documents[name] = "\n\n".join(texts) + "\n"
        for question in context["questions"]:
            tags = (question["answer_type"],)
            text = question["question"].strip()
            found.append(Question(question["uid"], text, (name,), (), _tatqa_answer(question), tags))
    return _imported(found, documents, len(found))


def read_sec10q(folder: Path) -> QuestionSet:
    """SEC 10-Q: quarterly reports of five companies as PDF files; a question wants one of them, or a company's four.

    The answers were drafted by a language model and corrected by people. Their notes on sources are left out.
    """
    files = tuple(sorted((folder / "docs").glob("*.pdf")))
    with (folder / "qna_data.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = []
    for row in rows:
        targets = tuple(path.name for path in files if fnmatchcase(path.stem, row["Source Docs"].strip()))
        assert targets, f"no file fits {row['Source Docs']!r}"
        answer = SOURCE_NOTE.sub("", row["Answer"]).strip()
        text = row["Question"].strip()
        found.append(Question(slug(text), text, targets, (), answer or None, (row["Question Type"],)))
    return QuestionSet(_imported(found, {}, len(rows)), files)


def _imported(found: Iterable[Question], documents: Mapping[str, str], total: int) -> Imported:
    """Each question once: a gold set cannot ask the same words twice, and no search could tell them apart."""
    distinct: dict[str, Question] = {}
    for question in found:
        distinct.setdefault(normalized(question.question), question)
    return Imported(tuple(distinct.values()), tuple(documents.items()), total - len(distinct))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; its head is the first row, whatever that holds."""
    lines = ["| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _tatqa_answer(question: Mapping[str, Any]) -> str:
    """The answer with its scale; several parts in one line."""
    answer = question["answer"]
    said = "; ".join(answer) if isinstance(answer, list) else str(answer)
    return said if question["scale"] in said else f"{said} {question['scale']}"
