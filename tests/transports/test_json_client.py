"""Requests in JSON: what comes of answers that no node of ours gives, and of a server that ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest

from covey.framework.address import Address
from covey.framework.errors import ConfigurationError, NoHostError, PayloadTooLargeError, TransportError
from covey.transports import EmbeddedServer
from covey.transports.json_client import HEADER_BYTES, JsonAnswer, JsonClient
from tests.transports.configured_server import configured_server

PRICER = Address("pricer", "eu")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@contextmanager
def listener(url: str) -> Iterator[IO[bytes]]:
    """A client that has subscribed to all of a swarm, down to the bytes of the protocol."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        stream = connection.makefile("rwb", buffering=0)
        stream.write(b'CONNECT {"verbose": false, "headers": true}\r\nSUB covey.shop.> 1\r\nPING\r\n')
        next(line for line in stream if line == b"PONG\r\n")
        yield stream


def ask(url: str) -> JsonAnswer:
    return JsonClient(url, "shop").ask(PRICER, "quotes.Order", b"{}", timeout_s=20.0)


def answered(url: str, headers: bytes, body: bytes) -> JsonAnswer:
    """What an answer of these bytes is taken for."""
    with listener(url) as stream, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, url)
        line = next(line for line in stream if line.startswith(b"HMSG "))
        head = b"NATS/1.0\r\n%b\r\n\r\n" % headers
        reply = line.split()[3]
        stream.write(b"HPUB %b %d %d\r\n%b%b\r\n" % (reply, len(head), len(head) + len(body), head, body))
        return asked.result(20)


def test_an_answer_is_its_json_with_its_type(server: EmbeddedServer) -> None:
    answer = answered(server.url, b"Covey-Type: quotes.Quote", b'{"price": 7.5}')
    assert answer == JsonAnswer("quotes.Quote", '{"price": 7.5}', 0)


def test_a_failure_is_its_type_and_text_with_a_number(server: EmbeddedServer) -> None:
    headers = b"Nats-Service-Error: nobody there\r\nNats-Service-Error-Code: 404"
    answer = answered(server.url, headers, b'{"error": "NoHostError", "message": "nobody\\nthere"}')
    assert answer == JsonAnswer("NoHostError", "nobody\nthere", 404)


@pytest.mark.parametrize("body", [b"", b"oops", b"[]", b'{"error": "X"}'])
def test_a_failure_of_some_other_service_is_still_one(server: EmbeddedServer, body: bytes) -> None:
    headers = b"Nats-Service-Error: not today\r\nNats-Service-Error-Code: many"
    assert answered(server.url, headers, body) == JsonAnswer("", "not today", 500)


def test_a_swarm_that_takes_no_requests_is_known_at_once(server: EmbeddedServer) -> None:
    with pytest.raises(NoHostError):
        ask(server.url)


def test_a_server_that_ends_meanwhile_is_no_timeout(tmp_path: Path) -> None:
    with (
        configured_server(tmp_path, "") as server,
        listener(server.url()) as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(ask, server.url())
        next(line for line in stream if line.startswith(b"HMSG "))
        server.process.terminate()
        with pytest.raises(TransportError, match="whether the message has arrived is unknown"):
            asked.result(10)


def test_a_told_message_is_at_the_server_when_it_returns(server: EmbeddedServer) -> None:
    with listener(server.url) as stream:
        JsonClient(server.url, "shop").tell(PRICER, "quotes.Order", b'{"sku": "tea"}')
        line = next(line for line in stream if line.startswith((b"MSG ", b"HMSG ")))
        assert line == b"MSG covey.shop.json.pricer.eu.quotes.Order 1 14\r\n"


def test_a_type_that_is_no_name_is_refused_before_anything_connects() -> None:
    with pytest.raises(ConfigurationError, match="no message type"):
        JsonClient("nats://127.0.0.1:1", "shop").ask(PRICER, "quotes.>", b"{}", timeout_s=1.0)


def test_a_message_that_the_server_would_cut_us_off_for_is_refused(tmp_path: Path) -> None:
    with configured_server(tmp_path, "max_payload: 1000") as server, listener(server.url()):
        client = JsonClient(server.url(), "shop")
        for size in (1000 - HEADER_BYTES + 1, 1000, 2000):
            with pytest.raises(PayloadTooLargeError):
                client.ask(PRICER, "quotes.Order", bytes(size), timeout_s=20.0)
        client.tell(PRICER, "quotes.Order", bytes(1000 - HEADER_BYTES))


def test_a_swarm_is_heard_by_the_beacon_of_any_of_its_nodes(server: EmbeddedServer) -> None:
    with listener(server.url) as stream, ThreadPoolExecutor(1) as pool:
        hears = pool.submit(JsonClient(server.url, "shop").hears_swarm)
        while not hears.done():
            stream.write(b"PUB covey.shop.beacon.n1 0\r\n\r\n")
        assert hears.result()
        stream.write(b"PING\r\n")  # no beacon is on its way any more
        assert any(line == b"PONG\r\n" for line in stream)
    assert not JsonClient(server.url, "shop").hears_swarm()


def test_where_we_may_not_listen_a_swarm_is_not_taken_for_silent(tmp_path: Path) -> None:
    config = """authorization { users: [ { user: guest, password: guest, permissions: {
        subscribe: ["_INBOX_guest.>"] } } ] }"""
    with configured_server(tmp_path, config) as server:
        assert JsonClient(server.url("guest:guest"), "shop", name="guest").hears_swarm()
