from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from covey.framework.errors import PayloadTooLargeError, PermissionDeniedError, TransportError
from covey.transports import EmbeddedServer, NatsTransport
from covey.transports.nats_client import FrameClient
from covey.transports.nats_errors import redacted
from tests.conformance.recorder import Recorder
from tests.conformance.transports import free_port
from tests.transports.configured_server import configured_server


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60.0))


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@asynccontextmanager
async def node(url: str, node_id: str = "a", **options: Any) -> AsyncIterator[tuple[NatsTransport, Recorder]]:
    transport, recorder = NatsTransport(url, **options), Recorder()
    await transport.start("shop", node_id, recorder)
    try:
        yield transport, recorder
    finally:
        await transport.close()


GREETER = """
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listening.accept()
    connection.send(sys.argv[2].encode())
    connection.close()
"""


@contextmanager
def listener(greeting: bytes | None) -> Iterator[int]:
    """A port of something that is no NATS server: it says the greeting, or accepts and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if greeting is None:
            yield listening.getsockname()[1]
            return
        arguments = [sys.executable, "-c", GREETER, str(listening.fileno()), greeting.decode()]
        process = subprocess.Popen(arguments, pass_fds=[listening.fileno()])
        try:
            yield listening.getsockname()[1]
        finally:
            process.kill()
            process.wait(5.0)


def start_error(url: str, timeout_s: float = 3.0) -> str:
    """What `start` says against this URL; fails if it took longer than it may."""
    transport = NatsTransport(url, connect_timeout_s=timeout_s)
    began = time.monotonic()
    with pytest.raises(TransportError) as raised:
        run(transport.start("shop", "a", Recorder()))
    assert time.monotonic() - began < timeout_s + 1.0
    return str(raised.value)


def test_a_refused_connection_names_the_url_and_the_next_step() -> None:
    port = free_port()
    assert start_error(f"nats://127.0.0.1:{port}") == (
        f"cannot connect to nats://127.0.0.1:{port}: the connection was refused: "
        "is a nats-server running there? Try nats-server -p 4222, or Swarm.embedded()"
    )


def test_a_host_name_that_does_not_resolve_is_named() -> None:
    error = start_error("nats://no-such-host.invalid:4222")
    assert error.startswith("cannot connect to nats://no-such-host.invalid:4222: its host name")


def test_a_silent_port_is_given_up_in_time() -> None:
    with listener(None) as port:
        error = start_error(f"nats://127.0.0.1:{port}", timeout_s=0.3)
    assert "no NATS server answered within 0.3 s" in error


@pytest.mark.parametrize("greeting", ["SSH-2.0-OpenSSH_9.6\r\n", "INFO no json\r\n", "", "x" * 100_000])
def test_something_that_is_no_nats_server_is_called_so(greeting: str) -> None:
    with listener(greeting.encode()) as port:
        error = start_error(f"nats://127.0.0.1:{port}")
    assert f"nats://127.0.0.1:{port}" in error
    assert "no NATS server" in error


@pytest.mark.parametrize(
    "url", ["", "http://localhost:8222", "nats://", "nats://host:port", "nats://h:99999", "a,,b", "h" * 70]
)
def test_what_is_no_nats_url_is_called_so(url: str) -> None:
    assert "is no NATS URL: write nats://host:4222" in start_error(url)


def test_wrong_credentials_are_told_without_the_password(tmp_path: Path) -> None:
    with configured_server(tmp_path, "authorization { user: ann, password: right }") as configured:
        error = start_error(configured.url("ann:hunter2"))
        assert f"cannot connect to {configured.url()}: the server refused our credentials" in error
        assert "hunter2" not in error
        assert "refused our credentials" in start_error(configured.url())

        async def with_the_right_ones() -> None:
            async with node(configured.url("ann:right")) as (transport, recorder):
                transport.send("a", b"x")
                await recorder.until(lambda r: r.frames == [b"x"])

        run(with_the_right_ones())


def test_a_list_of_servers_needs_only_one_that_answers(server: EmbeddedServer) -> None:
    async def main() -> None:
        async with node(f"nats://127.0.0.1:{free_port()}, {server.url}") as (transport, recorder):
            transport.send("a", b"x")
            await recorder.until(lambda r: r.frames == [b"x"])

    run(main())


def test_a_failed_start_is_silent_on_stderr() -> None:
    script = """
