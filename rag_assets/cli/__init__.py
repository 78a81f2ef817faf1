"""The command line: ``rag-assets run handbook``.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 refused by the gate, 130 and 143 ended by a
signal. ``--json`` prints one JSON value on standard output and nothing else there; progress goes to standard error.

Knows commands, and how results are shown on a terminal; not how they come about.
"""

from __future__ import annotations

import io
import os
import signal
import sys

from rag_assets.allocator import return_memory
from rag_assets.cli import gold, inbox, invalidation
from rag_assets.cli.commands import app
from rag_assets.cli.evaluate import evaluate
from rag_assets.cli.quality import quality
from rag_assets.cli.verify import verify
from rag_assets.cli.webhooks import webhooks

app.command()(evaluate)
app.command()(quality)
app.command()(verify)
app.command()(webhooks)
app.add_typer(gold.app, name="gold")
app.add_typer(invalidation.app, name="invalidation")
app.add_typer(inbox.app, name="inbox")

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of ``rag-assets``."""
    return_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever stands in a document, no command ends over it
            stream.reconfigure(errors="backslashreplace")
    # Telemetry is off unless a user turned it on.
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(128 + signal.SIGINT)
