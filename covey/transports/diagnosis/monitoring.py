"""Reads what a nats-server tells of itself over HTTP, on its monitoring port."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from covey.framework.errors import ConfigurationError
from covey.transports.diagnosis.clocks import clock_of
from covey.transports.diagnosis.facts import Monitor
from covey.transports.nats_errors import redacted

__all__ = ["checked_monitor_url", "read_monitor"]

ANSWER_S = 3.0
_MOST_BYTES = 4 << 20


def checked_monitor_url(url: str) -> str:
    """The endpoint's URL with host and port alone; `host:8222` is taken as HTTP.

    Raises:
        ConfigurationError: it is no HTTP URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:  # a port that is no number
        pass
    raise ConfigurationError(f"{redacted(url)!r} is no URL of a server's monitoring: write http://host:8222")


def read_monitor(url: str, context: ssl.SSLContext | None = None) -> Monitor:
    """What stands on the pages `varz` and `connz`; blocks for a few seconds at most. Never raises."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    try:
        before = time.time()
        server = _page(opener, f"{url}/varz")
        after = time.time()
        busiest = (_page(opener, f"{url}/connz?sort=pending&limit=1").get("connections") or [{}])[0]
        return Monitor(
            url=url,
            server_id=str(server["server_id"]),
            slow_consumers=int(server["slow_consumers"]),
            connections=int(server["connections"]),
            max_connections=int(server["max_connections"]),
            subscriptions=int(server["subscriptions"]),
            max_pending_bytes=int(server["max_pending"]),
            most_pending_bytes=int(busiest.get("pending_bytes", 0)),
            most_pending_client=str(busiest.get("name") or busiest.get("cid", "")),
            clock=clock_of([(before, str(server["now"]), after)]),
        )
    except urllib.error.HTTPError as error:
        trouble = f"it answers with the status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        trouble = str(getattr(reason, "strerror", None) or reason)
    except (ValueError, KeyError, TypeError, AttributeError):
        trouble = "what answers there is no monitoring of a nats-server"
    return Monitor(url=url, trouble=trouble)


def _page(opener: urllib.request.OpenerDirector, url: str) -> dict[str, Any]:
    with opener.open(url, timeout=ANSWER_S) as page:
        found: dict[str, Any] = json.loads(page.read(_MOST_BYTES))
    return found
