"""What all commands share: arguments, exit codes, and how results and errors are written."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.corpus import Corpus, corpus_files, load_corpus
from rag_assets.errors import ConfigurationError, GateRefused, GoldSetError, RagAssetsError, well_formed
from rag_assets.settings import Settings

if TYPE_CHECKING:
    from rag_assets.orchestration.interruption import Interruption
    from rag_assets.orchestration.waiting import Patience
    from rag_assets.store.objects import ObjectStore

FAILED, WRONG_USE, REFUSED = 1, 2, 3


def readable(text: str | None) -> str | None:
    """A text of the command line that can be recorded, compared and shown: bytes that are no UTF-8 are replaced.

    The callback of every argument and option that takes text.
    """
    return None if text is None else well_formed(text)


CorpusName = Annotated[
    str,
    typer.Argument(metavar="CORPUS", help="Name of a corpus file, without .yaml.", callback=readable),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the publication log.", callback=readable)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        help="How long to wait, at most, for another run that holds what this one needs.",
    ),
]
WAIT_SECONDS = 3600.0


def load(name: str) -> tuple[Settings, Corpus]:
    """The settings and a corpus by name. Raises ConfigurationError."""
    settings = Settings()
    known = corpus_files(settings.corpora)
    if name not in known:  # a path is no name, even if it leads to a corpus file
        names = ", ".join(known) or "none"
        raise ConfigurationError(f"no corpus {name!r} in {settings.corpora.absolute()}; there are: {names}")
    return settings, load_corpus(known[name])


def check_gold(corpus: Corpus) -> None:
    """A broken gold set shows before the work, not after it."""
    from rag_assets.evaluation.gold import load_gold

    if corpus.gold_path is not None:
        load_gold(corpus.gold_path)


def open_store(settings: Settings) -> ObjectStore:
    """The store of the settings."""
    from rag_assets.store.objects import ObjectStore

    return ObjectStore.open(settings.store)


def print_json(value: Any) -> None:
    """One JSON value on standard output. What a terminal would obey is escaped: a reader finds the same value."""
    from rag_assets.escapes import escaped_json

    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(escaped_json(json.dumps(value, indent=2, ensure_ascii=not is_utf8)) + "\n")


def fail(message: str) -> None:
    """An error on standard error."""
    from rag_assets.cli.terminal import complain

    complain(message)


def patience(seconds: float) -> Patience:
    """How to wait for other runs, as ``--wait`` says; what is waited for is told on standard error."""
    from rag_assets.cli.terminal import note
    from rag_assets.orchestration.waiting import Patience

    return Patience(seconds, note)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """SIGINT and SIGTERM end the block within seconds, with exit code 130 or 143."""
    from rag_assets.cli.terminal import note, restore_cursor
    from rag_assets.orchestration.interruption import interrupted
    from rag_assets.orchestration.interruption import interruptible as obeyed

    with obeyed(note) as interruption:
        interruption.before_force(restore_cursor)
        try:
            yield interruption
        except KeyboardInterrupt:
            number = interruption.signal or signal.SIGINT
            fail(interrupted(number))
            raise typer.Exit(128 + number) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what fails in a block that writes a path which a person named into a ConfigurationError that names it."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter: a link to itself
        cause = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{path.absolute()} cannot be written: {cause}; name another path, or make room for it there"
        ) from error


@contextmanager
def reported() -> Iterator[None]:
    """Errors of this package as one message and the right exit code; others are bugs and keep their trace."""
    try:
        yield
    except GateRefused as error:
        fail(str(error))
        raise typer.Exit(REFUSED) from error
    except (ConfigurationError, GoldSetError) as error:
        fail(str(error))
        raise typer.Exit(WRONG_USE) from error
    except RagAssetsError as error:
        fail(str(error))
        raise typer.Exit(FAILED) from error
