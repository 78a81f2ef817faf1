"""Runs a corpus in a process of its own that kills itself, or is killed, with SIGKILL.

Importing the model libraries takes seconds, so one process imports them and forks a child per
run. LanceDB starts threads when it is imported and is therefore imported by the child.

Commands come as JSON lines on standard input: root, store, environ, optionally ``batch`` (questions at a
time), and either ``at_write`` (die at the n-th write to the store) or ``after`` (seconds). Answers are JSON lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    import sentence_transformers
    import sentence_transformers.sentence_transformer.modules  # noqa: F401
    import torch

    torch.set_num_threads(1)
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    for line in sys.stdin:
        command = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                _run(command)
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
    from rag_assets_tests.workspace import Workspace, run_stages

    if command.get("batch") is not None:
        from rag_assets.answers import asking
        from rag_assets.pipeline import answers, evaluation

        asking.BATCH = answers.BATCH = evaluation.BATCH = command["batch"]
    if command.get("after") is not None:
        timer = threading.Timer(command["after"], os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    if command.get("at_write") is not None:
        _die_at_write(command["at_write"])
    workspace = Workspace(Path(command["root"]), command["store"], **command["settings"])
    pipeline, embedder = workspace.pipeline()
    log = Path(command["root"]) / "embedded.log"
    inner = embedder.embed

    def logged(texts: Any, tokens: Any) -> Any:
        with log.open("a") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        return inner(texts, tokens)

    embedder.embed = logged  # type: ignore[method-assign]
    run_stages(pipeline)


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
