"""Measures a NATS server in the name of a node or client. Only here is the server talked to."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

import nats.errors

from covey.framework.address import check_key
from covey.framework.errors import CoveyError, TransportError
from covey.transports.diagnosis.connection import connection_of
from covey.transports.diagnosis.ears import Ears
from covey.transports.diagnosis.facts import (
    HeardNode,
    JetStream,
    Monitor,
    RoundTrips,
    ServerFacts,
)
from covey.transports.diagnosis.monitoring import checked_monitor_url, read_monitor
from covey.transports.diagnosis.probe import Probe, json_object
from covey.transports.diagnosis.told_time import UserInfo, traced_clock, user_info
from covey.transports.diagnosis.trials import try_grants
from covey.transports.diagnosis.versions import has_traces
from covey.transports.grants import answering_grants, node_grants
from covey.transports.heard_swarms import LISTEN_S
from covey.transports.nats_errors import redacted
from covey.transports.nats_login import NatsLogin
from covey.transports.subjects import ANY_BEACON, beacons_pattern, node_subject

__all__ = ["examine"]

CLOSE_S = 1.0
WARM_UP, ROUND_TRIPS = 5, 100
ROUND_TRIPS_S = 2.0
"""On a slow link there are fewer of them."""
JETSTREAM_INFO = "$JS.API.INFO"


def examine(
    url: str,
    swarm: str,
    *,
    name: str | None = None,
    login: NatsLogin | None = None,
    monitor: str = "",
    clients: Sequence[str] = (),
) -> ServerFacts:
    """Find out what a server is and does for a node of a swarm; blocks for about a second.

    Nothing of it reaches a node or a client: a swarm that runs there notices nothing.

    Args:
        name: the node, or client, in whose name to look; None to make one up.
        monitor: URL of the server's monitoring endpoint, if it is to be read.
        clients: whether a node may answer these is tried as well.

    Raises:
        TransportError: the server cannot be reached, does not let us in, or was lost meanwhile.
        ConfigurationError: a name, a URL or a file makes no sense.
    """
    for given in clients if name is None else (name, *clients):
        check_key(given, "the name of a node or client")
    login = login or NatsLogin()
    login.check_url(url)
    monitor = checked_monitor_url(monitor) if monitor else ""
    return asyncio.run(_examine(url, swarm, name, login, monitor, clients))


async def _examine(
    url: str, swarm: str, name: str | None, login: NatsLogin, monitor: str, clients: Sequence[str]
) -> ServerFacts:
    probe = Probe(url, name)
    examination = _Examination(probe, swarm, login, monitor, clients)
    await probe.open(login)
    try:
        task = asyncio.create_task(examination.all_facts(is_named=name is not None))
        await asyncio.wait((task, probe.lost), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise probe.lost.result()
        return task.result()
    except CoveyError:
        raise
    except (OSError, nats.errors.Error) as error:
        reason = str(error).removeprefix("nats: ") or "it does not answer"
        raise TransportError(f"{redacted(url)}: {reason}: see the server's log") from error
    finally:
        await probe.client.end(CLOSE_S)


class _Examination:
    """All that is asked of one server over one connection."""

    def __init__(
        self, probe: Probe, swarm: str, login: NatsLogin, monitor: str, clients: Iterable[str]
    ) -> None:
        self._probe = probe
        self._client = probe.client
        self._swarm = swarm
        self._login = login
        self._monitor = monitor
        self._nowhere = node_subject(swarm, probe.token, probe.name)
        """Frames for a node that does not exist."""
        self._grants = (*node_grants(swarm, probe.name), *answering_grants(clients))
        (self._anybody,) = answering_grants([probe.token])

    async def all_facts(self, *, is_named: bool) -> ServerFacts:
        probe, client = self._probe, self._client
        ears, is_hearing = await self._listen()
        listened_at = time.monotonic()
        info = client.server_info
        can_trace = bool(info.get("headers")) and has_traces(str(info.get("version", "")))
        can_be_answered = await probe.listen_for_answers()
        *trials, anybody = await try_grants(
            probe, (*self._grants, self._anybody), self._nowhere, can_trace=can_trace
        )
        may_send = any(
            trial.outcome == "granted" and trial.grant.narrowed(probe.token) == self._nowhere
            for trial in trials
        )
        told = await self._told_nobody() if can_be_answered and may_send and info.get("headers") else None
        round_trips = await self._round_trips(with_requests=bool(told))
        jetstream = await self._jetstream(can_be_answered)
        user = await user_info(probe) if can_be_answered else UserInfo()
        nodes = await self._nodes(ears, listened_at) if is_hearing else None
        clock = user.clock
        if clock is None and can_trace and may_send and self._is_absent(nodes):
            clock = await traced_clock(
                probe, self._nowhere, node_subject(self._swarm, probe.name, probe.name)
            )
        return ServerFacts(
            swarm=self._swarm,
            name=probe.name,
            is_named=is_named,
            version=str(info.get("version", "")),
            server_name=str(info.get("server_name", "")),
            server_id=str(info.get("server_id", "")),
            cluster=str(info.get("cluster", "")),
            connection=connection_of(client, self._login, user.account),
            max_payload_bytes=client.max_payload,
            has_headers=bool(info.get("headers")),
            tells_no_responders=told,
            round_trips=round_trips,
            trials=tuple(trials),
            answers_anybody=None if anybody.outcome == "untried" else anybody.outcome == "granted",
            jetstream=jetstream,
            clock=clock,
            nodes=nodes,
            swarms=ears.swarms(),
            monitor=await self._monitored(),
        )

    # -- who is there ------------------------------------------------------------------------------

    async def _listen(self) -> tuple[Ears, bool]:
        ears = Ears()
        await self._probe.listen(ANY_BEACON, ears.beacon_of_any_swarm)  # a help: few users may
        return ears, await self._probe.listen(beacons_pattern(self._swarm), ears.beacon)

    async def _nodes(self, ears: Ears, listened_at: float) -> tuple[HeardNode, ...]:
        await asyncio.sleep(listened_at + LISTEN_S - time.monotonic())
        if ears.is_unsure:
            await asyncio.sleep(LISTEN_S)
        return ears.nodes()

    def _is_absent(self, nodes: tuple[HeardNode, ...] | None) -> bool:
        return nodes is not None and all(node.name != self._probe.name for node in nodes)

    # -- how it answers ----------------------------------------------------------------------------

    async def _told_nobody(self) -> bool:
        return (await self._probe.ask(self._nowhere)).state == "nobody"

    async def _round_trips(self, *, with_requests: bool) -> RoundTrips:
        took_ms: list[float] = []
        try:
            async with asyncio.timeout(ROUND_TRIPS_S):
                while len(took_ms) < WARM_UP + ROUND_TRIPS:
                    began = time.perf_counter()
                    if with_requests:
                        await self._probe.ask_at_once(self._nowhere)
                    else:
                        await self._client.flush()
                    took_ms.append((time.perf_counter() - began) * 1e3)
        except TimeoutError:
            if not took_ms:
                raise
        return RoundTrips.of(took_ms[WARM_UP:] or took_ms, "requests" if with_requests else "pings")

    async def _monitored(self) -> Monitor | None:
        if not self._monitor:
            return None
        context: ssl.SSLContext | None = self._login.connect_options().get("tls")
        return await asyncio.to_thread(read_monitor, self._monitor, context)

    async def _jetstream(self, can_be_answered: bool) -> JetStream:
        if not can_be_answered:
            return JetStream(state="refused")
        answer = await self._probe.ask(JETSTREAM_INFO)
        if answer.state in ("refused", "silent"):
            return JetStream(state="refused" if answer.state == "refused" else "silent")
        found = json_object(answer.data)
        if answer.state == "nobody" or "limits" not in found:
            return JetStream(state="off", reason=str(found.get("error", {}).get("description", "")))
        limits = found["limits"]
        return JetStream(
            state="on",
            memory_bytes=int(found.get("memory", 0)),
            storage_bytes=int(found.get("storage", 0)),
            max_memory_bytes=_limit(limits.get("max_memory")),
            max_storage_bytes=_limit(limits.get("max_storage")),
            streams=int(found.get("streams", 0)),
            consumers=int(found.get("consumers", 0)),
        )


def _limit(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
