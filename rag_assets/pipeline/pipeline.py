"""One corpus's stages over one store, in their order. Each is idempotent: done again, it finds its work done.

documents → chunks → embeddings → candidate (→ answers → judgements) → evaluate → publish. The stages hand nothing
to one another in memory; each reads the store. So they run in one process or in many, one by one or all together,
and after a crash wherever it happened.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from functools import cached_property, partial
from typing import TYPE_CHECKING

from rag_assets.corpus import Corpus
from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.candidate.versions import AskedStage
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.report.report import Report
from rag_assets.index.candidate import Candidate
from rag_assets.ingest.chunking.stage import ChunkCounts
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.stage import EmbeddingCounts
from rag_assets.ingest.making import make_chunks, make_snapshot, make_vectors
from rag_assets.ingest.parsing.batch import DocumentCounts
from rag_assets.ingest.streaming import StreamEngine, open_engine
from rag_assets.ingest.work import documents_to_process, require_readable, restore
from rag_assets.pipeline.building import BuildState, built_candidate, find_or_build
from rag_assets.pipeline.evaluating import asked_versions, evaluated
from rag_assets.pipeline.events import EventCounts, acknowledge, update_with_events
from rag_assets.pipeline.publishing import publish_if_new
from rag_assets.pipeline.runs import RunRecords
from rag_assets.pipeline.unpublished import unpublished_documents
from rag_assets.progress import Progress, silent
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.quality import Stage, StageReport
from rag_assets.quality.stage import check_quality
from rag_assets.store.objects import ObjectStore
from rag_assets.store.preflight import check_store
from rag_assets.store.snapshots import Snapshot

if TYPE_CHECKING:
    from rag_assets.events.inbox import Inbox


class Pipeline:
    """The stages of a corpus.

    Args:
        objects: the store.
        corpus: the corpus file.
        run_id: under which the facts of the stages are recorded.
        progress: told how far a stage has come.
        inbox: where events wait; None leaves them there.
        embedder: embeds; None opens the one that the corpus file asks for.
        full_verify_rows: rows up to which every build compares every row; None for ``index.stage.FULL_VERIFY_ROWS``.
    """

    def __init__(
        self,
        objects: ObjectStore,
        corpus: Corpus,
        *,
        run_id: str,
        progress: Progress = silent,
        inbox: Inbox | None = None,
        embedder: Embedder | None = None,
        full_verify_rows: int | None = None,
    ) -> None:
        self.objects, self.corpus, self.run_id = objects, corpus, run_id
        self.context = IngestContext(objects, corpus, embedder)
        self.standards = Standards(objects, corpus)
        self.log = PublicationLog(objects, corpus.name)
        self.runs = RunRecords(objects, corpus.name)
        self._full_verify_rows, self._progress, self._inbox = full_verify_rows, progress, inbox
        self._stage = partial(self.runs.stage, run_id)

    @cached_property
    def stream(self) -> StreamEngine | None:
        """Makes ahead what the stages look for; None where the stages themselves do the work."""
        # Opens the embedder: a model that cannot be found fails before a source is read.
        return open_engine(self.context.fresh())

    def documents(self, *, only_events: bool = False) -> tuple[Snapshot, DocumentCounts, EventCounts]:
        """Apply the events that wait, and bring the snapshot up to the sources; see ``update_with_events``."""
        with self._stage("documents") as facts:
            check_store(self.objects)
            snapshot, counts, events = update_with_events(
                self.context, self._inbox, self.run_id, self._update, only_events=only_events
            )
            facts |= {**asdict(counts), "snapshot": snapshot.number}
            facts |= {"events": asdict(events), "engine": self.corpus.engine}
            if self.stream is not None:
                self.runs.streamed(self.context.embedder.fingerprint, self.stream.ahead)
                facts["ahead"] = asdict(self.stream.ahead)
        return snapshot, counts, events

    def chunks(self, *, everything: bool = False) -> ChunkCounts:
        """Chunk the texts that no store holds yet; ``everything`` looks at unchanged documents, too."""
        with self._stage("chunks") as facts:
            documents = unpublished_documents(self.context, self.log, everything=everything)
            counts, made = make_chunks(self.context, documents, self.stream, self._progress)
            facts |= asdict(counts)
            if self.stream is not None:
                self.runs.streamed(self.context.embedder.fingerprint, made)
                facts["ahead"] = made.vectors
        return counts

    def embeddings(self, *, everything: bool = False) -> EmbeddingCounts:
        """Embed the chunks that no store holds yet; ``everything`` looks at unchanged documents, too."""
        with self._stage("embeddings") as facts:
            require_readable(self.context)
            documents = unpublished_documents(self.context, self.log, everything=everything)
            counts = make_vectors(self.context, documents, self.stream, self._progress)
            facts |= asdict(counts)
        self.runs.embedded(self.context.embedder.fingerprint, counts, facts["seconds"])
        return counts

    def quality(self, stage: Stage) -> StageReport:
        """Hold a stage of the latest snapshot against its suite; see ``check_quality``. What was lost is made first."""
        check = partial(check_quality, self.context, stage, self.corpus.suites_path, self.log.bases)
        report = check()
        if report.complete:
            return report
        match stage:
            case "documents":
                restore(self.objects, self.corpus, documents_to_process(self.context, None))
            case "chunks":
                self.chunks(everything=True)
            case "embeddings":
                self.embeddings(everything=True)
        return check()

    def candidate(self) -> tuple[Candidate, BuildState]:
        """Build and verify the index over the latest snapshot, unless it is there already; see ``find_or_build``."""
        with self._stage("candidate") as facts:
            snapshot = require_readable(self.context)
            candidate, state = find_or_build(
                self.context, snapshot, self._make_everything, self._progress, self._full_verify_rows
            )
            facts |= {"state": state, "version": candidate.version, "rows": candidate.chunks}
        return candidate, state

    def latest_candidate(self) -> Candidate:
        """The candidate of the latest snapshot, which may be published. Raises VerificationFailed before it is built."""
        return built_candidate(self.context)

    def answers(self) -> AskCounts:
        """Answer the gold questions from the candidate and what it is compared with. Raises as ``asked_versions``."""
        return self._ask("answers")

    def judgements(self) -> AskCounts:
        """Judge the answers to the gold questions. Raises as ``answers``."""
        return self._ask("judgements")

    def evaluate(self) -> tuple[Report, str]:
        """Measure the latest candidate and decide. Returns the report and where it lies in the store."""
        with self._stage("evaluation") as facts:
            report, path = self._evaluated(self.latest_candidate())
            facts |= {"passed": report.verdict.passed, "gate": report.gate, "report": path}
        return report, path

    def publish(self, *, reason: str, by: str) -> tuple[Publication, bool]:
        """Publish the latest candidate, if it is not; see ``publish_if_new``."""
        with self._stage("publication") as facts:
            candidate = self.latest_candidate()
            found, new = publish_if_new(self.context, candidate, self._evaluated, reason=reason, by=by)
            if self._inbox is not None:
                acknowledge(self._inbox, self.objects, self.corpus.name)
            facts |= {"published": new, "publication": found.number, "version": found.version}
        return found, new

    def _update(self, only: Collection[str] | None) -> tuple[Snapshot, DocumentCounts]:
        # Events were carried out by now: an erasure does not wait for the model to be found.
        return make_snapshot(self.context, self.stream, self._progress, only)

    def _make_everything(self) -> None:
        self.chunks(everything=True)
        self.embeddings(everything=True)

    def _ask(self, stage: AskedStage) -> AskCounts:
        with self._stage(stage) as facts:
            counts = asked_versions(self.context, self.standards).ask(stage, self._progress)
            facts |= asdict(counts)
            facts |= {"failures": len(counts.failures), "model_seconds": counts.seconds}
        return counts

    def _evaluated(self, candidate: Candidate) -> tuple[Report, str]:
        done = self.runs.stages(self.run_id)
        return evaluated(self.context, self.standards, candidate, done, self._progress)
