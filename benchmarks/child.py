"""Child processes of a benchmark: each sample gets an interpreter of its own, and every child ends.

Two systems in one interpreter would share its switch interval, its garbage and its warm caches. A child is
`python -m benchmarks.<module> ARGUMENTS`; it prints one JSON object as its last line, or, when it serves,
`ready` and perhaps a word, and then serves until its standard input closes. That happens when its parent
dies too, so that nothing is left behind.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from benchmarks.harness import BenchmarkError

__all__ = ["announce_ready", "give_sample", "run_child", "run_script", "serving"]

ROOT = Path(__file__).resolve().parent.parent
END_WITHIN_S = 5.0
MARK = "COVEY_BENCHMARK_CHILD"


def run_child(module: str, *arguments: str, deadline_s: float) -> dict[str, float]:
    """Run a module to its end and return the sample that it printed.

    Raises:
        BenchmarkError: it failed, printed no sample, or took longer than `deadline_s` (it is ended then).
    """
    try:
        done = subprocess.run(
            _command(module, arguments),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{module} was not done within {deadline_s:g} s and was ended") from error
    if done.returncode:
        raise BenchmarkError(f"{module} exited with status {done.returncode}: {_last_line(done.stderr)}")
    return _sample_of(module, done.stdout)


def run_script(interpreter: Path, script: Path, *arguments: str, deadline_s: float) -> dict[str, float]:
    """As `run_child`, for a script of another virtual environment; ends whatever the script left running.

    Some peers start servers of their own that outlive a failed run: all of them inherit a mark in their
    environment, by which they are found.
    """
    mark = secrets.token_hex(8)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(interpreter), str(script), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            env=_without_python_path() | {MARK: mark},
        )
        try:
            status = process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(
                f"{script.name} was not done within {deadline_s:g} s and was ended"
            ) from error
        finally:
            _end_marked(mark)
            process.wait(END_WITHIN_S)
        output.seek(0)
        log.seek(0)
        if status:
            raise BenchmarkError(f"{script.name} exited with status {status}: {_last_line(log.read())}")
        return _sample_of(script.name, output.read())


@contextmanager
def serving(module: str, *arguments: str, ready_within_s: float = 15.0) -> Iterator[str]:
    """Keep a module serving for the length of the block; yields the word that followed its `ready`.

    Raises:
        BenchmarkError: it ended or said nothing within `ready_within_s`.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            _command(module, arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _await_ready(process, module, log, ready_within_s)
        finally:
            _end(process)


def announce_ready(word: str = "") -> None:
    """In a serving child: tell the parent that it may go on, and wait until the parent is done."""
    print("ready", word, flush=True)
    sys.stdin.read()


def give_sample(**figures: float) -> None:
    """In a measuring child: hand the figures to the parent."""
    print(json.dumps(figures), flush=True)


def _sample_of(name: str, output: str) -> dict[str, float]:
    try:
        sample = json.loads(_last_line(output))
    except json.JSONDecodeError as error:
        raise BenchmarkError(f"{name} printed no sample: {_last_line(output)!r}") from error
    return {key: float(value) for key, value in sample.items()}


def _without_python_path() -> dict[str, str]:
    """The environment without what would let a peer import from here."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _end_marked(mark: str) -> None:
    ending = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                process.kill()
                ending.append(process)
        except psutil.Error:
            continue
    psutil.wait_procs(ending, END_WITHIN_S)


def _command(module: str, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _await_ready(process: subprocess.Popen[str], module: str, log: IO[str], within_s: float) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + within_s
    line = ""
    while not line.startswith("ready"):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([process.stdout], [], [], remaining)[0]:
            raise BenchmarkError(f"{module} was not ready within {within_s:g} s")
        line = process.stdout.readline()
        if not line:
            process.wait(END_WITHIN_S)
            log.seek(0)
            raise BenchmarkError(f"{module} ended before it was ready: {_last_line(log.read())}")
    return line.removeprefix("ready").strip()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_WITHIN_S)
    process.stdout.close()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
