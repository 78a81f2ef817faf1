"""An asset whose work is done by a model: one step, or three where the model has a GPU.

Without ``gpu:``, the asset is one step. With it:

    plan ──► record                    nothing is missing: no GPU is asked for, the model's step is skipped
       └─► model ──┘                   something is: the model's step runs, marked for a GPU

``plan`` counts what the store lacks and ``record`` reports, both without the model. The steps hand nothing
to one another but their order: what a step did stands in the store, for they may run on different machines.

Annotations here are read by Dagster when a step is defined, so they must not be postponed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dagster as dg

from rag_assets.corpus import Corpus, Gpu
from rag_assets.errors import StageIncomplete
from rag_assets.orchestration.declare import corpus_asset, corpus_graph_asset
from rag_assets.orchestration.failures import RETRY, reported
from rag_assets.orchestration.gpu import GPU_POOL, gpu_tags, wants_gpu
from rag_assets.orchestration.resources import ProgressFor, StoreResource
from rag_assets.pipeline.pipeline import Pipeline

Counts = TypeVar("Counts")


@dataclass(frozen=True)
class ModelStage(Generic[Counts]):
    """A stage of the pipeline that runs a model.

    Attributes:
        name: of the asset.
        missing: how much work there is; loads no model.
        work: does it; with nothing missing it loads no model and records that.
        done: what ``work`` did in this run, in whatever process; None when it was not called.
        report: the materialization for what was done.
    """

    name: str
    missing: Callable[[Pipeline], int]
    work: Callable[[Pipeline], Counts]
    done: Callable[[Pipeline], Counts | None]
    report: Callable[[Pipeline, Counts], dg.MaterializeResult]


def model_asset(
    corpus: Corpus,
    stage: ModelStage[Counts],
    *,
    after: dg.AssetsDefinition,
    pool: str,
    **settings: Any,
) -> dg.AssetsDefinition:
    """The asset of a stage.

    Args:
        corpus: the corpus file.
        stage: what it does.
        after: the asset before it.
        pool: what it shares with others when it has no GPU.
        settings: as of ``dg.asset``.
    """
    if corpus.gpu is not None and wants_gpu(corpus, stage.name):
        return _three_steps(corpus, corpus.gpu, stage, after, settings)

    @corpus_asset(corpus, name=stage.name, deps=[after], pool=pool, **settings)
    def asset(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            return stage.report(pipeline, stage.work(pipeline))

    return asset


def _three_steps(
    corpus: Corpus, gpu: Gpu, stage: ModelStage[Counts], after: dg.AssetsDefinition, settings: dict[str, Any]
) -> dg.AssetsDefinition:
    key = dg.AssetKey([corpus.name, stage.name])
    name = key.to_python_identifier()

    @dg.op(
        name=f"{name}_plan",
        ins={"before": dg.In(dg.Nothing)},
        out={"planned": dg.Out(dg.Nothing), "missing": dg.Out(dg.Nothing, is_required=False)},
        retry_policy=RETRY,
        description="Counts what the store lacks. With nothing to do, no GPU is asked for.",
    )
    def plan(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> Iterator[dg.Output[None]]:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            missing = stage.missing(pipeline)
            context.log.info(f"{stage.name}: {missing:,} missing")
            if not missing:
                stage.work(pipeline)  # counts what is there
        yield dg.Output(None, "planned")
        if missing:
            yield dg.Output(None, "missing")

    @dg.op(
        name=f"{name}_model",
        ins={"missing": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=RETRY,
        pool=GPU_POOL,
        tags=gpu_tags(gpu),
        description="Runs the model on what is missing. After a crash it goes on where it was.",
    )
    def model(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> None:
        with reported():
            stage.work(store.pipeline(context, corpus, progress))

    checks = [f"{name}_{spec.name}" for spec in settings.get("check_specs") or ()]

    @dg.op(
        name=f"{name}_record",
        ins={"before": dg.In(dg.Nothing)},
        out={output: dg.Out(dg.Nothing) for output in ("result", *checks)},
        retry_policy=RETRY,
        description="Reports what the store holds now, and checks it.",
    )
    def record(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> Iterator[dg.MaterializeResult]:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            counts = stage.done(pipeline)
            if counts is None:  # this run took up a failed one after its model's step
                if missing := stage.missing(pipeline):
                    raise StageIncomplete(
                        f"{stage.name}: {missing:,} are missing again, which another run has brought; run the corpus anew"
                    )
                counts = stage.work(pipeline)
            result = stage.report(pipeline, counts)
        yield result._replace(asset_key=key)

    @corpus_graph_asset(
        corpus,
        name=stage.name,
        ins={"before": dg.AssetIn(key=after.key, dagster_type=dg.Nothing)},
        **settings,
    )
    def asset(before: Any) -> Any:
        planned, missing = plan.alias("plan")(before)
        made = model.alias("model")(missing)
        # Both, so that this step runs whether or not the one between was skipped.
        outputs = record.alias("record")([planned, made])
        if not checks:
            return outputs
        return {output: getattr(outputs, output) for output in ("result", *checks)}

    return asset
