"""One published corpus for all tests of this folder; tests that change it get a copy of its store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rag_assets_tests.workspace import Workspace

SETTINGS = {
    "index": {
        "filters": {
            "tenant": "string",
            "year": "integer",
            "price": "number",
            "draft": "boolean",
            "labels": "strings",
        }
    },
    "parsing": {"max_quarantined_share": 1},
}
DOCUMENTS = {
    "penguins.md": "---\ntenant: a\nyear: 2024\nprice: 1.5\ndraft: false\nlabels: [bird, cold]\n---\n"
    "# Penguins\n\nPenguins swim in cold water.",
    "owls.md": "---\ntenant: b\nyear: 2025\nprice: 2\ndraft: true\nlabels: bird\n---\n# Owls\n\nOwls hunt at night.",
    "it's a 'quoted' \"name\".md": "---\ntenant: a'b\nyear: soon\n---\n"
    "# Quotes\n\nIt's about O'Brien's \"quotes\" -- and; semicolons.",
    "same1.md": "---\ntenant: b\n---\n# Same\n\nThe very same paragraph stands in four documents.",
    "same2.md": "---\ntenant: b\n---\n# Same\n\nThe very same paragraph stands in four documents.",
    "same3.md": "---\ntenant: b\n---\n# Same\n\nThe very same paragraph stands in four documents.",
    "same4.md": "---\ntenant: a\n---\n# Same\n\nThe very same paragraph stands in four documents.",
    "twice.md": "# Twice\n\n## Part\n\nRepeated.\n\n## Part\n\nRepeated.",
    "front.md": "---\ntenant: a\n---\n",
}  # fmt: skip


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Published once; do not change it."""
    root = tmp_path_factory.mktemp("index")
    workspace = Workspace(root, str(root / "store"), **SETTINGS)
    for name, text in DOCUMENTS.items():
        workspace.write(name, text)
    workspace.run()
    return workspace


@pytest.fixture
def copied(published: Workspace, tmp_path: Path) -> Workspace:
    """The same corpus with a store of its own."""
    shutil.copytree(published.store, tmp_path / "store")
    return Workspace(published.documents.parent, str(tmp_path / "store"), **SETTINGS)
