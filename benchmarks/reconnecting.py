"""Asks by the clock while the server is killed and comes back: the same for each system."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from benchmarks.nats_server import find_binary

__all__ = ["KilledServer", "Outage", "ask_through_an_outage"]

SETTLED_BEFORE_S = 1.0
ANSWERED_AFTER_S = 0.5
RETURNED_WITHIN_S = 10.0
RESOLVED_WITHIN_S = 40.0
POLL_S = 0.001

Ask = Callable[[], Awaitable[object]]


class KilledServer:
    """A nats-server with JetStream that can be killed without warning, and started where it was."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def __enter__(self) -> KilledServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> float:
        """Start it; returns the monotonic time at which it first greeted a client."""
        command = [find_binary(), "-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", self._folder.name]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + RETURNED_WITHIN_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0) as client:
                if client.recv(4) == b"INFO":
                    return time.monotonic()
            time.sleep(POLL_S)
        sys.exit(f"nats-server did not come back within {RETURNED_WITHIN_S:g} s")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Outage:
    """What came of the asks, by the monotonic time at which each was answered."""

    def __init__(self) -> None:
        self.asked = self.failed = 0
        self.answered_at: list[float] = []
        self.returned_at = 0.0

    @property
    def back_ms(self) -> float:
        """From the server's return to the first answer after it."""
        return (min(at for at in self.answered_at if at > self.returned_at) - self.returned_at) * 1e3

    def is_back(self) -> bool:
        """Whether one was answered since the server's return."""
        return bool(self.returned_at) and self.answered_at[-1] > self.returned_at


async def ask_through_an_outage(
    ask: Ask, failing: type[Exception], server: KilledServer, per_s: int, away_s: float
) -> Outage:
    """Ask by the clock; meanwhile kill the server, and start it again `away_s` later.

    Every ask has to resolve; those that end in `failing` are counted, anything else ends the measurement.
    """
    outage = Outage()
    asks = set()

    async def one() -> None:
        try:
            await ask()
        except failing:
            outage.failed += 1
        else:
            outage.answered_at.append(time.monotonic())

    async def kill_and_start() -> None:
        await asyncio.sleep(SETTLED_BEFORE_S)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(away_s)
        outage.returned_at = await asyncio.to_thread(server.start)

    killing = asyncio.create_task(kill_and_start())
    started = time.monotonic()
    until = float("inf")
    while (now := time.monotonic()) < until:
        while outage.asked < (now - started) * per_s:
            asks.add(asyncio.create_task(one()))
            outage.asked += 1
        if outage.is_back():
            until = min(until, now + ANSWERED_AFTER_S)
        elif now > started + SETTLED_BEFORE_S + away_s + RESOLVED_WITHIN_S:
            sys.exit(f"nothing was answered within {RESOLVED_WITHIN_S:g} s of the server's return")
        await asyncio.sleep(POLL_S)
    await killing
    _, unresolved = await asyncio.wait(asks, timeout=RESOLVED_WITHIN_S)
    if unresolved:
        sys.exit(f"{len(unresolved)} of {outage.asked} asks never resolved")
    for done in asks:
        done.result()
    return outage
