"""Answers from search to judgement on public question sets, questions that nobody can answer among them.

question set (``question_sets``) → documents and gold set → ``rag-assets run`` with the extractive generator and
the local judge → the report's figures. ``python -m benchmarks.answers DATA`` prints the generator's weights,
fitted on one half of two sets.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.project import Project
from benchmarks.question_sets import question_sets
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from rag_assets.evaluation.answers.extractive import best_sentence
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.evaluation.gold.file import append_lines

METRICS = (
    "answered",
    "abstention",
    "faithfulness",
    "answer_correctness",
    "contextual_recall",
    "contextual_precision",
)
CONTEXTS = 3
QUICK_SETS, QUICK_QUESTIONS = ("squad2", "sec-10q"), 10
FITTED = ("squad2", "clapnq")
"""Sets on whose halves the generator's abstention was fitted."""

TEXT = """\
Public question sets through the whole pipeline with the default models: hybrid search, the extractive generator over \
three contexts, the local judge. Nothing here is a language model: these are the figures that one has to beat. Every \
set is hard for it in a way of its own:

- **squad2, clapnq**: paragraphs of Wikipedia. No document answers about half of the questions, which were written to \
look answerable; telling them apart by words and vectors alone is hardly possible. The generator's abstention was \
fitted on one half of these two sets; the others are new to it.
- **mtrag**: the last turns of conversations (MTRAG-UN). Most depend on what was said before and the set has no \
rewritten questions, so the user's turn before the last stands in front; where even that is not enough, search cannot \
know what is meant. The set's corpora are absent: the documents are the passages that people used for any of its \
tasks, which is an easier search than among all passages. A question wants all of its passages (2.7 on average), so \
that recall@3 cannot exceed 0.93. Partly answerable and underspecified tasks are left out.
- **tatqa**: tables of annual reports with the paragraphs around them (TAT-QA). Its questions were written for a reader \
who has the table at hand ("What was the net income in 2019?") and rarely name the company: many fit several \
documents, and only one counts. Where the same words are asked of several, the first counts and the others are left \
out. 45 % want a number that must be calculated or counted: who only quotes cannot answer them.
- **sec-10q**: 20 quarterly reports of five companies as PDF files. The four reports of a company repeat whole \
passages of each other, and a third of the questions want all four: recall@3 cannot exceed 0.92, and three passages \
hardly hold such an answer. The reference answers are long, were drafted by a language model that had read whole \
reports, and were corrected by people; in some, quotation marks are garbled. None of the questions is marked as \
unanswerable, though some references say that the report does not tell.\
"""


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``answers`` and ``time``, one per set."""
    rows: list[Row] = []
    times: list[Row] = []
    sets = question_sets(setting.data)
    if setting.quick:
        sets = {name: sets[name].first(QUICK_QUESTIONS) for name in QUICK_SETS}
    for name, found in sets.items():
        root = setting.scratch / name
        asked = found.imported.questions
        found.write(root / "documents")
        append_lines(root / "gold.jsonl", asked)
        evaluation = {"gold": str(root / "gold.jsonl"), "answers": {"contexts": CONTEXTS}}
        project = Project(root / "project", root / "documents", ["**/*"], evaluation=evaluation)
        run = project.run()
        report = project.report()
        means = {
            row["metric"]: row["value"]
            for row in report["metrics"]
            if row["tag"] is None and row["mode"] == "hybrid"
        }
        rows.append(
            {
                "set": name,
                "documents": run.stages["documents"]["new"],
                "chunks": run.stages["candidate"]["rows"],
                "questions": len(asked),
                "left_out": found.imported.left_out,
                "unanswerable": sum(not question.answerable for question in asked),
                "recall@3": means["recall@3"],
                **{metric: means.get(metric) for metric in METRICS},
            }
        )
        seconds = sum(run.stages[stage]["seconds"] for stage in ("answers", "judgements"))
        bare = sum(cost["seconds"] for cost in report["costs"] if cost["step"] in ("answers", "judgements"))
        times.append(
            {
                "set": name,
                "questions": len(asked),
                "seconds": seconds,
                "bare": bare,
                "ratio": seconds / bare,
                "per_question": 1000 * seconds / len(asked),
                "peak": run.peak_bytes / 1e9,
            }
        )
        shutil.rmtree(root)
    return {"answers": rows, "time": times}


def fit(data: Path) -> None:
    """Print the weights of "the contexts answer the question", and what they reach on the other half."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    vectors = SentenceVectors()
    features, labels = [], []
    sets = question_sets(data)
    for found in (sets[name].imported for name in FITTED):
        texts = [text for _, text in found.documents]
        known = dict(vectors.of([*texts, *(question.question for question in found.questions)]))
        known |= vectors.of(sentence for text in texts for sentence in sentences(text))
        matrix = np.stack([known[text] for text in texts])
        for question in found.questions:
            nearest = np.argsort(-(matrix @ known[question.question]))[:CONTEXTS]
            pieces = list(dict.fromkeys(piece for place in nearest for piece in sentences(texts[place])))
            features.append(best_sentence(question.question, pieces, known).features)
            labels.append(question.answerable)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = np.array(features)[order], np.array(labels)[order]
    model = LogisticRegression().fit(x[::2], y[::2])
    reached = roc_auc_score(y[1::2], model.predict_proba(x[1::2])[:, 1])
    print(
        f"intercept {model.intercept_[0]:.2f}, weights {np.round(model.coef_[0], 2)}, AUROC of the rest {reached:.3f}"
    )


BENCHMARK = Benchmark(
    name="answers",
    title="Answers, end to end",
    text=TEXT,
    tables=(
        Table(
            "answers",
            (
                Column("set", "set"),
                Column("documents", "documents", ","),
                Column("chunks", "chunks", ","),
                Column("questions", "questions", ","),
                Column("left_out", "left out", ","),
                Column("unanswerable", "unanswerable", ","),
                Column("recall@3", "recall@3", ".3f"),
                *(Column(metric, metric.replace("_", " "), ".3f") for metric in METRICS),
            ),
            below=(
                "Left out: questions that are repeated, or neither answerable nor unanswerable. Recall@3 ranks "
                "documents; what stands right of it rests on the three passages that an answer is made from. "
                "Answered: share of answerable questions that were answered. Abstention: share of the others that "
                "were not; a dash where a set has none."
            ),
        ),
        Table(
            "time",
            (
                Column("set", "set"),
                Column("questions", "questions", ","),
                Column("seconds", "answers and judgements s", ".1f"),
                Column("bare", "bare generator and judge s", ".1f"),
                Column("ratio", "ratio", ".2f"),
                Column("per_question", "ms per question", ".0f"),
                Column("peak", "peak GB", ".2f"),
            ),
            above="What the steps take beside the bare calls of generator and judge (goal: a ratio of 1.1):",
            below=(
                "The goal is missed here because the calls cost so little: without a language model, and with each "
                "sentence embedded once, what stands beside them (searching contexts, reading and writing stores) "
                "weighs. It is the difference of the two columns, ten to twenty milliseconds per question; a language "
                "model takes hundreds."
            ),
        ),
    ),
    measure=measure,
)

if __name__ == "__main__":
    fit(Path(sys.argv[1]))
