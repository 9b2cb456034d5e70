"""Which swarms there are on a NATS server: told by their beacons."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.msg import Msg

from covey.framework.errors import ConfigurationError, TransportError
from covey.transports.nats_client import FrameClient
from covey.transports.nats_login import NatsLogin
from covey.transports.subjects import ANY_BEACON, parse_subject

__all__ = ["heard_swarms"]

LISTEN_S = 0.6
"""Two beacons of each node, and some."""
CONNECT_S = 1.0


def heard_swarms(url: str, listen_s: float = LISTEN_S, login: NatsLogin | None = None) -> list[str]:
    """Names of the swarms that were heard within the time, sorted; blocks for so long.

    A help for error texts: none where the server cannot be reached, or does not let us listen.
    """
    try:
        return sorted(asyncio.run(_listen(url, listen_s, login)))
    except (OSError, TimeoutError, TransportError, nats.errors.Error):
        return []


async def _listen(url: str, listen_s: float, login: NatsLogin | None) -> set[str]:
    heard: set[str] = set()

    async def note(message: Msg) -> None:
        try:
            heard.add(parse_subject(message.subject).swarm)
        except ConfigurationError:
            pass  # somebody else's subject

    client = FrameClient(lambda _error: None, lambda _is_up: None, lambda: None)
    await client.open(
        url,
        name="covey-listener",
        inbox_prefix="_INBOX_covey-listener",
        timeout_s=CONNECT_S,
        login=login,
    )
    try:
        await client.subscribe(ANY_BEACON, cb=note)
        await asyncio.sleep(listen_s)
    finally:
        await client.end(CONNECT_S)
    return heard
