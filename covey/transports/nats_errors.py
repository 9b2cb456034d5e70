"""What nats-py says, in Covey's errors: the server, what is wrong and the next step, never a password."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import nats.errors

from covey.framework.errors import ConfigurationError, CoveyError, PermissionDeniedError, TransportError
from covey.transports.nats_tls import tls_trouble
from covey.transports.subjects import parse_subject

__all__ = ["connect_error", "is_link_trouble", "is_refusal", "redacted", "reported_error", "split_servers"]

_SCHEMES = ("nats", "tls", "ws", "wss")
_USERINFO = re.compile(r"[^/,\s]*@")
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
_START_ONE = "is a nats-server running there? Try nats-server -p 4222, or Swarm.embedded()"
_CREDENTIALS = (
    "the server refused our credentials: give the right ones (user and password, token, nkey or credentials, "
    "as arguments, flags or COVEY_NATS_... variables), or see the server's authorization settings"
)


def split_servers(url: str) -> list[str]:
    """The servers of a comma-separated list of URLs.

    Raises:
        TransportError: one is no NATS URL.
    """
    servers = [server.strip() for server in url.split(",")]
    if not all(_is_nats_url(server) for server in servers):
        raise _no_url(redacted(url))
    return servers


def _is_nats_url(server: str) -> bool:
    try:
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        return False


def redacted(url: str) -> str:
    """The URL without user, password or token."""
    return _USERINFO.sub("", url)


def connect_error(url: str, problems: Sequence[BaseException], timeout_s: float) -> TransportError:
    """Why no server of the URL took us; `problems` in the order in which they happened."""
    shown = redacted(url)
    # A timeout of ours only ends the attempt; what happened before it says more.
    telling = [problem for problem in problems if not isinstance(problem, TimeoutError)] or problems
    problem = telling[-1]
    if isinstance(problem, UnicodeError):  # a host name that cannot be one
        return _no_url(shown)
    return TransportError(f"cannot connect to {shown}: {_reason(problem, timeout_s)}")


def _no_url(shown: str) -> TransportError:
    return TransportError(f"{shown!r} is no NATS URL: write nats://host:4222, or several joined by commas")


def _reason(problem: BaseException, timeout_s: float) -> str:
    text = str(problem).lower()
    match problem:
        case CoveyError():
            return str(problem)
        case socket.gaierror():
            return "its host name cannot be resolved: check the spelling and the network"
        case ssl.SSLError():
            return tls_trouble(problem)
        case ConnectionRefusedError():
            return f"the connection was refused: {_START_ONE}"
        case asyncio.TimeoutError():
            return f"no NATS server answered within {timeout_s:.3g} s: {_START_ONE}"
        case _ if is_refusal(problem):
            return _CREDENTIALS
        case _ if "info message" in text or isinstance(problem, ValueError):  # a first line without end, say
            return f"something answers there, but it is no NATS server: check the port; {_START_ONE}"
        case OSError():
            return f"{problem.strerror or problem}: {_START_ONE}"
    return f"{text.removeprefix('nats: ') or type(problem).__name__}: see the server's log"


def is_link_trouble(problem: Exception) -> bool:
    """Whether this only says that the link is down, which `on_link` reports anyway."""
    trouble = (OSError, asyncio.TimeoutError, nats.errors.StaleConnectionError, nats.errors.ProtocolError)
    return isinstance(problem, trouble)


def reported_error(url: str, problem: Exception, subjects: Iterable[str]) -> CoveyError:
    """An error that the server or nats-py reports while we are connected.

    nats-py tells of a refused subject in lower case: `subjects` are those it may have been.
    """
    denied = _DENIED.search(str(problem).lower())
    if denied is not None:
        action, lowered = denied.groups()
        subject = next((subject for subject in subjects if subject.lower() == lowered), lowered)
        verb = "publishing to it" if action == "publish" else "subscribing to it"
        node = _node_of(subject) if action == "publish" else ""
        return PermissionDeniedError(subject, f"{verb} is denied on {redacted(url)}", node=node)
    if isinstance(problem, nats.errors.SlowConsumerError):
        return TransportError(
            f"frames on {problem.subject} were dropped: the node takes them more slowly than they come"
        )
    if is_refusal(problem):
        return TransportError(f"{redacted(url)}: {_CREDENTIALS}")
    return TransportError(f"{redacted(url)} reports: {str(problem).removeprefix('nats: ')}")


def _node_of(subject: str) -> str:
    try:
        parsed = parse_subject(subject)
    except ConfigurationError:  # an inbox, say
        return ""
    return parsed.name if parsed.role == "node" else ""


def is_refusal(problem: BaseException) -> bool:
    """Whether the server does not take our login."""
    text = str(problem).lower()
    return "authorization" in text or "authentication" in text
