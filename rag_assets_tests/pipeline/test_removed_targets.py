"""What a change removes counts as lost until a person restores it or retires the questions; and restoring is no gain."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_assets.errors import GateRefused
from rag_assets.evaluation.report.report import Report
from rag_assets.pipeline.status import status
from rag_assets.publication.publish import rollback
from rag_assets.store.erasures import Demand, ErasureLog
from rag_assets_tests.house_rules import (
    ALL_FOUND,
    NO_STEP_BACK,
    THINGS,
    ask,
    asked,
    configure,
    fact,
    fresh,
    page,
    remove,
)
from rag_assets_tests.workspace import Workspace


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the twelve documents, published without a rule."""
    found = fresh(tmp_path_factory.mktemp("published"))
    found.run()
    return Path(found.store)


@pytest.fixture
def bare(tmp_path: Path, store: Path) -> Workspace:
    """Twelve published documents and a question on each; no rule forbids anything."""
    shutil.copytree(store, tmp_path / "store")
    return fresh(tmp_path)


@pytest.fixture
def made(bare: Workspace) -> Workspace:
    """The same with a rule that forbids a step back."""
    configure(bare, NO_STEP_BACK)
    return bare


def evaluated(made: Workspace) -> Report:
    """The report on the candidate that the documents and the corpus file give now."""
    pipeline, _ = made.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    if pipeline.standards.models is not None:
        pipeline.answers()
        pipeline.judgements()
    return pipeline.evaluate()[0]


def published(made: Workspace) -> int:
    head = made.pipeline()[0].log.head()
    return head.number if head else 0


def value(report: Report, metric: str = "recall@5") -> float:
    row = report.metric(metric)
    assert row is not None
    return row.value


def refused(made: Workspace) -> Report:
    """The gate and publishing refuse the same, each for itself, and readers keep what they have."""
    report, before = evaluated(made), published(made)
    assert report.gate == "refused"
    with pytest.raises(GateRefused, match=r"(gone|quarantined) since publication"):
        made.pipeline()[0].publish(reason="test", by="tests")
    assert published(made) == before
    return report


def test_a_removed_document_costs_its_questions_and_is_named(made: Workspace) -> None:
    remove(made, "rent")
    report = refused(made)
    assert [one.question_id for one in report.lost] == ["rent"]
    assert report.stale == ()
    assert value(report) == pytest.approx(11 / 12)
    assert report.removed == (
        "gone since publication 1: rent.md (1 question): restore it, or retire the question",
    )
    (outcome,) = report.verdict.outcomes
    assert (outcome.baseline, outcome.n, outcome.questions) == (1.0, 12, ("rent",))
    assert [(one.question_id, one.stage, one.new) for one in report.diagnoses] == [("rent", "sources", True)]


def test_it_stays_lost_from_run_to_run_while_readers_have_it(made: Workspace) -> None:
    remove(made, "rent")
    refused(made)
    made.write("lift.md", page("lift") + "\nEdited.\n")
    report = refused(made)
    assert [one.question_id for one in report.lost] == ["rent"]


def test_a_floor_counts_it_too(bare: Workspace) -> None:
    configure(bare, ALL_FOUND)
    remove(bare, "rent")
    assert refused(bare).verdict.outcomes[0].value == pytest.approx(11 / 12)


def test_a_document_that_is_quarantined_now_is_named_and_counts_zero(made: Workspace) -> None:
    made.write("rent.md", "")
    report = refused(made)
    assert report.removed == (
        "quarantined since publication 1: rent.md (1 question): mend it, or retire the question",
    )
    assert [one.stage for one in report.diagnoses] == ["parsing"]


def test_a_passage_that_no_document_holds_any_more_is_named_and_counts_zero(made: Workspace) -> None:
    ask(made, *(asked(thing, documents=[], passages=[fact(thing)]) for thing in THINGS))
    made.write("rent.md", "# The rent\n\nAnother text about something else.\n")
    report = refused(made)
    assert report.removed[0].startswith("gone since publication 1: “Under the rent rules")
    (diagnosis,) = report.diagnoses
    assert (diagnosis.stage, diagnosis.evidence) == (
        "sources",
        f"no document holds “{fact('rent')}” any more",
    )
    remove(made, "rent")
    assert [one.question_id for one in refused(made).lost] == ["rent"]


