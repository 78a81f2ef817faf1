"""Publishing and rolling back: one atomic claim, refused unless everything holds for exactly this version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_assets import open_published
from rag_assets.corpus import Gate, Rule
from rag_assets.errors import GateRefused, NotPublished, PublicationConflict, VerificationFailed
from rag_assets.evaluation.report.files import read_report, write_report
from rag_assets.evaluation.search.measured import Measured
from rag_assets.index.candidate import Candidate
from rag_assets.index.table import connect, open_table
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import publish, rollback
from rag_assets.publication.record import Publication
from rag_assets_tests.workspace import Workspace, document

SETTINGS: dict[str, Any] = {"evaluation": {"gold": "gold.jsonl"}}
QUESTION = '{"question": "Which birds swim in cold water?", "documents": ["a.md"]}\n'


def start(root: Path, store: str, **settings: Any) -> Workspace:
    workspace = Workspace(root, store, **{**SETTINGS, **settings})
    (root / "corpora" / "gold.jsonl").write_text(QUESTION)
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water.")
    for number in range(3):
        workspace.write(f"d{number}.md", document(number, 1))
    workspace.run()
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four documents, published once."""
    return start(tmp_path, str(tmp_path / "store"))


def prepared(workspace: Workspace, text: str) -> tuple[Candidate, str]:
    """A candidate with its report, one click before its publication."""
    workspace.write("a.md", f"# Penguins\n\nPenguins swim in cold water. {text}")
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    candidate, state = pipeline.candidate()
    assert state == "built"
    _, path = pipeline.evaluate()
    return candidate, path


def publish_now(workspace: Workspace, candidate: Candidate, reason: str = "test") -> Publication:
    return publish(workspace.objects, workspace.corpus, candidate, reason=reason, by="tests")


def log(workspace: Workspace) -> PublicationLog:
    return PublicationLog(workspace.objects, workspace.name)


def head(workspace: Workspace) -> Publication:
    found = log(workspace).head()
    assert found is not None
    return found


def plain_version(workspace: Workspace) -> int:
    """What any LanceDB client sees under the tag."""
    table = connect(workspace.objects).open_table(workspace.name)
    table.checkout("published")
    return int(table.version)


def race(*publishers: Callable[[], Publication]) -> list[Publication | BaseException]:
    """Let publishers decide alone and claim at the same moment."""
    meeting = threading.Barrier(len(publishers))
    outcomes: list[Publication | BaseException] = []
    claim = PublicationLog.claim

    def together(self: PublicationLog, *args: Any) -> Publication:
        meeting.wait(60)
        return claim(self, *args)

    def attempt(publisher: Callable[[], Publication]) -> None:
        try:
            outcomes.append(publisher())
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt, args=(publisher,)) for publisher in publishers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PublicationLog, "claim", together)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    return outcomes


def test_one_of_two_publishers_wins_and_the_log_stays_whole(store_url: str, tmp_path: Path) -> None:
    workspace = start(tmp_path, store_url)
    for word in ("two", "three"):
        publish_now(workspace, prepared(workspace, word)[0])
    rounds = 4 if store_url.startswith("s3") else 10
    for _ in range(rounds):
        now = head(workspace)
        targets = [number for number in (1, 2, 3) if log(workspace).find(number).version != now.version]
        outcomes = race(
            *(
                lambda to=to, by=by: rollback(workspace.objects, workspace.name, to, reason="race", by=by)  # type: ignore[misc]
                for to, by in zip(targets[-2:], ("one", "another"), strict=True)
            )
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Publication)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert len(winners) == 1, outcomes
        assert [type(loser) for loser in losers] == [PublicationConflict]
        assert f"publication {now.number + 1} was claimed by another run; run again" in str(losers[0])
        assert head(workspace) == winners[0]
        assert plain_version(workspace) == winners[0].version
    history = log(workspace).history()
    assert [publication.number for publication in history] == list(range(1, rounds + 4))
    assert [publication.tag for publication in history] == [
        f"pub-{number:08d}" for number in range(1, rounds + 4)
    ]


def test_a_loser_with_the_same_target_does_not_rewrite_the_winners_record(workspace: Workspace) -> None:
    publish_now(workspace, prepared(workspace, "two")[0])
    for _ in range(5):
        outcomes = race(
            lambda: rollback(workspace.objects, workspace.name, None, reason="mine", by="one"),
            lambda: rollback(workspace.objects, workspace.name, None, reason="yours", by="another"),
        )
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Publication)]
        assert head(workspace) == winner


