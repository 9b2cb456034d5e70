from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from covey.framework.errors import TransportError
from covey.framework.transport import OutsideRequest
from covey.transports import MemoryHub, MemoryTransport
from tests.conformance.recorder import Recorder


class ThreadRecorder(Recorder):
    """Notes the thread of each call and tells other threads when it has enough."""

    def __init__(self, goal: int) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.complete = threading.Event()
        self._goal = goal

    def on_frame(self, source: str, frame: bytes) -> None:
        super().on_frame(source, frame)
        self.threads.add(threading.get_ident())
        if len(self.frames) >= self._goal:
            self.complete.set()


@contextmanager
def loop_thread() -> Iterator[Callable[[Any], Any]]:
    """A loop on a thread of its own; yields a function that runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="node")
    thread.start()
    try:
        yield lambda main: asyncio.run_coroutine_threadsafe(main, loop).result(10.0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10.0)
        loop.close()


async def thread_id() -> int:
    return threading.get_ident()


def test_nodes_on_different_loops_get_their_frames_on_their_own_thread_in_order() -> None:
    hub, count = MemoryHub(), 2000
    with loop_thread() as on_a, loop_thread() as on_b:
        a, b, at_a, at_b = (
            MemoryTransport(hub),
            MemoryTransport(hub),
            ThreadRecorder(count),
            ThreadRecorder(count),
        )
        on_a(a.start("shop", "a", at_a))
        on_b(b.start("shop", "b", at_b))

        async def send_all(transport: MemoryTransport, to: str) -> None:
            for number in range(count):
                transport.send(to, number.to_bytes(4, "big"))
                if number % 10 == 0:
                    await asyncio.sleep(0)

        with ThreadPoolExecutor(2) as both:
            both.submit(on_a, send_all(a, "b"))
            both.submit(on_b, send_all(b, "a"))
        expected = [number.to_bytes(4, "big") for number in range(count)]
        for recorder, on in ((at_a, on_a), (at_b, on_b)):
            assert recorder.complete.wait(10.0)
            assert recorder.frames == expected
            assert recorder.threads == {on(thread_id())}
        on_a(a.close())
        on_b(b.close())


def test_many_frames_of_one_turn_cost_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        hub = MemoryHub()
        a, at_a = MemoryTransport(hub), Recorder()
        await a.start("shop", "a", at_a)
        loop = asyncio.get_running_loop()
        wake_ups: list[object] = []
        wake_up = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda callback: (wake_ups.append(callback), wake_up(callback))
        )
        for total in (1000, 2000):
            for _ in range(1000):
                a.send("a", b"x")
            await at_a.until(lambda r, total=total: len(r.frames) == total)
        assert (len(wake_ups), len(at_a.frames)) == (2, 2000)
        await a.close()

    asyncio.run(main())


def test_a_frame_sent_while_frames_are_delivered_arrives_in_a_later_turn() -> None:
    async def main() -> None:
        transport = MemoryTransport(MemoryHub())

        class Echo(Recorder):
            def on_frame(self, source: str, frame: bytes) -> None:
                super().on_frame(source, frame)
                if len(self.frames) < 5:
                    transport.send("a", frame + b"!")

        echo = Echo()
        await transport.start("shop", "a", echo)
        transport.send("a", b"")
        await echo.until(lambda r: len(r.frames) == 5)
        assert echo.frames == [b"", b"!", b"!!", b"!!!", b"!!!!"]
        await transport.close()

    asyncio.run(main())


def test_a_beacon_passes_by_a_node_without_room_and_says_so() -> None:
    async def main() -> None:
        hub = MemoryHub(pending_limit_bytes=10)
        a, b = MemoryTransport(hub), MemoryTransport(hub)
        at_a, at_b = Recorder(), Recorder()
        await a.start("shop", "a", at_a)
        await b.start("shop", "b", at_b)
        a.send("b", bytes(8))
        with pytest.raises(TransportError, match="10 bytes wait for a node of the swarm already"):
            a.broadcast(b"hello")
        await at_a.until(lambda r: r.beacons == [b"hello"])
        await at_b.until(lambda r: len(r.frames) == 1)
        assert at_b.beacons == []
        a.broadcast(b"again")
        await at_b.until(lambda r: r.beacons == [b"again"])
        await a.close()
        await b.close()

    asyncio.run(main())


def test_a_node_whose_loop_ended_without_close_is_simply_gone() -> None:
    hub = MemoryHub()
    asyncio.run(MemoryTransport(hub).start("shop", "dead", Recorder()))

    async def main() -> None:
        a, at_a = MemoryTransport(hub), Recorder()
        await a.start("shop", "a", at_a)
        for _ in range(3):
            a.send("dead", b"x")
        a.broadcast(b"hello")
        await at_a.until(lambda r: r.beacons == [b"hello"])
        await a.close()

    asyncio.run(main())


def test_frames_that_wait_when_a_node_closes_are_dropped() -> None:
    async def main() -> None:
        transport, recorder = MemoryTransport(MemoryHub()), Recorder()
        await transport.start("shop", "a", recorder)
        transport.send("a", b"x")
        await transport.close()
        for _ in range(3):
            await asyncio.sleep(0)
        assert recorder.frames == []

    asyncio.run(main())


def test_what_waits_for_a_node_is_bounded_whatever_it_is() -> None:
    async def main() -> None:
        hub = MemoryHub(pending_limit_bytes=10)
        a, at_a, b = MemoryTransport(hub), Recorder(), MemoryTransport(hub)
        await a.start("shop", "a", at_a)
        await b.start("shop", "b", Recorder())
        a.serve()
        a.subscribe("news")
        b.send("a", bytes(8))
        for put in (partial(b.send, "a"), b.broadcast, partial(b.publish, "news")):
            with pytest.raises(TransportError, match="10 bytes wait for"):
                put(bytes(3))
        assert not hub.publish("shop", "news", bytes(3))
        assert not hub.request("shop", OutsideRequest("pricer/x", bytes(3)))
        await at_a.until(lambda r: len(r.frames) == 1)
        assert hub.publish("shop", "news", bytes(3))
        await at_a.until(lambda r: r.publications)
        assert at_a.requests == []
        await a.close()
        await b.close()

    asyncio.run(main())


def test_a_node_that_closed_gets_nothing_more_of_clients() -> None:
    async def main() -> None:
        hub, recorder = MemoryHub(), Recorder()
        transport = MemoryTransport(hub)
        await transport.start("shop", "a", recorder)
        transport.serve()
        transport.subscribe("news")
        await transport.close()
        assert not hub.request("shop", OutsideRequest("pricer/x", b"?"))
        assert hub.publish("shop", "news", b"!")
        assert recorder.requests == recorder.publications == []

    asyncio.run(main())