import asyncio, sys
from covey.transports import NatsTransport
from covey.framework.errors import TransportError
async def main():
    for url in sys.argv[1:]:
        try:
            await NatsTransport(url, connect_timeout_s=0.3).start("shop", "a", None)
        except TransportError as error:
            print(error)
asyncio.run(main())
"""
    with listener(None) as silent, listener(b"220 mail\r\n") as mail:
        urls = [f"nats://127.0.0.1:{port}" for port in (free_port(), silent, mail)] + ["http://x"]
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script, *urls], capture_output=True, text=True, timeout=20
        )
    assert (done.stdout.count("\n"), done.stderr, done.returncode) == (4, "", 0)


def test_userinfo_never_shows() -> None:
    assert redacted("nats://ann:p%40ss@h:1, tls://token@i:2,h:3") == "nats://h:1, tls://i:2,h:3"
    assert redacted("ann:secret@h:1") == "h:1"


def user_without(permission: str) -> str:
    return f"authorization {{ users: [{{ user: ann, password: x, permissions: {{ {permission} }} }}] }}"


def test_a_refused_publication_names_its_subject_as_it_was(tmp_path: Path) -> None:
    users = user_without('publish: { deny: ["covey.shop.node.Bob.*"] }')

    async def main() -> None:
        async with node(configured.url("ann:x")) as (transport, recorder):
            transport.send("Bob", b"x")
            transport.send("a", b"y")
            await recorder.until(lambda r: r.problems and r.frames)
            (problem,) = recorder.problems
            assert isinstance(problem, PermissionDeniedError)
            assert problem.subject == "covey.shop.node.Bob.a"
            assert (recorder.frames, recorder.links) == ([b"y"], [])

    with configured_server(tmp_path, users) as configured:
        run(main())


def test_a_node_that_may_not_listen_does_not_start(tmp_path: Path) -> None:
    users = user_without('subscribe: { deny: ["covey.*.beacon.*"] }')
    with configured_server(tmp_path, users) as configured, pytest.raises(PermissionDeniedError) as raised:
        run(NatsTransport(configured.url("ann:x")).start("shop", "a", Recorder()))
    assert raised.value.subject == "covey.shop.beacon.*"
    assert str(raised.value).startswith(
        "the server refuses covey.shop.beacon.*: subscribing to it is denied on nats://127.0.0.1:"
    )


def test_the_servers_own_limit_is_the_largest_frame(tmp_path: Path) -> None:
    async def main() -> None:
        async with node(configured.url()) as (transport, recorder):
            assert transport.max_frame_bytes == 4096
            transport.send("a", bytes(4096))
            with pytest.raises(PayloadTooLargeError):
                transport.send("a", bytes(4097))
            await recorder.until(lambda r: r.frames == [bytes(4096)])

    with configured_server(tmp_path, "max_payload: 4096") as configured:
        run(main())


def test_a_node_that_is_locked_out_says_so_once_and_comes_back_when_it_may(tmp_path: Path) -> None:
    right, wrong = (f"authorization {{ user: ann, password: {word} }}" for word in ("right", "wrong"))

    async def main() -> None:
        async with node(configured.url("ann:right")) as (transport, recorder):
            configured.reload(wrong)
            await recorder.until(lambda r: [up for up, _ in r.links] == [False] and r.problems)
            transport.send("a", b"sent while we were locked out")
            configured.reload(right)
            await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
            await recorder.until(lambda r: r.frames == [b"sent while we were locked out"])
            (problem,) = recorder.problems  # said once, not at every attempt
            assert "refused our credentials" in str(problem)
            assert "right" not in str(problem).replace("the right ones", "")

    with configured_server(tmp_path, right) as configured:
        run(main())


def test_a_client_that_closed_for_good_is_replaced(server: EmbeddedServer) -> None:
    async def main() -> None:
        async with node(server.url) as (transport, recorder):
            first = transport._client
            assert first is not None
            # The server only answers -ERR, nats-py closes; as it does when credentials expire.
            first._transport.write(b"SUB not..a..subject 99\r\n")
            await recorder.until(lambda r: [up for up, _ in r.links] == [False])
            assert "invalid subject" in recorder.links[0][1]
            transport.send("a", b"sent meanwhile")
            await recorder.until(lambda r: [up for up, _ in r.links] == [False, True])
            await recorder.until(lambda r: r.frames == [b"sent meanwhile"])
            assert transport._client is not first
            assert recorder.problems == []

    run(main())


def test_a_limit_that_was_lowered_holds_after_the_next_connect(tmp_path: Path) -> None:
    async def main() -> None:
        async with node(configured.url()) as (transport, recorder):
            configured.reload("max_payload: 100")
            while not recorder.links:  # the server has to read its new configuration first
                transport.send("a", bytes(200))
                await asyncio.sleep(0.01)
            await recorder.until(lambda r: [up for up, _ in r.links][-1])
            assert transport.max_frame_bytes == 100
            transport.send("a", b"y")
            await recorder.until(lambda r: r.frames and r.frames[-1] == b"y")

    with configured_server(tmp_path, "max_payload: 65536") as configured:
        run(main())


def test_a_server_that_hangs_does_not_hold_up_close(tmp_path: Path) -> None:
    async def main() -> None:
        async with node(configured.url()) as (transport, _):
            configured.process.send_signal(signal.SIGSTOP)
            for _ in range(20):
                transport.send("a", bytes(1 << 20))  # more than the sockets take
            with pytest.raises(TransportError, match="has not reached"):
                await transport.flush(0.2)
            began = time.monotonic()
            await transport.close(0.6)
            assert time.monotonic() - began < 3.0

    with configured_server(tmp_path, "") as configured:
        run(main())


def test_frames_come_straight_from_the_parser(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with node(server.url) as (transport, recorder):
            transport.send("a", b"x")
            await recorder.until(lambda r: r.frames == [b"x"])
            assert transport._client is not None
            assert sum(sub.delivered for sub in transport._client._subs.values()) == 0

    run(main())


def test_a_client_library_without_the_short_cut_delivers_as_well(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FrameClient, "_process_msg")

    async def main() -> None:
        async with node(server.url) as (transport, recorder):
            for number in range(100):
                transport.send("a", b"%d" % number)
            await recorder.until(lambda r: len(r.frames) == 100)
            assert recorder.frames == [b"%d" % number for number in range(100)]

    run(main())


def test_closing_while_the_server_is_gone_tells_what_is_lost_and_is_silent_on_stderr() -> None:
    script = """
import asyncio
from covey.transports import EmbeddedServer, NatsTransport
class Receiver:
    on_frame = on_beacon = on_problem = print
    def on_link(self, up, detail): down.set()
async def main():
    asyncio.get_running_loop().slow_callback_duration = 10.0  # not what this is about
    server = EmbeddedServer().start()
    transport = NatsTransport(server.url)
    await transport.start("shop", "a", Receiver())
    server.stop()
    await asyncio.wait_for(down.wait(), 10)
    transport.send("a", b"never sent")
    await transport.close(0.3)
down = asyncio.Event()
asyncio.run(main())
"""
    for _ in range(3):  # close meets the reconnecting client at another point each time
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=20
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout.startswith("1 frames and ")
        assert "are lost as the node leaves" in done.stdout
