"""Commands that are killed, interrupted or called twice: no other one is stuck or harmed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml
from dagster import DagsterRunStatus

from rag_assets_tests.orchestration.commands import Home, kill, stop, told, until
from rag_assets_tests.servers import PostgresServer
from rag_assets_tests.stack import CHECKOUT

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("command", "hold_in", "pool"),
    [
        ("run", "embedding", "embedding"),
        pytest.param("evaluate", "native", "handbook_writer", marks=pytest.mark.slow),
    ],
)
def test_a_killed_command_blocks_no_other(home: Home, command: str, hold_in: str, pool: str) -> None:
    workspace = home.corpus(evaluation={"gold": "gold.jsonl"})
    gold = workspace.path.parent / "gold.jsonl"
    gold.write_text('{"question": "What is in it?", "documents": ["d0.md"]}\n')
    kill(home.held(command, "handbook", hold_in=hold_in))
    assert {name for name, _ in home.slots()} == {pool, "handbook_command_line"}
    result = home.run("run", "handbook", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["publication"] == 1
    assert home.statuses() == [FAILURE, SUCCESS], "no run is shown as running for ever"
    assert home.slots() == []


@pytest.mark.slow
def test_a_command_waits_for_a_living_one_and_says_so(home: Home) -> None:
    workspace = home.corpus()
    first = home.held("run", "handbook", hold_in="embedding")
    hasty = home.run("run", "handbook", "--wait", "1", "--json")
    assert hasty.returncode == 1
    assert f"pool handbook_command_line, held by rag-assets run handbook (pid {first.pid} on " in hasty.stderr
    assert "for 1 seconds at most" in hasty.stderr
    assert hasty.stderr.count("waiting for") == 1
    assert "run again when that has ended" in json.loads(hasty.stdout)["error"]
    stopped, patient = home.start("run", "handbook"), home.start("run", "handbook")
    assert "waiting for" in told(stopped)
    assert "waiting for" in told(patient)
    before = psutil.Process(patient.pid).cpu_times().user
    code, _, error = stop(stopped, signal.SIGTERM)
    assert code == 143
    assert "interrupted by SIGTERM" in error
    time.sleep(3)
    assert psutil.Process(patient.pid).cpu_times().user - before < 1.5, "it sleeps"
    workspace.write("d3.md", "# Late\n\nWritten while the first run was at work.")
    home.hold.unlink()
    for process in (first, patient):
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
    assert "d3.md" in set(workspace.rows(vectors=False)["document_id"])
    assert home.statuses()[:2] == [SUCCESS, FAILURE]
    assert set(home.statuses()[2:]) == {CANCELED, SUCCESS}
    assert home.slots() == []


@pytest.mark.parametrize(
    ("number", "hold_in", "code"),
    [
        (signal.SIGINT, "embedding", 130),
        pytest.param(signal.SIGTERM, "native", 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_command_that_is_deep_in_its_work(
    home: Home, number: signal.Signals, hold_in: str, code: int
) -> None:
    home.corpus()
    process = home.held("run", "handbook", "--json", hold_in=hold_in)
    if hold_in == "native":
        until(psutil.Process(process.pid).children, process)
    children = psutil.Process(process.pid).children(recursive=True)
    found, out, error = stop(process, number)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert (found, out) == (code, ""), error
    assert f"{number.name} received: stopping" in error
    assert f"interrupted by {number.name}" in error
    assert "Traceback" not in error
    assert home.statuses() == [CANCELED]
    assert home.slots() == []


@pytest.mark.slow
def test_a_second_signal_ends_a_command_at_once(home: Home) -> None:
    home.corpus()
    process = home.held("run", "handbook", hold_in="native")
    process.send_signal(signal.SIGINT)
    assert "once more to stop at once" in told(process)
    assert stop(process, signal.SIGINT)[0] == 130
    assert home.statuses() == [CANCELED]


@pytest.mark.slow
def test_ctrl_c_while_documents_are_parsed_leaves_no_process_and_rejects_no_document(home: Home) -> None:
    workspace = home.corpus()
    workspace.write("hang.txt", "hang on to your hat")
    process = home.start("run", "handbook", hold_in="parsing")
    command = psutil.Process(process.pid)
    until(
        lambda: any("rag_assets.ingest.parsing.worker" in child.cmdline() for child in command.children()),
        process,
    )
    children = command.children(recursive=True)
    code, _, error = stop(process, signal.SIGINT, group=True)  # as a terminal sends it
    assert code == 130, error
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert home.run("run", "handbook").returncode == 0
    assert "hang.txt" in set(workspace.rows(vectors=False)["document_id"])


@pytest.mark.slow
def test_a_killed_command_leaves_no_process(home: Home) -> None:
    home.corpus().write("hang.txt", "hang on to your hat")
    process = home.start("run", "handbook", hold_in="parsing")
    command = psutil.Process(process.pid)
    until(
        lambda: any("rag_assets.ingest.parsing.worker" in child.cmdline() for child in command.children()),
        process,
    )
    children = command.children(recursive=True)
    kill(process)
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.slow
def test_two_commands_at_once_on_a_new_home_take_turns(home: Home) -> None:
    workspace = home.corpus()
    both = [home.start("run", "handbook", "--json") for _ in range(2)]
    ended = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sorted(json.loads(out)["published"] for out, _ in ended) == [False, True], (
        "the second one found it done"
    )
    assert workspace.rows(vectors=False).height == 6
    assert home.slots() == []


@pytest.mark.slow
def test_a_corpus_does_not_wait_for_another_one(home: Home) -> None:
    for name in ("handbook", "wiki"):
        home.corpus(name)
    first = home.held("run", "handbook", hold_in="native")
    second = home.run("run", "wiki")
    assert (second.returncode, "waiting" in second.stderr) == (0, False), second.stderr
    assert stop(first, signal.SIGTERM)[0] == 143


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_obeyed_without_a_home_too(home: Home, number: signal.Signals) -> None:
    home.corpus()
    del home.environ["DAGSTER_HOME"]
    code, _, error = stop(home.held("run", "handbook", hold_in="embedding"), number)
    assert (code, "Traceback" in error) == (128 + number, False), error
    assert home.run("run", "handbook").returncode == 0


@pytest.mark.slow
def test_a_home_in_postgres_is_cleared_as_one_in_a_folder_is(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    pytest.importorskip("dagster_postgres")
    url = postgres.new_database().replace("postgresql://", "postgresql+psycopg2://")
    instance = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    home = Home(tmp_path, yaml.safe_dump({**instance, "storage": {"postgres": {"postgres_url": url}}}))
    home.corpus()
    kill(home.held("run", "handbook", hold_in="embedding"))
    assert stop(home.held("run", "handbook", hold_in="native"), signal.SIGTERM)[0] == 143
    result = home.run("run", "handbook")
    assert result.returncode == 0, result.stderr
    assert home.statuses() == [FAILURE, CANCELED, SUCCESS]
    assert home.slots() == []
