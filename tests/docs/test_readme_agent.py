"""The README's agent, as pasted: under `Swarm.local`, and hosted by one process, asked from another."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, blocks_of

README = ROOT / "README.md"
MOST_LINES = 20
READY_S = 20.0
ANSWER = "Quote(price=7.5, seller='pricer/eu-1')"


@pytest.fixture
def pasted(tmp_path: Path) -> Path:
    """A folder with the files that the README says to make, and nothing else."""
    for block in blocks_of(README):
        if block.marker == "file":
            (tmp_path / block.argument).write_text(block.code, encoding="utf-8")
    return tmp_path


def test_the_agent_takes_at_most_20_lines_and_uses_message(pasted: Path) -> None:
    code = (pasted / "shop.py").read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) <= MOST_LINES
    assert "@message" in code
    assert "@handles" in code


def test_it_answers_in_one_process(pasted: Path) -> None:
    done = run("shop.py", cwd=pasted)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [ANSWER]


def test_it_answers_across_two_processes_on_a_real_server(pasted: Path) -> None:
    pytest.importorskip("nats", reason="the NATS transport needs nats-py")
    with node_of_the_readme(pasted) as (node, url):
        done = run("ask.py", cwd=pasted, COVEY_NATS_URL=url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [ANSWER]
        node.send_signal(signal.SIGTERM)
        assert node.wait(10) == 0


@contextmanager
def node_of_the_readme(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The node that the README starts, once it says where its server is."""
    words = next(
        shlex.split(line.removesuffix("&"), comments=True)
        for block in blocks_of(README)
        if block.language == "sh"
        for line in block.code.splitlines()
        if "covey node shop" in line
    )
    with (folder / "node.log").open("wb") as log:
        command = [sys.executable, "-m", "covey.cli.main", *words[1:]]
        node = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        yield node, server_of(node, folder / "node.log")
    finally:
        if node.poll() is None:
            node.kill()
        node.communicate(timeout=10)


def server_of(node: subprocess.Popen[str], log: Path) -> str:
    """The address in the node's first line of output."""
    assert node.stdout is not None
    deadline = time.monotonic() + READY_S
    readable, _, _ = select.select([node.stdout], [], [], deadline - time.monotonic())
    line = node.stdout.readline() if readable else ""
    found = re.search(r"nats://[\w.:-]+", line)
    assert found is not None, f"the node said {line!r}; its log: {log.read_text()}"
    return found[0]


def environment(**variables: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COVEY_", "OTEL_"))}
    return {**kept, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT), **variables}


def run(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
