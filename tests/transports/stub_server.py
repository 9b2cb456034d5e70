"""What speaks just enough of NATS's protocol for `covey doctor`: an old server, or one that hangs up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stub_server(info: dict[str, Any], hang_up_after: int = 1 << 30) -> Iterator[str]:
    """One connection at a time; says "no responders" to each request, and ends it after so many lines."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=_serve, args=(listener, info, hang_up_after), daemon=True)
    thread.start()
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5.0)


def _serve(listener: socket.socket, info: dict[str, Any], hang_up_after: int) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                _talk(connection, info, hang_up_after)
            except OSError:
                pass  # the client has left


def _talk(connection: socket.socket, info: dict[str, Any], lines_left: int) -> None:
    connection.sendall(b"INFO %b\r\n" % json.dumps(info).encode())
    lines = connection.makefile("rb")
    inbox = b""
    for line in lines:
        lines_left -= 1
        if lines_left < 0:
            return
        match line.split():
            case [b"PING"]:
                connection.sendall(b"PONG\r\n")
            case [b"SUB", subject, number] if subject.startswith(b"_INBOX_") and subject.endswith(b".*"):
                inbox = number
            case [b"PUB", _subject, reply, b"0"] if inbox:
                connection.sendall(b"HMSG %b %b 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % (reply, inbox))
            case _:
                pass
