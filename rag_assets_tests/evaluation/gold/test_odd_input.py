"""Odd files are errors with a place, odd questions are left out, and a gold set is never left broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.gold import load_gold
from rag_assets.evaluation.gold.file import append_lines, read_started
from rag_assets.evaluation.gold.formats import read_beir, read_csv, read_squad
from rag_assets.evaluation.gold.question import Question

DEEP = "[" * 100_000


def squad(path: Path, *questions: Any, context: Any = "The rent is 450 euros. It is due.") -> Path:
    data = {"data": [{"title": "House", "paragraphs": [{"context": context, "qas": list(questions)}]}]}
    path.write_text(json.dumps(data))
    return path


GOOD = {"id": "1", "question": "How much?", "answers": [{"text": "450", "answer_start": 12}]}


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "2", "question": "When?", "answers": []},
        {"id": "2", "question": "When?", "answers": None},
        {"id": "2", "question": None, "answers": GOOD["answers"]},
        {"id": "2", "question": "When?", "answers": [{"text": None, "answer_start": 1}]},
        {"id": "2", "question": "When?", "answers": [{"text": "x", "answer_start": None}]},
    ],
)
def test_one_odd_question_of_a_squad_file_is_left_out_alone(tmp_path: Path, odd: dict[str, Any]) -> None:
    found = read_squad(squad(tmp_path / "s.json", GOOD, odd))
    assert ([one.id for one in found.questions], found.left_out) == (["1"], 1)


@pytest.mark.parametrize("text", [DEEP, '{"data": ["x"]}', '{"data": null}', "5"])
def test_what_is_no_squad_file_is_said_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(GoldSetError, match=r"s\.json: not a SQuAD file"):
        read_squad(path)
    with pytest.raises(GoldSetError, match="context of paragraph 1"):
        read_squad(squad(path, GOOD, context=None))


def beir(folder: Path, metadata: Any, header: str) -> Path:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "The rent is 450 euros."}\n')
    (folder / "queries.jsonl").write_text(
        json.dumps({"_id": "q", "text": "How much?", "metadata": metadata}) + "\n"
    )
    (folder / "qrels" / "test.tsv").write_text(f"{header}q\td\t1\n")
    return folder


@pytest.mark.parametrize("header", ["query-id\tcorpus-id\tscore\n", ""])
@pytest.mark.parametrize("metadata", ["x", None, {"answers": {"a": 1}}, {"answers": ["450"]}])
def test_judgements_of_a_beir_folder_count_with_and_without_a_header(
    tmp_path: Path, metadata: Any, header: str
) -> None:
    (found,) = read_beir(beir(tmp_path, metadata, header)).questions
    assert found.documents == ("d.md",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('question,documents\n"How much?,a.md\n', "unexpected end of data"),
        (f"question,documents\n{'x' * 200_000},a.md\n", "field larger"),
        (
            "question,answerable\nHow much?,falsch\n",
            "found 'falsch'; allowed: 0, 1, false, n, no, true, y, yes",
        ),
    ],
)
def test_an_odd_table_is_an_error_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(GoldSetError, match=rf"t\.csv:\d+: .*{reason}"):
        read_csv(path, {})


def test_only_line_ends_end_a_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("question,documents\nA\u2028 b\x0b c?,a.md\n", newline="")
    assert [one.question for one in read_csv(path, {}).questions] == ["A\u2028 b\x0b c?"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (DEEP, "nested too deeply"),
        (f'{{"question": {"9" * 5000}, "documents": ["a.md"]}}', "a number of too many digits"),
        (f'{{"question": {"9" * 4000}, "documents": ["a.md"]}}', r"question: found 9+\.\.\.; input"),
        ('{"question": "\\ud800?", "documents": ["a.md"]}', "lone surrogate"),
        ('{"question": "A?", "documents": ["a.md"], "tags": ["t\\u0001"]}', "control character"),
        ('{"question": "A?", "documents": ["a.md"], "id": "t\\u001b[1m"}', "control character"),
    ],
)
def test_an_odd_line_is_a_mistake_with_its_place(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(GoldSetError, match=rf"gold\.jsonl:1: .*{reason}"):
        load_gold(path)


def asked(name: str, document: str = "a.md") -> Question:
    return Question(name, f"What of {document}?", (document,))


def unchanged(path: Path, act: Callable[[], object]) -> str:
    before = path.read_text()
    with pytest.raises(GoldSetError) as caught:
        act()
    assert path.read_text() == before
    return str(caught.value)


def test_a_gold_set_is_never_left_with_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    assert append_lines(path, [asked("1")]) == 1
    assert append_lines(path, [asked("1"), asked("2", "b.md")]) == 1, "what is there already is left out"
    said = unchanged(path, lambda: append_lines(path, [asked("3", "c.md"), asked("2", "d.md")]))
    assert "found '2' again" in said
    assert [one.id for one in load_gold(path).questions] == ["1", "2"]


def test_proposals_can_begin_a_gold_set(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    assert read_started(path).questions == ()
    append_lines(path, [asked("1")], accepted=False)
    append_lines(path, [asked("2", "b.md")], accepted=False)
    assert len(read_started(path).proposals) == 2
    with pytest.raises(GoldSetError, match="2 proposals wait"):
        load_gold(path)
