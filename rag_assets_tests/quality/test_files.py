"""Only the newest reports and profiles are kept."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rag_assets.quality import Profile, QualityReport, files
from rag_assets.quality.files import QualityFiles
from rag_assets.store.objects import ObjectStore


def test_old_reports_and_profiles_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "KEPT_REPORTS", 3)
    monkeypatch.setattr(files, "KEPT_PROFILES", 2)
    kept = QualityFiles(ObjectStore.open(tmp_path), "manuals")
    profile, sample = Profile(stage="chunks", numbers={"chunks": 1}), pl.DataFrame({"text": ["a"]})
    for number in range(6):
        kept.write_report(f"digest{number}", QualityReport(corpus="manuals"))
        kept.write_profile(f"key{number}", profile, sample)
    names = sorted(path.name for path in (tmp_path / "corpora/manuals/quality").rglob("*.json"))
    assert names == ["chunks-key4.json", "chunks-key5.json", "digest3.json", "digest4.json", "digest5.json"]


def test_what_was_never_written_or_is_damaged_counts_as_missing(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    kept = QualityFiles(objects, "manuals")
    assert kept.read_profile("chunks", "key") is None
    kept.write_profile("key", Profile(stage="chunks", numbers={}), pl.DataFrame({"text": ["a"]}))
    assert kept.read_profile("chunks", "key") is not None
    objects.put("corpora/manuals/quality/profiles/chunks-key.parquet", b"half")
    assert kept.read_profile("chunks", "key") is None
    assert kept.read_report("digest") == QualityReport(corpus="manuals")
