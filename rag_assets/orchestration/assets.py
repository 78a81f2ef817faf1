"""The assets of one corpus: documents → chunks → embeddings → index (→ answers → judgements) → evaluation →
publication (→ invalidation).

Annotations here are read by Dagster when an asset is defined, so they must not be postponed.
"""

import dagster as dg
from pydantic import Field

from rag_assets.corpus import Corpus
from rag_assets.errors import QuarantineExceeded
from rag_assets.evaluation.report.refusal import gate_in_words, refusal_reasons
from rag_assets.evaluation.report.regression import regressions_of
from rag_assets.ingest.embedding.stage import EmbeddingCounts
from rag_assets.ingest.parsing.parse import PARSERS, parser_fingerprint
from rag_assets.ingest.parsing.stage import check_quarantine
from rag_assets.orchestration import metadata
from rag_assets.orchestration.answer_assets import answer_assets
from rag_assets.orchestration.declare import (
    check_result,
    check_spec,
    corpus_asset,
    data_version,
    freshness_policy,
)
from rag_assets.orchestration.events import event_results, event_specs
from rag_assets.orchestration.failures import reported
from rag_assets.orchestration.invalidation import invalidation_assets
from rag_assets.orchestration.model_stage import ModelStage, model_asset
from rag_assets.orchestration.quality import quality_results, quality_specs
from rag_assets.orchestration.resources import ProgressFor, StoreResource
from rag_assets.orchestration.tags import BY_TAG
from rag_assets.orchestration.verification import verification_result, verification_spec
from rag_assets.pipeline.model_stages import embedded, missing_embeddings
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.settings import Settings
from rag_assets.store.digest import fingerprint

STAGES = ("documents", "chunks", "embeddings", "index", "evaluation", "publication")
TAG = "published_tag"
ANSWER_STAGES = ("answers", "judgements")
"""Between index and evaluation, where the corpus file asks for answers."""


class DocumentsConfig(dg.Config):
    """Launch configuration of the documents asset."""

    only_events: bool = Field(
        default=False, description="Look only at the documents that waiting events name; list nothing."
    )


class PublicationConfig(dg.Config):
    """Launch configuration of the publication asset."""

    reason: str = "run"


