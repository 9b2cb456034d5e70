"""Messages in JSON to the agents of a swarm, from a plain NATS client: what `covey send` stands on."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import nats.errors
from nats.aio.msg import Msg

from covey.framework.address import Address
from covey.framework.errors import (
    AskTimeoutError,
    CoveyError,
    NoHostError,
    PayloadTooLargeError,
    PermissionDeniedError,
    TransportError,
)
from covey.transports.heard_swarms import LISTEN_S
from covey.transports.nats_arrivals import inbox_prefix
from covey.transports.nats_client import FrameClient
from covey.transports.nats_errors import is_link_trouble, redacted, reported_error
from covey.transports.nats_login import NatsLogin
from covey.transports.subjects import beacons_pattern, json_subject

__all__ = ["JsonAnswer", "JsonClient"]

CONNECT_S = 3.0
GRACE_S = 0.5
"""A node says itself that the time is over, and that takes a moment to come."""
HEADER_BYTES = 64
"""The server counts them, too; nats-py does not, and is cut off."""

T = TypeVar("T")


class JsonAnswer(NamedTuple):
    """What an agent has answered, or its node in its place."""

    type_name: str
    """Full protobuf name of the answer; of a failure the name of the error."""
    text: str
    """The answer in JSON; of a failure its text."""
    failure_code: int = 0
    """0 for an answer; of a failure as in HTTP: 404 for nobody there, 408 for too late, and so on."""


@dataclass(frozen=True, slots=True)
class JsonClient:
    """Talks to one swarm without being a node of it. Each call connects anew, and blocks.

    A message is named by its full protobuf name, or the last part of it where the nodes know one that ends
    so; its body is JSON in UTF-8.

    All calls raise:
        ConfigurationError: the swarm, the address or the type has a name that cannot be.
        TransportError: the server cannot be reached, or was lost meanwhile.
        PermissionDeniedError: the server does not let us do that.
        PayloadTooLargeError: the server does not carry so much.
    """

    url: str
    swarm: str
    login: NatsLogin | None = None
    name: str = field(default_factory=lambda: f"covey-send-{secrets.token_hex(4)}")
    """Its answers come to `_INBOX_<name>.>`, which its user must be allowed to subscribe to."""

    def ask(self, address: Address, type_name: str, body: bytes, timeout_s: float) -> JsonAnswer:
        """Ask an agent, and wait for the answer.

        Raises:
            NoHostError: no node of the swarm takes requests.
            AskTimeoutError: nobody has answered within the time.
        """
        subject = json_subject(self.swarm, address, type_name)
        deadline = {"Covey-Remaining-Ms": str(round(timeout_s * 1e3))}

        async def ask(client: FrameClient) -> JsonAnswer:
            _check_size(client, type_name, body)
            try:
                return _answer(await client.request(subject, body, timeout_s + GRACE_S, headers=deadline))
            except nats.errors.NoRespondersError as error:
                raise NoHostError(address.kind) from error
            except nats.errors.TimeoutError as error:
                raise AskTimeoutError(str(address), timeout_s, type_name) from error

        return asyncio.run(self._connected(subject, ask))

    def tell(self, address: Address, type_name: str, body: bytes) -> None:
        """Send an agent a message, and wait until the server has it. Whether it has arrived nobody says."""
        subject = json_subject(self.swarm, address, type_name)

        async def tell(client: FrameClient) -> None:
            _check_size(client, type_name, body)
            await client.publish(subject, body)
            await client.confirm(CONNECT_S)

        asyncio.run(self._connected(subject, tell))

    def hears_swarm(self) -> bool:
        """Whether a node of the swarm is heard within 0.6 s; True also where we are not allowed to listen."""
        beacons = beacons_pattern(self.swarm)

        async def listen(client: FrameClient) -> bool:
            heard = asyncio.Event()

            async def note(_beacon: Msg) -> None:
                heard.set()

            await client.subscribe(beacons, cb=note)
            try:
                return await asyncio.wait_for(heard.wait(), LISTEN_S)
            except TimeoutError:
                return False

        try:
            return asyncio.run(self._connected(beacons, listen))
        except PermissionDeniedError:
            return True

    async def _connected(self, subject: str, work: Callable[[FrameClient], Coroutine[Any, Any, T]]) -> T:
        """Do the work with a connection; what the server says against it ends it."""
        trouble: asyncio.Future[CoveyError] = asyncio.get_running_loop().create_future()

        def end(error: CoveyError) -> None:
            if not trouble.done():
                trouble.set_result(error)

        def refused(problem: Exception) -> None:
            if not is_link_trouble(problem):
                end(reported_error(self.url, problem, [subject]))

        def lost() -> None:
            end(TransportError(f"lost {redacted(self.url)}: whether the message has arrived is unknown"))

        client = FrameClient(refused, lambda up: None if up else lost(), lost)
        inbox = inbox_prefix(self.name)
        await client.open(self.url, name=self.name, inbox_prefix=inbox, timeout_s=CONNECT_S, login=self.login)
        task = asyncio.create_task(work(client))
        try:
            await asyncio.wait((task, trouble), return_when=asyncio.FIRST_COMPLETED)
            if trouble.done():
                raise trouble.result()
            return task.result()
        except CoveyError:
            raise
        except (OSError, nats.errors.Error) as error:
            reason = str(error).removeprefix("nats: ") or "it does not answer"
            raise TransportError(f"{redacted(self.url)}: {reason}: see the server's log") from error
        finally:
            task.cancel()
            await client.end(CONNECT_S)


def _check_size(client: FrameClient, type_name: str, body: bytes) -> None:
    limit = client.max_payload - HEADER_BYTES
    if len(body) > limit:
        raise PayloadTooLargeError(type_name, len(body), limit)


def _answer(message: Msg) -> JsonAnswer:
    headers = message.headers or {}
    code = headers.get("Nats-Service-Error-Code", "0")
    if code == "0":
        return JsonAnswer(headers.get("Covey-Type", ""), message.data.decode(errors="replace"))
    try:
        failure = json.loads(message.data)
        return JsonAnswer(str(failure["error"]), str(failure["message"]), int(code))
    except (ValueError, KeyError, TypeError):  # not from a node as we know it: its header still tells
        return JsonAnswer("", headers.get("Nats-Service-Error", ""), int(code) if code.isdigit() else 500)