def test_a_passage_that_moved_to_another_document_is_not_lost(made: Workspace) -> None:
    ask(made, *(asked(thing, documents=[], passages=[fact(thing)]) for thing in THINGS))
    remove(made, "rent")
    made.write("moved.md", page("rent"))
    report = evaluated(made)
    assert (report.lost, report.gate) == ((), "passed")


def test_a_question_that_lost_one_of_its_targets_is_lost(made: Workspace) -> None:
    both = asked("rent", question="What of the rent and of the lift?", documents=["rent.md", "lift.md"])
    ask(made, both, *map(asked, THINGS[2:]))
    remove(made, "lift")
    report = refused(made)
    assert [[target.text for target in one.targets] for one in report.lost] == [["lift.md"]]
    assert value(report, "success@5") == pytest.approx(10 / 11), "also where one target is left"


def test_what_a_document_was_renamed_to_is_asked_for(made: Workspace) -> None:
    (made.documents / "rent.md").rename(made.documents / "lease.md")
    (made.documents / "lift.md").unlink()
    made.write("house/lift.md", "# The lift\n\nThe same file name and another text.\n")
    first, second = refused(made).removed
    assert "lift.md (1 question; is it house/lift.md now?): restore it, name the new place" in first
    assert "rent.md (1 question; is it lease.md now?)" in second
    ask(
        made,
        *map(asked, THINGS[2:]),
        asked("rent", documents=["lease.md"]),
        asked("lift", documents=["house/lift.md"]),
    )
    report = evaluated(made)
    assert (report.lost, report.gate) == ((), "passed")
    row = report.difference("recall@5")
    assert row is not None and (row.n, row.difference) == (10, 0.0), "what was renamed is no gain"


@pytest.mark.parametrize("act", ["remove the line", "retired"])
def test_a_person_retires_the_questions_and_the_rest_compares_as_before(made: Workspace, act: str) -> None:
    remove(made, "rent")
    refused(made)
    rest = [asked(thing) for thing in THINGS[1:]]
    ask(made, *rest, *([asked("rent", retired=True)] if act == "retired" else []))
    report = evaluated(made)
    assert (report.gate, report.lost, report.stale, report.questions) == ("passed", (), (), 11)
    assert [(row.n, row.difference) for row in report.comparison if row.mode == "hybrid"] == [(11, 0.0)] * 7
    made.run()
    assert published(made) == 2


def test_restoring_what_was_refused_finds_nothing_to_publish(made: Workspace) -> None:
    remove(made, "rent")
    refused(made)
    made.write("rent.md", page("rent"))
    report = evaluated(made)
    assert (report.gate, report.lost) == ("passed", ())
    made.run()
    assert published(made) == 1


@pytest.mark.parametrize("kind", ["documents", "passages"])
def test_restoring_what_was_published_without_is_no_gain_that_hides_a_loss(
    bare: Workspace, kind: str
) -> None:
    made = bare
    if kind == "passages":
        ask(made, *(asked(thing, documents=[], passages=[fact(thing)]) for thing in THINGS))
    remove(made, "rent")
    made.run()
    assert published(made) == 2, "no rule forbade it"
    made.configure(evaluation={"gold": "gold.jsonl", "max_stale_share": 1.0}, gate={"rules": [NO_STEP_BACK]})
    made.write("rent.md", page("rent"))
    report = evaluated(made)
    row = report.difference("recall@5")
    assert row is not None and (row.n, row.improved) == (11, 0)
    assert (report.restored, report.gate, value(report)) == (("rent",), "passed", 1.0)
    remove(made, "lift")
    report = refused(made)
    row = report.difference("recall@5")
    assert row is not None and (row.improved, row.worse) == (0, 1)


def test_what_was_gone_before_it_was_asked_for_is_stale_and_not_counted(bare: Workspace) -> None:
    ask(bare, *(asked(thing) for thing in THINGS if thing != "rent"))
    remove(bare, "rent")
    bare.run()
    ask(bare)
    bare.write("lift.md", page("lift") + "\nEdited.\n")
    report = evaluated(bare)
    assert ([one.question_id for one in report.stale], report.lost) == (["rent"], ())
    assert value(report) == 1.0
    assert any("Correct or retire them" in warning for warning in report.warnings)


