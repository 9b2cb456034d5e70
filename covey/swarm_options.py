"""What a `Swarm` may be told: arguments first, then `COVEY_*` environment variables, then defaults."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covey.framework.address import check_key
from covey.framework.errors import ConfigurationError
from covey.framework.node import DEFAULT_ASK_TIMEOUT_S
from covey.framework.watchdog import HOLD_S

if TYPE_CHECKING:
    from covey.framework.clock import Clock

__all__ = ["SwarmOptions"]

MOST_MESSAGE_BYTES = 256 * 1024 * 1024
"""A message is in memory as a whole, here and there, more than once."""

_NAMES = (
    "ask_timeout_s",
    "clock",
    "max_message_bytes",
    "node",
    "trace_directory",
    "trace_ratio",
    "uvloop",
    "watchdog_s",
    "weight",
)


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """The checked options of one node."""

    node: str
    """Its name; by default host, process id and a random number."""
    weight: int
    ask_timeout_s: float
    trace_ratio: float | None
    trace_directory: Path | None
    watchdog_s: float | None
    """How long a handler may hold the loop before it is reported; None for ever."""
    clock: Clock | None
    max_message_bytes: int
    """Messages to other nodes may take so much, in parts; 0 for what the server carries in one."""

    @classmethod
    def checked(cls, given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> SwarmOptions:
        """The options from arguments and environment.

        Raises:
            ConfigurationError: names the option, or the variable, that is unknown or makes no sense.
        """
        unknown = sorted(set(given) - set(_NAMES))
        if unknown:
            raise ConfigurationError(
                f"unknown option {', '.join(unknown)}: choose from {', '.join(_NAMES)}; only Swarm.connect "
                "logs in, with user and password, token, nkey, credentials, and tls..."
            )
        directory = given.get("trace_directory") or environ.get("COVEY_TRACE_DIR")
        return cls(
            node=_node_name(given.get("node"), environ),
            weight=_weight(given.get("weight", 1)),
            ask_timeout_s=_seconds("ask_timeout_s", given, environ, DEFAULT_ASK_TIMEOUT_S),
            trace_ratio=given.get("trace_ratio"),
            trace_directory=Path(directory) if directory else None,
            watchdog_s=_watchdog_s(given, environ),
            clock=_clock(given, environ),
            max_message_bytes=_max_message_bytes(given, environ),
        )


def _node_name(given: str | None, environ: Mapping[str, str]) -> str:
    if given is not None:
        return check_key(given, "the node name")
    configured = environ.get("COVEY_NODE_NAME")
    if configured:
        return check_key(configured, "COVEY_NODE_NAME")
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(2)}"


def _weight(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ConfigurationError(f"weight={given!r}: give a whole number, at least 1")
    return given


def _seconds(name: str, given: Mapping[str, Any], environ: Mapping[str, str], default: float) -> float:
    variable = f"COVEY_{name.upper()}"
    value = given.get(name)
    shown = f"{name}={value!r}"
    if value is None:
        text = environ.get(variable)
        if text is None:
            return default
        shown = f"{variable}={text!r}"
        try:
            value = float(text)
        except ValueError:
            value = -1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigurationError(f"{shown}: give seconds, more than 0")
    return float(value)


def _max_message_bytes(given: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    value: Any = given.get("max_message_bytes")
    shown = f"max_message_bytes={value!r}"
    if value is None:
        text = environ.get("COVEY_MAX_MESSAGE_BYTES", "0")
        shown = f"COVEY_MAX_MESSAGE_BYTES={text!r}"
        value = int(text) if text.strip().isdecimal() else -1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_MESSAGE_BYTES:
        raise ConfigurationError(f"{shown}: give 0 (what the server carries) to {MOST_MESSAGE_BYTES} bytes")
    return value


def _watchdog_s(given: Mapping[str, Any], environ: Mapping[str, str]) -> float | None:
    off = given.get("watchdog_s") == 0 or (
        given.get("watchdog_s") is None and environ.get("COVEY_WATCHDOG_S", "").strip() == "0"
    )
    return None if off else _seconds("watchdog_s", given, environ, HOLD_S)


def _clock(given: Mapping[str, Any], environ: Mapping[str, str]) -> Clock | None:
    clock: Clock | None = given.get("clock")
    wanted = given.get("uvloop")
    if wanted is None:
        wanted = environ.get("COVEY_UVLOOP", "").strip() == "1"
    if not wanted:
        return clock
    if clock is not None:
        raise ConfigurationError("give clock=... or uvloop=True, not both: a clock brings its own loop")
    return _uvloop_clock()


def _uvloop_clock() -> Clock:
    from covey.framework.clock import SystemClock

    try:
        import uvloop
    except ImportError as error:
        raise ConfigurationError(
            "uvloop=True, but uvloop is not installed: pip install 'covey[uvloop]', or leave it out"
        ) from error

    return SystemClock(uvloop.new_event_loop)
