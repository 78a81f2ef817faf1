"""One corpus's stages over one store. Each is idempotent: done again, it finds its work done.

The stages hand nothing to one another in memory; each reads the store. So they run in one
process or in many, one by one or all together, and after a crash wherever it happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError, StageIncomplete
from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.answers.generator import Generator
from rag_assets.evaluation.candidate.answers import AnsweredVersion, Version
from rag_assets.evaluation.candidate.stage import evaluate_candidate
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.judging.judge import Judge
from rag_assets.evaluation.report.report import Report
from rag_assets.index.base import Damage
from rag_assets.index.candidate import Candidate, Spec
from rag_assets.index.open import open_search
from rag_assets.index.stage import build_candidate, spec_of
from rag_assets.ingest.chunking.stage import ChunkCounts
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.stage import EmbeddingCounts
from rag_assets.ingest.making import look_again, make_chunks, make_vectors
from rag_assets.ingest.parsing.batch import DocumentCounts
from rag_assets.ingest.parsing.stage import check_quarantine, update_documents
from rag_assets.ingest.sources.open import open_sources
from rag_assets.ingest.streaming import Ahead, StreamEngine, open_engine
from rag_assets.ingest.work import Made, documents_to_process, missing_vectors, restore
from rag_assets.pipeline.events import EventCounts, acknowledge, apply_events
from rag_assets.pipeline.runs import RunRecords
from rag_assets.progress import Progress, silent
from rag_assets.publication.candidates import Standing, is_published, latest_candidate, standing_candidate
from rag_assets.publication.erased import require_nothing_erased
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.mending import mend
from rag_assets.publication.publish import publish
from rag_assets.publication.record import Publication
from rag_assets.publication.retention import retain
from rag_assets.publication.verification import damage_of
from rag_assets.quality import Stage, StageReport
from rag_assets.quality.files import QualityFiles
from rag_assets.quality.stage import check_quality, require_quality
from rag_assets.store.objects import ObjectStore
from rag_assets.store.preflight import check_store
from rag_assets.store.snapshots import Snapshot

if TYPE_CHECKING:
    from rag_assets.events.inbox import Inbox

VECTORS = ("embedded", "poisoned", "tokens", "vector_bytes", "seconds")
"""Facts of what a stream made ahead of the chunks stage that are not that stage's own work."""

