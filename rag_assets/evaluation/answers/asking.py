"""Ask a model only for what no store holds: the way in which answers and judgements are made.

items by key → missing keys → batches → model → one shard per batch. Failures are not stored: the next
run tries them again, and only them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import polars as pl

from rag_assets.inference.chat import Failure
from rag_assets.store.content import ContentStore

BATCH = 256  # items per shard: what a crash can cost at most
COST = {"prompt_tokens": pl.Int64(), "completion_tokens": pl.Int64(), "seconds": pl.Float64()}
"""Columns of every store of results."""


class Result(Protocol):
    """What a model gave, and what it took."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompts."""
        ...

    @property
    def completion_tokens(self) -> int:
        """Generated tokens."""
        ...

    @property
    def seconds(self) -> float:
        """Time of the calls, without waiting for others."""
        ...


Item = TypeVar("Item")
Found = TypeVar("Found", bound=Result)


@dataclass(slots=True)
class AskCounts:
    """What was asked. ``failures``: reason by key. Tokens and seconds are those of failures, too."""

    made: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, other: AskCounts) -> None:
        """Count what another call did, too."""
        self.made += other.made
        self.reused += other.reused
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.seconds += other.seconds
        self.failures |= other.failures


def ask_missing(
    store: ContentStore,
    items: Mapping[str, Item],
    ask: Callable[[Sequence[Item]], Sequence[Found | Failure]],
    row: Callable[[Found], Mapping[str, Any]],
) -> AskCounts:
    """Ask for the items whose key the store does not hold.

    Args:
        store: where results are kept.
        items: what is wanted, by key.
        ask: gives one result per item, in their order.
        row: columns of the store for a result, without key and ``COST``.
    """
    missing = store.missing(pl.Series("key", list(items), dtype=pl.String)).to_list()
    counts = AskCounts(reused=len(items) - len(missing))
    for start in range(0, len(missing), BATCH):
        keys = missing[start : start + BATCH]
        rows = []
        for key, result in zip(keys, ask([items[key] for key in keys]), strict=True):
            cost = {name: getattr(result, name) for name in COST}
            if isinstance(result, Failure):
                counts.add(AskCounts(**cost, failures={key: result.reason}))
            else:
                counts.add(AskCounts(made=1, **cost))
                rows.append({"key": key, **row(result), **cost})
        if rows:
            store.commit(pl.DataFrame(rows, schema=store.schema))
    store.maintain()
    return counts
