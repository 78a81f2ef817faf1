"""The Dagster instance of the command line: the one of DAGSTER_HOME, that of ``make ui`` here, or a passing one.

What matters is in the store; the instance holds history, and the slots of pools.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

from rag_assets.errors import ConfigurationError

NO_LOGS = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}


def open_instance() -> dg.DagsterInstance:
    """The instance that runs of the command line are recorded in.

    Raises:
        ConfigurationError: DAGSTER_HOME names no existing folder.
    """
    if not os.environ.get("DAGSTER_HOME") and Path(".dagster/dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(Path(".dagster").resolve())
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return dg.DagsterInstance.ephemeral()
    folder = Path(home).expanduser()
    if not (folder.is_absolute() and folder.is_dir()):
        raise ConfigurationError(
            f"environment DAGSTER_HOME: found {home!r}; allowed: the absolute path of a folder that exists, or unset"
        )
    # What is printed goes to the terminal alone: Dagster would lead it through a file and processes of its own.
    reference = InstanceRef.from_dir(str(folder), overrides={"compute_logs": NO_LOGS})
    with one_at_a_time(folder):  # the first one makes the tables
        return dg.DagsterInstance.from_ref(reference)


def one_at_a_time(home: Path) -> AbstractContextManager[object]:
    """Keep other commands of this machine out of a home for a moment.

    SQLite has no row locks: two that claim the last slot of a pool in the same moment would both get it. A home that
    cannot be written to has its tables in a server, which has them.
    """
    return FileLock(home / "rag-assets.lock") if os.access(home, os.W_OK) else nullcontext()
