"""Verification refuses every table that is not exactly what its snapshot demands. Tampering goes through LanceDB."""

from __future__ import annotations

from typing import Any

import lance
import polars as pl
import pyarrow as pa
import pytest

from rag_assets.errors import VerificationFailed
from rag_assets.index.rows import RowSource
from rag_assets.index.table import open_table
from rag_assets.index.verify import (
    documents_in,
    verify_all,
    verify_changed,
    verify_fragments,
    verify_indexes,
)
from rag_assets_tests.workspace import Workspace


def latest(workspace: Workspace) -> Any:
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    return table


def documents(workspace: Workspace) -> pl.DataFrame:
    pipeline, _ = workspace.pipeline()
    return pipeline.context.snapshots.readable(pipeline.context.snapshots.latest())


def verify(workspace: Workspace) -> int:
    table = latest(workspace)
    return verify_all(
        table, RowSource.of(workspace.pipeline()[0].context).contents(documents(workspace), table.schema)
    )


def append(workspace: Workspace, change: Any) -> None:
    """Add one row, made from an existing one, past every check of LanceDB's."""
    table = latest(workspace).to_lance()
    rows = table.to_table(limit=1)
    record = change(rows.to_pylist()[0])
    lance.write_dataset(pa.Table.from_pylist([record], schema=rows.schema), table.uri, mode="append")


def test_an_untouched_table_passes(published: Workspace) -> None:
    assert verify(published) == published.rows().height
    verify_indexes(latest(published))


def test_a_missing_row_is_refused(copied: Workspace) -> None:
    table = latest(copied)
    table.delete(f"chunk_id = '{copied.rows()['chunk_id'][0]}'")
    with pytest.raises(
        VerificationFailed,
        match="1 chunks missing, 0 surplus, 0 double, 0 with other content, 0 with a broken vector",
    ):
        verify(copied)


def test_a_surplus_row_is_refused(copied: Workspace) -> None:
    append(copied, lambda row: {**row, "chunk_id": "f" * 32})
    with pytest.raises(VerificationFailed, match="0 chunks missing, 1 surplus, 0 double"):
        verify(copied)


def test_a_row_that_stands_twice_is_refused(copied: Workspace) -> None:
    append(copied, lambda row: row)
    with pytest.raises(VerificationFailed, match="0 chunks missing, 0 surplus, 1 double"):
        verify(copied)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_refused(copied: Workspace, number: float) -> None:
    row = latest(copied).to_lance().to_table(limit=1).to_pylist()[0]
    latest(copied).delete(f"chunk_id = '{row['chunk_id']}'")
    append(copied, lambda _: {**row, "vector": [number, *row["vector"][1:]]})
    with pytest.raises(
        VerificationFailed,
        match="0 chunks missing, 0 surplus, 0 double, 0 with other content, 1 with a broken vector",
    ):
        verify(copied)


def test_rows_outside_of_an_index_are_refused(copied: Workspace) -> None:
    append(copied, lambda row: row)
    with pytest.raises(VerificationFailed, match=r"index \w+ leaves 1 rows out"):
        verify_indexes(latest(copied))


def test_a_small_change_is_verified_by_documents_and_total(copied: Workspace) -> None:
    every = documents(copied)
    rows = RowSource.of(copied.pipeline()[0].context)
    some = every.filter(pl.col("document_id").is_in(["penguins.md", "it's a 'quoted' \"name\".md"]))
    total = copied.rows().height
    nobody = pl.Series("document_id", ["gone.md"])
    assert verify_changed(latest(copied), rows.contents(some, latest(copied).schema), nobody, total) == 2
    with pytest.raises(VerificationFailed, match=f"has {total} rows; its snapshot demands {total + 1}"):
        verify_changed(latest(copied), rows.contents(some, latest(copied).schema), nobody, total + 1)
    with pytest.raises(VerificationFailed, match="still has 1 rows of removed documents"):
        owls = pl.Series("document_id", ["owls.md"])
        verify_changed(latest(copied), rows.contents(some, latest(copied).schema), owls, total)
    latest(copied).delete("document_id = 'penguins.md'")
    with pytest.raises(VerificationFailed, match="1 chunks missing"):
        verify_changed(latest(copied), rows.contents(some, latest(copied).schema), nobody, total - 1)
    append(copied, lambda row: {**row, "document_id": "penguins.md", "chunk_id": "e" * 32})
    with pytest.raises(VerificationFailed, match="1 chunks missing, 1 surplus"):
        verify_changed(latest(copied), rows.contents(some, latest(copied).schema), nobody, total)


