"""``rag-assets verify``: compare every published row with the stores."""

from __future__ import annotations

from dataclasses import asdict

import typer

from rag_assets.cli.common import FAILED, AsJson, CorpusName, load, open_store, print_json, reported


def verify(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Compare the text and vector of every published row with the stores. The next run mends what this finds."""
    from rag_assets.cli.terminal import show_verification
    from rag_assets.publication.verification import verify_published

    with reported():
        settings, found = load(corpus)
        result = verify_published(open_store(settings), found.name)
        if as_json:
            print_json(asdict(result))
        else:
            show_verification(found.name, result)
    if result.problem is not None:
        raise typer.Exit(FAILED)
