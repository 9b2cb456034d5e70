"""A swarm in a FastAPI application: in its lifespan, behind real uvicorn and httpx's ASGI transport."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from fastapi import FastAPI

from covey import Agent, Swarm, handles
from tests.framework.waiting import eventually
from tests.surroundings.page import service_module
from tests.surroundings.programs import END_WITHIN_S, environment
from tests.surroundings.web_server import WITHIN_S, served

ENDPOINTS = ["/quote", "/quote-in-a-thread", "/quote-while-connected"]
ORDER = {"sku": "tea", "amount": 3}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    yield service_module(tmp_path)
    del sys.modules["service"]


class Held(Agent):
    """Takes the place of the page's pricer: its handler begins and waits until it is cancelled."""

    kind = "pricer"

    def __init__(self, begun: threading.Event, cancelled: threading.Event) -> None:
        super().__init__()
        self.begun, self.cancelled = begun, cancelled

    @handles(object)
    async def hold(self, order: object) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Broken(Agent):
    kind = "pricer"

    @handles(object)
    def fail(self, order: object) -> None:
        raise KeyError("no such price")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_endpoint_asks_an_agent_and_answers_with_its_reply(path: str, service: ModuleType) -> None:
    with served(service.app) as url:
        answer = httpx.post(url + path, json=ORDER, timeout=WITHIN_S)
    assert (answer.status_code, answer.json()) == (200, {"price": 7.5})


@pytest.mark.parametrize("path", ENDPOINTS)
def test_fifty_requests_at_once_are_all_answered(path: str, service: ModuleType) -> None:
    def post(amount: int) -> float:
        order = {"sku": f"tea-{amount % 5}", "amount": amount}
        return float(client.post(url + path, json=order).json()["price"])

    limits = httpx.Limits(max_connections=50)
    with (
        served(service.app) as url,
        httpx.Client(timeout=WITHIN_S, limits=limits) as client,
        ThreadPoolExecutor(50) as pool,
    ):
        assert list(pool.map(post, range(1, 51))) == [2.5 * amount for amount in range(1, 51)]


def test_requests_through_the_asgi_transport_are_answered_without_a_server(service: ModuleType) -> None:
    async def main() -> list[tuple[int, object]]:
        async with client_of(service.app) as client:
            answers = await asyncio.gather(*[client.post(path, json=ORDER) for path in ENDPOINTS * 20])
            return [(answer.status_code, answer.json()) for answer in answers]

    assert asyncio.run(main()) == [(200, {"price": 7.5})] * 60


@pytest.mark.parametrize("path", ENDPOINTS)
def test_what_an_agent_refuses_is_a_422_with_its_reason(path: str, service: ModuleType) -> None:
    with served(service.app) as url:
        answer = httpx.post(url + path, json={"sku": "tea", "amount": 0}, timeout=WITHIN_S)
    assert (answer.status_code, answer.json()) == (422, {"detail": "order at least 1"})


def test_what_is_no_message_is_refused_before_any_agent_sees_it(service: ModuleType) -> None:
    with served(service.app) as url:
        answer = httpx.post(url + "/quote", json={"sku": "tea", "amount": "many"}, timeout=WITHIN_S)
        assert answer.status_code == 422
        assert service.app.state.swarm.handled == 0


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_agent_that_raises_gives_a_500_and_the_server_serves_on(path: str, service: ModuleType) -> None:
    with served(service.app) as url:
        service.app.state.swarm.spawn(Broken, "faulty")
        answer = httpx.post(url + path, json={"sku": "faulty", "amount": 1}, timeout=WITHIN_S)
        assert answer.status_code == 500
        assert httpx.post(url + path, json=ORDER, timeout=WITHIN_S).json() == {"price": 7.5}


def test_an_agent_that_does_not_answer_in_time_is_a_504(service: ModuleType) -> None:
    with served(service.app) as url:
        service.app.state.swarm.spawn(Held, "slow", threading.Event(), threading.Event())
        answer = httpx.post(url + "/quote", json={"sku": "slow", "amount": 1}, timeout=WITHIN_S)
        assert answer.status_code == 504
        assert "no reply from Order to pricer/slow" in answer.json()["detail"]
        service.app.state.swarm.stop(0.1)  # its handler would hold up the end of the server for 5 s


def test_a_client_that_goes_away_cancels_the_ask_of_an_endpoint_that_watches_it(service: ModuleType) -> None:
    begun, cancelled = threading.Event(), threading.Event()
    with served(service.app) as url:
        service.app.state.swarm.spawn(Held, "slow", begun, cancelled)
        hang_up_once(begun, url, "/quote-while-connected")
        assert cancelled.wait(WITHIN_S)


def test_a_cancelled_request_of_the_asgi_transport_cancels_the_ask(service: ModuleType) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def main() -> None:
        async with client_of(service.app) as client:
            service.app.state.swarm.spawn(Held, "slow", begun, cancelled)
            request = asyncio.create_task(client.post("/quote", json={"sku": "slow", "amount": 1}))
            assert await asyncio.to_thread(begun.wait, WITHIN_S)
            request.cancel()
            assert await asyncio.to_thread(cancelled.wait, WITHIN_S)

    asyncio.run(main())


def test_the_swarm_ends_with_the_server(service: ModuleType) -> None:
    stopped = threading.Event()

    class Leaving(Agent):
        def on_stop(self) -> None:
            stopped.set()

    before = set(threading.enumerate())
    with served(service.app) as url:
        swarm: Swarm = service.app.state.swarm
        swarm.spawn(Leaving, "l")
        assert httpx.post(url + "/quote", json=ORDER, timeout=WITHIN_S).status_code == 200
        assert not stopped.is_set()
    assert stopped.is_set()
    assert swarm.wait(0) is True
    assert [thread.name for thread in set(threading.enumerate()) - before if "covey" in thread.name] == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_on_the_command_line_serves_the_page_and_ends_on_a_signal(
    how: signal.Signals, service: ModuleType, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "uvicorn", "service:app", "--fd", str(listening.fileno())]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(),
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            answer = httpx.post(url + "/quote", json=ORDER, timeout=END_WITHIN_S)  # waits in the backlog
            process.send_signal(how)
            _, log = process.communicate(timeout=END_WITHIN_S)
        finally:
            process.kill()
    assert answer.json() == {"price": 7.5}
    assert process.returncode in (0, -how)
    assert "Application shutdown complete." in log
    assert "Traceback" not in log.partition("Application shutdown complete.")[0]


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application in this loop, with its lifespan around."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service", timeout=WITHIN_S) as client,
    ):
        yield client


def hang_up_once(begun: threading.Event, url: str, path: str) -> None:
    """Send a request and close the connection as soon as the agent works on it."""
    body = b'{"sku": "slow", "amount": 1}'
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=WITHIN_S) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        eventually(begun.is_set, WITHIN_S)