def test_a_row_whose_metadata_is_not_the_documents_is_refused(copied: Workspace) -> None:
    row = latest(copied).to_lance().to_table(limit=1).to_pylist()[0]
    latest(copied).delete(f"chunk_id = '{row['chunk_id']}'")
    append(copied, lambda _: {**row, "metadata": '{"tenant": "another"}'})
    with pytest.raises(VerificationFailed, match="0 double, 1 with other content"):
        verify(copied)


def test_a_text_that_is_not_the_documents_is_refused(copied: Workspace) -> None:
    """Its chunk id is what it was: only the text itself tells."""
    latest(copied).update(where="document_id = 'owls.md'", values={"text": "Owls sleep at night."})
    with pytest.raises(VerificationFailed, match=r"0 double, 1 with other content.*e\.g\. of 'owls.md'"):
        verify(copied)
    some = documents(copied).filter(pl.col("document_id") == "owls.md")
    rows, total = RowSource.of(copied.pipeline()[0].context), copied.rows().height
    with pytest.raises(VerificationFailed, match="1 with other content"):
        verify_changed(
            latest(copied), rows.contents(some, latest(copied).schema), some["document_id"].clear(), total
        )


def test_a_vector_that_is_another_text_s_is_refused(copied: Workspace) -> None:
    table = latest(copied).to_lance().to_table()
    row, other = table.to_pylist()[:2]
    latest(copied).delete(f"chunk_id = '{row['chunk_id']}'")
    append(copied, lambda _: {**row, "vector": other["vector"]})
    with pytest.raises(VerificationFailed, match="1 with other content, 0 with a broken vector"):
        verify(copied)


def test_documents_may_be_left_out_of_account(copied: Workspace) -> None:
    latest(copied).update(where="document_id = 'owls.md'", values={"text": "Owls sleep at night."})
    every = documents(copied).filter(pl.col("document_id") != "owls.md")
    table = latest(copied)
    demanded = RowSource.of(copied.pipeline()[0].context).contents(every, table.schema)
    assert verify_all(table, demanded, without={"owls.md"}) == copied.rows().height - 1


def test_only_the_rows_of_some_fragments_are_held_against_what_is_demanded(copied: Workspace) -> None:
    table = latest(copied)
    untouched = {fragment.fragment_id for fragment in table.to_lance().get_fragments()}
    table.update(where="document_id = 'owls.md'", values={"text": "Owls sleep at night."})
    table = latest(copied)
    every = {fragment.fragment_id for fragment in table.to_lance().get_fragments()}
    demanded = RowSource.of(copied.pipeline()[0].context).contents(documents(copied), table.schema)
    verify_fragments(table, untouched, demanded)
    assert documents_in(table, every - untouched).to_list() == ["owls.md"]
    with pytest.raises(
        VerificationFailed, match=r"carries 1 rows that its snapshot does not demand.*'owls.md'"
    ):
        verify_fragments(table, every - untouched, demanded)
    assert documents_in(table, set()).is_empty()


@pytest.mark.parametrize("compared_rows", [1, 500_000])
def test_what_differs_is_counted_where_it_is_and_memory_is_bounded(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch, compared_rows: int
) -> None:
    monkeypatch.setattr("rag_assets.index.verify.COMPARED_ROWS", compared_rows)
    latest(copied).update(values={"text": "Another text in each of them."})
    changed = copied.rows().height if compared_rows > 1 else 1
    words = "" if compared_rows > 1 else "at least "
    with pytest.raises(
        VerificationFailed, match=f": {words}0 chunks missing, .* {changed} with other content"
    ):
        verify(copied)
