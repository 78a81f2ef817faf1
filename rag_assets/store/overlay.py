"""A store whose writes go elsewhere: for a dry run that runs the real code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rag_assets.store.objects import ObjectInfo, ObjectNotFound, ObjectStore


@dataclass(frozen=True, slots=True)
class OverlayStore(ObjectStore):
    """Reads fall through to a store, writes and deletes stay in a scratch folder."""

    scratch: ObjectStore

    @classmethod
    def over(cls, objects: ObjectStore, scratch: ObjectStore) -> OverlayStore:
        """An overlay on ``objects`` that keeps its writes in ``scratch`` (a local folder)."""
        return cls(objects.url, objects.backend, scratch)

    def uri(self, path: str) -> str:
        """Where the object lies: the scratch folder if it was written there."""
        if self.scratch.find(path) is not None:
            return self.scratch.uri(path)
        return ObjectStore.uri(self, path)

    def put(self, path: str, data: bytes | Path) -> None:
        """Write to the scratch folder."""
        self.scratch.put(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Write to the scratch folder, unless either has the object."""
        return ObjectStore.find(self, path) is None and self.scratch.create(path, data)

    def get(self, path: str, limit: int | None = None) -> bytes:
        """The object's bytes, the scratch folder's first."""
        try:
            return self.scratch.get(path, limit)
        except ObjectNotFound:
            return ObjectStore.get(self, path, limit)

    def info(self, path: str) -> ObjectInfo | None:
        """The object, the scratch folder's first."""
        return self.scratch.info(path) or ObjectStore.info(self, path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects of both."""
        written = {info.path: info for info in self.scratch.list(prefix)}
        yield from written.values()
        yield from (info for info in ObjectStore.list(self, prefix) if info.path not in written)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete what was written to the scratch folder; the store keeps its objects."""
        self.scratch.delete(paths)
