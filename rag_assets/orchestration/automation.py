"""Declarative automation: what a corpus with ``automation: true`` has run by itself, in one condition.

An asset is requested when it is missing, when its code version changed (a corpus file or this
package), or when a dependency has another data version. Data versions, because everything here is
idempotent: an asset that was materialized anew with the same result makes nothing stale.

These are edges: each is true at one evaluation only. ``since(newly_updated)`` latches them until
the asset has really been materialized, so that a failed run loses nothing. ``execution_failed`` is
a level, true until the next success: asked alone it would start a failing run at every
evaluation. So what failed is tried again once an hour at most. Dependencies that are requested
together come into one run, in which blocking checks stop what is behind them; across runs
``all_deps_blocking_checks_passed`` does.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from rag_assets.corpus import Corpus

_Condition = dg.AutomationCondition
RETRY_CRON = "0 * * * *"

_stale = (
    _Condition.missing().newly_true()
    | _Condition.code_version_changed()
    | _Condition.any_deps_match(_Condition.data_version_changed() | _Condition.will_be_requested())
).since(_Condition.newly_updated())
_may_run = ~_Condition.in_progress() & ~_Condition.any_deps_in_progress()
_not_failing = ~_Condition.execution_failed() | _Condition.cron_tick_passed(RETRY_CRON)

AUTOMATION: _Condition[Any] = (
    _stale & _may_run & _not_failing & _Condition.all_deps_blocking_checks_passed()
).with_label("stale, and not failing")
"""Of every asset of a corpus with ``automation: true``."""


def automation_sensor(corpus: Corpus) -> list[dg.SensorDefinition]:
    """The sensor that evaluates the condition; Dagster's own is off unless it is turned on by hand."""
    if not corpus.automation:
        return []
    return [
        dg.AutomationConditionSensorDefinition(
            f"{corpus.name}_automation",
            target=dg.AssetSelection.groups(corpus.name),
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ]