@pytest.mark.parametrize("kind", ["document", "passage"])
def test_a_loss_that_was_published_counts_until_a_person_ends_it(bare: Workspace, kind: str) -> None:
    questions = [asked(thing) for thing in THINGS]
    if kind == "passage":
        questions = [asked(thing, documents=[], passages=[fact(thing)]) for thing in THINGS]
    ask(bare, *questions)
    remove(bare, "rent")
    bare.run()
    assert published(bare) == 2, "no rule forbids it"
    bare.write("lift.md", page("lift") + "\nEdited.\n")
    bare.run()
    # Two publications later, and now there is a rule.
    configure(bare, ALL_FOUND)
    bare.write("lift.md", page("lift") + "\nEdited again.\n")
    report = refused(bare)
    assert [one.question_id for one in report.lost] == ["rent"]
    assert report.removed[0].startswith("gone since publication 1: ")
    assert value(report) == pytest.approx(11 / 12)
    ask(bare, *({**one, "retired": one["id"] == "rent"} for one in questions))
    assert evaluated(bare).gate == "passed"


def test_restoring_a_loss_that_was_published_ends_it_and_is_no_gain(bare: Workspace) -> None:
    remove(bare, "rent")
    bare.run()
    bare.write("lift.md", page("lift") + "\nEdited.\n")
    bare.run()
    bare.write("rent.md", page("rent"))
    report = evaluated(bare)
    assert (report.lost, report.restored) == ((), ("rent",))
    bare.run()
    bare.write("lift.md", page("lift") + "\nEdited again.\n")
    report = evaluated(bare)
    assert (report.lost, report.restored) == ((), ())


@pytest.mark.parametrize("gold", ["the same", "another one"])
def test_a_lost_index_does_not_let_a_removal_through(bare: Workspace, gold: str) -> None:
    configure(bare, ALL_FOUND)
    shutil.rmtree(Path(bare.store) / "index")
    if gold == "another one":
        ask(bare, *(asked(thing) for thing in THINGS), asked("lift", id="again", question="And the lift?"))
    remove(bare, "rent")
    for _ in range(2):
        report = evaluated(bare)
        assert report.gate == "refused"
        assert [one.question_id for one in report.lost] == ["rent"]
        assert report.removed == (
            "gone since publication 1: rent.md (1 question): restore it, or retire the question",
        )
        with pytest.raises(GateRefused, match="gone since publication 1"):
            bare.run()
    assert published(bare) == 0
    refusal = status(bare.objects, bare.corpus)["refused"]
    assert (refusal["publication"], "gone since publication 1" in str(refusal["reasons"])) == (None, True)
    bare.write("rent.md", page("rent"))
    bare.run()
    assert published(bare) == 1


def test_lost_records_let_no_removal_be_refused_for_ever(bare: Workspace) -> None:
    bare.write("extra.md", "# Extra\n\nNo question asks for this.\n")
    bare.run()
    shutil.rmtree(Path(bare.store) / "corpora")
    (bare.documents / "extra.md").unlink()
    bare.run()
    assert "extra.md" not in set(bare.rows(vectors=False)["document_id"])


def test_before_the_first_publication_nothing_is_lost(tmp_path: Path) -> None:
    made = fresh(tmp_path, ALL_FOUND)
    remove(made, "rent")
    report = evaluated(made)
    assert ([one.question_id for one in report.stale], report.lost, report.gate) == (["rent"], (), "passed")


def test_questions_that_came_after_the_publication_are_lost_with_their_documents(made: Workspace) -> None:
    ask(made, *(asked(thing, question=f"What of the {thing} rules and working days?") for thing in THINGS))
    remove(made, "rent")
    assert [one.question_id for one in refused(made).lost] == ["rent"]


def test_after_a_rollback_it_is_compared_with_what_readers_see_again(bare: Workspace) -> None:
    remove(bare, "rent")
    bare.run()
    rollback(bare.objects, bare.name, 1, reason="it was needed", by="tests")
    bare.write("lift.md", page("lift") + "\nEdited.\n")
    assert evaluated(bare).removed == (
        "gone since publication 3: rent.md (1 question): restore it, or retire the question",
    )


def test_what_readers_see_already_has_lost_nothing_to_what_a_rollback_took_back(bare: Workspace) -> None:
    bare.write(
        "attic.md", "# The attic\n\nUnder the attic rules tenants wait 30 working days for an answer.\n"
    )
    bare.run()
    rollback(bare.objects, bare.name, 1, reason="too early", by="tests")
    ask(bare, *map(asked, THINGS), asked("rent", id="q", question="Attic rules?", documents=["attic.md"]))
    configure(bare, ALL_FOUND)
    report = evaluated(bare)
    assert ([one.question_id for one in report.stale], report.lost, report.gate) == (["q"], (), "passed")


