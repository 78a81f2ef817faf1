"""The whole event-driven stack as processes: receiver, Dagster's daemon with its code server, and their databases.

Each is started as an operator would, may be killed at any time with all that it started, and is
started again on the same data.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rag_assets_tests.servers import _accepts, free_ports

CHECKOUT = Path(__file__).resolve().parents[1]
SECRET = "whsec_" + "c2VjcmV0" * 4
SECRET_VARIABLE = "HANDBOOK_WEBHOOK_SECRET"
CACHE_VARIABLE = "HANDBOOK_CACHE_URL"


@dataclass
class Service:
    """A command that runs until it is killed, in a group of its own with its children."""

    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    cwd: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environ},
                cwd=self.cwd,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and all that it started, as a crash of its container would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Stack:
    """One corpus, ``handbook``, that is fed by webhooks and watched by Dagster's daemon.

    Args:
        root: folder for everything.
        inbox: URL of the inbox's database.
        cache: URL of the Redis that services keep answers in.
        settings: fields of the corpus file.
    """

    root: Path
    inbox: str
    cache: str
    settings: Mapping[str, Any]
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        (self.root / "corpora").mkdir(parents=True, exist_ok=True)
        (self.root / "home").mkdir(exist_ok=True)
        (self.root / "corpora" / "handbook.yaml").write_text(yaml.safe_dump(dict(self.settings)))
        instance = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
        # Seconds instead of minutes until a crash is noticed.
        instance["run_monitoring"] |= {"poll_interval_seconds": 2, "start_timeout_seconds": 30}
        instance["run_monitoring"] |= {"free_slots_after_run_end_seconds": 2}
        (self.root / "home" / "dagster.yaml").write_text(yaml.safe_dump(instance))
        self.environ = {
            "DAGSTER_HOME": str(self.root / "home"),
            "PYTHONPATH": str(CHECKOUT),
            "RAG_STORE": self.store,
            "RAG_CORPORA": str(self.root / "corpora"),
            "RAG_INBOX": self.inbox,
            SECRET_VARIABLE: SECRET,
            CACHE_VARIABLE: self.cache,
        }
        self.receiver = self._service(
            "receiver", "-c", "from rag_assets.cli import main; main()", "webhooks", "--port", str(self.port)
        )
        self.daemon = self._service("daemon", "-m", "dagster._daemon", "run", "-m", "rag_assets.definitions")

    @property
    def store(self) -> str:
        return str(self.root / "store")

    @property
    def url(self) -> str:
        """Of the receiver."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for_receiver(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not _accepts(self.port):
            assert time.monotonic() < deadline, self.receiver.log.read_text()[-2000:]
            time.sleep(0.1)

    def _service(self, name: str, *arguments: str) -> Service:
        return Service([sys.executable, *arguments], self.environ, self.root / f"{name}.log", self.root)


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """The stack with its services started."""
    stack.receiver.start()
    stack.daemon.start()
    try:
        stack.wait_for_receiver()
        yield stack
    finally:
        stack.receiver.kill()
        stack.daemon.kill()
