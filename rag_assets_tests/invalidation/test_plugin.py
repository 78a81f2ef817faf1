"""Targets of other packages: found by entry point, and their errors stay in."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.deliver import deliver
from rag_assets_tests.invalidation.history import History, corpus_of
from rag_assets_tests.invalidation.suite import Bench, TargetSuite

ENTRY_POINTS = """\
[rag_assets.invalidation_targets]
recorder = rag_assets_tests.invalidation.plugin_example:Recorder
unusable = rag_assets_tests.invalidation.plugin_example:unusable
absent = rag_assets_tests.invalidation.plugin_example:nothing_of_this_name
"""


class PluginBench(Bench):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = {"folder": str(folder)}
        super().__init__({"type": "python", "entry_point": "recorder", "options": options}, {})

    def forgotten(self) -> set[str]:
        told = self.folder / "told"
        names = set(told.read_text().splitlines()) if told.exists() else set()
        told.unlink(missing_ok=True)
        return names

    def break_(self) -> None:
        (self.folder / "broken").touch()

    def refuse(self) -> None:
        self.mend()
        (self.folder / "refusing").touch()

    def mend(self) -> None:
        for name in ("broken", "refusing"):
            (self.folder / name).unlink(missing_ok=True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginBench:
    about = tmp_path / "installed" / "recorder-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: recorder\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(about.parent))
    return PluginBench(tmp_path)


class TestPlugin(TargetSuite):
    def test_a_foreign_error_is_one_line_without_secrets(self, history: History, bench: PluginBench) -> None:
        history.publish({"a": 1})
        bench.break_()
        outcome = self.deliver(history, bench)
        assert outcome.state == "failed"
        assert outcome.error == "RuntimeError: line one from http://…@host/?… with Bearer …"

    @pytest.mark.parametrize(
        ("entry_point", "reason"),
        [
            (
                "forgotten",
                "'forgotten': not installed; entry points of the group .*: absent, recorder, unusable",
            ),
            ("absent", "'absent': cannot be made: AttributeError"),
            ("unusable", "'unusable': what it returns has no method 'send'"),
        ],
    )
    def test_an_entry_point_that_cannot_be_used_says_why(
        self, history: History, bench: PluginBench, entry_point: str, reason: str
    ) -> None:
        history.publish({"a": 1})
        with pytest.raises(ConfigurationError, match=f"target cache, entry point {reason}"):
            deliver(history.objects, corpus_of({**bench.target, "entry_point": entry_point}), {})

    def test_wrong_options_are_a_mistake_of_configuration(self, history: History, bench: PluginBench) -> None:
        history.publish({"a": 1})
        with pytest.raises(ConfigurationError, match="cannot be made: KeyError: 'folder'"):
            deliver(history.objects, corpus_of({**bench.target, "options": {}}), {})
