"""How a client is connected: where, behind what, and as whom."""

from __future__ import annotations

import ipaddress
import ssl
import time
from typing import Any

from covey.transports.diagnosis.facts import Connection
from covey.transports.nats_client import FrameClient
from covey.transports.nats_login import NatsLogin

__all__ = ["connection_of", "is_loopback"]

_GLOBAL_ACCOUNT = "$G"


def connection_of(client: FrameClient, login: NatsLogin, account: str) -> Connection:
    """The facts of an open client; no secret is among them."""
    url, info = client.connected_url, client.server_info
    peer = client.socket_info("peername")
    host, port = (peer[0], peer[1]) if peer else (url.hostname or "", url.port)
    secured: ssl.SSLObject | None = client.socket_info("ssl_object")
    version = secured.version() if secured else "TLS" if url.scheme == "wss" else ""
    return Connection(
        address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        is_loopback=is_loopback(host),
        tls=version or "",
        certificate_left_s=_left_s(secured.getpeercert()) if secured else None,
        login=_shown(login, url.username, url.password),
        is_login_asked=bool(info.get("auth_required") or info.get("tls_verify")),
        account="" if account == _GLOBAL_ACCOUNT else account,
    )


def _shown(login: NatsLogin, url_user: str | None, url_password: str | None) -> str:
    user = login.user or (url_user if url_password is not None else None)
    ways = {
        f"user {user} with a password": user is not None,
        "a token": login.token is not None or (url_user is not None and url_password is None),
        "an nkey": login.nkey is not None,
        "a credentials file": login.credentials is not None,
        "a certificate": login.tls_cert is not None,
    }
    return " and ".join(way for way, is_used in ways.items() if is_used)


def is_loopback(host: str) -> bool:
    """Whether an address, as a socket or a URL has it, is of this machine alone."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _left_s(certificate: Any) -> float | None:
    until = (certificate or {}).get("notAfter")
    return ssl.cert_time_to_seconds(until) - time.time() if until else None
