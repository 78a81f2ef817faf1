"""Runs a corpus in a process of its own that kills itself, or is killed, with SIGKILL.

Importing the model libraries and Dagster takes seconds, so one process imports them and forks a child per
run. LanceDB starts threads when it is imported and is therefore imported by the child.

Commands come as JSON lines on standard input: root, store, environ, optionally ``batch`` (questions at a
time), and either ``at_write`` (die at the n-th write to the store) or ``after`` (seconds). With ``DAGSTER_HOME`` in
environ a run goes through ``rag-assets run``, otherwise through the stages alone. Answers are JSON lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    import sentence_transformers
    import sentence_transformers.sentence_transformer.modules  # noqa: F401
    import torch

    import rag_assets.orchestration.run  # noqa: F401

    torch.set_num_threads(1)
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    for line in sys.stdin:
        command = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # it answers nothing itself
            try:
                _run(command)
            except SystemExit as ended:
                os._exit(ended.code if isinstance(ended.code, int) else 1)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        answer = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "code": os.WEXITSTATUS(status),
        }
        print(json.dumps(answer | {"seconds": time.monotonic() - started}), flush=True)  # noqa: T201


def _run(command: dict[str, Any]) -> None:
    os.environ.update(command["environ"])
    from rag_assets import cli
    from rag_assets_tests.workspace import Workspace, run_stages

    if command.get("batch") is not None:
        from rag_assets.evaluation.answers import asking
        from rag_assets.evaluation.candidate import answers, stage

        asking.BATCH = answers.BATCH = stage.BATCH = command["batch"]
    if command.get("after") is not None:
        timer = threading.Timer(command["after"], os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    if command.get("at_write") is not None:
        _die_at_write(command["at_write"])
    root = Path(command["root"])
    _log_embedded(root / "embedded.log")
    workspace = Workspace(root, command["store"], **command["settings"])
    if "DAGSTER_HOME" in command["environ"]:
        os.environ |= {"RAG_STORE": command["store"], "RAG_CORPORA": str(workspace.path.parent)}
        sys.argv = ["rag-assets", "run", workspace.name]
        cli.main()
    run_stages(workspace.pipeline()[0])


def _log_embedded(log: Path) -> None:
    """Write down each text that the model is given, before it is."""
    from rag_assets.ingest.embedding.static import StaticEmbedder

    embed = StaticEmbedder.embed

    def logged(embedder: StaticEmbedder, texts: Sequence[str], tokens: Sequence[int]) -> Any:
        with log.open("a") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        return embed(embedder, texts, tokens)

    StaticEmbedder.embed = logged  # type: ignore[method-assign]


def _die_at_write(number: int) -> None:
    """Die just before (odd numbers: just after) a write; Lance's own tag files count through ``create``."""
    from rag_assets.store.objects import ObjectStore

    count = 0
    for name in ("put", "create", "delete"):
        original = getattr(ObjectStore, name)

        def dying(self: ObjectStore, *args: Any, original: Any = original) -> Any:
            nonlocal count
            count += 1
            if count == number and number % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(self, *args)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(ObjectStore, name, dying)


if __name__ == "__main__":
    main()
