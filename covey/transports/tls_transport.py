"""nats-py's TCP connection, mended for TLS."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

__all__ = ["TlsTransport"]


class TlsTransport(TcpTransport):  # type: ignore[misc] # nats-py is untyped
    """A TCP connection that may go over to TLS.

    With nats-py's own a failed handshake leaves a writer whose `wait_closed` never returns, the reader of a
    TLS connection takes any amount ahead of the node, and asyncio logs a warning when the server closes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._io_reader: asyncio.StreamReader | None
        self._io_writer: asyncio.StreamWriter | None
        self._is_usable = True

    def __bool__(self) -> bool:
        return self._is_usable  # also before it is connected, or nats-py would replace it by its own

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: float
    ) -> None:
        """Go over to TLS; after an error this connection is of no more use."""
        assert self._io_writer is not None, "connect first"
        loop, bare = asyncio.get_running_loop(), self._io_writer.transport
        self._io_reader = self._io_writer = None  # the handshake takes their protocol away
        self._is_usable = False
        reader = asyncio.StreamReader(limit=buffer_size, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        hostname = uri if isinstance(uri, str) else uri.hostname
        async with asyncio.timeout(connect_timeout):
            transport = await loop.start_tls(bare, protocol, ssl_context, server_hostname=hostname)
        if transport is None:
            raise ConnectionResetError("the connection was closed during the TLS handshake")
        protocol.connection_made(transport)  # asyncio leaves that to us
        self._is_usable = True
        self._io_reader, self._io_writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
