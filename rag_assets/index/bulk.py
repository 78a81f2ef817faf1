"""Bulk load by many: rows are written as fragments beside the table, and one commit makes them its rows.

documents → blocks → (machines of a cluster) fragments → append, in the order of the blocks. Until the
commit nobody sees a fragment. What a crash leaves lying belongs to no version, and goes when old versions
go. This is Lance's own way to write one dataset from many processes: https://lance.org/guide/distributed_write/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.index.lance_files import table_folder
from rag_assets.index.rows import RowSource
from rag_assets.index.table import translated
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.streaming import Job
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 4096  # documents whose rows are written as one fragment
NUMBER = "block"

Spread = Callable[[type, tuple[object, ...], Sequence[pl.DataFrame]], Iterator[pl.DataFrame]]
"""Has actors of a class, made with these arguments, called with each block: ``ingest.streaming.cluster.spread``."""


class WriteFragments:
    """Writes rows of documents as fragments of a corpus's table, on whatever machine it is.

    Args:
        job: what to work on.
        schema: the table's.
    """

    def __init__(self, job: Job, schema: pa.Schema) -> None:
        self._job = job
        self._schema = schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """One block of documents → rows of (block, fragment as JSON); none where documents have no chunks."""
        import pyarrow as pa
        from lance.fragment import write_fragments

        documents = pl.from_arrow(table)
        assert isinstance(documents, pl.DataFrame)
        objects, name = self._context.objects, self._job.corpus.name
        batches = self._rows.batches(documents, self._schema)
        first = next(batches, None)
        fragments: list[str] = []
        if first is not None:
            with translated(f"write to the index of {name!r}"):
                written = write_fragments(
                    pa.RecordBatchReader.from_batches(self._schema, _chained(first, batches)),
                    _uri(objects, name),
                    mode="append",
                    storage_options=objects.storage_options or None,
                )
            fragments = [json.dumps(fragment.to_json()) for fragment in written]
        numbers = [int(documents[NUMBER][0])] * len(fragments)
        return pa.table({NUMBER: pa.array(numbers, pa.int64()), "fragment": pa.array(fragments, pa.string())})

    @cached_property
    def _context(self) -> IngestContext:
        return self._job.open()

    @cached_property
    def _rows(self) -> RowSource:
        return RowSource.of(self._context)


def load(objects: ObjectStore, job: Job, spread: Spread, documents: pl.DataFrame, schema: pa.Schema) -> None:
    """Add the rows of documents to the table of a job's corpus, in one commit.

    Args:
        objects: the store.
        job: what the others are told.
        spread: who does the work.
        documents: columns of ``snapshots.READABLE``.
        schema: the table's.

    Raises:
        IndexUnavailable: LanceDB could not do it; the table is as it was.
    """
    import lance
    from lance.fragment import FragmentMetadata

    blocks = [
        part.with_columns(pl.lit(number).alias(NUMBER))
        for number, part in enumerate(documents.iter_slices(BLOCK))
    ]
    empty = pl.DataFrame(schema={NUMBER: pl.Int64, "fragment": pl.String})
    written = pl.concat([empty, *spread(WriteFragments, (job, schema), blocks)])
    ordered = written.sort(NUMBER, maintain_order=True)["fragment"]
    if ordered.is_empty():
        return
    with translated(f"add rows to the index of {job.corpus.name!r}"):
        uri, options = _uri(objects, job.corpus.name), objects.storage_options or None
        lance.LanceDataset.commit(
            uri,
            lance.LanceOperation.Append([FragmentMetadata.from_json(one) for one in ordered]),
            read_version=lance.dataset(uri, storage_options=options).version,
            storage_options=options,
        )


def _chained(first: pa.RecordBatch, others: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


def _uri(objects: ObjectStore, name: str) -> str:
    return objects.uri(table_folder(name))
