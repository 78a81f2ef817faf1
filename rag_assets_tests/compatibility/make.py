"""Make ``earlier.tar.xz`` with an earlier version: ``python -m rag_assets_tests.compatibility.make BIN``.

BIN is the folder of that version's ``rag-assets`` and ``dagster``. What its commands answer is kept beside the store,
and the version of today has to answer the same. Needed after a change that says in its notes that stores are made anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).parent / "earlier.tar.xz"
SECRET = "a-secret-of-the-tests-only"
LONG_AGO = 1_600_000_000
"""Older than what is read again for its age."""
CORPUS = """\
sources:
  - {type: folder, path: ../documents}
  - {type: push, prefix: cms/}
embedder: {type: static}
index:
  filters: {tenant: string}
evaluation:
  gold: gold.jsonl
  answers: {contexts: 2}
gate:
  rules:
    - {metric: recall@5, min: 0.5}
quality: {}
events:
  webhooks: {secret_variable: HOOK_SECRET, accept: [bearer]}
"""
DOCUMENTS = {
    "owls.md": "---\ntitle: Owls\ntenant: birds\n---\n# Owls\n\nOwls hunt at night.\n\n## Food\n\nThey eat mice.\n",
    "penguins.html": "<html><head><title>Penguins</title></head><body><h1>Penguins</h1>"
    "<p>Penguins swim in cold water.</p></body></html>",
    "storks.txt": "Storks nest on chimneys of old houses.\n",
    "broken.md": "\0\1\2 binary",
}
GOLD = [
    {"id": "owls", "question": "When do owls hunt?", "documents": ["owls.md"]},
    {"id": "penguins", "question": "Where do penguins swim?", "passages": ["Penguins swim in cold water."]},
    {"id": "gulls", "question": "What do gulls steal?", "documents": ["cms/gulls"]},
]
LOOKS = {
    "status": ("status", "handbook", "--json"),
    "history": ("history", "handbook", "--json"),
    "plan": ("plan", "handbook", "--json"),
    "query": ("query", "handbook", "Where do penguins swim?", "--json"),
    "gold": ("gold", "check", "handbook", "--json"),
    "inbox": ("inbox", "list", "handbook", "--json"),
}


def environment(root: Path) -> dict[str, str]:
    """Variables with which the commands see what lies in a folder."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAG_", "AWS_"))},
        "RAG_STORE": str(root / "store"),
        "RAG_CORPORA": str(root / "corpora"),
        "RAG_BY": "tests",
        "DAGSTER_HOME": str(root / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "HOOK_SECRET": SECRET,
    }


def looked_at(call: Callable[..., str], root: Path) -> dict[str, Any]:
    """What the commands answer, with the folder's path left out.

    Args:
        call: ``rag-assets`` with some arguments; returns its standard output.
        root: the folder.
    """
    return {
        name: json.loads(call(*arguments).replace(str(root), "ROOT")) for name, arguments in LOOKS.items()
    }


def main() -> None:
    """Make the archive."""
    binaries = Path(sys.argv[1])
    command = str(binaries / "rag-assets")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("corpora", "documents", "dagster"):
            (root / name).mkdir()
        (root / "corpora" / "handbook.yaml").write_text(CORPUS)
        (root / "corpora" / "gold.jsonl").write_text("".join(json.dumps(one) + "\n" for one in GOLD))
        (root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        for name, text in DOCUMENTS.items():
            _write(root, name, text)

        def call(*arguments: str) -> str:
            ended = subprocess.run(
                [command, *arguments], env=environment(root), stdout=subprocess.PIPE, text=True, check=True
            )
            return ended.stdout

        with _receiver(command, root) as url:
            _announce(url, "cms/gulls", "# Gulls\n\nGulls steal bread from tourists.", 1)
            call("run", "handbook")
            _write(root, "owls.md", DOCUMENTS["owls.md"].replace("mice", "voles"))
            call("run", "handbook")
            call("rollback", "handbook", "--reason", "voles were wrong")
            _write(root, "owls.md", DOCUMENTS["owls.md"].replace("mice", "shrews"))
            call("run", "handbook")
            _announce(url, "cms/terns", "# Terns\n\nTerns fly from pole to pole.", 2)
        (root / "answers.json").write_text(json.dumps(looked_at(call, root), indent=1))
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            for name in ("corpora", "documents", "dagster", "store", "answers.json"):
                archive.add(root / name, name)


def _write(root: Path, name: str, text: str) -> None:
    path = root / "documents" / name
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))


class _receiver:
    """The command's receiver of webhooks, while a block lasts. Gives its URL."""

    def __init__(self, command: str, root: Path) -> None:
        self._process = subprocess.Popen([command, "webhooks", "--port", "8765"], env=environment(root))

    def __enter__(self) -> str:
        url = "http://127.0.0.1:8765"
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/ready", timeout=5)
            except OSError:
                time.sleep(0.3)
            else:
                break
        return f"{url}/hooks/handbook"

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def _announce(url: str, document: str, text: str, number: int) -> None:
    event = {
        "type": "document.created",
        "timestamp": f"2026-01-0{number}T00:00:00Z",
        "data": {"document": document, "content": text, "content_type": "text/markdown"},
    }
    headers = {
        "Authorization": f"Bearer {SECRET}",
        "webhook-id": f"event-{number}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, json.dumps(event).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert reply.status == 202


if __name__ == "__main__":
    main()
