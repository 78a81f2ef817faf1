"""Short samples of the random walk; ``make soak`` walks for hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets_tests.soak.record import PAGE, page, read_results
from rag_assets_tests.soak.walk import Walk


def walk(tmp_path: Path, store: str, seed: int, steps: int) -> None:
    counts = Walk(seed, store, tmp_path / "walk", {}, print).play(steps, minutes=8)
    assert counts.steps == steps
    assert counts.polled_reads > 0


@pytest.mark.slow
def test_a_short_walk_ends_as_the_model_says(tmp_path: Path) -> None:
    walk(tmp_path, str(tmp_path / "store"), seed=11, steps=6)


@pytest.mark.slow
def test_a_walk_ends_as_the_model_says(tmp_path: Path) -> None:
    walk(tmp_path, str(tmp_path / "store"), seed=12, steps=25)


@pytest.mark.slow
def test_a_walk_on_s3_ends_as_the_model_says(tmp_path: Path, s3_store_url: str) -> None:
    walk(tmp_path, s3_store_url, seed=13, steps=10)


def test_the_page_of_recorded_walks_is_made_from_their_results() -> None:
    assert PAGE.read_text() == page(read_results())
