"""``rag-assets webhooks``: the receiver of events over HTTP."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rag_assets.cli.common import readable, reported
from rag_assets.settings import Settings


def webhooks(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.", callback=readable),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Receive events of all corpora that set events.webhooks, until told to stop."""
    from rag_assets.corpus import load_corpora
    from rag_assets.events.inbox import open_inbox
    from rag_assets.events.webhooks import create_app
    from rag_assets.events.webhooks.serve import serve

    with reported():
        settings = Settings()
        corpora = load_corpora(settings.corpora)
        serve(create_app(corpora, open_inbox(settings), os.environ), host, port)
