"""The plain NATS clients of the benchmark `clients`, against a real server."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator

import pytest

from benchmarks import plain_clients
from benchmarks.child import run_child, serving
from benchmarks.clients import _subscriptions_of
from benchmarks.harness import BenchmarkError
from benchmarks.plain_client import PlainClient


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with serving("benchmarks.nats_server", "monitored") as words:
        url, monitor = words.split()
        yield url, monitor


class FromWire:
    """A client whose server is a script."""

    def __init__(self) -> None:
        self.client = PlainClient("_INBOX.a")
        self.written: list[bytes] = []
        self.client._transport = self  # type: ignore[assignment]

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_answers_are_read_whatever_the_pieces_in_which_they_come(size: int) -> None:
    wire = (
        b'INFO {"max_payload":1048576}\r\nPONG\r\nMSG _INBOX.a.2 1 7\r\nMSG x\r\n\r\nPING\r\n'
        b"HMSG _INBOX.a.1 1 12 17\r\nNATS/1.0\r\n\r\nfirst\r\nMSG _INBOX.a.3 1 0\r\n\r\n"
    )

    async def run() -> list[bytes]:
        server = FromWire()
        asked = [asyncio.create_task(server.client.request("s", b"%d" % n)) for n in range(3)]
        await asyncio.sleep(0)
        for at in range(0, len(wire), size):
            server.client.data_received(wire[at : at + size])
        await server.client.ready
        assert server.written[:3] == [
            b"PUB s _INBOX.a.1 1\r\n0\r\n",
            b"PUB s _INBOX.a.2 1\r\n1\r\n",
            b"PUB s _INBOX.a.3 1\r\n2\r\n",
        ]
        assert server.written[3:] == [b"PONG\r\n"]
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == [b"first", b"MSG x\r\n", b""]


def test_a_client_learns_that_nobody_serves_what_it_asks(urls: tuple[str, str]) -> None:
    async def run() -> None:
        client = await PlainClient.connect(urls[0], "_INBOX.lonely")
        with pytest.raises(ConnectionError, match=r"nobody answers what waits at _INBOX\.lonely\.1"):
            await client.request("nobody.here", b"")
        client.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_what_the_server_refuses_breaks_what_waits(urls: tuple[str, str]) -> None:
    async def run() -> None:
        client = await PlainClient.connect(urls[0], "_INBOX.odd")
        with pytest.raises(ConnectionError):
            await client.request("no such subject", b"")

    asyncio.run(asyncio.wait_for(run(), 20))


def test_clients_of_a_raw_node_give_every_figure(urls: tuple[str, str]) -> None:
    url, _ = urls
    with serving("benchmarks.node_raw", "receive", url, "raw.*"):
        asked = ("ask", url, "20", "raw", "covey.benchmarks.raw.Reading", "3", "1")
        sample = run_child("benchmarks.plain_clients", *asked, deadline_s=60)
    assert sample["clients"] == 20
    assert all(value > 0 for value in sample.values())
    assert sample.keys() == {
        "clients",
        "requests_per_s",
        "busy_p50_ms",
        "busy_p99_ms",
        "calm_p50_ms",
        "calm_p99_ms",
    }


def test_a_wrong_answer_is_refused(urls: tuple[str, str]) -> None:
    url, _ = urls
    with (
        serving("benchmarks.node_raw", "receive", url, "raw.*"),
        pytest.raises(BenchmarkError, match=r"raw\.\d+ answered 0 with REPLY"),
    ):
        run_child("benchmarks.plain_clients", "ask", url, "2", "raw", "another.Type", "1", "1", deadline_s=60)


def test_fewer_clients_take_part_where_files_run_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert plain_clients.room_for(900) == 900
    assert plain_clients.room_for(2_000) == 936
    assert set_to == [(1_000, 1_000)] * 2
    assert "2000 clients need more open files than 1000: 936 take part" in capsys.readouterr().err


def test_the_server_counts_the_subscriptions_of_a_connection_by_its_name(urls: tuple[str, str]) -> None:
    url, monitor = urls

    async def run() -> float:
        clients = [await PlainClient.connect(url, f"_INBOX.{n}") for n in range(3)]
        found = await asyncio.to_thread(_subscriptions_of, "plain", monitor)
        for client in clients:
            client.close()
        return found

    assert asyncio.run(run()) == 3
    with pytest.raises(BenchmarkError, match="knows no connection of node nobody"):
        _subscriptions_of("nobody", monitor)
