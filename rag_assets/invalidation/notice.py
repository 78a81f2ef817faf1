"""A notice: which documents differ from what a target was told of last.

change records of the publications that it missed → one net change per document → pages of
bounded size. No I/O. A page names a document once, with everything that happened to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from rag_assets.store.digest import fingerprint

Kind = Literal["publish", "rollback", "erase"]
PAGE_DOCUMENTS = 1000  # documents that one notice names, at most
_SCHEMA = pl.Schema({"document_id": pl.String(), "change": pl.String()})


@dataclass(frozen=True, slots=True)
class Span:
    """What a target has not been told: publications and erasures after some numbers up to others.

    Attributes:
        after: last publication that it was told of.
        publication: what readers see now.
        erased_after: last erasure that it was told of.
        erasure: the newest erasure.
        everything: nobody knows what the target holds: it must forget all of the corpus.
    """

    after: int
    publication: int
    erased_after: int
    erasure: int
    everything: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.everything and self.publication <= self.after and self.erasure <= self.erased_after

    def joined(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(
            min(self.after, other.after),
            max(self.publication, other.publication),
            min(self.erased_after, other.erased_after),
            max(self.erasure, other.erasure),
            self.everything or other.everything,
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """One page of what a target must know. Pages of one span come in order; the last one completes it.

    Attributes:
        corpus: name of the corpus.
        publication: what readers see now.
        after: last publication that the target was told of.
        kind: publish; rollback when the newest publication is one; erase when there is no new publication.
        everything: forget all of the corpus; ``erased`` may still name documents, for what is kept by name.
        changed: documents that read differently than at some publication from ``after`` on, and are still there.
        removed: documents that were there at some publication from ``after`` on, and are gone.
        added: documents that are new and have not changed since.
        erased: documents that must be forgotten whatever publication an answer was made from.
        time: when the notice was made, ISO 8601, UTC.
        epoch: when the ledger of this target began. Numbers of publications compare within one epoch;
            a later one starts anew.
        batch: the same for all pages of one span, however often it is sent.
        page: 1, 2, … ``pages``.
        pages: how many there are.
    """

    corpus: str
    publication: int
    after: int
    kind: Kind
    everything: bool
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    erased: tuple[str, ...]
    time: str
    epoch: str
    batch: str
    page: int
    pages: int

    @property
    def key(self) -> str:
        """Idempotency key: the same whenever the same page of the same span is sent again."""
        return f"{self.batch}-{self.page}"

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Documents whose answers are no longer right, each once."""
        return tuple(dict.fromkeys((*self.changed, *self.removed, *self.erased)))

    def as_json(self) -> dict[str, Any]:
        """The notice as webhooks send it."""
        return {**asdict(self), "key": self.key}


def net_changes(records: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """One change per document over several publications: ``document_id`` and ``change``, sorted by id.

    Whoever was ahead may have answered from any publication in between. So a document that came
    and went counts as removed, and one that came and then changed counts as changed: only what was
    added and stayed as it was is ``added``.

    Args:
        records: change records, the oldest first; holds one at a time and the net change.
    """
    net = pl.DataFrame(schema=_SCHEMA)
    for record in records:
        later = record.select("document_id", later="change")
        net = net.join(later, on="document_id", how="full", coalesce=True).select(
            "document_id",
            change=pl.when(pl.col("change").is_null())
            .then("later")
            .when(pl.col("later").is_null() | (pl.col("later") == "removed"))
            .then(pl.coalesce("later", "change"))
            .otherwise(pl.lit("changed")),
        )
    return net.sort("document_id")


def named_as_erased(changes: pl.DataFrame, marked: Sequence[str], forbidden: Iterable[str]) -> list[str]:
    """Which documents a notice names as erased, in order.

    Args:
        changes: net changes of the notice.
        marked: documents that were marked since the target was told, lifted since or not.
        forbidden: all documents that must not be read now.

    A marked document that may be read again and stands among the changes is one with new content:
    its change says all. One that must not be read, but that a run under way has published, is named.
    """
    there = set(changes.filter(pl.col("change") != "removed")["document_id"])
    forbidden = set(forbidden)
    kept = [name for name in marked if name in forbidden or name not in there]
    return list(dict.fromkeys([*kept, *sorted(there & forbidden)]))


def paged(
    corpus: str,
    span: Span,
    changes: pl.DataFrame,
    erased: Sequence[str],
    *,
    kind: Kind,
    time: str,
    epoch: str,
    size: int,
) -> Iterator[Notice]:
    """The pages of a span, erased documents on the first ones. At least one.

    Args:
        changes: net changes (``net_changes``); not looked at when everything is forgotten.
        erased: documents to name as erased.
        size: documents on one page, at most.
    """
    first = pl.DataFrame({"document_id": erased}, schema={"document_id": pl.String()})
    rest = changes.clear() if span.everything else changes
    rows = pl.concat(
        [
            first.join(rest, on="document_id", how="left", maintain_order="left").with_columns(
                erased=pl.lit(True)
            ),
            rest.join(first, on="document_id", how="anti").with_columns(erased=pl.lit(False)),
        ]
    )
    batch = fingerprint({**asdict(span), "corpus": corpus, "epoch": epoch})
    pages = max(1, -(-rows.height // size))
    for page in range(1, pages + 1):
        part = rows.slice((page - 1) * size, size)

        def those(change: str, part: pl.DataFrame = part) -> tuple[str, ...]:
            return tuple(part.filter(pl.col("change") == change)["document_id"])

        yield Notice(
            corpus=corpus,
            publication=span.publication,
            after=span.after,
            kind=kind,
            everything=span.everything,
            changed=those("changed"),
            removed=those("removed"),
            added=those("added"),
            erased=tuple(part.filter("erased")["document_id"]),
            time=time,
            epoch=epoch,
            batch=batch,
            page=page,
            pages=pages,
        )
