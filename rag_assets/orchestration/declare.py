"""What the declarations of all assets of a corpus share."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.automation import AUTOMATION
from rag_assets.orchestration.failures import RETRY
from rag_assets.store.digest import fingerprint


def corpus_asset(corpus: Corpus, **settings: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """``dg.asset`` with what all assets of a corpus share."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        retry_policy=RETRY, **_shared(corpus), **settings
    )
    return decorator


def corpus_graph_asset(
    corpus: Corpus, **settings: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The same for an asset of several steps. Retries, pools and tags are those of its steps."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.graph_asset(
        **_shared(corpus), **settings
    )
    return decorator


def _shared(corpus: Corpus) -> dict[str, Any]:
    return {
        "key_prefix": [corpus.name],
        "group_name": corpus.name,
        "owners": list(corpus.owners) or None,
        "automation_condition": AUTOMATION if corpus.automation else None,
    }


def check_spec(name: str, asset: str, corpus: Corpus, description: str) -> dg.AssetCheckSpec:
    """A blocking check of an asset."""
    return dg.AssetCheckSpec(
        name, asset=dg.AssetKey([corpus.name, asset]), blocking=True, description=description
    )


def check_result(
    name: str, problem: str | None, facts: Mapping[str, Any], *, note: str | None = None
) -> dg.AssetCheckResult:
    """What a check found.

    Args:
        name: of the check.
        problem: in words; None passes.
        facts: to show beside it.
        note: what a person is told of a check that passes.
    """
    return dg.AssetCheckResult(
        check_name=name,
        passed=problem is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description=note if problem is None else problem,
        metadata=dict(facts),
    )


def data_version(*parts: str) -> dg.DataVersion:
    """The data version that stands for some keys."""
    return dg.DataVersion(fingerprint({"parts": parts}))


def freshness_policy(corpus: Corpus) -> dg.FreshnessPolicy | None:
    """How old the publication may be; None where the corpus file does not say."""
    freshness = corpus.freshness
    if freshness is None:
        return None
    warn = None if freshness.warn_hours is None else timedelta(hours=freshness.warn_hours)
    return dg.FreshnessPolicy.time_window(timedelta(hours=freshness.fail_hours), warn)
