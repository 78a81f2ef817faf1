"""Question sets of other formats become gold sets that load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.gold import load_gold
from rag_assets.evaluation.gold.file import append_lines
from rag_assets.evaluation.gold.formats import Imported, read_beir, read_csv, read_squad, write_documents


def reloaded(found: Imported, folder: Path) -> dict[str, tuple[tuple[str, ...], str | None, bool]]:
    """What is left after a way through a file: targets, answer and answerability by question."""
    append_lines(folder / "gold.jsonl", found.questions)
    return {
        question.question: (question.documents, question.answer, question.answerable)
        for question in load_gold(folder / "gold.jsonl").questions
    }


def beir(folder: Path) -> Path:
    lines = {
        "corpus.jsonl": [
            {"_id": "d/1", "title": "Rent", "text": "The tenant pays."},
            {"_id": 2, "text": "No title."},
        ],
        "queries.jsonl": [
            {"_id": "q1", "text": "Who pays?", "metadata": {"answers": ["The tenant"]}},
            {"_id": "q2", "text": "who  PAYS?"},
            {"_id": "q3", "text": "Who sings?", "metadata": {"answerable": False}},
            {"_id": "q4", "text": "Never judged?"},
        ],
    }
    (folder / "qrels").mkdir(parents=True)
    for name, rows in lines.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td/1\t1\nq1\t2\t0\nq2\t2\t1\n")
    return folder


def test_a_beir_folder_gives_questions_documents_and_unanswerable_questions(tmp_path: Path) -> None:
    found = read_beir(beir(tmp_path / "set"))
    assert reloaded(found, tmp_path) == {
        "Who pays?": (("d_1.md",), "The tenant", True),
        "Who sings?": ((), None, False),
    }
    assert found.left_out == 2
    assert write_documents(tmp_path / "docs", found.documents) == 2
    assert (tmp_path / "docs" / "d_1.md").read_text() == "# Rent\n\nThe tenant pays.\n"


def test_a_damaged_beir_folder_names_file_and_line(tmp_path: Path) -> None:
    folder = beir(tmp_path / "set")
    (folder / "qrels" / "test.tsv").write_text("h\nq1\tnowhere\t1\n")
    with pytest.raises(GoldSetError, match=r"test\.tsv:2: found 'q1"):
        read_beir(folder)
    (folder / "queries.jsonl").write_text('{"text": "no id"}\n')
    (folder / "qrels" / "test.tsv").write_text("h\n")
    with pytest.raises(GoldSetError, match=r"queries\.jsonl:1"):
        read_beir(folder)
    with pytest.raises(GoldSetError, match=r"train\.tsv: no such file"):
        read_beir(folder, "train")


def test_a_squad_file_gives_the_sentence_of_each_answer_as_passage(tmp_path: Path) -> None:
    context = "Normandy lies in France. The Normans came in the 10th century. They stayed."
    answered = {"id": "1", "question": "When?", "answers": [{"text": "10th century", "answer_start": 49}]}
    impossible = {"id": "2", "question": "Why?", "is_impossible": True, "answers": []}
    article = {"title": "The Normans", "paragraphs": [{"context": context, "qas": [answered, impossible]}]}
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [article]}))
    found = read_squad(path)
    assert found.questions[0].passages == ("The Normans came in the 10th century.",)
    assert reloaded(found, tmp_path) == {
        "When?": (("The_Normans-00000.md",), "10th century", True),
        "Why?": ((), None, False),
    }
    path.write_text("[]")
    with pytest.raises(GoldSetError, match="not a SQuAD file"):
        read_squad(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_with_any_usual_delimiter_and_other_headers(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["Question", "Source Docs", "answer", "answerable"],
        ["Who pays?", "a.md|b.md", "The tenant", ""],
        ["Who sings?", "", "", "no"],
        ["No target?", "", "x", "yes"],
    ]
    path = tmp_path / "set.csv"
    path.write_text("\ufeff" + "\n".join(delimiter.join(row) for row in rows))
    found = read_csv(path, {"documents": "source docs"}, separator="|")
    assert reloaded(found, tmp_path) == {
        "Who pays?": (("a.md", "b.md"), "The tenant", True),
        "Who sings?": ((), None, False),
    }
    assert found.left_out == 1


def test_a_table_without_the_columns_says_which_it_has(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("query,docs\nx,y\n")
    with pytest.raises(GoldSetError, match="no column 'question'; found query, docs"):
        read_csv(path, {})
    with pytest.raises(GoldSetError, match="no column 'files'"):
        read_csv(path, {"question": "query", "documents": "files"})
    path.write_text("")
    with pytest.raises(GoldSetError, match="empty"):
        read_csv(path, {})
