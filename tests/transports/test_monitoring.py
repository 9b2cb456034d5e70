"""The monitoring endpoint of a server, as `covey doctor` reads it; test_diagnosis.py reads a real one."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from covey.framework.errors import ConfigurationError
from covey.transports.diagnosis.monitoring import checked_monitor_url, read_monitor


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8222", "http://127.0.0.1:8222"),
        ("127.0.0.1:8222", "http://127.0.0.1:8222"),
        ("https://nats.example:8222/varz", "https://nats.example:8222"),
        ("http://ann:secret@[::1]:8222", "http://[::1]:8222"),
    ],
)
def test_the_monitorings_url_may_be_short_or_that_of_a_page(given: str, url: str) -> None:
    assert checked_monitor_url(given) == url


@pytest.mark.parametrize("given", ["ftp://h:1", "http://", "h:many", "h:0", "nats://u:secret@h:4222"])
def test_what_is_no_url_of_a_monitoring_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="write http://host:8222") as raised:
        checked_monitor_url(given)
    assert "secret" not in str(raised.value)


@contextmanager
def web_page(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join(5.0)


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (404, b"", "it answers with the status 404"),
        (200, b"<html>", "what answers there is no monitoring of a nats-server"),
        (200, b"[]", "what answers there is no monitoring of a nats-server"),
        (200, b'{"server_id": "x", "slow_consumers": null}', "what answers there is no monitoring"),
    ],
)
def test_a_page_of_something_else_is_said_to_be_that(status: int, body: bytes, trouble: str) -> None:
    with web_page(status, body) as url:
        assert read_monitor(url).trouble.startswith(trouble)


def test_a_monitoring_that_is_not_there_is_said_to_be_so() -> None:
    assert read_monitor("http://127.0.0.1:1").trouble == "Connection refused"
