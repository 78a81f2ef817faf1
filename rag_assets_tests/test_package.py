"""The package from outside: a small surface, cheap imports, one error family."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import walk_packages

import rag_assets
from rag_assets import errors
from rag_assets.errors import RagAssetsError

HEAVY = {
    "torch",
    "lancedb",
    "lance",
    "dagster",
    "sentence_transformers",
    "transformers",
    "altair",
    "polars",
    "numpy",
}


def imported(code: str) -> set[str]:
    """Heavy packages that running ``code`` in a fresh interpreter imports."""
    report = (
        f"\nimport json, sys; print(json.dumps([name for name in {sorted(HEAVY)} if name in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_the_public_surface_is_what_a_service_needs() -> None:
    assert rag_assets.__all__ == ["AnswerCache", "open_published"]
    for name in rag_assets.__all__:
        assert callable(getattr(rag_assets, name))
        assert getattr(rag_assets, name).__doc__
    assert not hasattr(rag_assets, "pipelines")


def test_a_service_that_only_caches_loads_nothing_heavy() -> None:
    assert imported("from rag_assets.invalidation.cache import AnswerCache") == set()
    assert imported("from rag_assets import AnswerCache; AnswerCache('redis://127.0.0.1', 'x')") == set()


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported("import rag_assets, rag_assets.errors, rag_assets.settings") == set()


def test_the_command_line_and_corpus_files_need_no_heavy_library() -> None:
    assert imported("import rag_assets.cli, rag_assets.corpus") == set()


def test_reading_what_is_published_needs_no_dagster() -> None:
    assert not imported("import rag_assets.publication.reader") & {
        "dagster",
        "torch",
        "sentence_transformers",
    }


def test_the_package_is_typed() -> None:
    assert files("rag_assets").joinpath("py.typed").is_file()


def every_error() -> set[type[RagAssetsError]]:
    for module in walk_packages(rag_assets.__path__, "rag_assets."):
        if module.name != "rag_assets.definitions":  # loads the corpora of whoever runs the tests
            import_module(module.name)
    found: set[type[RagAssetsError]] = set()
    todo: list[type[RagAssetsError]] = [RagAssetsError]
    while todo:
        error = todo.pop()
        found.add(error)
        todo += error.__subclasses__()
    return {error for error in found if error.__module__.startswith("rag_assets.")}


def test_every_error_of_the_family_is_drawn_in_its_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", str(errors.__doc__))) | {"RagAssetsError"}
    declared = {error.__name__ for error in every_error() if error.__module__ == "rag_assets.errors"}
    assert drawn == declared


def test_every_error_says_whether_a_retry_may_help_and_what_it_is() -> None:
    for error in every_error():
        assert isinstance(error.retryable, bool)
        assert error.__doc__, error


def test_every_error_of_the_family_is_raised_somewhere() -> None:
    folder = Path(str(files("rag_assets")))
    source = "\n".join(path.read_text() for path in folder.rglob("*.py") if path.name != "errors.py")
    for error in every_error():
        leaf = not error.__subclasses__()
        if leaf:
            assert re.search(rf"\b{error.__name__}\(", source), f"{error.__name__} is never raised"