def test_a_claim_that_a_crash_left_on_record_does_not_speak_for_the_next(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, _path = prepared(workspace, "two")
    crashed = KeyboardInterrupt("killed between record and claim")

    def die(*args: object, **kwargs: object) -> None:
        raise crashed

    with monkeypatch.context() as patch:
        patch.setattr("rag_assets.store.objects.ObjectStore.sync", die)
        with pytest.raises(KeyboardInterrupt):
            publish_now(workspace, candidate, "before the crash")
    assert [publication.number for publication in log(workspace).history()] == [1]
    publish_now(workspace, candidate, "after the crash")
    assert [publication.reason for publication in log(workspace).history()] == ["test", "after the crash"]


def test_a_publication_says_everything_about_itself(workspace: Workspace) -> None:
    candidate, _path = prepared(workspace, "two")
    published = publish_now(workspace, candidate, "typo in penguins")
    assert published == head(workspace) == log(workspace).find(2)
    assert (published.number, published.kind, published.by) == (2, "publish", "tests")
    assert published.reason == "typo in penguins"
    assert published.version == candidate.version
    assert published.changes == {"changed": 1}
    assert published.metrics["recall@5 hybrid"] == 1.0
    assert log(workspace).changes(published).to_dicts() == [{"document_id": "a.md", "change": "changed"}]
    assert published.time


def test_nothing_is_published_without_a_report_for_exactly_this_candidate(workspace: Workspace) -> None:
    _, of_another = prepared(workspace, "two")
    candidate, path = prepared(workspace, "three")
    found = read_report(workspace.objects, of_another)
    assert found is not None
    workspace.objects.delete([f"{path}/report.json"])
    with pytest.raises(GateRefused, match=f"no evaluation report for exactly version {candidate.version}"):
        publish_now(workspace, candidate)
    write_report(workspace.objects, path, found[0], Measured.of(found[1]))
    with pytest.raises(GateRefused, match=f"no evaluation report for exactly version {candidate.version}"):
        publish_now(workspace, candidate)
    assert head(workspace).number == 1


def test_a_report_under_other_standards_does_not_count(workspace: Workspace) -> None:
    candidate, _ = prepared(workspace, "two")
    for stricter in (
        Gate(max_removed_share=0.1),
        Gate(rules=(Rule(metric="recall@5", mode="hybrid", min=1.0, tag="nobody"),)),
        Gate(rules=(Rule(metric="success@7", max_drop=0.0),)),
    ):
        corpus = workspace.corpus.model_copy(update={"gate": stricter})
        with pytest.raises(GateRefused, match="under the present gold set and rules"):
            publish(workspace.objects, corpus, candidate, reason="test", by="tests")
    assert head(workspace).number == 1


@pytest.mark.parametrize("tampering", ["delete rows", "add rows", "move the tag"])
def test_a_tampered_candidate_is_not_published(workspace: Workspace, tampering: str) -> None:
    candidate, _path = prepared(workspace, "two")
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    if tampering == "move the tag":
        table.tags.update(candidate.tag, 1)
    else:
        if tampering == "delete rows":
            table.delete("document_id = 'd1.md'")
        else:
            table.add(table.to_lance().to_table(limit=1))
        table.tags.update(candidate.tag, table.version)
    with pytest.raises(
        VerificationFailed, match=f"the tag {candidate.tag} is not at version {candidate.version}"
    ):
        publish_now(workspace, candidate)
    assert head(workspace).number == 1


def test_a_record_that_claims_other_rows_is_not_published(workspace: Workspace) -> None:
    candidate, _path = prepared(workspace, "two")
    forged = Candidate(**{**candidate.__dict__, "chunks": candidate.chunks + 1})
    with pytest.raises(VerificationFailed, match="rows, not"):
        publish_now(workspace, forged)


def test_a_refusal_names_rule_margin_and_questions(tmp_path: Path) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    rule = {"metric": "recall@1", "mode": "text", "min": 1.0}
    (tmp_path / "corpora" / "gold.jsonl").write_text(
        QUESTION.replace("{", '{"id": "q7", ', 1).replace("a.md", "d1.md")
    )
    workspace.configure(**SETTINGS, gate={"rules": [rule]})
    candidate, _path = prepared(workspace, "two")
    with pytest.raises(GateRefused) as refusal:
        publish_now(workspace, candidate)
    assert "Recall@1 of text search is 0.000, 1.000 below the required 1.000" in str(refusal.value)
    assert "q7" in str(refusal.value)


def test_a_candidate_built_on_what_readers_no_longer_see_is_a_conflict(workspace: Workspace) -> None:
    publish_now(workspace, prepared(workspace, "two")[0])
    candidate, _path = prepared(workspace, "three")
    rollback(workspace.objects, workspace.name, 1, reason="", by="tests")
    with pytest.raises(PublicationConflict, match="built on publication 2, readers see 3 by now; run again"):
        publish_now(workspace, candidate)


def test_a_publish_killed_after_its_claim_is_finished_by_the_next_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, _path = prepared(workspace, "two")

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch:
        patch.setattr("rag_assets.publication.log._point", die)
        with pytest.raises(KeyboardInterrupt):
            publish_now(workspace, candidate)
    assert head(workspace).number == 2, "the tag is the publication"
    assert open_published(workspace.name, workspace.store).publication.number == 2
    assert plain_version(workspace) != candidate.version
    assert workspace.run() == []
    assert head(workspace).number == 2
    assert plain_version(workspace) == candidate.version


def test_the_first_publish_killed_after_its_claim_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", "# A\n\nSome text.")

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch:
        patch.setattr("rag_assets.publication.log._point", die)
        with pytest.raises(KeyboardInterrupt):
            workspace.run()
    workspace.run()
    assert (head(workspace).number, plain_version(workspace)) == (1, head(workspace).version)


def test_a_rollback_is_a_new_publication_with_its_reason(workspace: Workspace) -> None:
    first_rows = workspace.rows()
    publish_now(workspace, prepared(workspace, "two")[0])
    rolled = rollback(workspace.objects, workspace.name, None, reason="wrong figures", by="ana")
    assert (rolled.number, rolled.kind, rolled.reason, rolled.by) == (3, "rollback", "wrong figures", "ana")
    assert rolled.version == log(workspace).find(1).version
    assert rolled.changes == {"changed": 1}
    assert log(workspace).changes(rolled).to_dicts() == [{"document_id": "a.md", "change": "changed"}]
    assert workspace.rows().equals(first_rows)
    assert plain_version(workspace) == rolled.version
    assert (
        rollback(workspace.objects, workspace.name, 2, reason="", by="ana").reason
        == "rollback to publication 2"
    )


def test_what_was_taken_back_stays_back_until_it_changes(workspace: Workspace) -> None:
    publish_now(workspace, prepared(workspace, "two")[0])
    rollback(workspace.objects, workspace.name, None, reason="wrong", by="ana")
    for _ in range(2):
        workspace.run()
        assert head(workspace).number == 3
    pipeline, _ = workspace.pipeline()
    assert pipeline.candidate()[1] == "held"
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water. Corrected.")
    workspace.run()
    assert (head(workspace).number, head(workspace).kind) == (4, "publish")
    assert any("Corrected." in text for text in workspace.rows()["text"])
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water. two")
    workspace.run()
    assert any("two" in text for text in workspace.rows()["text"]), "a correction releases what was held"


def test_a_rollback_forward_releases_what_was_held(workspace: Workspace) -> None:
    publish_now(workspace, prepared(workspace, "two")[0])
    rollback(workspace.objects, workspace.name, 1, reason="", by="ana")
    again = rollback(workspace.objects, workspace.name, 2, reason="it was right", by="ana")
    assert again.version == log(workspace).find(2).version
    assert head(workspace).spec.digest not in again.held
    workspace.run()
    assert head(workspace) == again


def test_a_rollback_needs_a_retained_target_other_than_the_present_one(workspace: Workspace) -> None:
    with pytest.raises(NotPublished, match="there is only one publication"):
        rollback(workspace.objects, workspace.name, None, reason="", by="ana")
    with pytest.raises(NotPublished, match="publication 9 is not retained; retained: 1 to 1"):
        rollback(workspace.objects, workspace.name, 9, reason="", by="ana")
    with pytest.raises(NotPublished, match="publication 1 is what readers see already"):
        rollback(workspace.objects, workspace.name, 1, reason="", by="ana")
    assert head(workspace).number == 1


def test_nothing_can_be_rolled_back_or_opened_before_the_first(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    with pytest.raises(NotPublished, match="nothing is published yet"):
        rollback(workspace.objects, workspace.name, None, reason="", by="ana")
    with pytest.raises(NotPublished, match=r"nothing is published in .* yet; run it first"):
        open_published(workspace.name, workspace.store)
    assert log(workspace).history() == []
    assert log(workspace).head() is None
    log(workspace).repair()


def test_a_change_of_model_is_a_change_of_every_document(workspace: Workspace) -> None:
    workspace.configure(**SETTINGS, embedder={"type": "static", "document_prefix": "passage: "})
    workspace.run()
    assert head(workspace).changes == {"changed": 4}
    rolled = rollback(workspace.objects, workspace.name, None, reason="", by="ana")
    assert rolled.changes == {"changed": 4}
    assert open_published(workspace.name, workspace.store).search("cold water", 1)[0].document_id == "a.md"
