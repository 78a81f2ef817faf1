"""Tags are read while others write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import pytest

from rag_assets.index.table import IndexUnavailable, read_tags
from rag_assets_tests.workspace import Workspace

CUT_OFF = (
    "LanceError(Arrow): EOF while parsing an object at line 8 column 0, /lance/src/dataset/refs.rs:964:8"
)
DROPPED = "Not found: handbook.lance/_refs/tags/cand-1.json"


class MovingTags:
    """A table whose tags are in motion the first ``times`` that somebody looks."""

    def __init__(self, dataset: Any, message: str, times: int) -> None:
        self.tags = self
        self._dataset = dataset
        self._message = message
        self._left = times

    def list(self) -> Any:
        self._left -= 1
        if self._left >= 0:
            raise OSError(self._message)
        return self._dataset.tags.list()


@pytest.mark.parametrize("message", [CUT_OFF, DROPPED])
def test_a_tag_that_moves_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    made = Workspace(tmp_path, str(tmp_path / "store"))
    made.write("a.md", "Bins are emptied on Tuesdays.")
    made.run()
    expected, open_dataset = read_tags(made.objects, made.name), lance.dataset
    monkeypatch.setattr(
        lance, "dataset", lambda *args, **more: MovingTags(open_dataset(*args, **more), message, 3)
    )
    assert read_tags(made.objects, made.name) == expected != {}


@pytest.mark.parametrize(("message", "times"), [(CUT_OFF, 1000), ("permission denied", 1)])
def test_tags_that_cannot_be_read_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, times: int
) -> None:
    made = Workspace(tmp_path, str(tmp_path / "store"))
    made.write("a.md", "Bins are emptied on Tuesdays.")
    made.run()
    open_dataset = lance.dataset
    monkeypatch.setattr(
        lance, "dataset", lambda *args, **more: MovingTags(open_dataset(*args, **more), message, times)
    )
    with pytest.raises(IndexUnavailable, match="could not read the tags of 'handbook'"):
        read_tags(made.objects, made.name)
