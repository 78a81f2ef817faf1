"""A Ray cluster on this machine, with a GPU that it is told of."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rag_assets_tests.servers import free_ports
from rag_assets_tests.stack import CHECKOUT

SERVE = """
import sys, time, ray
from ray.job_submission import JobSubmissionClient
ray.init(
    address="local", num_cpus=2, num_gpus=1, include_dashboard=True, dashboard_host="127.0.0.1",
    dashboard_port=int(sys.argv[1]), _temp_dir=sys.argv[2], object_store_memory=100 * 2**20, log_to_driver=False,
)
deadline = time.monotonic() + 300
while True:  # the dashboard, and the agent that starts jobs, come up after the cluster
    try:
        JobSubmissionClient(f"http://127.0.0.1:{sys.argv[1]}").submit_job(entrypoint="true")
        break
    except (RuntimeError, ConnectionError):
        if time.monotonic() > deadline:
            raise
        time.sleep(0.5)
print("ready", flush=True)
sys.stdin.read()
ray.shutdown()
"""


def lacking() -> str | None:
    """What a cluster needs and this machine does not have."""
    packages = ("ray", "dagster_ray", "aiohttp_cors", "opencensus")
    missing = [package for package in packages if find_spec(package) is None]
    return f"needs {', '.join(missing)}: the extra 'ray'" if missing else None


@contextmanager
def ray_cluster() -> Iterator[dict[str, str]]:
    """The environment in which steps reach the cluster. It ends with the block, and all that runs on it."""
    (port,) = free_ports(1)
    reach = {
        "RAY_ADDRESS": f"http://127.0.0.1:{port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    # Jobs are started by the command "dagster", as the cluster's image would have it.
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {
        **os.environ,
        **reach,
        "PATH": search,
        "PYTHONPATH": str(CHECKOUT),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    del environ["RAY_ADDRESS"]
    # A short path: Ray puts Unix sockets below it.
    with (
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
        (Path(folder) / "log").open("w+") as log,
    ):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVE, str(port), folder],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdin is not None and process.stdout is not None
            line = process.stdout.readline()
            while line and line.strip() != "ready":
                line = process.stdout.readline()
            assert line, Path(log.name).read_text()[-3000:]
            yield reach
        finally:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
