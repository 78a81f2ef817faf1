"""A target of one's own, as a package would bring it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag_assets.invalidation.notice import Notice
from rag_assets.invalidation.target import TargetRefused


class Recorder:
    """Writes what it is told into a folder; files there make it fail."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._folder = Path(options["folder"])

    def send(self, notice: Notice) -> None:
        if (self._folder / "broken").exists():
            raise RuntimeError("line one\nfrom http://user:hunter2@host/?key=hunter3 with Bearer hunter4")
        if (self._folder / "refusing").exists():
            raise TargetRefused("never")
        with (self._folder / "told").open("a") as file:
            names = [*notice.forgotten, *(["everything"] if notice.everything else [])]
            file.writelines(f"{name}\n" for name in names)


def unusable(options: Mapping[str, Any]) -> object:
    return object()