def test_questions_on_nothing_but_new_documents_do_not_stop_a_publication(made: Workspace) -> None:
    for thing in THINGS:
        (made.documents / f"{thing}.md").rename(made.documents / f"new-{thing}.md")
    ask(made, *(asked(thing, documents=[f"new-{thing}.md"]) for thing in THINGS))
    configure(made, NO_STEP_BACK, removed=1.0)
    report = evaluated(made)
    assert report.verdict.outcomes[0].reason == "no published evaluation to compare with"
    made.run()
    assert published(made) == 2


def test_a_rule_on_a_tag_of_new_documents_alone_passes(made: Workspace) -> None:
    made.write(
        "attic.md", "# The attic\n\nUnder the attic rules tenants wait 30 working days for an answer.\n"
    )
    new = asked("rent", id="attic", question="What of the attic rules?", documents=["attic.md"], tags=["new"])
    ask(made, *map(asked, THINGS), new)
    configure(made, NO_STEP_BACK, NO_STEP_BACK | {"tag": "new"})
    made.run()
    assert published(made) == 2


@pytest.mark.slow
def test_answers_to_lost_questions_count_zero_as_well(tmp_path: Path) -> None:
    rule = {"metric": "answered", "max_drop": 0.05}
    made = fresh(tmp_path, rule, answers={"contexts": 2})
    ask(made, *(asked(thing, answer=fact(thing)) for thing in THINGS))
    made.run()
    remove(made, "rent")
    report = refused(made)
    for metric in ("answered", "faithfulness", "answer_relevancy", "answer_correctness"):
        found = report.difference(metric)
        assert found is not None
        assert (found.n, found.candidate) == (12, pytest.approx(found.published * 11 / 12, abs=0.05)), metric


def test_too_many_lost_questions_are_refused_without_a_rule_and_told_to_be_restored(bare: Workspace) -> None:
    configure(bare, max_stale_share=0.1)
    for thing in THINGS[:3]:
        remove(bare, thing)
    (problem,) = refused(bare).verdict.problems
    assert problem.startswith("3 of 12 gold questions want documents that are not in the corpus")
    assert "restore them, or retire the questions" in problem


def test_the_slice_of_removed_documents_is_not_silently_empty(made: Workspace) -> None:
    for thing in THINGS:
        made.write(f"{thing}.md", f"---\ntenant: {thing}\n---\n{page(thing)}")
    made.run()
    remove(made, "rent")
    rows = [row for row in evaluated(made).slices if row.slice == "tenant: rent"]
    assert [(row.candidate, row.published) for row in rows] == [(0.0, 1.0)]


def test_what_must_be_erased_is_not_asked_back(made: Workspace) -> None:
    pipeline, _ = made.pipeline()
    snapshot = pipeline.context.snapshots.latest().number
    ErasureLog(made.objects, made.name).commit({"rent.md": Demand("e1", datetime.now(UTC), snapshot)})
    report = evaluated(made)
    assert ([one.question_id for one in report.stale], report.lost, report.gate) == (["rent"], (), "passed")


@pytest.mark.parametrize("lost", ["00000001.json", "buckets"])
def test_a_lost_snapshot_of_what_is_published_does_not_let_a_removal_through(
    made: Workspace, lost: str
) -> None:
    root = f"corpora/{made.name}/snapshots"
    before = {info.path for info in made.objects.list(f"{root}/{lost}" if lost == "buckets" else root)}
    remove(made, "rent")
    pipeline, _ = made.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    made.objects.delete(path for path in before if lost in path)
    report, _ = pipeline.evaluate()
    assert [one.question_id for one in report.lost] == ["rent"]


def test_a_passage_that_never_stood_anywhere_is_the_gold_sets_fault_and_no_loss(made: Workspace) -> None:
    quote = "nobody has ever written these very words"
    ask(made, *map(asked, THINGS), asked("rent", id="q", question="Who?", documents=[], passages=[quote]))
    report = evaluated(made)
    assert report.lost == ()
    (diagnosis,) = report.diagnoses
    assert (diagnosis.question_id, diagnosis.stage) == ("q", "gold set")
    assert diagnosis.evidence == f"no document holds “{quote}”"


def test_a_document_that_search_does_not_find_is_not_called_removed(made: Workspace) -> None:
    ask(made, *map(asked, THINGS), asked("door", id="q", question="parking rules?", documents=["door.md"]))
    report = evaluated(made)
    assert report.lost == ()
    assert not {"sources", "gold set"} & {one.stage for one in report.diagnoses}
