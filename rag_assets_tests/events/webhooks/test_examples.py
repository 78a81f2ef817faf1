"""The senders in the documentation are run against a real receiver."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets_tests.events.webhooks.corpora import corpus
from rag_assets_tests.events.webhooks.receivers import serving
from rag_assets_tests.events.webhooks.senders import SECRET, bearer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"
VARIABLE = "MANUALS_WEBHOOK_SECRET"


def example(language: str, heading: str) -> str:
    """The first code block below a heading."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def client(inbox: Inbox) -> Iterator[httpx.Client]:
    hook = corpus("manuals", secret_variable=VARIABLE)
    with serving(create_app({"manuals": hook}, inbox, {VARIABLE: SECRET})) as client:
        yield client


def test_the_sender_in_python_is_understood(
    client: httpx.Client, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    code = example("python", "Send with Python").replace(
        "http://127.0.0.1:8080", str(client.base_url).rstrip("/")
    )
    exec(compile(code, str(PAGE), "exec"), {})
    (received,) = inbox.take("manuals", "run")
    assert (received.change.document, received.change.content) == ("cms/imprint.md", b"# Imprint")


def test_the_sender_with_curl_is_understood(client: httpx.Client, inbox: Inbox) -> None:
    if any(shutil.which(program) is None for program in ("curl", "openssl", "bash")):
        pytest.skip("needs bash, curl and openssl")
    code = example("sh", "Send with curl").replace("http://127.0.0.1:8080", str(client.base_url).rstrip("/"))
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], check=True, env={"PATH": "/usr/bin:/bin", VARIABLE: SECRET}
    )
    (received,) = inbox.take("manuals", "run")
    assert (received.change.document, received.change.content) == ("cms/imprint.md", b"# Imprint")


def test_the_event_in_the_documentation_is_taken(client: httpx.Client, inbox: Inbox) -> None:
    body = example("json", "Events").encode()
    assert client.post("/hooks/manuals", content=body, headers=bearer()).status_code == 202
    assert inbox.pending("manuals").count == 1


def test_the_workflow_in_the_documentation_sends_what_a_push_changed(
    client: httpx.Client, inbox: Inbox, tmp_path: Path
) -> None:
    import yaml

    if any(shutil.which(program) is None for program in ("curl", "jq", "git", "bash")):
        pytest.skip("needs bash, curl, git and jq")
    # YAML 1.1 reads the key "on" as true.
    steps = yaml.safe_load(example("yaml", "GitHub: an action that sends the contents"))["jobs"]["announce"][
        "steps"
    ]
    code = steps[1]["run"].replace("https://rag.example.com", str(client.base_url).rstrip("/"))

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "docs").mkdir()
    git("init", "-q")
    for name in ("kept.md", "gone.md"):
        (tmp_path / "docs" / name).write_text("old")
    git("add", ".")
    git("commit", "-qm", "before")
    before = git("rev-parse", "HEAD")
    (tmp_path / "docs" / "kept.md").write_text("# New 'text' with $signs\n")
    (tmp_path / "docs" / "größe 1.md").write_text("another\n")
    git("rm", "-q", "docs/gone.md")
    git("add", ".")
    git("commit", "-qm", "after")
    environ = {
        "PATH": "/usr/bin:/bin",
        "TOKEN": SECRET,
        "BEFORE": before,
        "GITHUB_SHA": git("rev-parse", "HEAD"),
    }
    subprocess.run(["bash", "-e", "-c", code], check=True, cwd=tmp_path, env=environ)
    found = {received.change.document: received.change for received in inbox.take("manuals", "run")}
    assert {name: change.content for name, change in found.items()} == {
        "cms/docs/kept.md": b"# New 'text' with $signs\n",
        "cms/docs/größe 1.md": b"another\n",
        "cms/docs/gone.md": None,
    }
    assert found["cms/docs/gone.md"].kind == "deleted"
