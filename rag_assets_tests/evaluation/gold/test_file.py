"""Gold sets: what is read, and how mistakes are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import GoldSetError
from rag_assets.evaluation.gold import GoldSet, load_gold


def write(folder: Path, *lines: str | dict[str, Any]) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def load(folder: Path, *lines: str | dict[str, Any]) -> GoldSet:
    return load_gold(write(folder, *lines))


def mistake(folder: Path, *lines: str | dict[str, Any]) -> str:
    with pytest.raises(GoldSetError) as caught:
        load(folder, *lines)
    return str(caught.value)


def test_all_fields_are_read(tmp_path: Path) -> None:
    gold = load(
        tmp_path,
        {
            "id": "q1",
            "question": "Who pays?",
            "documents": ["rent.md", "rent.md"],
            "passages": ["the landlord pays"],
            "answer": "The landlord",
            "tags": ["rent"],
        },
    )
    (question,) = gold.questions
    assert (question.id, question.documents, question.passages) == (
        "q1",
        ("rent.md",),
        ("the landlord pays",),
    )
    assert (question.answer, question.tags) == ("The landlord", ("rent",))


def test_a_question_without_id_gets_one_that_people_recognise(tmp_path: Path) -> None:
    beginning = "Who pays the rent of the house in winter"
    lines = [{"question": f"{beginning} {when}?", "documents": ["a"]} for when in ("1990", "1991")]
    first, second = (question.id for question in load(tmp_path, *lines).questions)
    assert first.startswith("who-pays-the-rent-of-the-house-in-")
    assert first != second


def test_blank_lines_a_byte_order_mark_and_line_separators_in_strings_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_bytes('\ufeff{"question": "Who\u2028now?", "documents": ["a"]}\r\n\r\n'.encode())
    assert load_gold(path).questions[0].question == "Who\u2028now?"


def test_the_digest_depends_on_content_and_not_on_order(tmp_path: Path) -> None:
    one, two = {"question": "1?", "documents": ["a"]}, {"question": "2?", "documents": ["b"]}
    assert load(tmp_path, one, two).digest == load(tmp_path, two, one).digest
    assert load(tmp_path, one, two).digest != load(tmp_path, one, two | {"documents": ["c"]}).digest


def test_a_question_whose_targets_change_is_another_task(tmp_path: Path) -> None:
    (before,) = load(tmp_path, {"id": "q", "question": "1?", "documents": ["a"]}).questions
    (tagged,) = load(tmp_path, {"id": "r", "question": "1?", "documents": ["a"], "tags": ["t"]}).questions
    (edited,) = load(tmp_path, {"id": "q", "question": "1?", "documents": ["b"]}).questions
    assert before.key == tagged.key != edited.key


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", "not valid JSON"),
        ("[1]", "found list; each line is a JSON object"),
        ({"documents": ["a"]}, "question: missing"),
        ({"question": " ", "documents": ["a"]}, "question: found ' '; must not be blank"),
        ({"question": "Who?"}, "no target"),
        ({"question": "Who?", "documents": [], "passages": []}, "no target"),
        ({"question": "Who?", "documents": "a"}, "documents: found 'a'; allowed: a list, such as [\"a\"]"),
        ({"question": "Who?", "documents": [7]}, "documents.0: found 7; input should be a valid string"),
        ({"question": "Who?", "passages": ["…!"]}, "passages.0: found '…!'; must contain a word"),
        (
            {"question": "Who?", "documents": ["a"], "tag": "x"},
            "tag: unknown field; did you mean 'tags'? allowed: question, documents",
        ),
        (
            {"question": "Who?", "document": ["a"]},
            "document: unknown field; did you mean 'documents'? allowed: question, documents",
        ),
        ({"question": " first?", "documents": ["b"]}, "question: found ' first?' again; it stands in line 1"),
        ({"id": "one", "question": "Who?", "documents": ["b"]}, "id: found 'one' again; line 1 has it"),
    ],
)
def test_a_mistake_names_file_line_and_what_is_allowed(
    tmp_path: Path, line: str | dict[str, Any], said: str
) -> None:
    message = mistake(tmp_path, {"id": "one", "question": "First?", "documents": ["a"]}, line)
    assert message.startswith(f"{tmp_path / 'gold.jsonl'}:2: ")
    assert said in message


def test_all_mistakes_are_reported_at_once_and_many_are_cut(tmp_path: Path) -> None:
    message = mistake(tmp_path, *["{"] * 25)
    assert ":20: " in message
    assert ":21: " not in message
    assert "and 5 more mistakes" in message


def test_an_empty_or_missing_gold_set_is_an_error(tmp_path: Path) -> None:
    assert "found no question" in mistake(tmp_path, "")
    with pytest.raises(GoldSetError, match="no such file"):
        load_gold(tmp_path / "missing.jsonl")


def test_an_unanswerable_question_needs_no_target_and_may_have_none(tmp_path: Path) -> None:
    (question,) = load(tmp_path, {"question": "Who sings?", "answerable": False}).questions
    assert (question.answerable, question.documents, question.answer) == (False, (), None)
    for extra in ({"documents": ["a"]}, {"passages": ["a quote"]}, {"answer": "she"}):
        assert "unanswerable" in mistake(tmp_path, {"question": "Who?", "answerable": False, **extra})


def test_a_gold_set_of_nothing_but_proposals_says_that_they_wait(tmp_path: Path) -> None:
    line = {"question": "Who?", "documents": ["a"], "accepted": False}
    assert "1 proposals wait for a person" in mistake(tmp_path, line)
