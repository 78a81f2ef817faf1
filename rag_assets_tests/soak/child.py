"""The processes of the walk: the command line, and the stages without Dagster, in children that may be killed.

Importing the libraries takes seconds, so one process imports them and forks a child per command. It calls none of
them itself: what they start at their first use (thread pools, runtimes) is started by the child.

Requests come as JSON lines on standard input, answers go to standard output:

- ``{"start": {...}}`` → ``{"pid": n}``; see ``Command`` in ``processes``.
- ``{"wait": n, "seconds": s}`` → ``{"status": waitpid's}``, or ``{"status": null}`` when it has not ended by then.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer


def main() -> None:
    """Serve until standard input ends; with a command as argument, do that and end."""
    if len(sys.argv) > 1:
        sys.exit(perform(json.loads(sys.argv[1])))
    import dagster  # noqa: F401
    import lance  # noqa: F401
    import lancedb  # noqa: F401

    import rag_assets.cli
    import rag_assets.orchestration.run
    import rag_assets.pipeline.pipeline  # noqa: F401

    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"pid": _start(request["start"])} if "start" in request else {"status": _wait(**request)}
        print(json.dumps(answer), flush=True)  # noqa: T201


def _start(command: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    os.setsid()
    for name, stream in (("/dev/null", 0), (command["out"], 1), (command["err"], 2)):
        mode = os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, mode), stream)
    code = 1
    try:
        if command["fresh"]:
            arguments = ["-W", "ignore", "-m", "rag_assets_tests.soak.child", json.dumps(command)]
            os.execv(sys.executable, [sys.executable, *arguments])
        code = perform(command)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(wait: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(wait, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    return None


def perform(command: dict[str, Any]) -> int:
    """Do what a command says in this process; returns its exit code."""
    os.environ.update(command["environ"])
    if not command["dagster"]:
        os.environ.pop("DAGSTER_HOME", None)
    _log_embedded(Path(command["embedded"]))
    if command["at_change"] is not None:
        _die_at_change(command["at_change"])
    if command["after"] is not None:
        _send_after(command["after"], command["signal"])
    arguments = command["arguments"]
    if arguments[0] == "run" and not command["dagster"]:
        return _exit_code(lambda: _stages(*arguments[1:]))
    from rag_assets.cli import main as rag_assets

    sys.argv = ["rag-assets", *arguments]
    return _exit_code(rag_assets)


def _exit_code(call: Callable[[], None]) -> int:
    """The exit code of what the interpreter, or Typer, would end with one."""
    try:
        call()
    except typer.Exit as error:
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def _stages(corpus: str, _: str, reason: str) -> None:
    """``run CORPUS --reason REASON`` without Dagster: as another orchestrator would call the stages."""
    from rag_assets.cli.common import load, open_store, reported
    from rag_assets.errors import GateRefused
    from rag_assets.evaluation.report.refusal import refusal_reasons
    from rag_assets.pipeline.pipeline import Pipeline

    with reported():
        settings, found = load(corpus)
        pipeline = Pipeline(open_store(settings), found, run_id=f"stages-{os.getpid()}-{time.time_ns()}")
        pipeline.documents()
        pipeline.chunks()
        pipeline.embeddings()
        pipeline.candidate()
        report, _ = pipeline.evaluate()
        pipeline.publish(reason=reason, by=settings.by)
        if not report.verdict.passed:  # of what is published already, which ``publish`` leaves as it is
            raise GateRefused("\n".join(refusal_reasons(report)))


def _log_embedded(path: Path) -> None:
    """Append to a log what the model is asked to embed, before it does."""
    from rag_assets.ingest.embedding.static import StaticEmbedder

    embed = StaticEmbedder.embed

    def logged(self: StaticEmbedder, texts: Sequence[str], tokens: Sequence[int]) -> Any:
        line = json.dumps({"pid": os.getpid(), "embedder": self.fingerprint, "texts": list(texts)})
        with path.open("a") as file:
            file.write(line + "\n")
        return embed(self, texts, tokens)

    StaticEmbedder.embed = logged  # type: ignore[method-assign]


def _send_after(seconds: float, number: int) -> None:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _die_at_change(number: int) -> None:
    """Die just before (odd numbers: just after) the n-th change of the store: of an object, the table or a tag."""
    import lancedb.table

    from rag_assets.store.objects import ObjectStore

    count = 0

    def fatal(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            fatal = count == number
            if fatal and number % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, dying)

    for name in ("put", "create", "delete"):
        fatal(ObjectStore, name)
    for name in ("add", "delete", "restore", "optimize", "create_index"):
        fatal(lancedb.table.LanceTable, name)
    for name in ("create", "update", "delete"):
        fatal(lancedb.table.Tags, name)


if __name__ == "__main__":
    main()
