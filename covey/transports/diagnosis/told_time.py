"""Asks a server for the time, by whatever our user may do."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from covey.transports.diagnosis.clocks import clock_of
from covey.transports.diagnosis.facts import Clock
from covey.transports.diagnosis.probe import Probe, json_object
from covey.transports.diagnosis.trials import trace_headers

__all__ = ["UserInfo", "traced_clock", "user_info"]

SAMPLES = 5
TRACE_S = 0.5
USER_INFO = "$SYS.REQ.USER.INFO"


class UserInfo(NamedTuple):
    """What a server tells a user of itself, if it may ask."""

    account: str = ""
    clock: Clock | None = None


async def user_info(probe: Probe) -> UserInfo:
    """Our account, and the server's clock with it."""
    account, samples = "", []
    for _ in range(SAMPLES):
        asked = time.time()
        answer = await probe.ask(USER_INFO)
        answered = time.time()
        if answer.state != "answered":
            break
        found = json_object(answer.data)
        account = str((found.get("data") or {}).get("account", ""))
        samples.append((asked, _time(found), answered))
    return UserInfo(account, clock_of(samples))


async def traced_clock(probe: Probe, nowhere: str, here: str) -> Clock | None:
    """By traces, which bear the server's time.

    Args:
        nowhere: a subject that we may publish to, and nobody listens to.
        here: another, which we may also subscribe to.
    """
    samples: list[tuple[float, str, float]] = []
    traces: asyncio.Queue[bytes] = asyncio.Queue()
    if not await probe.listen(here, lambda _subject, _reply, data, _headers: traces.put_nowait(data)):
        return None
    for _ in range(SAMPLES):
        asked = time.time()
        if not await probe.may_publish(nowhere, trace_headers(here)):
            break
        try:
            trace = await asyncio.wait_for(traces.get(), TRACE_S)
        except TimeoutError:
            break
        samples.append((asked, _time(json_object(trace)), time.time()))
    return clock_of(samples)


def _time(told: dict[str, Any]) -> str:
    return str((told.get("server") or {}).get("time", ""))