BuildState = Literal["built"] | Standing


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
        self.objects = objects
        self.corpus = corpus
        self.context = IngestContext(objects, corpus, embedder)
        self.log = PublicationLog(objects, corpus.name)
        self.runs = RunRecords(objects, corpus.name)
        self.run_id = run_id
        self._full_verify_rows = full_verify_rows
        self._progress = progress
        self._inbox = inbox

    @cached_property
    def standards(self) -> Standards:
        """What candidates are held to, under the current corpus file."""
        return Standards(self.objects, self.corpus)

    @cached_property
    def stream(self) -> StreamEngine | None:
        """Makes ahead what the stages look for; None where the stages themselves do the work."""
        return open_engine(self.context)

    @property
    def ahead(self) -> Ahead | None:
        """What was made of chunks and vectors ahead of their stages in the last one; None with ``engine: local``."""
        return None if self.stream is None else self.stream.ahead

    @property
    def models(self) -> tuple[Generator, Judge] | None:
        """Who answers the gold questions and who judges the answers; None when that is not asked for."""
        return self.standards.models

    def documents(self, *, only_events: bool = False) -> tuple[Snapshot, DocumentCounts, EventCounts]:
        """Apply the events that wait, and bring the snapshot up to the sources.

        Args:
            only_events: look only at the documents that events name, and list nothing.

        Raises:
            ConfigurationError: ``only_events`` without an inbox.
        """
        started = time.perf_counter()
        check_store(self.objects)
        embedder = self.context.embedder  # a model that cannot be found fails before anything is read
        if self._inbox is not None:
            snapshot, counts, events = apply_events(self, self._inbox, everything=not only_events)
        elif only_events:
            raise ConfigurationError(f"{self.corpus.name}: set events, or run without only_events")
        else:
            snapshot, counts = self.update_snapshot(None)
            events = EventCounts()
        facts = {
            **asdict(counts),
            "snapshot": snapshot.number,
            "events": asdict(events),
            "engine": self.corpus.engine,
        }
        if self.ahead is not None:
            look_again(self.context, self.ahead)
            self._measured(embedder.fingerprint, self.ahead)
            facts["ahead"] = asdict(self.ahead)
        self._record("documents", facts, started)
        return snapshot, counts, events

    def update_snapshot(self, only: Collection[str] | None) -> tuple[Snapshot, DocumentCounts]:
        """List the sources, or look at some documents only; read what may have changed and parse what is new."""
        prefixes = [source.prefix for source in self.corpus.sources]
        return update_documents(
            self.objects,
            self.corpus,
            list(zip(prefixes, open_sources(self.corpus, self.objects), strict=True)),
            only=only,
            advance=lambda done, total: self._progress("documents", done, total),
            process=None if self.stream is None else self.stream.documents,
        )

    def chunks(self, *, everything: bool = False) -> ChunkCounts:
        """Chunk the texts that no store holds yet; ``everything`` looks at unchanged documents, too."""
        started = time.perf_counter()
        documents = self.to_process(everything=everything)
        counts, made = make_chunks(self.context, documents, self.stream, self._progress)
        facts = asdict(counts)
        if self.stream is not None:
            self._measured(self.context.embedder.fingerprint, made)
            facts["ahead"] = {name: getattr(made, name) for name in VECTORS}
        self._record("chunks", facts, started)
        return counts

    def embeddings(self, *, everything: bool = False) -> EmbeddingCounts:
        """Embed the chunks that no store holds yet; ``everything`` looks at unchanged documents, too."""
        started = time.perf_counter()
        check_quarantine(self.context.snapshots, self.context.snapshots.latest(), self.corpus.parsing)
        documents = self.to_process(everything=everything)
        counts = make_vectors(self.context, documents, self.stream, self._progress)
        self._record("embeddings", asdict(counts), started)
        if counts.warm_tokens:
            self.runs.measured(self.context.embedder.fingerprint, counts.warm_tokens, counts.warm_seconds)
        elif counts.tokens:
            seconds = time.perf_counter() - started
            self.runs.measured(self.context.embedder.fingerprint, counts.tokens, seconds, cold=True)
        return counts

    def missing_embeddings(self) -> int:
        """How many distinct texts lack a vector. Reads keys alone and loads no model.

        Raises:
            QuarantineExceeded: nothing may be embedded.
        """
        check_quarantine(self.context.snapshots, self.context.snapshots.latest(), self.corpus.parsing)
        return missing_vectors(self.context.chunks, self.context.embeddings, self.to_process())

    def embedded(self) -> EmbeddingCounts | None:
        """What this run has embedded, in whatever process; None when it has not got there."""
        facts = self._recorded("embeddings")
        return None if facts is None else EmbeddingCounts(**_fields(EmbeddingCounts, facts))

    def quality(self, stage: Stage) -> StageReport:
        """Hold a stage of the latest snapshot against its suite. What was lost of it is made again first.

        Raises as ``check_quality``.
        """
        report = check_quality(self.context, stage, self.corpus.suites_path, self.log.bases)
        if report.complete:
            return report
        match stage:
            case "documents":
                restore(
                    self.objects,
                    self.corpus,
                    self.context.snapshots.readable(self.context.snapshots.latest()),
                )
            case "chunks":
                self.chunks(everything=True)
            case "embeddings":
                self.embeddings(everything=True)
        return check_quality(self.context, stage, self.corpus.suites_path, self.log.bases)

    @property
    def quality_page(self) -> str:
        """Where the quality report on the latest snapshot lies, as a path or URL."""
        files = QualityFiles(self.objects, self.corpus.name)
        return self.objects.uri(files.page(self.context.snapshots.latest().digest))

    def candidate(self) -> tuple[Candidate, BuildState]:
        """Build and verify the index over the latest snapshot, unless it is there already.

        Returns:
            The candidate, and whether it was built, was there from an earlier run, is what is
            published, or is held back because a rollback took it back (then: what is published).
        """
        started = time.perf_counter()
        snapshot = self.context.snapshots.latest()
        check_quarantine(self.context.snapshots, snapshot, self.corpus.parsing)
        mend(self.objects, self.corpus.name)
        objects, name, head = self.objects, self.corpus.name, self.log.head()
        spec = spec_of(self.context, snapshot)
        damage = None if head is None else damage_of(objects, name, head)
        found: tuple[Candidate, BuildState] | None = standing_candidate(objects, name, spec, head, damage)
        candidate, state = found or (self._build(snapshot, spec, head, damage), "built")
        self._record(
            "candidate", {"state": state, "version": candidate.version, "rows": candidate.chunks}, started
        )
        return candidate, state

    def latest_candidate(self) -> Candidate:
        """The candidate of the latest snapshot, which may be what is published.

        Raises:
            VerificationFailed: it has not been built.
        """
        spec = spec_of(self.context, self.context.snapshots.latest())
        return latest_candidate(self.objects, self.corpus.name, spec)

    def answers(self) -> AskCounts:
        """Answer the gold questions from the latest candidate and from what is published.

        Raises:
            ConfigurationError: the corpus file does not ask for answers.
        """
        generator, _ = self._required_models()
        return self._ask("answers", lambda version: version.answer(generator, self._progress))

    def judgements(self) -> AskCounts:
        """Judge the answers to the gold questions.

        Raises:
            ConfigurationError: the corpus file does not ask for answers.
        """
        generator, judge = self._required_models()
        return self._ask("judgements", lambda version: version.judge(generator, judge, self._progress))

    def missing_answers(self) -> int:
        """How many answers are lacking. Searches for contexts, and asks no generator. Raises as ``answers``."""
        generator, _ = self._required_models()
        return sum(version.unanswered(generator) for version in self._asked_versions())

    def missing_judgements(self) -> int:
        """How many judgements are lacking. Asks no judge. Raises as ``judgements``."""
        generator, judge = self._required_models()
        return sum(version.unjudged(generator, judge) for version in self._asked_versions())

    def asked(self, stage: Literal["answers", "judgements"]) -> AskCounts | None:
        """What this run has answered or judged, in whatever process; None when it has not got there."""
        facts = self._recorded(stage)
        if facts is None:
            return None
        counts = AskCounts(
            **{**_fields(AskCounts, facts), "seconds": facts.get("model_seconds", 0.0), "failures": {}}
        )
        for version in self._asked_versions():
            counts.failures |= version.failures(stage)
        return counts

    def evaluate(self) -> tuple[Report, str]:
        """Measure the latest candidate and decide. Returns the report and where it lies in the store."""
        started = time.perf_counter()
        report, path = self._evaluated(self.latest_candidate())
        facts = {"passed": report.verdict.passed, "gate": report.gate, "report": path}
        self._record("evaluation", facts, started)
        return report, path

    def publish(self, *, reason: str, by: str) -> tuple[Publication, bool]:
        """Publish the latest candidate, if it is not. Returns what readers see, and whether it is new.

        Raises:
            GateRefused, VerificationFailed, PublicationConflict: see ``publication.publish``.
        """
        started = time.perf_counter()
        candidate = self.latest_candidate()
        head = self.log.head()
        if head is not None and head.candidate == candidate.tag:
            self.log.repair()
            publication, new = head, False
            if candidate.spec != spec_of(self.context, self.context.snapshots.latest()):
                # Held back by a rollback; what it went back to may hold what was erased since.
                require_nothing_erased(self.objects, self.corpus.name, head)
        else:
            if self.corpus.quality is not None:  # also where Dagster and its checks are bypassed
                require_quality(self.context, self.corpus.suites_path, self.log.bases)
            self._evaluated(candidate)
            publication, new = publish(self.objects, self.corpus, candidate, reason=reason, by=by), True
            retain(self.objects, self.corpus)
        if self._inbox is not None:
            acknowledge(self._inbox, self.objects, self.corpus.name)
        facts = {"published": new, "publication": publication.number, "version": publication.version}
        self._record("publication", facts, started)
        return publication, new

    def _evaluated(self, candidate: Candidate) -> tuple[Report, str]:
        before = self.log.before(candidate.version)
        return evaluate_candidate(
            self.context,
            self.standards,
            candidate,
            None if before is None else before.base,
            seen=is_published(self.objects, self.corpus.name, candidate),
            search=partial(open_search, self.context),
            stages=self.runs.of(self.run_id).get("stages", {}),
            progress=self._progress,
        )

    def _required_models(self) -> tuple[Generator, Judge]:
        if self.models is None:
            raise ConfigurationError(f"{self.corpus.name}: set evaluation.answers to have questions answered")
        return self.models

    def _ask(self, stage: str, ask: Callable[[AnsweredVersion], AskCounts]) -> AskCounts:
        """Ask of all versions that are asked."""
        started = time.perf_counter()
        total = AskCounts()
        for version in self._asked_versions():
            total.add(ask(version))
        facts = {**asdict(total), "failures": len(total.failures), "model_seconds": total.seconds}
        self._record(stage, facts, started)
        return total

    def _asked_versions(self) -> list[AnsweredVersion]:
        """The latest candidate, and what it is compared with."""
        candidate = self.latest_candidate()
        versions = [Version(candidate.tag, candidate.version)]
        before = self.log.before(candidate.version)
        if before is not None:
            versions.append(Version(before.candidate, before.version))
        return [
            AnsweredVersion(self.standards, version, partial(open_search, self.context))
            for version in versions
        ]

    def _build(
        self, snapshot: Snapshot, spec: Spec, head: Publication | None, damage: Damage | None
    ) -> Candidate:
        build = partial(
            build_candidate,
            self.context,
            snapshot,
            spec,
            None if head is None else head.base,
            self._progress,
            damage=damage,
            full_verify_rows=self._full_verify_rows,
        )
        try:
            return build()
        except StageIncomplete:
            if head is None:
                raise
            # A shard was lost since it was published. Everything is looked for once, not only what changed,
            # and what is lacking is made anew.
            self.chunks(everything=True)
            self.embeddings(everything=True)
            return build()

    def to_process(self, *, everything: bool = False) -> pl.DataFrame:
        """The documents that chunks and vectors may be lacking of."""
        head = None if everything else self.log.head()
        if head is None:
            return documents_to_process(self.context, None)
        # A published index has all of its chunks and vectors in the stores, so only the change counts.
        made = Made(head.snapshot, head.spec.snapshot, head.spec.chunker, head.spec.embedder)
        return documents_to_process(self.context, made)

    def _measured(self, embedder: str, made: Ahead) -> None:
        """Remember how fast a stream embedded."""
        if made.warm_tokens:
            self.runs.measured(embedder, made.warm_tokens, made.warm_seconds)
        elif made.tokens:  # a cluster started, and parsed and chunked in the same time
            self.runs.measured(embedder, made.tokens, made.seconds, cold=True)

    def _record(self, stage: str, facts: dict[str, Any], started: float) -> None:
        self.runs.record(self.run_id, stage, {**facts, "seconds": time.perf_counter() - started})

    def _recorded(self, stage: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.runs.of(self.run_id).get("stages", {}).get(stage)
        return found


def _fields(counts: type[EmbeddingCounts | AskCounts], facts: dict[str, Any]) -> dict[str, Any]:
    """Of the facts that were recorded, those that the counts have: a record is statistics, and may lack some."""
    return {one.name: facts[one.name] for one in fields(counts) if one.name in facts}
