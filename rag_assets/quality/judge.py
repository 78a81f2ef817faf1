"""Great Expectations as the judge: a suite and two small tables → results. The seam to the library.

It runs in memory, writes no file, sends nothing, and is imported when something is judged, for that
takes seconds. It sees one row of figures and at most 1,000 rows of a sample, whatever the corpus is.
"""

from __future__ import annotations

import difflib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.errors import ConfigurationError, install
from rag_assets.quality.report import Result
from rag_assets.quality.suite import RESERVED, Entry, Suite
from rag_assets.quality.tables import TABLES, Table

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

SHOWN_VALUES = 5
SHOWN_CHARACTERS = 60
_NOT_ARGUMENTS = frozenset(
    (*RESERVED, "rendered_content", "windows", "notes", "description", "domain", "metric_dependencies")
)


def judge(suite: Suite, tables: Mapping[Table, pl.DataFrame]) -> tuple[Result, ...]:
    """Hold a stage's tables against its suite. Results are in the order of the suite.

    Args:
        suite: what is expected.
        tables: the profile (one row) and the sample.

    Raises:
        ConfigurationError: the extra ``quality`` is not installed, or the suite has mistakes that only
            Great Expectations can tell; each is named with file, line and expectation.
    """
    expectations = _expectations(suite)
    found: dict[int, Result] = {}
    mistakes: list[str] = []
    for table in TABLES:
        asked = {number: one for number, one in expectations.items() if suite.entries[number].on == table}
        for number, outcome in _validate(asked, tables[table]) if asked else ():
            raised = _raised(outcome.exception_info)
            if raised:
                mistakes.append(f"{suite.where(number)}: cannot be computed on the {table}: {raised}")
            else:
                found[number] = _result(suite, number, outcome, expectations[number], tables[table])
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return tuple(found[number] for number in sorted(found))


def check_suite(suite: Suite) -> None:
    """Raise ConfigurationError naming each expectation that does not exist or whose arguments are wrong."""
    _expectations(suite)


