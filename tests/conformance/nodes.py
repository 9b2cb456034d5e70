"""Bare transports as nodes, for the tests of what every transport keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from covey.framework.transport import Transport
from tests.conformance.bed import Bed
from tests.conformance.recorder import Recorder

__all__ = ["Node", "eventually", "node", "numbered", "run"]

Node = tuple[Transport, Recorder]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60.0))


@asynccontextmanager
async def node(
    bed: Bed, node_id: str, swarm: str = "shop", *, recorder: Recorder | None = None, **options: Any
) -> AsyncIterator[Node]:
    transport, recorder = bed.transport(**options), recorder or Recorder()
    await transport.start(swarm, node_id, recorder)
    try:
        yield transport, recorder
    finally:
        await transport.close()


async def eventually(condition: Callable[[], object], within_s: float = 15.0) -> None:
    """For what several recorders hold together."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)


def numbered(count: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]
