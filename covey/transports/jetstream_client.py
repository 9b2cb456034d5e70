"""A connection to NATS that sends requests with headers by the hundred."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from covey.transports.nats_client import FrameClient

__all__ = ["RequestClient"]


class RequestClient(FrameClient):
    """Writes requests with headers, those of one round of the loop together: nothing waits for a task."""

    _held: list[bytes] | None = None
    """What waits for the end of this round; None when nothing does."""

    def write_soon(self, subject: str, reply: str, headers: bytes, data: bytes) -> None:
        """Publish with a block of headers, in order; lost if the connection is."""
        if self._held is None:
            self._held = []
            asyncio.get_running_loop().call_soon(self._write_held)
        sizes = len(headers), len(headers) + len(data)
        self._held += (
            b"HPUB %b %b %d %d\r\n" % (subject.encode(), reply.encode(), *sizes),
            headers,
            data,
            b"\r\n",
        )

    def _write_held(self) -> None:
        held, self._held = self._held or [], None
        if not self.is_connected:
            return  # who waits for an answer has been told
        if self._pending:  # a subscription to where the answer comes, say
            held, self._pending, self._pending_data_size = [*self._pending, *held], [], 0
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.write(b"".join(held))
            return
        # Over a WebSocket nats-py's own task writes.
        self._pending, self._pending_data_size = held, sum(map(len, held))
        with suppress(asyncio.QueueFull):
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def end(self, timeout_s: float) -> None:
        """See `FrameClient.end`; and leave no task."""
        tasks = [subscription._wait_for_msgs_task for subscription in self._subs.values()]
        await super().end(timeout_s)
        waiting = [task for task in tasks if task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
