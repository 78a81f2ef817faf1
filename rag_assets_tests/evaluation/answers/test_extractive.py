"""The extractive generator quotes: what it says stands in a context, statement by statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets import corpus
from rag_assets.evaluation.answers.extractive import ExtractiveGenerator, joined
from rag_assets.evaluation.answers.generator import Answer, Context, Task
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.store.objects import ObjectStore

TABLE = """# Emissions

| scope | 2019 | 2018 |
|---|---|---|
| 2) Scope 1 | 87,128 | 90,000 |
| Scope 2 | 12,000 | 13,500 |

- Scope 1 is direct. It counts fuel.
- Scope 2 is bought
"""


@pytest.mark.parametrize(
    "text", [TABLE, "One. Two! Three?", "A heading\n\nProse. More prose.", "a\n\nb\n\nc"]
)
def test_joined_statements_are_found_again(text: str) -> None:
    found = sentences(text)
    assert sentences(joined(found)) == found


def test_every_statement_of_an_answer_stands_in_a_context_that_it_cites(tmp_path: Path) -> None:
    generator = ExtractiveGenerator(
        corpus.Extractive(type="extractive", sentences=4), ObjectStore.open(str(tmp_path))
    )
    contexts = (Context("c1", "a.md", "Emissions", TABLE), Context("c2", "b.md", "Other", "Bins are red."))
    (answer,) = generator.answer([Task("What are the emissions of Scope 1 and Scope 2?", contexts)])
    assert isinstance(answer, Answer) and not answer.abstained
    assert set(sentences(answer.text)) <= set(sentences(TABLE))
    assert answer.citations == (0,)