def _expectations(suite: Suite) -> dict[int, Expectation]:
    """Great Expectations' objects by the number of their entry."""
    _load()
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )
    from pydantic.v1 import ValidationError

    found: dict[int, Expectation] = {}
    mistakes: list[str] = []
    for number, entry in enumerate(suite.entries):
        if "$PARAMETER" in json.dumps(entry.kwargs):
            mistakes.append(
                f"{suite.where(number)}: kwargs: $PARAMETER names a value of a run; write the value itself"
            )
            continue
        try:
            arguments: dict[str, Any] = {**entry.kwargs, "meta": {"entry": number}}
            found[number] = get_expectation_impl(entry.expectation)(**arguments)
        except ExpectationNotFoundError:
            known = list_registered_expectation_implementations()
            close = difflib.get_close_matches(entry.expectation, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"
            mistakes.append(f"{suite.where(number)}: no such expectation; {hint}")
        except ValidationError as error:
            allowed = sorted(set(get_expectation_impl(entry.expectation).__fields__) - _NOT_ARGUMENTS)
            problems = _problems(entry, error.errors(), allowed)
            mistakes += [f"{suite.where(number)}: {problem}" for problem in problems]
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return found


def _problems(entry: Entry, errors: Sequence[Mapping[str, Any]], allowed: Sequence[str]) -> Iterator[str]:
    """One sentence per argument: for a union the library says once for each of its types what was expected."""
    messages: dict[str, list[str]] = {}
    for problem in errors:
        argument = ".".join(map(str, problem["loc"]))
        if problem["type"] == "value_error.extra":
            yield f"kwargs.{argument}: no such argument; allowed: {', '.join(allowed)}"
        elif problem["type"] != "type_error.dict":  # parameters of their cloud, which no suite file has
            messages.setdefault(argument, []).append(str(problem["msg"]))
    if len(messages) > 1:  # an argument that is wrong counts as missing there
        messages.pop("__root__", None)
    for argument, said in messages.items():
        found = f"found {entry.kwargs[argument]!r}; " if argument in entry.kwargs else ""
        place = "kwargs" if argument == "__root__" else f"kwargs.{argument}"
        yield f"{place}: {found}{' or '.join(dict.fromkeys(said))}"


def _load() -> Any:
    """Import Great Expectations, with everything off that would leave this process."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    try:
        with warnings.catch_warnings():
            # It imports a module of the standard library's that is deprecated.
            warnings.filterwarnings("ignore", "module 'sre_", DeprecationWarning)
            import great_expectations
    except ImportError as error:
        raise ConfigurationError(f"data quality needs the extra 'quality': {install('quality')}") from error
    return great_expectations


def _validate(
    asked: Mapping[int, Expectation], table: pl.DataFrame
) -> Iterator[tuple[int, ExpectationValidationResult]]:
    gx = _load()
    import pandas as pd
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # Its default configuration would make a folder for its own pages.
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("quality").add_dataframe_asset("table")
    # Through Python's own values: Polars' converter would need pyarrow's types in the expectations.
    frame = pd.DataFrame(table.to_dict(as_series=False), columns=table.columns)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="quality", expectations=list(asked.values()))
    with warnings.catch_warnings():
        # pandas takes a group in a regular expression for an attempt to extract something.
        warnings.filterwarnings("ignore", "This pattern is interpreted as a regular expression", UserWarning)
        outcomes = batch.validate(suite, result_format="SUMMARY").results
    for outcome in outcomes:
        yield int(outcome.expectation_config.meta["entry"]), outcome


def _result(
    suite: Suite, number: int, outcome: ExpectationValidationResult, asked: Expectation, table: pl.DataFrame
) -> Result:
    entry = suite.entries[number]
    return Result(
        stage=suite.stage,
        expectation=entry.expectation,
        on=entry.on,
        columns=tuple(column for _, column in entry.columns()),
        severity=entry.severity,
        passed=bool(outcome.success),
        measured=entry.on == "sample" or _has_figure(entry, table),
        expected=_expected(entry, asked),
        observed=_observed(entry, outcome.result, table),
        description=entry.description,
    )


def _has_figure(entry: Entry, table: pl.DataFrame) -> bool:
    figures = [table[column][0] for _, column in entry.columns() if column in table.columns]
    return not figures or any(figure is not None for figure in figures)


def _expected(entry: Entry, asked: Expectation) -> str:
    """The expectation as a sentence, in the library's words; as arguments where it has none."""
    asked.render()
    for content in asked.rendered_content or ():
        template, parameters = content.value.template, content.value.params or {}
        if template:
            for name in sorted(parameters, key=len, reverse=True):  # $max_value before $max
                template = template.replace(f"${name}", _shown(parameters[name]["value"]))
            # The library speaks of the values of a column; a profile has one.
            return (
                str(template).replace(" values must ", " must ") if entry.on == "profile" else str(template)
            )
    return ", ".join(f"{name} {_shown(value)}" for name, value in entry.kwargs.items())


def _observed(entry: Entry, result: Mapping[str, Any], table: pl.DataFrame) -> str:
    if "observed_value" in result:
        return _shown(result["observed_value"])
    columns = [column for _, column in entry.columns() if column in table.columns]
    if entry.on == "profile" and columns and table.height == 1:
        return ", ".join(_shown(table[column][0]) for column in columns)
    count = int(result.get("unexpected_count") or 0)
    examples = result.get("partial_unexpected_list") or []
    named = ", ".join(dict.fromkeys(_shown(value) for value in examples[:SHOWN_VALUES]))
    return f"{count:,} of {table.height:,} rows do not fit{': ' if named else ''}{named}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing to compute it from"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS].rstrip()}…"


def _raised(info: Mapping[str, Any] | None) -> str | None:
    """The first exception behind a result: the library keeps one, or one for each metric."""
    for entry in (info, *(info or {}).values()):
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return str(entry.get("exception_message")).splitlines()[0]
    return None
