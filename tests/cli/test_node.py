"""`covey node`: what it says, how it ends, and one clear line for bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey import Swarm
from covey.transports import EmbeddedServer
from tests.conformance.swarms import until

SHOP = """
from covey import Agent, Backoff, Child, Supervisor, handles, message

@message
class Ask:
    text: str

@message
class Answer:
    text: str

class Pricer(Agent):
    @handles
    def price(self, ask: Ask) -> Answer:
        return Answer(text=ask.text.upper())

class Stock(Agent):
    @handles
    def count(self, ask: Ask) -> Answer:
        return Answer(text="many")

class Needy(Agent):
    def __init__(self, what: str) -> None:
        super().__init__()
"""

FAILING = """
from covey import Agent, Child, Supervisor, every

class Doomed(Agent):
    def __init__(self, once: str) -> None:
        super().__init__()
    @every(0.01)
    def fail(self) -> None:
        raise RuntimeError("it never works")

def supervisor():
    return Supervisor([Child(Doomed, "x", ("y",))], intensity=2, backoff=None)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    (tmp_path / "raising.py").write_text("1 / 0\n")
    (tmp_path / "oddly.py").write_text("def supervisor():\n    return 7\n")
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "covey.cli.main", "node", *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_says_what_it_hosts_serves_and_ends_with_0(
    server: EmbeddedServer, folder: Path, number: int
) -> None:
    swarm_name = f"shop-{number}"
    process = subprocess.Popen(
        command("shop", "--nats", server.url, "--swarm", swarm_name, "--name", "n1", "--weight", "2"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"node n1 of swarm {swarm_name} on {server.url} hosts pricer, stock; traces")
        with Swarm.connect(server.url, name=swarm_name, node="here", trace_ratio=0.0) as swarm:
            assert swarm.wait_for_nodes(2)
            assert {(p.name, p.weight) for p in swarm.nodes()} == {("n1", 2), ("here", 1)}
            process.send_signal(number)
            assert process.wait(10) == 0
            until(lambda: len(swarm.nodes()) == 1, 1.0, "the goodbye")  # far below the wait for silence
    finally:
        process.kill()
        process.communicate()


def test_only_the_classes_that_were_named_are_hosted(server: EmbeddedServer, folder: Path) -> None:
    process = subprocess.Popen(
        command("shop:Stock", "--embedded"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " hosts stock; " in line
        assert "nats://127.0.0.1:" in line
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()  # type: ignore[union-attr]


def test_it_exits_1_with_the_report_when_the_root_supervisor_gives_up(
    server: EmbeddedServer, folder: Path
) -> None:
    done = run(folder, "failing", "--nats", server.url, "--swarm", "doomed", "--name", "n1")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("node n1 gave up: ")
    assert "doomed/x" in done.stderr
    assert "it never works" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_module"], "there is no module 'no_such_module'"),
        (["shop:Nobody"], "no agent class 'Nobody'; those it defines: Needy, Pricer, Stock"),
        (["shop:Needy"], "its constructor needs what"),
        (["empty"], "no agent that constructs without arguments"),
        (["broken"], "No module named 'no_such_module_at_all'"),
        (["raising"], "ZeroDivisionError: division by zero"),
        (["oddly"], "supervisor() returned 7"),
        (["shop", "--nats", "nats://127.0.0.1:1"], "nats://127.0.0.1:1"),
        (["shop", "--nats", "http://nowhere"], "http"),
        (["shop", "--nats", "nats://127.0.0.1:1", "--embedded"], "not both"),
        (["shop", "--weight", "0"], "--weight"),
        ([], "MODULE"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(
    server: EmbeddedServer, folder: Path, arguments: list[str], said: str
) -> None:
    if arguments and "--nats" not in arguments:
        arguments = [*arguments, "--nats", server.url]
    done = run(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or "oddly" in arguments


def test_a_name_that_is_taken_is_said_to_the_newcomer_and_the_first_lives_on(
    server: EmbeddedServer, folder: Path
) -> None:
    with Swarm.connect(server.url, name="names", node="n1", trace_ratio=0.0) as first:
        done = run(folder, "shop", "--nats", server.url, "--swarm", "names", "--name", "n1")
        assert done.returncode == 2
        assert "node name 'n1' is in use" in " ".join(done.stderr.split())
        assert [peer.pid for peer in first.nodes()] == [os.getpid()]


def test_a_log_level_that_is_none_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVEY_LOG_LEVEL", "loud")
    done = run(folder, "shop")
    assert done.returncode == 2
    assert "COVEY_LOG_LEVEL=loud: choose DEBUG, INFO, WARNING or ERROR" in done.stderr
    assert "Traceback" not in done.stderr
