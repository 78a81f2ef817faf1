"""The documentation is held to the code: links resolve, snippets load or run, nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rag_assets.cli import app
from rag_assets.corpus import Corpus, load_corpora, load_corpus
from rag_assets.evaluation.gold import load_gold
from rag_assets.ingest.parsing.document import Reason
from rag_assets.settings import Settings
from rag_assets_tests.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
GENERATED = {DOCS / "benchmarks.md", DOCS / "soak.md"}  # written by `make bench` and `make soak`
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ROW = re.compile(r"^\| `([^`|]+)` \| ([^|]*) \|", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page whose info string is exactly ``language``."""
    return [code for info, code in FENCE.findall(page.read_text()) if info.strip() == language]


def named(pages: list[Path]) -> Any:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, default) of every field of a corpus file that holds a value."""
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        listed = "[]" if "tuple" in str(field.annotation) else ""
        for group in inner:
            yield from fields(group, f"{above}{name}{listed}.")
        if not inner:
            yield f"{above}{name}", field.get_default(call_default_factory=True)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def as_documented(default: Any) -> str | None:
    """How the reference writes a default; None when it may say it in words."""
    if default is PydanticUndefined or default in ("", (), {}) or isinstance(default, tuple):
        return None
    if default is None:
        return "unset"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@named(PAGES)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    targets = [link.split("#")[0] for link in LINK.findall(text) if "://" not in link]
    paths = [(page.parent / target).resolve() for target in targets if target]
    assert [path for path in paths if not path.exists() and path not in GENERATED] == []


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@named(PAGES)
def test_every_anchor_of_a_link_is_a_heading(page: Path) -> None:
    links = [
        link for link in LINK.findall(FENCE.sub("", page.read_text())) if "://" not in link and "#" in link
    ]
    found = [
        (link, (page.parent / link.split("#")[0]).resolve() if link[0] != "#" else page) for link in links
    ]
    missing = [
        link
        for link, target in found
        if target.suffix == ".md" and target.exists() and link.split("#")[1] not in anchors(target)
    ]
    assert missing == []


def test_the_map_names_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "index.md").read_text())}
    assert [page for page in DOCS.rglob("*.md") if page not in linked | {DOCS / "index.md"}] == []


def test_the_readme_has_the_picture_of_the_concepts() -> None:
    (picture,) = blocks(DOCS / "concepts.md", "text")
    assert picture in blocks(ROOT / "README.md", "text")


def test_every_field_of_a_corpus_file_is_documented_with_its_default() -> None:
    documented = dict(ROW.findall((DOCS / "corpus-file.md").read_text()))
    found = dict(fields(Corpus))
    assert sorted(found.keys() - documented.keys()) == []
    assert sorted(name for name in documented if name not in found) == []
    expected = {name: text for name, value in found.items() if (text := as_documented(value)) is not None}
    assert {name: documented[name] for name in expected} == expected


def test_every_command_and_option_is_documented() -> None:
    page = (DOCS / "cli.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`rag-assets {command.callback.__name__}" in page
    for name in Settings.model_fields:
        assert f"`RAG_{name.upper()}`" in page


def test_every_reason_for_quarantine_is_documented() -> None:
    documented = dict(ROW.findall((DOCS / "parsing.md").read_text()))
    assert [reason for reason in get_args(Reason) if reason not in documented] == []


@named([page for page in PAGES if any("sources:" in code for code in blocks(page, "yaml"))])
def test_every_whole_corpus_file_in_the_docs_is_valid(page: Path, tmp_path: Path) -> None:
    for number, code in enumerate(blocks(page, "yaml")):
        if re.search(r"^sources:", code, re.MULTILINE):
            path = tmp_path / f"example_{number}.yaml"
            path.write_text(code)
            load_corpus(path, {})


@named([page for page in PAGES if any('"question"' in code for code in blocks(page, "json"))])
def test_every_gold_set_in_the_docs_is_valid(page: Path, tmp_path: Path) -> None:
    for code in blocks(page, "json"):
        if '"question"' in code:
            path = tmp_path / "example.gold.jsonl"
            path.write_text(code)
            load_gold(path)


def test_the_corpora_of_this_repository_are_valid_and_their_targets_exist() -> None:
    corpus = load_corpora(ROOT / "corpora", {})["handbook"]
    assert corpus.gold_path is not None
    gold = load_gold(corpus.gold_path)
    assert len(gold.questions) >= 50
    text = {page.relative_to(DOCS).as_posix(): page.read_text() for page in DOCS.rglob("*.md")}
    words = {name: " ".join(re.findall(r"\w+", body.casefold())) for name, body in text.items()}
    for question in gold.questions:
        for document in question.documents:
            assert document in text, question.question
        for passage in question.passages:
            quote = " ".join(re.findall(r"\w+", passage.casefold()))
            assert any(quote in body for body in words.values()), passage


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store in which a small corpus named handbook is published."""
    root = tmp_path_factory.mktemp("docs")
    workspace = Workspace(root, str(root / "store"))
    workspace.write("guide.md", "# Guide\n\nA rollback undoes a publish. The gate is a blocking check.\n")
    workspace.run()
    return workspace


@named([page for page in PAGES if blocks(page, "python runnable")])
def test_runnable_snippets_run(page: Path, published: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_STORE", published.store)
    namespace: dict[str, Any] = {}
    for number, code in enumerate(blocks(page, "python runnable")):
        exec(compile(code, f"{page.name} snippet {number + 1}", "exec"), namespace)


@named([page for page in PAGES if blocks(page, "python") or blocks(page, "python runnable")])
def test_every_python_snippet_compiles(page: Path) -> None:
    for code in [*blocks(page, "python"), *blocks(page, "python runnable")]:
        compile(code, str(page), "exec")
