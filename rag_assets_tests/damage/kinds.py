"""Kinds of objects in a store, what may happen to one, and what is to be done then beyond running the corpus."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rag_assets_tests.damage.small_store import SmallStore
from rag_assets_tests.workspace import document

STRAYS = ("notes.txt", "stray.json", "stray.parquet", "1.json", "00000000000000000000000000000000.bak")


@dataclass(frozen=True)
class Kind:
    """Objects that are written and read by the same code.

    Attributes:
        name: for people.
        pattern: of paths in the store.
        every: damage all of them; else the newest one.
        cure: of what a run cannot make again: what its message says, and doing that.
        before: what a person does before the run where no run can notice the damage.
        elsewhere: the test that damages it, where a small store has none.
    """

    name: str
    pattern: str
    every: bool = False
    cure: tuple[str, Callable[[SmallStore, Sequence[Path]], None]] | None = None
    before: Callable[[SmallStore], None] | None = None
    elsewhere: str | None = None

    def files(self, folder: Path) -> list[Path]:
        """Those of a store that are to be damaged."""
        found = [path for path in files_of(folder) if self.takes(path, folder)]
        found.sort(key=lambda path: (path.stat().st_mtime_ns, str(path)))
        return found if self.every else found[-1:]

    def takes(self, path: Path, folder: Path) -> bool:
        """Whether a file is of this kind."""
        return re.fullmatch(self.pattern, path.relative_to(folder).as_posix()) is not None


def files_of(folder: Path) -> list[Path]:
    """All files of a store."""
    return [path for path in folder.rglob("*") if path.is_file()]


def deleted(store: SmallStore, paths: Sequence[Path]) -> None:
    """The object is deleted."""
    for path in paths:
        path.unlink(missing_ok=True)


def erased_again(store: SmallStore, paths: Sequence[Path]) -> None:
    """The table is deleted, and the erasures that it held are demanded once more."""
    deleted(store, paths)
    store.announce("folder/d4.md", "erase", 50)


def begun_anew(store: SmallStore, paths: Sequence[Path]) -> None:
    """The inbox is deleted with its log."""
    for path in store.folder.glob("inbox.sqlite*"):
        path.unlink()


def sent_again(store: SmallStore) -> None:
    """The document is delivered once more."""
    store.announce("cms/x.md", "updated", 60, document(7, 2))


HEX = "[0-9a-f]{32}"
CONTENT = f"content/%s/{HEX}"
CORPUS = "corpora/handbook"
LANCE = r"index/handbook\.lance"
KINDS = (
    Kind("settings of a fingerprint", f"{CONTENT % '[a-z]+'}/about\\.json", every=True),
    *(
        Kind(f"shard of {stage}", f"{CONTENT % stage}/shards/{HEX}\\.parquet", every=True)
        for stage in ("documents", "chunks", "embeddings", "answers", "judgements", "texts")
    ),
    Kind("key index", f"{CONTENT % '[a-z]+'}/index\\.json", every=True),
    Kind("bucket of a key index", f"{CONTENT % '[a-z]+'}/index/\\d\\d-{HEX}\\.parquet", every=True),
    Kind("snapshot", rf"{CORPUS}/snapshots/\d+\.json"),
    Kind("bucket of a snapshot", rf"{CORPUS}/snapshots/buckets/.*\.parquet", every=True),
    Kind("candidate", rf"{CORPUS}/candidates/\d+\.json"),
    Kind("changes of a candidate", rf"{CORPUS}/candidates/\d+\.parquet"),
    Kind("measurements", rf"{CORPUS}/measurements/.*\.parquet", every=True),
    Kind("contexts", rf"{CORPUS}/contexts/.*\.parquet", every=True),
    Kind("failed answers and judgements", rf"{CORPUS}/contexts/.*\.json", every=True),
    Kind("report", rf"{CORPUS}/reports/.*/report\.json"),
    Kind("page of a report", rf"{CORPUS}/reports/.*/report\.html"),
    Kind("questions of a report", rf"{CORPUS}/reports/.*/questions\.parquet"),
    Kind("publication", rf"{CORPUS}/publications/\d+-\d+\.json"),
    Kind("changes of a publication", rf"{CORPUS}/publications/\d+-\d+\.parquet"),
    Kind("claim", rf"{CORPUS}/publications/claims/.*\.json"),
    Kind("pushed document", rf"{CORPUS}/pushed/.*/content\.md", before=sent_again),
    Kind("erasures", rf"{CORPUS}/erasures/\d+\.parquet", cure=("erasures of handbook", erased_again)),
    Kind("ledger of a target", rf"{CORPUS}/invalidation/hook\.json"),
    Kind("lease of a target", rf"{CORPUS}/invalidation/hook\.lease/\d+\.json"),
    Kind("profile", rf"{CORPUS}/quality/profiles/.*\.json", every=True),
    Kind("sample of a profile", rf"{CORPUS}/quality/profiles/.*\.parquet", every=True),
    Kind("record of quality", rf"{CORPUS}/quality/reports/.*\.json"),
    Kind("page of quality", rf"{CORPUS}/quality/reports/.*\.html"),
    Kind("record of a run", rf"{CORPUS}/runs/.*\.json"),
    Kind("newest record of a run", rf"{CORPUS}/last_run\.json"),
    Kind("speed of embedders", r"throughput\.json"),
    Kind("parity", r"parity/.*\.json", cure=("delete it", deleted)),
    Kind("clock", r"clock"),
    Kind("inbox", r"inbox\.sqlite", cure=("delete it", begun_anew)),
    Kind("log of the inbox", r"inbox\.sqlite-(wal|shm)", every=True, cure=("delete it", begun_anew)),
    Kind("lock of the inbox", r"inbox\.sqlite\.handbook\.lock"),
    Kind("tag of a publication", rf"{LANCE}/_refs/tags/pub-\d+\.json"),
    Kind("tag that clients follow", rf"{LANCE}/_refs/tags/published\.json"),
    Kind("manifest", rf"{LANCE}/_versions/\d+\.manifest"),
    Kind("hint at the newest manifest", rf"{LANCE}/_versions/latest_version_hint\.json"),
    Kind("transaction", rf"{LANCE}/_transactions/.*\.txn", every=True),
    Kind("rows", rf"{LANCE}/data/.*\.lance", every=True),
    Kind("deleted rows", rf"{LANCE}/_deletions/.*\.arrow", every=True),
    Kind("search index", rf"{LANCE}/_indices/.*\.lance", every=True),
    Kind("tag of a candidate", rf"{LANCE}/_refs/tags/cand-.*\.json", elsewhere="publication/test_mending.py"),
    Kind("canary", r"canaries/.*\.json", elsewhere="ingest/embedding/test_endpoint.py"),
    Kind("preflight marker", r"preflight\.json", elsewhere="store/test_preflight.py"),
)


def truncated(data: bytes) -> bytes:
    """What a full disk leaves."""
    return data[: len(data) // 2]


def without_fields(data: bytes) -> bytes:
    """The same format, and nothing of what belongs there."""
    if _is_json(data):
        return b"{}"
    buffer = io.BytesIO()
    pl.DataFrame({"other": [1]}).write_parquet(buffer)
    return buffer.getvalue()


def of_other_types(data: bytes) -> bytes:
    """The same fields with values of other types."""
    if _is_json(data):
        return json.dumps(_mistyped(json.loads(data))).encode()
    frame = pl.read_parquet(io.BytesIO(data))
    buffer = io.BytesIO()
    frame.select(pl.lit([1.5]).alias(name) for name in frame.columns).write_parquet(buffer)
    return buffer.getvalue()


def _mistyped(value: Any) -> Any:
    match value:
        case dict():
            return {name: _mistyped(one) for name, one in value.items()} or ["x"]
        case str() | None:
            return 7
        case bool() | int() | float():
            return "x"
        case _:
            return {"x": 1}


def _is_json(data: bytes) -> bool:
    return data[:1] in (b"{", b"[")


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "truncated": truncated,
    "without its fields": without_fields,
    "of other types": of_other_types,
}
"""What becomes of an object's bytes; None: it is gone."""
STRAY = "stray files beside it"


def applies(damage: str, path: Path) -> bool:
    """Whether a damage makes sense for a file: only JSON and Parquet have fields."""
    return damage not in ("without its fields", "of other types") or path.suffix in (".json", ".parquet")