def corpus_assets(corpus: Corpus) -> list[dg.AssetsDefinition]:
    """All assets of a corpus, in one group named after it."""
    # One writer at a time: the index is one table, and the log has one head.
    writer = f"{corpus.name}_writer"

    @corpus_asset(
        corpus,
        kinds={"python", "parquet"},
        code_version=fingerprint({name: parser_fingerprint(name) for name in PARSERS})[:12],
        check_specs=[
            check_spec("quarantine", "documents", corpus, "Share of documents that could not be parsed."),
            *event_specs(corpus),
            *quality_specs(corpus, "documents"),
        ],
        pool=writer,
        description=f"{corpus.description or corpus.name}: what the sources hold now, parsed to Markdown.",
    )
    def documents(
        context: dg.AssetExecutionContext,
        config: DocumentsConfig,
        store: StoreResource,
        progress: dg.ResourceParam[ProgressFor],
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            snapshot, counts, events = pipeline.documents(only_events=config.only_events)
            try:
                check_quarantine(pipeline.context.snapshots, snapshot, corpus.parsing)
                problem = None
            except QuarantineExceeded as error:
                problem = str(error)
            return dg.MaterializeResult(
                metadata={
                    **metadata.documents(pipeline, snapshot, counts),
                    **metadata.events(corpus, events),
                },
                data_version=dg.DataVersion(snapshot.digest),
                check_results=[
                    check_result("quarantine", problem, metadata.quarantined(pipeline, snapshot)),
                    *event_results(corpus, events),
                    *quality_results(pipeline, "documents"),
                ],
            )

    @corpus_asset(
        corpus,
        kinds={"python", "parquet", "polars"},
        code_version=fingerprint(corpus.chunking.model_dump(mode="json"))[:12],
        deps=[documents],
        check_specs=quality_specs(corpus, "chunks"),
        description="Texts cut along headings into pieces that fit the embedder's window.",
    )
    def chunks(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            counts = pipeline.chunks()
            snapshot = pipeline.context.snapshots.latest()
            return dg.MaterializeResult(
                metadata=metadata.chunks(pipeline, snapshot, counts),
                data_version=data_version(snapshot.digest, pipeline.context.chunker.fingerprint),
                check_results=quality_results(pipeline, "chunks"),
            )

    embeddings = model_asset(
        corpus,
        ModelStage(
            "embeddings",
            missing=missing_embeddings,
            work=lambda pipeline: pipeline.embeddings(),
            done=embedded,
            report=_embedded,
        ),
        after=chunks,
        kinds={"python", "parquet", "huggingface"},
        code_version=fingerprint(corpus.embedder.model_dump(mode="json"))[:12],
        check_specs=quality_specs(corpus, "embeddings"),
        pool="embedding",
        description="One vector per distinct text, in Parquet. A text that was ever embedded is not embedded again.",
    )

    @corpus_asset(
        corpus,
        kinds={"lancedb"},
        code_version=fingerprint(corpus.index.model_dump(mode="json"))[:12],
        deps=[embeddings],
        check_specs=[
            check_spec(
                "exact_content",
                "index",
                corpus,
                "The version holds exactly the chunks that its snapshot demands.",
            )
        ],
        pool=writer,
        description="A candidate: a new version of the LanceDB table, built on what is published. No reader sees it.",
    )
    def index(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            candidate, state = pipeline.candidate()
        facts = metadata.candidate(candidate, state)
        return dg.MaterializeResult(
            metadata=facts,
            data_version=data_version(candidate.spec.digest),
            # A build that fails its verification raises, so a candidate that is here has passed it.
            check_results=[check_result("exact_content", None, {"rows": candidate.chunks})],
        )

    answered = answer_assets(corpus, index)

    @corpus_asset(
        corpus,
        kinds={"python", "parquet"},
        code_version=fingerprint(
            {"e": corpus.evaluation.model_dump(mode="json"), "g": corpus.gate.model_dump(mode="json")}
        )[:12],
        deps=answered[-1:] or [index],
        check_specs=[
            check_spec(
                "gate", "evaluation", corpus, "The rules of the corpus file, on exactly this version."
            ),
            *quality_specs(corpus, "gold"),
        ],
        description="The gold questions asked of the candidate, compared with what is published.",
    )
    def evaluation(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            report, path = pipeline.evaluate()
            refusal = "\n".join(refusal_reasons(report)) or None
            return dg.MaterializeResult(
                metadata=metadata.evaluation(pipeline, report, path),
                data_version=data_version(path),
                check_results=[
                    check_result(
                        "gate",
                        refusal,
                        metadata.gate(report),
                        note="\n".join([gate_in_words(report), *regressions_of(report)]),
                    ),
                    *quality_results(pipeline, "gold"),
                ],
            )

    @corpus_asset(
        corpus,
        kinds={"lancedb"},
        code_version="1",
        deps=[evaluation],
        check_specs=[
            check_spec(
                TAG,
                "publication",
                corpus,
                "The tag that LanceDB clients follow is at the newest publication. Warns, blocks nothing.",
            ),
            verification_spec(corpus),
        ],
        pool=writer,
        freshness_policy=freshness_policy(corpus),
        description="What readers see: the newest version that passed its gate. Publishing is one atomic act.",
    )
    def publication(
        context: dg.AssetExecutionContext,
        config: PublicationConfig,
        store: StoreResource,
        progress: dg.ResourceParam[ProgressFor],
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            by = context.run.tags.get(BY_TAG) or Settings().by
            published, new = pipeline.publish(reason=config.reason, by=by)
            return dg.MaterializeResult(
                metadata=metadata.publication(published, new),
                data_version=data_version(str(published.number), published.candidate),
                check_results=[
                    _tag_result(pipeline),
                    verification_result(pipeline.objects, corpus, published.candidate),
                ],
            )

    told = invalidation_assets(corpus, publication)
    return [documents, chunks, embeddings, index, *answered, evaluation, publication, *told]


def _tag_result(pipeline: Pipeline) -> dg.AssetCheckResult:
    tag = pipeline.log.published_tag()
    assert tag is not None, "something is published"
    return dg.AssetCheckResult(
        check_name=TAG,
        passed=tag.problem is None,
        # Readers of this package are not affected, and whoever follows the run must be told all the same.
        severity=dg.AssetCheckSeverity.WARN,
        description=tag.problem,
        metadata={"publication": tag.publication, "lance_version": tag.belongs},
    )


def _embedded(pipeline: Pipeline, counts: EmbeddingCounts) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata=metadata.embeddings(pipeline, pipeline.run_id, counts),
        data_version=data_version(
            pipeline.context.snapshots.latest().digest,
            pipeline.context.chunker.fingerprint,
            pipeline.context.vectors,
        ),
        check_results=quality_results(pipeline, "embeddings"),
    )
