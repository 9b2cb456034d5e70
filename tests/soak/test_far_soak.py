"""A soak of two nodes over a real server at full speed: both stay flat, and nothing is lost on the way.

`COVEY_SOAK_S` says for how many seconds after the warm-up (10; `make soak`: 60).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from covey.transports import EmbeddedServer
from tests.soak.curve import FEWEST
from tests.soak.far_agents import WITHIN_S
from tests.soak.test_soak import AROUND_S, ROOT, SOAK_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SOAK_S + AROUND_S + 10)]

QUIET_WITHIN_S = 20.0


class Pair:
    """The two node processes, told to do the same at the same time."""

    def __init__(self, processes: list[subprocess.Popen[str]], log: IO[str]) -> None:
        self._processes = processes
        self._log = log
        self.answers()
        self.do("roll")  # which activates all agents

    def do(self, what: str) -> list[Any]:
        """Tell both; returns what each has answered."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
        return self.answers()

    def answers(self) -> list[Any]:
        lines = []
        for process in self._processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline())
        if not all(lines):
            self._log.seek(0)
            pytest.fail(f"a node ended: {self._log.read()}")
        return [json.loads(line) for line in lines]

    def round(self, *, look: bool) -> None:
        """A round of load in both directions; a census of both once all has come and all is quiet."""
        self.do("round")
        self.await_quiet()
        self.do("roll")
        self.await_quiet()
        if look:
            self.do("look")

    def await_quiet(self) -> None:
        """Return when each has got what the other has sent."""
        end = time.monotonic() + QUIET_WITHIN_S
        while True:
            left, right = self.do("books")
            if (left["sent"], right["sent"], left["quiet"], right["quiet"]) == (
                right["got"],
                left["got"],
                True,
                True,
            ):
                return
            assert time.monotonic() < end, f"lost, or not quiet after {QUIET_WITHIN_S:g} s: {left} {right}"
            time.sleep(0.005)

    def stores_are_full(self) -> bool:
        """Whether the bounded stores of both are full: until then memory has to grow."""
        return all(books["full"] for books in self.do("books"))


@contextmanager
def two_nodes(*options: str) -> Iterator[Pair]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVEY_", "OTEL_"))}
    processes: list[subprocess.Popen[str]] = []
    with EmbeddedServer() as server, tempfile.TemporaryFile("w+") as log:
        try:
            for side in ("left", "right"):
                command = [sys.executable, "-m", "tests.soak.far_node", server.url, side, *options]
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**kept, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
                processes.append(process)
            yield Pair(processes, log)
            for process in processes:
                process.communicate(timeout=20)
                assert process.returncode == 0
            log.seek(0)
            assert log.read() == ""
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def soak(seconds: float, pair: Pair, *, warm_up: bool = True) -> list[dict[str, Any]]:
    """Warm up, soak, and return both verdicts."""

    def until(is_over: Callable[[float], bool], *, look: bool) -> int:
        begun, rounds = time.monotonic(), 0
        while not is_over(time.monotonic() - begun) or (look and rounds < FEWEST):
            pair.round(look=look)
            rounds += 1
        return rounds

    if warm_up:
        until(lambda took_s: took_s > WITHIN_S and pair.stores_are_full(), look=False)
    until(lambda took_s: took_s > seconds, look=True)
    verdicts = pair.do("end")
    for side, verdict in zip(("left", "right"), verdicts, strict=True):
        print(f"{side}: asks {verdict['asks']}, dead letters {verdict['letters']}\n{verdict['table']}")
    return verdicts


def test_two_nodes_at_full_speed_stay_flat_and_lose_nothing() -> None:
    with two_nodes() as pair:
        verdicts = soak(SOAK_S, pair)
    wrong = [text for verdict in verdicts for text in verdict["wrong"]]
    assert not wrong, "\n".join(wrong)


def test_nodes_that_keep_every_reply_are_found_out() -> None:
    with two_nodes("--leak") as pair:
        verdicts = soak(1.0, pair, warm_up=False)
    for verdict in verdicts:
        assert any(text.startswith("Reply:") for text in verdict["wrong"])
        assert any(text.startswith("blocks of memory:") for text in verdict["wrong"])
